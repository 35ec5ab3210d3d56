"""What is wrong at the other end of a Bucket that exists before it is open, as on Twisted alone.

What waits for its opening fails, or waits and tells why; what is told of each cause on either loop
is in tests/conformance. The fixture `logged_errors` looks for sockets and timers that are left.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IHostnameResolver, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    CouchbaseError,
    HandshakeClosedError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotDataNodeError,
    TlsError,
    UnambiguousTimeoutError,
    WrongProtocolError,
)
from couchloop.wire import Opcode, Status
from tests.extras import HAS_OLD_TWISTED, needs_tls_on_twisted
from tests.hostile import OPTIONS, unanswering
from tests.txcouchbase.support import Memory, outcome, turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ReactorClock, ServedCluster, serve
from txcouchbase.workers import MOST, workers

Opener = Callable[..., Bucket]


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


def opened(reactor: Any, connection_string: str, **changes: Any) -> Bucket:
    """Open the bucket `default` unless the string names another."""
    keywords: dict[str, Any] = {"username": "user", "password": "password", "reactor": reactor}
    return Bucket(connection_string, **{**keywords, **changes})


async def failure(deferred: Deferred[Any]) -> CouchbaseError:
    """Return the error that a Deferred fails with, as it is."""
    with pytest.raises(CouchbaseError) as raised:
        await deferred
    return raised.value


def kinds_of_causes(error: BaseException) -> list[type[BaseException]]:
    """Return the classes of the errors behind *error*; on a busy machine the loop is one."""
    cause = error.__cause__
    return [] if cause is None else [type(cause), *kinds_of_causes(cause)]


async def opening_fails(
    bucket: Bucket, kind: type[CouchbaseError], *texts: str, passes: bool = False
) -> None:
    """Check that waiters, waiting operations and later ones fail with *kind*, telling *texts*.

    *passes*: the cause may pass by itself, so that operations wait, and then tell it.
    """
    error = await failure(bucket.connect())
    assert type(error) is kind
    for text in (*texts, "default"):
        assert text in str(error)
    limit = 0.1 if passes else 60
    for deferred in (bucket.get("k", timeout=limit), bucket.get_multi(["k", "l"], timeout=limit)):
        error = await failure(deferred)
        if passes:
            assert type(error) is UnambiguousTimeoutError
            assert kind in kinds_of_causes(error)
        else:
            assert type(error) is kind
        for text in (texts[0], "default"):
            assert text in str(error)
    assert passes or bucket._driver.session.next_deadline() is None
    await bucket.close()
    assert not bucket._driver.transports


async def test_wrong_password(served: ServedCluster, reactor: Any) -> None:
    """A wrong password is an AuthError that names node and user, never the password."""
    bucket = opened(reactor, served.connection_string + "/default", password="not it")
    error = await failure(bucket.connect())
    assert "not it" not in repr(error) + repr(error.__cause__)
    assert served.cluster.accepted == 1, "no other node would say otherwise"
    await opening_fails(bucket, AuthError, "127.0.0.1:", "'user'")


async def test_unknown_bucket(served: ServedCluster, reactor: Any) -> None:
    """A bucket that is not there, or not for this user, is a BucketNotFoundError with its name."""
    bucket = opened(reactor, served.connection_string + "/no-default")
    await opening_fails(bucket, BucketNotFoundError, "no-default", "127.0.0.1:")


async def test_unreachable_node(served: ServedCluster, reactor: Any) -> None:
    """A port where nothing listens is a NodeUnreachableError that names it."""
    bucket = opened(reactor, served.connection_string + "/default")
    await served.stop()
    ports = [str(node.ports["kv"]) for node in served.cluster.nodes]
    await opening_fails(bucket, NodeUnreachableError, "refused", *ports, passes=True)


async def test_not_a_data_node(served: ServedCluster, reactor: Any) -> None:
    """A node that has no configuration to give is a NotDataNodeError that names it."""
    served.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=Status.UNKNOWN_COMMAND)
    port = served.cluster.nodes[0].ports["kv"]
    bucket = opened(reactor, f"couchbase://127.0.0.1:{port}/default")
    await opening_fails(bucket, NotDataNodeError, f"127.0.0.1:{port}")


async def test_node_that_hangs(served: ServedCluster, reactor: Any) -> None:
    """A node that accepts and is silent costs config_node_timeout, or what is left in total."""
    for node in served.cluster.nodes:
        served.cluster.hang(node)
    string = served.connection_string + "/default?"
    bucket = opened(reactor, string + "config_node_timeout=0.02&config_total_timeout=5")
    await opening_fails(bucket, NodeTimeoutError, "0.02 s", "config_node_timeout", passes=True)
    bucket = opened(reactor, string + "config_node_timeout=5&config_total_timeout=0.03")
    await opening_fails(
        bucket, BootstrapTimeoutError, "0.03 s", "config_total_timeout", passes=True
    )


class Answering(Protocol):
    """Says something as soon as it hears something; counts those that are connected."""

    answer = b""
    open = 0

    def connectionMade(self) -> None:
        Answering.open += 1

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        Answering.open -= 1

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(self.answer)


class WebServer(Answering):
    """What a web server says to bytes that are no HTTP."""

    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Garbage(Answering):
    """Speaks some protocol of its own."""

    answer = b"220 mail.example.com ESMTP ready when you are\r\n"


class Alert(Answering):
    """What other TLS servers say to bytes that are no TLS: a fatal alert."""

    answer = b"\x15\x03\x01\x00\x02\x02\x46"


class Closing(Answering):
    """Closes at once."""

    def connectionMade(self) -> None:
        super().connectionMade()
        transport: Any = self.transport
        transport.loseConnection()


async def listening_fails(
    reactor: Any,
    listening: Any,
    kind: type[CouchbaseError],
    *texts: str,
    scheme: str = "couchbase",
    passes: bool = False,
) -> None:
    """Check that opening a bucket at this port fails with *kind*; stop listening."""
    port = listening.getHost().port
    try:
        bucket = opened(reactor, f"{scheme}://127.0.0.1:{port}/default")
        await opening_fails(bucket, kind, f"127.0.0.1:{port}", *texts, passes=passes)
    finally:
        await maybeDeferred(listening.stopListening)
        await turn(reactor, lambda: not Answering.open)


@pytest.mark.parametrize(
    ("protocol", "kind", "texts"),
    [
        (WebServer, WrongProtocolError, ("HTTP", "data port")),
        (Garbage, WrongProtocolError, ("data port",)),
        (Alert, WrongProtocolError, ("TLS", "couchbases://")),
        (Closing, HandshakeClosedError, ("closed the connection",)),
    ],
)
async def test_other_servers(
    reactor: Any, protocol: type[Protocol], kind: type[CouchbaseError], texts: tuple[str, ...]
) -> None:
    """A port that speaks something else, or closes, is told from one that is down."""
    factory = Factory.forProtocol(protocol)
    factory.noisy = False
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    # Who closes may be starting.
    passes = kind is HandshakeClosedError
    await listening_fails(reactor, listening, kind, *texts, passes=passes)


async def test_unanswered_connect(reactor: Any) -> None:
    """A node that neither accepts nor refuses is given up after config_node_timeout."""
    with unanswering() as port:
        bucket = opened(reactor, f"couchbase://127.0.0.1:{port}/default{OPTIONS}")
        await opening_fails(
            bucket, NodeTimeoutError, f"127.0.0.1:{port}", "did not accept", passes=True
        )


@implementer(IHostnameResolver)
class HungResolver:
    """Never finds anything, and never says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        receiver: Any = resolutionReceiver
        receiver.resolutionBegan(None)


async def test_hung_lookup(reactor: Any) -> None:
    """A name whose lookup never ends is given up after config_node_timeout."""
    resolver = HungResolver()
    before = reactor.installNameResolver(resolver)
    try:
        bucket = opened(reactor, f"couchbase://slow.test:11211/default{OPTIONS}")
        await opening_fails(bucket, NodeTimeoutError, "slow.test:11211", passes=True)
    finally:
        reactor.installNameResolver(before)
    assert set(resolver.asked) == {"slow.test"}


async def test_no_thread_is_free(reactor: Any) -> None:
    """Where look-ups that hang hold all threads of ours, opening fails in time.

    A key that is to be derived waits for a thread.
    """
    let_go = threading.Event()
    threads: Any = workers
    held = [deferToThreadPool(reactor, threads, let_go.wait) for _ in range(MOST)]
    # A user whose key nobody has derived yet.
    cluster = EmbeddedCluster(1, seed="no thread is free", clock=ReactorClock(reactor))
    served = serve(cluster, reactor=reactor)
    try:
        bucket = opened(reactor, f"{served.connection_string}/default{OPTIONS}")
        for _ in range(2):
            error = await failure(bucket.connect())
            assert type(error) is NodeTimeoutError
            assert "config_node_timeout" in str(error)
        await bucket.close()
    finally:
        let_go.set()
        for each in held:
            await each
    async with opened(reactor, f"{served.connection_string}/default") as bucket:
        assert (await bucket.upsert("k", 1)).success
    await served.stop()


class TestOneByteASecond:
    """In virtual time: every limit is met to the millisecond."""

    @pytest.fixture
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Return what makes all answers trickle from then on."""

        def trickle(peer: Any, data: bytes) -> None:
            reactor, answer = peer._reactor, peer._transport.answer
            for number in range(len(data)):
                reactor.callLater(1.0 + number, answer, data[number : number + 1])

        return lambda: monkeypatch.setattr("txcouchbase.testing._MemoryPeer.write", trickle)

    def test_opening(self, slow: Callable[[], None]) -> None:
        """Each node has config_node_timeout for its handshake, all have config_total_timeout."""
        memory = Memory()
        slow()
        bucket = memory.open(options="?config_node_timeout=3&config_total_timeout=5")
        results = outcome(bucket.connect())
        memory.reactor.advance(0)
        memory.reactor.advance(2.999)
        assert len(memory.cluster.connections(memory.cluster.nodes[0])) == 1
        memory.reactor.advance(0.001)
        memory.reactor.advance(0)
        assert not memory.cluster.connections(memory.cluster.nodes[0])
        memory.reactor.advance(1.999)
        assert not results
        memory.reactor.advance(0.001)
        (error,) = results
        assert type(error) is BootstrapTimeoutError
        assert "config_total_timeout" in str(error)

    def test_operations(self, slow: Callable[[], None]) -> None:
        """An operation whose answer trickles ends at its deadline, not before and not after."""
        memory = Memory()
        bucket = memory.open()
        memory.result(bucket.connect())
        slow()
        results = outcome(bucket.get("k", timeout=4.0))
        memory.reactor.advance(0)
        memory.reactor.advance(3.999)
        assert not results
        memory.reactor.advance(0.001)
        (error,) = results
        assert type(error) is UnambiguousTimeoutError
        assert "did not answer in time" in str(error)


def tls_options() -> Any:
    """Return a server's certificate, of an authority that nobody trusts."""
    pytest.importorskip("OpenSSL")
    trustme = pytest.importorskip("trustme")
    from twisted.internet.ssl import KeyPair, PrivateCertificate  # noqa: PLC0415 - they want OpenSSL

    issued = trustme.CA().issue_cert("127.0.0.1")
    pem = issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes()
    certificate: Any = PrivateCertificate.loadPEM(pem)  # type: ignore[no-untyped-call]
    assert isinstance(certificate.privateKey, KeyPair)
    return certificate.options()


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
async def test_tls_port(reactor: Any) -> None:
    """A port that speaks TLS closes, with an alert if it is an old one; the cure is named."""
    factory = Factory.forProtocol(Answering)
    factory.noisy = False
    listening = reactor.listenSSL(0, factory, tls_options(), interface="127.0.0.1")
    # Where it is told why, there is no doubt, so that nobody tries again.
    wanted = WrongProtocolError if HAS_OLD_TWISTED else HandshakeClosedError
    texts = ("TLS", "couchbases://")
    await listening_fails(reactor, listening, wanted, *texts, passes=not HAS_OLD_TWISTED)


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
async def test_untrusted_certificate(reactor: Any) -> None:
    """A certificate that nobody trusts is a TlsError that says so."""
    factory = Factory.forProtocol(Answering)
    factory.noisy = False
    listening = reactor.listenSSL(0, factory, tls_options(), interface="127.0.0.1")
    await listening_fails(reactor, listening, TlsError, "certificate", scheme="couchbases")


@needs_tls_on_twisted
async def test_tls_to_a_cleartext_port(reactor: Any) -> None:
    """TLS spoken to a port without it is an error of the connection that names the node."""
    factory = Factory.forProtocol(Garbage)
    factory.noisy = False
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    await listening_fails(reactor, listening, TlsError, "does not speak TLS", scheme="couchbases")
