"""An embedded Couchbase cluster for tests of applications, in memory or on sockets of a reactor.

In memory, on a clock that stands still: fast, and the same each time. `advance(0)` lets everything
happen that takes no time. With trial::

    class GreetingTests(SynchronousTestCase):
        def test_greeting(self):
            memory = MemoryCluster()
            bucket = Bucket(
                memory.connection_string + "/default",
                username="user",
                password="password",
                reactor=memory.reactor,
                endpoint_factory=memory.endpoint_factory,
            )
            bucket.upsert("greeting", "hello")
            got = bucket.get("greeting")
            memory.reactor.advance(0)
            self.assertEqual(self.successResultOf(got).value, "hello")

The reactor that runs may be used as well: then nothing needs to be advanced. With pytest-twisted::

    async def test_greeting():
        from twisted.internet import reactor

        memory = MemoryCluster(reactor=reactor)
        cluster = Cluster(
            memory.connection_string, reactor=reactor, endpoint_factory=memory.endpoint_factory
        )
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        async with cluster.open_bucket("default") as bucket:
            await bucket.upsert("greeting", "hello")
            assert (await bucket.get("greeting")).value == "hello"

On sockets, for tests of a program as a whole::

    async def test_greeting():
        from twisted.internet import reactor

        served = serve(reactor=reactor)
        cluster = Cluster(served.connection_string, reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        async with cluster.open_bucket("default") as bucket:
            await bucket.upsert("greeting", "hello")
        await served.stop()

Either has the `EmbeddedCluster` as its attribute `cluster`: stop its nodes, inject faults, count
connections.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from functools import partial
from os import fspath
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import (
    CannotListenError,
    ConnectionDone,
    NoProtocol,
)
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.embedded import EmbeddedCluster, Node
from couchloop.embedded.hosting import (
    FirstPort,
    Hosting,
    MemoryHosting,
    Outside,
    Peer,
    ServerCertificate,
    is_tls,
    ports_of,
)
from couchloop.exceptions import FeatureNotAvailableError
from couchloop.settings.values import Address

__all__ = ["MemoryCluster", "ReactorClock", "ServedCluster", "ServerCertificate", "serve"]


class ReactorClock:
    """The reactor's time, as an embedded cluster wants it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def now(self) -> float:
        """Return monotonic seconds."""
        return float(self._reactor.seconds())

    def wall(self) -> float:
        """Return seconds since the epoch: a reactor's clock is that one too."""
        return float(self._reactor.seconds())


class _ReactorPeer(Peer):
    """A node's end of a connection, whose timer and wake-up are calls of a reactor."""

    def __init__(
        self, reactor: Any, node: Node, service: str, peer: str, client_user: str | None = None
    ) -> None:
        self._reactor = reactor
        self._timer: IDelayedCall | None = None
        self._woken: IDelayedCall | None = None
        super().__init__(node, service, peer, client_user)

    def wakeup(self) -> None:
        if self._woken is None:
            self._woken = self._reactor.callLater(0, self._flush_woken)

    def _flush_woken(self) -> None:
        self._woken = None
        self.flush()

    def arm(self, delay: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay is not None:
            self._timer = self._reactor.callLater(delay, self.timer_fired)

    def timer_fired(self) -> None:
        self._timer = None
        super().timer_fired()

    def gone(self) -> None:
        """Handle the loss of the transport: leave nothing in the reactor."""
        self.connection.wakeup = None
        self.connection.connection_lost()
        self.arm(None)
        if self._woken is not None:
            self._woken.cancel()
            self._woken = None


# On sockets ---------------------------------------------------------------------------------------


class _TwistedPeer(_ReactorPeer):
    def __init__(
        self,
        protocol: _ServerProtocol,
        node: Node,
        service: str,
        peer: str,
        client_user: str | None,
    ) -> None:
        self._protocol = protocol
        super().__init__(protocol.reactor, node, service, peer, client_user)

    def write(self, data: bytes) -> None:
        self._protocol.write(data)

    def finish(self) -> None:
        self.arm(None)
        self._protocol.finish()


@implementer(IHandshakeListener)
class _ServerProtocol(Protocol):
    def __init__(self, hosting: ServedCluster, node: Node, service: str) -> None:
        self.reactor = hosting.reactor
        self._hosting = hosting
        self._node = node
        self._service = service
        self._peer: _TwistedPeer | None = None
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._hosting.protocols.add(self)
        if not is_tls(self._service):
            self._accept(None)

    def handshakeCompleted(self) -> None:
        # Who the client is stands in its certificate, which was not there before.
        transport: Any = self.transport
        certificate = transport.getPeerCertificate()
        self._accept(None if certificate is None else _common_name(certificate))

    def _accept(self, client_user: str | None) -> None:
        transport: Any = self.transport
        address = transport.getPeer()
        peer = f"{address.host}:{address.port}"
        self._peer = _TwistedPeer(self, self._node, self._service, peer, client_user)
        self._peer.flush()

    def dataReceived(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        # The two would point to each other.
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.gone()
        self._hosting.protocols.discard(self)
        self.gone.callback(None)

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def finish(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()

    def stop(self) -> None:
        """Close, and under TLS do not wait until the client has agreed."""
        transport: Any = self.transport
        if is_tls(self._service):
            transport.abortConnection()
        else:
            transport.loseConnection()


def _common_name(certificate: Any) -> str | None:
    # By the number that X.520 gives it, so that those who use plain TCP need no TLS library.
    subject = certificate.to_cryptography().subject
    names = [each.value for each in subject if each.oid.dotted_string == "2.5.4.3"]
    return str(names[0]) if names else None


class _ServerFactory(Factory):
    noisy = False

    def __init__(self, hosting: ServedCluster, node: Node, service: str) -> None:
        self._hosting = hosting
        self._node = node
        self.service = service

    def buildProtocol(self, addr: IAddress | None) -> _ServerProtocol:  # noqa: ARG002
        return _ServerProtocol(self._hosting, self._node, self.service)


@implementer(IOpenSSLServerConnectionCreator)
class _ContextFactory:
    """Begins TLS on connections that a reactor accepts.

    twisted.internet.ssl has nothing that takes a chain from a file and lets clients choose.
    """

    def __init__(self, tls: ServerCertificate) -> None:
        # pyOpenSSL is needed only for this.
        from OpenSSL import SSL  # noqa: PLC0415

        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        path = tls.certificate
        try:
            context.use_certificate_chain_file(path)
            path = tls.key
            context.use_privatekey_file(path)
            if tls.client_ca is not None:
                path = tls.client_ca
                context.load_verify_locations(path)
                # Clients may log in by password as well.
                context.set_verify(SSL.VERIFY_PEER)
                context.set_session_id(b"couchloop.embedded")
        except SSL.Error:
            raise OSError(f"{fspath(path)} is missing, or does not hold what it should") from None
        self._begin = partial(SSL.Connection, context, None)

    def serverConnectionForTLS(self, tlsProtocol: object) -> Any:  # noqa: ARG002
        return self._begin()


class _TwistedListener:
    """A port of a reactor; where that is still being closed, as on a restart, it waits for that."""

    def __init__(self, hosting: ServedCluster, factory: _ServerFactory, port: int) -> None:
        self._hosting = hosting
        self._factory = factory
        self._listening: Any = None
        self._closed = False
        self.port = port
        stopping = hosting.stopping.get(port)
        if stopping is None:
            self._listen()
        else:
            stopping.addCallback(lambda _: self._listen())

    def _listen(self) -> None:
        if self._closed:
            return
        hosting = self._hosting
        try:
            if is_tls(self._factory.service):
                self._listening = hosting.reactor.listenSSL(
                    self.port, self._factory, hosting.context_factory, interface=hosting.host
                )
            else:
                self._listening = hosting.reactor.listenTCP(
                    self.port, self._factory, interface=hosting.host
                )
        except CannotListenError as error:
            raise OSError(str(error)) from error
        self.port = self._listening.getHost().port

    def close(self) -> None:
        self._closed = True
        if self._listening is not None:
            stopping = self._hosting.stopping
            stopping[self.port] = stopped = maybeDeferred(self._listening.stopListening)
            stopped.addCallback(partial(self._stopped, stopping))

    def _stopped(self, stopping: dict[int, Deferred[Any]], _: object) -> None:
        del stopping[self.port]


class _Reserved:
    """A port that is bound, by a socket that does not listen."""

    def __init__(self, host: str) -> None:
        self._bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            # So a reactor binds its own; two that listen there cannot be.
            self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bound.bind((host, 0))
        except BaseException:
            self._bound.close()
            raise
        self.port: int = self._bound.getsockname()[1]

    def close(self) -> None:
        self._bound.close()


class ServedCluster(Hosting):
    """An embedded cluster that listens on a reactor; `serve` makes it.

    Attributes:
        cluster: the `EmbeddedCluster`: ask it for connections, stop its nodes, inject faults.
        connection_string: what clients are to be given.

    """

    def __init__(
        self,
        cluster: EmbeddedCluster,
        reactor: Any,
        host: str,
        first_port: FirstPort,
        tls: ServerCertificate | None,
        alternates: Mapping[str, Outside] | None,
        services: Iterable[str] | None,
    ) -> None:
        self.reactor = reactor
        self.context_factory = None if tls is None else _ContextFactory(tls)
        self.protocols: set[_ServerProtocol] = set()
        self.stopping: dict[int, Deferred[Any]] = {}
        super().__init__(cluster, host, first_port, ports_of(services, tls), alternates)

    def reserve(self) -> _Reserved:
        """See `Hosting`."""
        return _Reserved(self.host)

    def listen(self, node: Node, service: str, port: int) -> _TwistedListener:
        """See `Hosting`."""
        return _TwistedListener(self, _ServerFactory(self, node, service), port)

    def stop(self) -> Deferred[None]:
        """Stop listening and close every connection; fires when that is done."""
        gone = [protocol.gone for protocol in self.protocols]
        self.shut_down()
        for protocol in list(self.protocols):
            protocol.stop()
        waiting: Deferred[Any] = DeferredList([*self.stopping.values(), *gone])
        return waiting.addCallback(lambda _: None)


def serve(
    cluster: EmbeddedCluster | None = None,
    *,
    reactor: Any = None,
    host: str = "127.0.0.1",
    first_port: FirstPort = 0,
    tls: ServerCertificate | None = None,
    alternates: Mapping[str, Outside] | None = None,
    services: Iterable[str] | None = None,
) -> ServedCluster:
    """Serve an embedded cluster on a reactor.

    Args:
        cluster: None: three nodes, one bucket `default`, one user `user` with password `password`.
        reactor: None: the global one.
        host: the address to listen on.
        first_port: the first node's data port, or {service: port} for `kv`, `mgmt`, `n1ql`, … and
            `kvSSL`, `mgmtSSL`, …; the other nodes' follow. 0, or not named: whatever is free.
        tls: listen for TLS too, with this certificate; `connection_string_tls` leads there.
        alternates: other networks that lead to the nodes, by name, as `external`: each a function
            that gives, for a port that a node listens on, the address there. They are listed in
            configurations; forwarding the connections is up to you.
        services: what nodes run, as configurations name it: `kv`, and of `mgmt`, `capi` (views),
            `n1ql`, `fts`, `cbas` and `eventingAdminPort` what is wanted. None: all.

    Raises ValueError for a service that there is not, OSError if a port is taken or a certificate
    is of no use.
    """
    if reactor is None:
        from twisted.internet import reactor  # noqa: PLC0415 - only where a user wants it
    if cluster is None:
        cluster = EmbeddedCluster(clock=ReactorClock(reactor))
    return ServedCluster(cluster, reactor, host, first_port, tls, alternates, services)


# In memory ----------------------------------------------------------------------------------------


class _MemoryPeer(_ReactorPeer):
    def __init__(self, transport: _MemoryTransport, reactor: Any, node: Node, peer: str) -> None:
        self._transport = transport
        super().__init__(reactor, node, "kv", peer)

    def write(self, data: bytes) -> None:
        self._transport.answer(data)

    def finish(self) -> None:
        self.arm(None)
        self._transport.answered()


@implementer(ITransport)
class _MemoryTransport:
    """The client's end of a connection to a node; bytes travel in turns of the reactor."""

    def __init__(self, reactor: Any, node: Node, number: int, protocol: IProtocol) -> None:
        self.connected = True
        self.disconnecting = False
        self._reactor = reactor
        self._protocol = protocol
        self._host = IPv4Address("TCP", "127.0.0.1", number)
        self._address = IPv4Address("TCP", node.host, node.ports["kv"])
        self._requests: list[bytes] = []
        self._answers: list[bytes] = []
        self._answered = False
        self._turn: IDelayedCall | None = None
        self._peer = _MemoryPeer(self, reactor, node, f"{self._host.host}:{number}")

    # The client's side

    def write(self, data: bytes) -> None:
        if self.connected and not self.disconnecting:
            self._requests.append(data)
            self._schedule()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._schedule()

    def abortConnection(self) -> None:
        self._requests.clear()
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        return self._address

    def getHost(self) -> IPv4Address:
        return self._host

    # The node's side

    def answer(self, data: bytes) -> None:
        self._answers.append(data)
        self._schedule()

    def answered(self) -> None:
        self._answered = True
        self._schedule()

    # Between them

    def _schedule(self) -> None:
        if self._turn is None and self.connected:
            self._turn = self._reactor.callLater(0, self._carry)

    def _carry(self) -> None:
        self._turn = None
        requests, self._requests = b"".join(self._requests), []
        if requests:
            self._peer.received(requests)
        answers, self._answers = b"".join(self._answers), []
        if answers and not self.disconnecting:
            self._protocol.dataReceived(answers)
        if not (self._requests or self._answers) and (self.disconnecting or self._answered):
            self._end()

    def _end(self) -> None:
        self.connected = False
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._peer.gone()
        self._protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]


@implementer(IStreamClientEndpoint)
class _MemoryEndpoint:
    def __init__(self, hosting: MemoryCluster, address: Address) -> None:
        self._hosting = hosting
        self._address = address

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        deferred: Deferred[IProtocol] = Deferred(lambda _: call.cancel())
        deferred.addCallback(lambda _: self._hosting.connect(self._address, protocolFactory))
        call = self._hosting.reactor.callLater(0, deferred.callback, None)
        return deferred


class MemoryCluster(MemoryHosting):
    """An embedded cluster that Buckets reach without sockets.

    Args:
        cluster: None: three nodes, one bucket `default`, one user `user` with password `password`.
            One of your own wants `clock=ReactorClock(reactor)`, where its time matters.
        reactor: anything with the time of a reactor. None: a new `Clock`.

    Attributes:
        cluster: the `EmbeddedCluster`: ask it for connections, stop its nodes, inject faults.
        connection_string: what clients are to be given, together with `endpoint_factory`.
        reactor: what clients must run on.

    """

    def __init__(self, cluster: EmbeddedCluster | None = None, *, reactor: Any = None) -> None:
        self.reactor = Clock() if reactor is None else reactor
        super().__init__(cluster, ReactorClock(self.reactor))

    def endpoint_factory(self, reactor: Any, address: Address, tls: bool) -> IStreamClientEndpoint:
        """Return the endpoint that leads to the node at *address*; hand this method to a Bucket.

        Raises FeatureNotAvailableError if TLS is asked for.
        """
        del reactor
        if tls:
            raise FeatureNotAvailableError(
                "there is no TLS in memory: use couchbase://, or serve() on sockets"
            )
        return _MemoryEndpoint(self, address)

    def connect(self, address: Address, factory: IProtocolFactory) -> IProtocol:
        """Connect a Protocol of *factory* at once; endpoints do this.

        Raises Twisted's ConnectionRefusedError if no node listens at *address*, NoProtocol if the
        factory makes none.
        """
        where = self.listening.get(address)
        if where is None:
            raise RefusedError
        node, _ = where
        protocol = factory.buildProtocol(IPv4Address("TCP", *address))
        if protocol is None:
            raise NoProtocol
        number = self.cluster.accepted + 1
        protocol.makeConnection(_MemoryTransport(self.reactor, node, number, protocol))
        return protocol
