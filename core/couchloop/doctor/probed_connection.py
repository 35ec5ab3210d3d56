"""The client's own connection, which notes how far its handshake has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from couchloop.exceptions import CouchbaseError
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.kv.connection import Connection
from couchloop.kv.handshake import Hello, Negotiated
from couchloop.kv.scram import KeyDerivation
from couchloop.settings.values import Address, Settings
from couchloop.wire import Opcode

_AFTER_LOGIN: Final = frozenset(
    {Opcode.GET_ERROR_MAP, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG}
)


@dataclass(slots=True)
class HandshakeProgress:
    """How far a handshake has come: what a connection tells its `Owner`."""

    done: set[str] = field(default_factory=set)
    """Parts of the dialogue that are over: hello, authentication, bucket, configuration, noop."""
    granted: frozenset[int] = frozenset()
    mechanism: str = ""
    negotiated: Negotiated | None = None
    derivation: KeyDerivation | None = None
    error: CouchbaseError | None = None

    @property
    def delivers(self) -> None:
        """Nobody waits for an operation."""

    def has_output(self, connection: Connection) -> None:
        """Do nothing: it is asked for before each wait."""

    def output_full(self, connection: Connection) -> None:
        """Do nothing: a dialogue is short."""

    def derive_key(self, _connection: Connection, derivation: KeyDerivation) -> None:
        """Keep the derivation until the probe has it run."""
        self.derivation = derivation

    def handshake_done(self, _connection: Connection, negotiated: Negotiated, _now: float) -> None:
        """Keep what was agreed on; the configuration came with it."""
        self.negotiated = negotiated
        self.done |= {"hello", "configuration"}

    def unnumbered(self, _op: Any, _connection: Any, _vbucket: int) -> bool:
        """Nothing is asked of a collection."""
        return False

    def completed(self, _op: Any) -> None:
        """Record that the NOOP was answered."""
        self.done.add("noop")

    def refused(self, _op: Any, _answer: Frame, _now: float) -> None:
        """Record that the NOOP was answered: a node that knows none has answered all the same."""
        self.done.add("noop")

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        """Do nothing: nothing was given up that could be answered late."""

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        """Do nothing: a newer configuration is of no use here."""

    def failed(self, connection: Connection, error: CouchbaseError, _now: float) -> None:
        """Keep the first error, and close the connection."""
        if self.error is None:
            self.error = error
        connection.close()


class ProbedConnection(Connection):
    """The client's own connection, which notes how far its handshake has come."""

    __slots__ = ("progress",)

    def __init__(self, address: Address, settings: Settings, hello: Hello) -> None:
        self.progress = HandshakeProgress()
        super().__init__(self.progress, 1, address, settings.bucket, hello, tls=settings.tls)

    def _advance(self, answer: Frame | bytes | None, now: float) -> None:
        progress = self.progress
        if isinstance(answer, Frame) and not answer.status:
            if answer.opcode == Opcode.HELLO:
                value = answer.value
                progress.granted = frozenset(
                    int.from_bytes(value[at : at + 2]) for at in range(0, len(value) - 1, 2)
                )
                progress.done.add("hello")
            elif answer.opcode == Opcode.SELECT_BUCKET:
                progress.done.add("bucket")
        super()._advance(answer, now)

    def write(self, data: bytes) -> None:
        """Note which part of the dialogue begins."""
        progress = self.progress
        for request in FrameDecoder(RequestFrame).receive(data) if data else ():
            if request.opcode == Opcode.SASL_AUTH:
                progress.mechanism = request.key.decode()
            elif request.opcode in _AFTER_LOGIN:
                progress.done.add("authentication")
        super().write(data)
