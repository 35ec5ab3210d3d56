"""The Protocol, on transports that only record."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import main
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    HandshakeClosedError,
    ObjectDestroyedError,
    TlsError,
    WrongProtocolError,
)
from couchloop.settings.values import Sockets
from couchloop.wire import Magic, Opcode
from tests.extras import needs_tls_on_twisted
from tests.txcouchbase.support import Memory, error_of, outcome
from txcouchbase.protocol import CouchbaseProtocol


class Endpoint:
    """Hands the factory out, and connects when the test does."""

    def __init__(self) -> None:
        self.connecting: Deferred[Any] = Deferred()
        self.factories: list[Any] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factories.append(factory)
        return self.connecting


class ProtocolTests(SynchronousTestCase):
    """One connection's bytes."""

    def setUp(self) -> None:
        self.memory = Memory(EmbeddedCluster(nodes=1))
        self.clock = self.memory.reactor
        self.open("?bootstrap_on=cccp")

    def open(self, options: str) -> None:
        endpoint = Endpoint()
        self.bucket = self.memory.open(options=options, endpoint_factory=lambda *_: endpoint)
        self.ready = self.bucket.connect()
        self.clock.advance(0)
        self.protocol: CouchbaseProtocol = endpoint.factories[0].buildProtocol(None)
        self.transport: Any = StringTransport()  # type: ignore[no-untyped-call]
        self.endpoint = endpoint

    def connect(self) -> None:
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        self.endpoint.connecting.callback(self.protocol)

    def lose(self, reason: Exception) -> None:
        failure = Failure(reason)  # type: ignore[no-untyped-call]
        self.protocol.connectionLost(failure)

    def test_first_write(self) -> None:
        """The handshake's first requests leave in one write, as soon as there is a connection."""
        writes: list[bytes] = []
        self.transport.write = writes.append
        self.connect()
        (data,) = writes
        assert data[:2] == bytes([Magic.REQUEST, Opcode.HELLO])

    def test_lost_once(self) -> None:
        """A connection that is lost ends the attempt, and leaves no timer of its own."""
        self.connect()
        self.lose(ConnectionLost())
        assert isinstance(error_of(self.ready), HandshakeClosedError)
        assert outcome(self.bucket.close()) == [None]
        assert not self.clock.getDelayedCalls()

    def test_wrong_protocol(self) -> None:
        """What is not the protocol closes the connection, and aborts it if the peer holds on."""
        self.connect()
        self.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2)
        assert self.transport.disconnecting
        assert isinstance(error_of(self.ready), WrongProtocolError)
        aborted: list[bool] = []
        self.transport.abortConnection = lambda: aborted.append(True)
        self.clock.advance(1.9)
        assert not aborted
        self.clock.advance(0.1)
        assert aborted == [True]
        self.protocol.dataReceived(b"more of it")
        self.lose(ConnectionDone())
        assert not self.clock.getDelayedCalls()

    def test_transport_that_closes_at_once(self) -> None:
        """A transport may call connectionLost within loseConnection."""
        self.connect()
        self.transport.loseConnection = lambda: self.lose(ConnectionDone())
        closed = self.bucket.close()
        assert outcome(closed) == [None]
        assert isinstance(error_of(self.ready), ObjectDestroyedError)
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()

    def test_transport_that_cannot_abort(self) -> None:
        """A transport without abortConnection is asked to close once more instead."""

        class Pipe(StringTransport):
            abortConnection = property()  # noqa: N815 - as if it were not there
            closed = 0

            def loseConnection(self) -> None:
                self.closed += 1

        self.transport = Pipe()  # type: ignore[no-untyped-call]
        self.connect()
        closed = self.bucket.close()
        self.clock.advance(2)
        assert self.transport.closed == 2
        self.lose(ConnectionDone())
        assert outcome(closed) == [None]
        assert isinstance(error_of(self.ready), ObjectDestroyedError)

    def test_plain_failure(self) -> None:
        """Whatever ends a connection without TLS, it is not TLS that failed."""
        self.connect()
        original = RuntimeError("something unexpected")
        self.lose(original)
        error = error_of(self.ready)
        assert isinstance(error, HandshakeClosedError)
        assert error.__cause__ is original
        assert "TLS failed" not in str(error)

    def test_tls_failure(self) -> None:
        """What only a TLS library can say becomes TlsError, with the original as its cause."""
        self.bucket._close()
        error_of(self.ready)
        self.open("?bootstrap_on=cccp&ssl=on")
        self.connect()
        original = RuntimeError("certificate verify failed")
        self.lose(original)
        error = error_of(self.ready)
        assert isinstance(error, TlsError)
        causes = [error.__cause__, error.__cause__ and error.__cause__.__cause__]
        assert original in causes
        assert "certificate verify failed" in str(error)

    def test_bytes_in_any_pieces(self) -> None:
        """A whole handshake and an operation, byte by byte in both directions."""
        stored = self.bucket.upsert("k", "v")
        self.connect()
        server = self.memory.cluster.nodes[0].accept("by hand")
        while not stored.called:
            self.clock.advance(0)
            sent = self.transport.value()
            self.transport.clear()
            for n in range(len(sent)):
                server.receive_data(sent[n : n + 1])
            received = server.data_to_send()
            assert sent or received, "nothing moves, and the operation is not done"
            for n in range(len(received)):
                self.protocol.dataReceived(received[n : n + 1])
        assert outcome(self.ready) == [None]
        assert outcome(stored)[0].success
        closed = self.bucket.close()
        assert self.transport.disconnecting
        self.lose(ConnectionDone())
        assert outcome(closed) == [None]

    def test_log_prefix(self) -> None:
        """Twisted's log lines name the connection."""
        assert self.protocol.logPrefix() == f"couchbase-{self.protocol.connection_id}"


class Watchers:
    """Stands for a reactor, and takes note of who wants to write."""

    def __init__(self) -> None:
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None: ...

    def removeReader(self, reader: Any) -> None: ...

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:
        if writer in self.writers:
            self.writers.remove(writer)


class DirectTests(SynchronousTestCase):
    """Bytes for a TCP socket of Twisted's, whose buffer they need not pass through."""

    def setUp(self) -> None:
        self.told: list[Any] = []
        driver: Any = SimpleNamespace(
            transports={1: None},
            connected=lambda *told: None,
            paused=self.told.append,
            resumed=self.told.append,
            progressed=lambda *told: None,
            session=SimpleNamespace(settings=SimpleNamespace(tls=False, sockets=Sockets())),
        )
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        for each in (self.ours, self.theirs):
            each.setblocking(False)
        self.reactor = Watchers()
        self.protocol = CouchbaseProtocol(driver, 1)
        self.transport: Any = Connection(self.ours, self.protocol, self.reactor)  # type: ignore[arg-type]
        self.transport.connected = True
        for name in ("getHost", "getPeer"):
            setattr(self.transport, name, lambda: None)
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def receive(self) -> bytes:
        got = b""
        while True:
            try:
                got += self.theirs.recv(1 << 20)
            except BlockingIOError:
                return got

    def test_at_once(self) -> None:
        """What the network takes is there when the call returns: the loop has nothing to do."""
        self.protocol.write(b"one")
        self.protocol.write(b"two")
        assert self.receive() == b"onetwo"
        assert self.reactor.writers == []

    def test_in_order(self) -> None:
        """What the network does not take is kept, and what comes then stays behind it."""
        written = b""
        for number in range(100):
            piece = bytes([number]) * 50_000
            self.protocol.write(piece)
            written += piece
        assert self.reactor.writers == [self.transport]
        got = self.receive()
        assert len(got) < len(written)
        self.protocol.write(b"last")
        while self.reactor.writers:
            self.transport.doWrite()
            got += self.receive()
        assert got == written + b"last"
        assert self.told == [1, 1]
        self.protocol.write(b"after")
        assert (self.receive(), self.reactor.writers) == (b"after", [])

    @needs_tls_on_twisted
    def test_tls_from_the_middle(self) -> None:
        """Nothing bypasses TLS that was begun on a connection which is there."""
        sent: list[bytes] = []
        self.transport.TLS = True
        self.transport.protocol = SimpleNamespace(write=sent.append)
        self.protocol.write(b"secret")
        assert (sent, self.receive()) == ([b"secret"], b"")

    def test_peer_is_gone(self) -> None:
        """The transport meets that by itself, as if it had kept the bytes."""
        self.theirs.close()
        self.protocol.write(b"one")
        self.protocol.write(b"two")
        assert self.reactor.writers == [self.transport]
        assert self.transport.doWrite() is main.CONNECTION_LOST

    def test_interrupted(self) -> None:
        """A connection of which nobody knows what it has sent is used no more."""

        def interrupted(data: bytes) -> int:
            raise KeyboardInterrupt

        aborted: list[bool] = []
        self.transport.writeSomeData = interrupted
        self.transport.abortConnection = lambda: aborted.append(True)
        with pytest.raises(KeyboardInterrupt):
            self.protocol.write(b"one")
        assert aborted == [True]
