"""One connection to one data node: bytes in, completed operations and bytes out.

`TRANSITIONS` has its states, and every transition between them (drawn in docs/diagrams.md).

A connection knows its owner (the session) through the calls of `Owner`, and nothing else of the
world. A CLOSED connection stays closed: its node gets a new one.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import chain
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from couchloop.exceptions import (
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    HandshakeClosedError,
    NodeUnreachableError,
    ProtocolError,
    WrongProtocolError,
)
from couchloop.hot.frames import Frame, FrameDecoder
from couchloop.kv.handshake import ErrorMap, Hello, Negotiated, Step, handshake
from couchloop.kv.scram import KeyDerivation
from couchloop.settings.values import Address, Login, Wire
from couchloop.wire import Feature, Magic, snappy

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER: Final = Struct(">BBHBBHIIQ")
_HEADER_SIZE: Final = _HEADER.size
_MAX_OPAQUE: Final = 0xFFFFFFFF
_DEFAULT_COLLECTION: Final = b"\0"
_LARGE: Final = 4096
"""Values from this many bytes are not copied into the request but written behind it."""
SIGN: Final = 32 << 10
"""Bytes of an unfinished frame, or taken of what is sent, that are a sign of life.

Fewer are none: a peer that trickles, or that announced a longer body than it sends, would look
alive for ever.
"""
ROOM: Final = 2 << 20
"""Bytes that may be queued in one turn of the loop before the rest has to wait for the next."""
_STORES: Final = frozenset({0x01, 0x02, 0x03, 0x0E, 0x0F})
"""SET, ADD, REPLACE, APPEND, PREPEND: the requests whose value may be compressed (RFC 0030)."""


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


class Request(Protocol):
    """What a connection needs of an operation."""

    opcode: int
    raw: bytes
    """The key without its collection; empty where the request has none."""
    extras: bytes
    value: bytes
    cas: int
    quiet: bool
    """Whether KEY_ENOENT is an answer, not an error."""
    opaque: int
    connection: Connection[Any] | None
    answer: Frame | None


R = TypeVar("R", bound=Request)


class Owner(Protocol[R]):
    """What a connection tells its session."""

    def has_output(self, connection: Connection[R]) -> None:
        """Say that output appeared where there was none."""

    def crowded(self, connection: Connection[R]) -> None:
        """Say that no more should be sent before the output is taken."""

    def derive_key(self, connection: Connection[R], derivation: KeyDerivation) -> None:
        """Ask for a salted password; it comes back through `key_derived`."""

    def handshake_done(self, connection: Connection[R], negotiated: Negotiated, now: float) -> None:
        """Say that the connection is ready."""

    def completed(self, op: R) -> None:
        """Say that *op* has its answer."""

    def refused(self, op: R, answer: Frame, now: float) -> None:
        """Say that the server answered *op* with an error."""

    def orphaned(self, connection: Connection[R], frame: Frame, now: float) -> None:
        """Say that an answer came for which nobody waits any more."""

    def pushed(self, connection: Connection[R], frame: Frame, now: float) -> None:
        """Say that the server asked something of us (magic 0x82)."""

    def failed(self, connection: Connection[R], error: CouchbaseError, now: float) -> None:
        """Say that the connection is of no more use; its transport is to be closed."""


class Connection(Generic[R]):
    """A socket's worth of protocol."""

    __slots__ = (
        "_answered_before",
        "_compress_from",
        "_compress_ratio",
        "_conceal",
        "_decoder",
        "_deriving",
        "_dialogue",
        "_forgotten",
        "_held",
        "_last_bytes",
        "_out",
        "_owner",
        "_prefix",
        "_queued",
        "_room",
        "_snappy",
        "_taken",
        "address",
        "bucket",
        "error_map",
        "features",
        "hello",
        "id",
        "is_blocked",
        "last_activity",
        "last_progress",
        "late_probe",
        "local",
        "opaque",
        "orphans",
        "pending",
        "state",
        "tls",
    )

    def __init__(
        self,
        owner: Owner[R],
        connection_id: int,
        address: Address,
        bucket: str,
        hello: Hello,
        *,
        tls: bool,
        opaque: int = 0,
    ) -> None:
        self._owner = owner
        self.id = connection_id
        self.address = address
        self.bucket = bucket
        self.hello = hello
        self.tls = tls
        self.local: str | None = None
        """The transport's own end as "host:port", for reports."""
        self.state = State.OPENING
        self.opaque = opaque
        self.pending: dict[int, R] = {}
        self.features: frozenset[int] = frozenset()
        self.error_map: ErrorMap = {}
        self.orphans = 0
        self.last_activity = 0.0
        """When a frame was completed last; during the handshake, when anything came."""
        self.last_progress = -inf
        """When as much as `SIGN` of something large last came, or was taken."""
        self._last_bytes = -inf
        self._held = 0
        """So many bytes of an unfinished frame have been a sign of life already."""
        self._taken = 0
        self._forgotten = 0
        """Requests whose answer is no longer waited for."""
        self._answered_before = -1
        self.late_probe = -1
        """The opaque of a NOOP that was not answered in time."""
        self._conceal: Callable[[str], str] = str
        """Takes the password out of what the peer says."""
        self._decoder = FrameDecoder()
        self._dialogue: Step | None = None
        self._deriving = False
        self._out: list[bytes] = []
        self._queued = False
        self._room = -1
        """Bytes that may still be queued; less than 0 also when nothing is."""
        self.is_blocked = False
        """Whether the transport takes no more for now."""
        self._prefix = b""
        self._snappy = False
        """Whether values are sent compressed."""
        self._compress_from = hello.wire.compress_from
        self._compress_ratio = hello.wire.compress_ratio

    def __repr__(self) -> str:
        return f"<Connection {self.id} to {self.address}: {self.state.name}>"

    def compress(self, wire: Wire) -> None:
        """Have other limits of compression count from now on."""
        self._compress_from, self._compress_ratio = wire.compress_from, wire.compress_ratio

    def opened(self, login: Login, nonce: Callable[[], str], now: float) -> None:
        """Begin the handshake: the transport is connected."""
        if self.state is not State.OPENING:
            return
        self.state = State.HANDSHAKE
        self.last_activity = now
        self._conceal = login.conceal
        self._dialogue = handshake(self.hello, login, self.bucket, tls=self.tls, nonce=nonce)
        self._advance(None, now)

    def close(self) -> list[R]:
        """End the connection; give the operations that were not answered, in order of sending."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
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
            if not self.tls:
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
        self._fail(error, now, reason)

    # The hot path: out

    def forget(self, op: R) -> None:
        """Wait no more for the answer to *op*: its time is up, or its caller has gone."""
        if self.pending.pop(op.opaque, None) is not None:
            self._forgotten += 1

    def send(self, op: R, vbucket: int) -> None:
        """Encode *op* behind what is waiting to be written."""
        opaque = self.opaque = (self.opaque + 1) & _MAX_OPAQUE
        pending = self.pending
        while opaque in pending:
            opaque = self.opaque = (opaque + 1) & _MAX_OPAQUE
        pending[opaque] = op
        op.opaque = opaque
        op.connection = self
        key = self._prefix + op.raw if op.raw else b""
        extras, value = op.extras, op.value
        datatype = 0
        if self._snappy and len(value) >= self._compress_from and op.opcode in _STORES:
            compressed = snappy.compress(value)
            if len(compressed) <= len(value) * self._compress_ratio:
                value, datatype = compressed, 2
        size = len(value)
        length = len(extras) + len(key) + size
        header = _HEADER.pack(
            0x80,
            op.opcode,
            len(key),
            len(extras),
            datatype,
            vbucket,
            length,
            opaque,
            op.cas,
        )
        if size < _LARGE:
            self._out.append(header + extras + key + value)
        else:
            self._out.append(header + extras + key)
            self._out.append(value)
        self._room = room = self._room - length - _HEADER_SIZE
        if room < 0:
            self._used_up(length + _HEADER_SIZE)

    def _used_up(self, length: int) -> None:
        """Take note of output where there was none, or of too much of it."""
        if not self._queued:
            self._queued = True
            self._room = ROOM - length
            self._owner.has_output(self)
        if self._room < 0:
            self._owner.crowded(self)

    @property
    def is_crowded(self) -> bool:
        """Whether no more should be sent before the output is taken."""
        return self._queued and self._room < 0

    def take_output(self) -> bytes:
        """Give what is to be written now, and forget it."""
        self._queued = False
        self._room = -1
        out = self._out
        if len(out) == 1:
            data = out[0]
            out.clear()
            return data
        data = b"".join(out)
        out.clear()
        return data

    def _write(self, data: bytes) -> None:
        if data:
            self._out.append(data)
            if not self._queued:
                self._used_up(len(data))

    # The hot path: in

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the transport; complete what they answer."""
        if self.state is not State.READY:
            self._receive_early(data, now)
            return
        decoder = self._decoder
        try:
            frames = decoder.receive(data)
        except ProtocolError as error:
            self._fail(error, now)
            return
        if frames:
            self.last_activity = now
        else:
            self._unfinished(now)
        self._dispatch(frames, now)
        if decoder.error is not None:
            self._fail(decoder.error, now)

    def _dispatch(self, frames: list[Frame] | chain[Frame], now: float) -> None:
        # User code runs within completed(): it may send, and it may close this connection,
        # whose remaining answers then find nobody.
        owner = self._owner
        completed = owner.completed
        pop = self.pending.pop
        for frame in frames:
            if frame[0] == Magic.SERVER_REQUEST:
                owner.pushed(self, frame, now)
                continue
            op = pop(frame[4], None)
            if op is None:
                self.orphans += 1
                if frame[4] == self.late_probe:
                    # Late, but an answer to what was asked.
                    self._forgotten -= 1
                owner.orphaned(self, frame, now)
            elif op.opcode != frame[1]:
                self.pending[frame[4]] = op
                self._fail(
                    ProtocolError(
                        f"the server answered opcode 0x{frame[1]:02x} to a request of "
                        f"0x{op.opcode:02x}"
                    ),
                    now,
                )
                return
            elif not frame[3] or (op.quiet and frame[3] == 1):
                op.answer = frame
                completed(op)
            else:
                owner.refused(op, frame, now)

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
        return (self.opaque - len(self.pending) - self._forgotten) & _MAX_OPAQUE

    def answers_nothing(self) -> bool:
        """Tell whether no request was answered since this was asked last."""
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

    def _unfinished(self, now: float) -> None:
        """Take note that bytes came which complete no frame."""
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

    def _receive_early(self, data: bytes, now: float) -> None:
        if self._dialogue is None:
            return
        self.last_activity = now
        try:
            frames = iter(self._decoder.receive(data))
        except ProtocolError as error:
            self._fail(self._wrong_protocol(error), now)
            return
        for frame in frames:
            if frame.magic == Magic.SERVER_REQUEST:
                self._owner.pushed(self, frame, now)
            elif self._deriving:
                self._fail(ProtocolError("the server spoke out of turn during the login"), now)
            elif self._dialogue is not None:
                self._advance(frame, now)
            elif self.state is State.READY:
                self._dispatch(chain((frame,), frames), now)
        if self._decoder.error is not None:
            self._fail(self._wrong_protocol(self._decoder.error), now)

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
            self._fail(self._wrong_protocol(error), now)
            return
        except CouchbaseError as error:
            self._fail(error, now)
            return
        if isinstance(step, KeyDerivation):
            self._deriving = True
            self._owner.derive_key(self, step)
        else:
            self._write(step)

    def _become_ready(self, negotiated: Negotiated, now: float) -> None:
        self._dialogue = None
        self.features = negotiated.features
        self.error_map = negotiated.error_map
        self._prefix = _DEFAULT_COLLECTION if Feature.COLLECTIONS in self.features else b""
        self._snappy = Feature.SNAPPY in self.features and self.hello.wire.deflates
        self.state = State.READY
        self._owner.handshake_done(self, negotiated, now)

    # Failure

    @staticmethod
    def _wrong_protocol(error: ProtocolError) -> WrongProtocolError:
        message = error.message
        if "TLS" in message:
            cure = "use couchbases:// for this port"
        elif "HTTP" in message:
            cure = "give the data port (11210, or 11207 with TLS), not a web port"
        else:
            cure = "is this the data port of a Couchbase node?"
        return WrongProtocolError(
            f"{message}; {cure}", context=error.context, objextra=error.objextra
        )

    def _fail(self, error: CouchbaseError, now: float, cause: BaseException | None = None) -> None:
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
            error.__cause__ = cause
        self._owner.failed(self, error, now)
