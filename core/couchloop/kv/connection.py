"""One connection to one data node: bytes in, completed operations and bytes out.

`TRANSITIONS` has its states, and every transition between them (drawn in docs/diagrams.md).

A connection knows its owner (the session) through the calls of `Owner`, and nothing else of the
world. A CLOSED connection stays closed: its node gets a new one.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from couchloop.exceptions import (
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    HandshakeClosedError,
    NodeUnreachableError,
    ProtocolError,
    WrongProtocolError,
    caused,
)
from couchloop.hot.frames import Frame
from couchloop.hot.pipe import Pipe, PipeOwner
from couchloop.hot.request import Request
from couchloop.kv.handshake import ErrorMap, Hello, Negotiated, Step, handshake
from couchloop.kv.plain import greet
from couchloop.kv.scram import KeyDerivation
from couchloop.settings.values import Address, Login, Wire
from couchloop.wire import Feature, Magic

if TYPE_CHECKING:
    from collections.abc import Callable

_DEFAULT_COLLECTION: Final = b"\0"
SIGN: Final = 32 << 10
"""Bytes of an unfinished frame, or taken of what is sent, that are a sign of life.

Fewer are none: a peer that trickles, or that announced a longer body than it sends, would look
alive for ever.
"""


class State(Enum):
    """Where a connection is in its life."""

    OPENING = auto()
    HANDSHAKE = auto()
    READY = auto()
    CLOSED = auto()


TRANSITIONS: Final = (
    (State.OPENING, "opened", State.HANDSHAKE),
    (State.HANDSHAKE, "receive_data", State.READY),
    (State.OPENING, "close", State.CLOSED),
    (State.HANDSHAKE, "close", State.CLOSED),
    (State.READY, "close", State.CLOSED),
)
"""Each state, the call that may end it, and the state after that: a test compares it with the code.

A fault, or a lost transport, is told to the owner (`Owner.failed`), which closes the connection.
"""


class Owner(PipeOwner, Protocol):
    """What a connection tells its session."""

    def derive_key(self, connection: Any, derivation: KeyDerivation, /) -> None:
        """Have a salted password derived; it comes back through `key_derived`."""

    def handshake_done(self, connection: Any, negotiated: Negotiated, now: float, /) -> None:
        """Take note that the connection is ready."""

    def failed(self, connection: Any, error: CouchbaseError, now: float, /) -> None:
        """Take note that it is of no more use; its transport is to be closed."""


def connection_of(request: Request) -> Connection | None:
    """Return the connection that *request* was sent on last; None: it is to be sent (again)."""
    return request.connection  # type: ignore[return-value]  # every pipe is a connection


class Connection(Pipe):
    """A socket's worth of protocol.

    Args:
        owner: is told what becomes of it.
        connection_id: a number that no other connection of its session has.
        address: where its node is.
        bucket: the bucket's name; empty: none.
        hello: how it introduces itself.
        tls: whether it is encrypted.
        opaque: the number before that of its first request.
    """

    __slots__ = (
        "_answered_before",
        "_conceal",
        "_deriving",
        "_dialogue",
        "_held",
        "_last_bytes",
        "_taken",
        "error_map",
        "hello",
        "id",
        "is_blocked",
        "is_probed",
        "last_progress",
        "local",
        "state",
        "tls",
    )

    _owner: Owner
    address: Address

    def __init__(
        self,
        owner: Owner,
        connection_id: int,
        address: Address,
        bucket: str,
        hello: Hello,
        *,
        tls: bool,
        opaque: int = 0,
    ) -> None:
        super().__init__(owner, opaque)
        self.id = connection_id
        self.address = address
        self.bucket = bucket
        self.hello = hello
        self.tls = tls
        self.local: str | None = None
        """The transport's own end as "host:port", for reports."""
        self.state = State.OPENING
        self.features: frozenset[int] = frozenset()
        self.error_map: ErrorMap = {}
        self.last_progress = -inf
        """When as much as `SIGN` of something large last came, or was taken."""
        self._last_bytes = -inf
        self._held = 0
        """So many bytes of an unfinished frame have been a sign of life already."""
        self._taken = 0
        self._answered_before = -1
        self._conceal: Callable[[str], str] = str
        """Takes the password out of what the peer says."""
        self._dialogue: Step | None = None
        self._deriving = False
        self.is_blocked = False
        """Whether the transport takes no more for now."""
        self.is_probed = False
        """Whether a sign of life is awaited."""
        self.compress(hello.wire)

    def __repr__(self) -> str:
        return f"<Connection {self.id} to {self.address}: {self.state.name}>"

    def compress(self, wire: Wire) -> None:
        """Have other rules of compression count from now on, as far as the node has agreed."""
        self._snappy = Feature.SNAPPY in self.features and wire.deflates
        self._compress_from, self._compress_ratio = wire.compress_from, wire.deflates_to

    def opened(self, login: Login, nonce: Callable[[], str], now: float) -> None:
        """Begin the handshake: the transport is connected."""
        if self.state is not State.OPENING:
            return
        self.state = State.HANDSHAKE
        self.last_activity = now
        self._conceal = login.conceal
        if self.hello.is_plain:
            self._dialogue = greet()
        else:
            self._dialogue = handshake(self.hello, login, self.bucket, tls=self.tls, nonce=nonce)
        self._advance(None, now)

    def close(self) -> list[Request]:
        """End the connection; return the requests that were not answered, in order of sending."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        self.is_ready = False
        self._deriving = False
        if self._dialogue is not None:
            self._dialogue.close()
            self._dialogue = None
        unanswered = list(self.pending.values())
        self.pending.clear()
        return unanswered

    def lost(self, reason: BaseException | None, now: float) -> None:
        """Take note that the transport is gone."""
        if self.state is State.CLOSED:
            return
        error: CouchbaseError
        if isinstance(reason, CouchbaseError):
            error = reason
        elif self.state is State.HANDSHAKE:
            # OpenSSL closes without an alert when the first bytes are not TLS.
            guess = "or not speak the key-value protocol"
            if self.hello.is_plain:
                guess = "or not speak memcached's binary protocol"
            elif not self.tls:
                guess = "not speak the key-value protocol, or want TLS (then use couchbases://)"
            error = HandshakeClosedError(
                "the server accepted, and closed the connection during the handshake: it may be "
                "out of connections (cluster.connection_budget() counts what a program opens), be "
                f"starting, {guess}"
            )
        elif self.state is State.OPENING:
            error = NodeUnreachableError("no connection to the node could be made")
        else:
            error = ConnectionLostError("the connection was lost")
        self.fail(error, now, reason)

    # Signs of life

    @property
    def last_sign(self) -> float:
        """When the peer showed last that it lives: by a whole frame, or by as much as `SIGN`."""
        return max(self.last_activity, self.last_progress)

    @property
    def answered(self) -> int:
        """How many requests were answered so far, but for a constant; it wraps at 2**32.

        A peer can send frames for ever without answering anything.
        """
        return (self.opaque - len(self.pending) - self._forgotten) & 0xFFFFFFFF

    def answers_nothing(self) -> bool:
        """Return whether no request was answered since this was asked last."""
        before, self._answered_before = self._answered_before, self.answered
        return before == self._answered_before

    @property
    def last_heard(self) -> float:
        """When anything came last, be it a single byte."""
        return max(self.last_activity, self._last_bytes)

    @property
    def is_amid_frame(self) -> bool:
        """Whether a part of a frame has come, and the rest of it is awaited."""
        return self._decoder.buffered > 0

    def received_part(self, now: float) -> None:
        """See `Pipe`: enough of them are a sign of life."""
        self._last_bytes = now
        held = self._decoder.buffered
        if held < self._held:
            # Of another frame than the last time.
            self._held = 0
        if held - self._held >= SIGN:
            self._held = held
            self.last_progress = now

    def progressed(self, count: int, now: float) -> None:
        """Take note that the peer took *count* bytes of what the transport had kept."""
        self._taken += count
        if self._taken >= SIGN:
            self._taken = 0
            self.last_progress = now

    # The handshake

    def receive_early(self, data: bytes, now: float) -> None:
        """See `Pipe`: they go on with the handshake."""
        if self._dialogue is None:
            return
        self.last_activity = now
        try:
            frames = iter(self._decoder.receive(data))
        except ProtocolError as error:
            self.fail(self._wrong_protocol(error), now)
            return
        for frame in frames:
            if frame.magic == Magic.SERVER_REQUEST:
                self._owner.pushed(self, frame, now)
            elif self._deriving:
                self.fail(ProtocolError("the server spoke out of turn during the login"), now)
            elif self._dialogue is not None:
                self._advance(frame, now)
            elif self.state is State.READY:
                self.dispatch(chain((frame,), frames), now)
        if self._decoder.error is not None:
            self.fail(self._wrong_protocol(self._decoder.error), now)

    def key_derived(self, salted_password: bytes, now: float) -> None:
        """Go on with the handshake: the answer to `Owner.derive_key`."""
        if self._deriving and self._dialogue is not None:
            self._deriving = False
            self._advance(salted_password, now)

    def _advance(self, answer: Frame | bytes | None, now: float) -> None:
        """Take one step of the handshake."""
        dialogue = self._dialogue
        assert dialogue is not None
        try:
            step = dialogue.send(answer)
        except StopIteration as end:
            self._become_ready(end.value, now)
            return
        except ProtocolError as error:
            self.fail(self._wrong_protocol(error), now)
            return
        except CouchbaseError as error:
            self.fail(error, now)
            return
        if isinstance(step, KeyDerivation):
            self._deriving = True
            self._owner.derive_key(self, step)
        else:
            self.write(step)

    def _become_ready(self, negotiated: Negotiated, now: float) -> None:
        self._dialogue = None
        self.features = negotiated.features
        self.error_map = negotiated.error_map
        self._prefix = _DEFAULT_COLLECTION if Feature.COLLECTIONS in self.features else b""
        self._snappy = Feature.SNAPPY in self.features and self.hello.wire.deflates
        self.state = State.READY
        self.is_ready = True
        self._owner.handshake_done(self, negotiated, now)

    # Failure

    def _wrong_protocol(self, error: ProtocolError) -> WrongProtocolError:
        if isinstance(error, WrongProtocolError):
            return error
        message = error.message
        if "TLS" in message:
            cure = "add ssl=on" if self.hello.is_plain else "use couchbases:// for this port"
        elif self.hello.is_plain:
            cure = "is this a memcached that speaks the binary protocol (-B binary, or auto)?"
        elif "HTTP" in message:
            cure = "give the data port (11210, or 11207 with TLS), not a web port"
        else:
            cure = "is this the data port of a Couchbase node?"
        return WrongProtocolError(
            f"{message}; {cure}", context=error.context, objextra=error.objextra
        )

    def fail(self, error: CouchbaseError, now: float, cause: BaseException | None = None) -> None:
        """End the connection for *error*, which *cause* has caused, if anything has."""
        if self.state is State.CLOSED:
            return
        context = error.context or ErrorContext()
        context.node = str(self.address)
        context.bucket = self.bucket
        context.connection_id = self.hello.connection_id
        for said in ("server_context", "server_ref"):
            if text := getattr(context, said):
                setattr(context, said, self._conceal(text))
        error.context = context
        # It is kept and shown to others; the frames of its traceback hold the login.
        error.__traceback__ = None
        if error.__cause__ is None and cause is not error:
            caused(error, cause)
        self._owner.failed(self, error, now)
