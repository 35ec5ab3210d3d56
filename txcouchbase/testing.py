"""An embedded Couchbase cluster on a reactor: for tests of applications, and for ours.

served = serve(reactor=reactor)
cluster = Cluster(served.connection_string, reactor=reactor)
…
yield served.stop()
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from couchloop.embedded import EmbeddedCluster, Node
from couchloop.embedded.hosting import Hosting, Peer

__all__ = ["ReactorClock", "ServedCluster", "serve"]


class ReactorClock:
    """The reactor's time, as an embedded cluster wants it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def now(self) -> float:
        """Give monotonic seconds."""
        return float(self._reactor.seconds())

    def wall(self) -> float:
        """Give seconds since the epoch: a reactor's clock is that one too."""
        return float(self._reactor.seconds())


class _TwistedPeer(Peer):
    def __init__(self, protocol: _ServerProtocol, node: Node, peer: str) -> None:
        self._protocol = protocol
        self._reactor = protocol.reactor
        self._timer: IDelayedCall | None = None
        super().__init__(node, peer, tls=False)

    def wakeup(self) -> None:
        self._reactor.callLater(0, self._woken)

    def _woken(self) -> None:
        if self._protocol.connected:
            self.flush()

    def write(self, data: bytes) -> None:
        self._protocol.write(data)

    def finish(self) -> None:
        self.arm(None)
        self._protocol.finish()

    def arm(self, delay: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if delay is not None:
            self._timer = self._reactor.callLater(delay, self.timer_fired)


class _ServerProtocol(Protocol):
    def __init__(self, hosting: ServedCluster, node: Node) -> None:
        self.reactor = hosting.reactor
        self._hosting = hosting
        self._node = node
        self._peer: _TwistedPeer | None = None
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        peer = transport.getPeer()
        self._hosting.protocols.add(self)
        self._peer = _TwistedPeer(self, self._node, f"{peer.host}:{peer.port}")
        self._peer.flush()

    def dataReceived(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        if self._peer is not None:
            self._peer.arm(None)
            self._peer.connection.connection_lost()
        self._hosting.protocols.discard(self)
        self.gone.callback(None)

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def finish(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


class _ServerFactory(Factory):
    noisy = False

    def __init__(self, hosting: ServedCluster, node: Node) -> None:
        self._hosting = hosting
        self._node = node

    def buildProtocol(self, addr: IAddress | None) -> _ServerProtocol:  # noqa: ARG002
        return _ServerProtocol(self._hosting, self._node)


class _TwistedListener:
    def __init__(self, hosting: ServedCluster, listening: Any) -> None:
        self._hosting = hosting
        self._listening = listening
        self.port: int = listening.getHost().port

    def close(self) -> None:
        self._hosting.stopping.append(maybeDeferred(self._listening.stopListening))


class ServedCluster(Hosting):
    """An embedded cluster that listens on a reactor.

    Attributes:
        cluster: the `EmbeddedCluster`: ask it for connections, stop its nodes, inject faults.
        connection_string: what clients are to be given.

    """

    def __init__(self, cluster: EmbeddedCluster, reactor: Any, host: str, first_port: int) -> None:
        self.reactor = reactor
        self.protocols: set[_ServerProtocol] = set()
        self.stopping: list[Deferred[Any]] = []
        super().__init__(cluster, host, first_port)

    def listen(self, node: Node, service: str, port: int) -> _TwistedListener:
        """See `Hosting`."""
        del service
        try:
            listening = self.reactor.listenTCP(
                port, _ServerFactory(self, node), interface=self.host
            )
        except CannotListenError as error:
            raise OSError(str(error)) from error
        return _TwistedListener(self, listening)

    def stop(self) -> Deferred[None]:
        """Stop listening and close every connection; fires when that is done."""
        gone = [protocol.gone for protocol in self.protocols]
        self.shut_down()
        for protocol in list(self.protocols):
            protocol.finish()
        waiting: Deferred[Any] = DeferredList([*self.stopping, *gone])
        return waiting.addCallback(lambda _: None)


def serve(
    cluster: EmbeddedCluster | None = None,
    *,
    reactor: Any = None,
    host: str = "127.0.0.1",
    first_port: int = 0,
) -> ServedCluster:
    """Serve an embedded cluster on a reactor.

    Args:
        cluster: None: three nodes, one bucket `default`, one user `user` with password `password`.
        reactor: None: the global one.
        host: the address to listen on.
        first_port: the first node's data port, the others follow; 0: whatever is free.
    """
    if reactor is None:
        from twisted.internet import reactor  # noqa: PLC0415 - only where a user wants it
    if cluster is None:
        cluster = EmbeddedCluster(clock=ReactorClock(reactor))
    return ServedCluster(cluster, reactor, host, first_port)
