"""How a host is dialled: names as they are, and every address in turn."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import UnknownHostError
from couchloop.settings.values import Address
from tests.certificates import Certificates
from tests.sockets import ODD_NAMES
from tests.txcouchbase.support import Memory, outcome, turn
from txcouchbase.bucket import Bucket
from txcouchbase.dialling import HostEndpoint
from txcouchbase.testing import ReactorClock, serve


def open_bucket(address: str, options: str = "") -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{address}/default{options}", username="user", password="password")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let the system know the odd names; give what it was asked for."""
    names: list[object] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any) -> Any:
        names.append(host)
        is_odd = isinstance(host, bytes) and host.decode() in ODD_NAMES
        return real("127.0.0.1" if is_odd else host, *arguments)

    monkeypatch.setattr("txcouchbase.dialling.socket.getaddrinfo", getaddrinfo)
    return names


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names(tmp_path: Path, asked: list[object], name: str, *, tls: bool) -> None:
    """What is ASCII is dialled as it is: as a seed, in configurations, with TLS, at web ports."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    certificates = Certificates(tmp_path)
    cluster = EmbeddedCluster(clock=ReactorClock(reactor), host=name)
    served = serve(cluster, tls=certificates.server_of(name) if tls else None)
    node = cluster.nodes[0]
    trust = f"?certpath={certificates.ca}" if tls else ""
    scheme, data, web = "couchbase", "kv", "mgmt"
    if tls:
        scheme, data, web = "couchbases", "kvSSL", "mgmtSSL"
    kind = "https" if tls else "http"
    for place in (f"{node.ports[data]}", f"{node.ports[web]}={kind}"):
        async with open_bucket(f"{scheme}://{name}:{place}", trust) as bucket:
            assert (await bucket.upsert_multi({f"k{n}": n for n in range(30)})).all_ok
            assert bucket.server_nodes == [f"{name}:{each.ports[data]}" for each in cluster.nodes]
    assert set(asked) == {name.encode()}
    await turn(reactor, lambda: not cluster.connections())
    await served.stop()


async def test_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the system does not know is told with the system's reason."""

    def getaddrinfo(*_: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr("txcouchbase.dialling.socket.getaddrinfo", getaddrinfo)
    bucket = open_bucket("couchbase://no.such_name.invalid:11210")
    with pytest.raises(UnknownHostError, match=r"host no\.such_name\.invalid is unknown: no such"):
        await bucket.connect()
    await bucket.close()


def memory_reactor(resolver: object) -> Any:
    """Return a reactor whose clock stands still, and that asks *resolver*."""
    make: Any = MemoryReactorClock
    reactor = make()
    reactor.nameResolver = resolver
    return reactor


class Dialled:
    """A host with some addresses, dialled on a clock that stands still."""

    def __init__(self, *addresses: str) -> None:
        self.reactor = memory_reactor(self)
        self.addresses = addresses
        self.asked: list[object] = []
        endpoint = HostEndpoint(self.reactor, Address("my_host", 11210), None, 1.0, [])
        self.won: Deferred[Any] = endpoint.connect(Factory.forProtocol(Protocol))
        self.results = outcome(self.won)

    def resolveHostName(self, receiver: Any, name: str, port: int, *_: object) -> None:
        self.asked.append(name)
        receiver.resolutionBegan(None)
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()

    @property
    def tried(self) -> list[str]:
        return [host for host, *_ in self.reactor.tcpClients]

    def refuse(self, number: int) -> None:
        factory = self.reactor.tcpClients[number][2]
        factory.clientConnectionFailed(None, Failure(Refused()))  # type: ignore[no-untyped-call]
        self.reactor.advance(0)

    def accept(self, number: int) -> Any:
        protocol = self.reactor.tcpClients[number][2].buildProtocol(None)
        make: Any = StringTransport
        protocol.makeConnection(make())
        return protocol


def test_a_refusal_costs_no_time() -> None:
    """Where an address refuses, the next is tried at once, however long a head start is."""
    host = Dialled(*(f"10.0.0.{number}" for number in range(10)))
    for number in range(9):
        assert len(host.tried) == number + 1
        host.refuse(number)
    host.accept(9)
    assert len(host.results) == 1
    assert host.reactor.seconds() == 0
    assert not host.reactor.getDelayedCalls()


def test_head_starts() -> None:
    """One that says nothing keeps its place, but the next is tried; the first to accept wins."""
    host = Dialled("10.0.0.1", "::2", "10.0.0.3", "10.0.0.4")
    host.reactor.advance(0.9)
    assert host.tried == ["10.0.0.1"]
    host.reactor.advance(0.1)
    assert host.tried == ["10.0.0.1", "::2"]
    host.refuse(1)
    assert host.tried == ["10.0.0.1", "::2", "10.0.0.3"]
    host.accept(0)
    assert len(host.results) == 1
    stopped = [connector.stoppedConnecting for connector in host.reactor.connectors]
    assert stopped == [False, False, True]
    assert not host.reactor.getDelayedCalls()


def test_all_refuse() -> None:
    """It fails with what the last one gave."""
    host = Dialled("10.0.0.1", "10.0.0.2")
    host.reactor.advance(1)
    host.refuse(0)
    assert host.results == []
    host.refuse(1)
    assert isinstance(host.results[0], ConnectError)
    assert not host.reactor.getDelayedCalls()


def test_no_address() -> None:
    """A name without addresses is unknown."""
    host = Dialled()
    assert isinstance(host.results[0], DNSLookupError)


def test_given_up() -> None:
    """Cancelled, it tries no more, and leaves nothing in the reactor."""
    host = Dialled("10.0.0.1", "10.0.0.2", "10.0.0.3")
    host.reactor.advance(1)
    host.won.cancel()
    assert isinstance(host.results[0], CancelledError)
    assert [connector.stoppedConnecting for connector in host.reactor.connectors] == [True, True]
    assert not host.reactor.getDelayedCalls()
    host.reactor.advance(9)
    assert len(host.tried) == 2


def test_numbers_need_no_resolver() -> None:
    """An address is dialled as it is; nobody is asked for it."""
    for host in ("10.0.0.1", "::1", "fe80::1%eth0"):
        reactor = memory_reactor(None)
        endpoint = HostEndpoint(reactor, Address(host, 1), None, 1.0, [])
        endpoint.connect(Factory.forProtocol(Protocol))
        assert [client[0] for client in reactor.tcpClients] == [host]


def test_own_endpoints() -> None:
    """What an endpoint_factory connects to is its own affair: the option does not count."""
    memory = Memory()
    bucket = memory.open(options="?ipv6=only")
    memory.result(bucket.connect())
    assert memory.result(bucket.upsert("key", 1)).success
    bucket._close()
    memory.reactor.advance(0)
