"""How a Twisted Bucket dials: families of addresses, all addresses of a name, socket options."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IResolutionReceiver
from zope.interface import implementer

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CouchbaseError,
    InvalidConnectionStringError,
    NodeUnreachableError,
    UnknownHostError,
)
from tests.certificates import Certificates
from tests.sockets import (
    NO_IPV6,
    addresses,
    expected_options,
    has_ipv6,
    options_of_clients,
)
from tests.txcouchbase.support import Memory, turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ReactorClock, ServedCluster, serve

PASSWORD = "password"

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)


@implementer(IHostnameResolver)
class Resolver:
    """A name resolver that knows the names of these tests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append((hostName, addressTypes))
        kinds: dict[int, Any] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}
        families = [
            family for family, kind in kinds.items() if addressTypes is None or kind in addressTypes
        ]
        receiver: Any = resolutionReceiver
        receiver.resolutionBegan(None)
        for family, address in addresses(hostName, families):
            receiver.addressResolved(kinds[family](transportSemantics, address, portNumber))
        receiver.resolutionComplete()


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """Let the reactor's names be those of these tests."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    installed: Any = reactor
    resolver = Resolver()
    before = installed.installNameResolver(resolver)
    yield resolver
    installed.installNameResolver(before)


@asynccontextmanager
async def serving(host: str = "127.0.0.1", **keywords: Any) -> AsyncIterator[ServedCluster]:
    """Serve three nodes on *host*, and by that name, until the test is over."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    cluster = EmbeddedCluster(clock=ReactorClock(reactor), host=host)
    served = serve(cluster, host=host, **keywords)
    try:
        yield served
    finally:
        await turn(reactor, lambda: not served.cluster.connections())
        await served.stop()


def first_port(served: ServedCluster) -> int:
    """Give the port of the seed."""
    return served.cluster.nodes[0].ports["kv"]


def open_bucket(address: str, options: str = "") -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{address}/default{options}", username="user", password=PASSWORD)


async def refusal(address: str, options: str = "") -> CouchbaseError:
    """Give why the bucket at *address* cannot be opened."""
    with pytest.raises(CouchbaseError) as caught:
        await open_bucket(address, options).connect()
    return caught.value


@needs_ipv6
@pytest.mark.parametrize("option", ["ipv6=only", "ipv6=allow", "ip_protocol=force_ipv6"])
async def test_ipv6(resolver: Resolver, option: str) -> None:
    """With ipv6=only names mean IPv6 addresses, with ipv6=allow either kind, and literals work."""
    async with serving("::1") as served:
        for address in (served.connection_string, f"couchbase://both.test:{first_port(served)}"):
            async with open_bucket(address, f"?{option}") as bucket:
                assert (await bucket.upsert("key", 1)).success
                peers = [connection.peer for connection in served.cluster.connections()]
                assert all(peer.startswith("::1:") for peer in peers)
    kinds = None if "allow" in option else [IPv6Address]
    assert ("both.test", kinds) in resolver.asked


@needs_ipv6
async def test_ipv4_alone(resolver: Resolver) -> None:
    """By default only the IPv4 addresses of a name are used: what listens on IPv6 is not met."""
    async with serving("::1") as served:
        why = await refusal(f"couchbase://both.test:{first_port(served)}")
        assert isinstance(why, NodeUnreachableError)
        assert resolver.asked == [("both.test", [IPv4Address])]
        assert served.cluster.nodes[0].accepted == 0


@pytest.mark.parametrize(
    ("address", "option"),
    [("[::1]", ""), ("[::1]", "?ipv6=disabled"), ("127.0.0.1", "?ipv6=only")],
)
async def test_literals_of_the_wrong_family(address: str, option: str) -> None:
    """A numeric address of a family that is not used is refused, by the name of the option."""
    async with serving() as served:
        why = await refusal(f"couchbase://{address}:{first_port(served)}", option)
        assert isinstance(why, NodeUnreachableError)
        assert option.removeprefix("?") in str(why)
        assert "ipv6=" in str(why)
        assert served.cluster.nodes[0].accepted == 0


async def test_name_of_other_letters(resolver: Resolver) -> None:
    """A name that is not ASCII is encoded by IDNA once, for the resolver and for web ports."""
    async with serving() as served:
        node = served.cluster.nodes[0]
        for place in (f"{node.ports['kv']}", f"{node.ports['mgmt']}=http"):
            async with open_bucket(f"couchbase://Bücher.test:{place}") as bucket:
                assert (await bucket.upsert("key", 1)).success
    names = [name for name, _ in resolver.asked if name != "127.0.0.1"]
    assert names == ["xn--bcher-kva.test"] * 2


async def test_strange_agent() -> None:
    """A web port is asked whatever the client calls itself."""
    async with serving() as served:
        address = f"couchbase://127.0.0.1:{served.cluster.nodes[0].ports['mgmt']}=http"
        async with open_bucket(address, "?client_string=%20h%C3%A9%E2%80%A8%20") as bucket:
            assert (await bucket.upsert("key", 1)).success
        with pytest.raises(InvalidConnectionStringError, match="control character"):
            open_bucket(address, "?client_string=a%0Ab")


async def test_names_without_an_address_of_the_family(resolver: Resolver) -> None:
    """A name that has addresses of the other family only is reported together with the option."""
    why = await refusal("couchbase://old.test:11211", "?ipv6=only")
    assert isinstance(why, UnknownHostError)
    assert "old.test" in str(why)
    assert "ipv6=only" in str(why)
    assert resolver.asked == [("old.test", [IPv6Address])]


def test_own_endpoints() -> None:
    """What an endpoint_factory connects to is its own affair: the option does not count."""
    memory = Memory()
    bucket = memory.open(options="?ipv6=only")
    memory.result(bucket.connect())
    assert memory.result(bucket.upsert("key", 1)).success
    bucket._close()
    memory.reactor.advance(0)


@pytest.mark.usefixtures("resolver")
async def test_all_addresses_of_a_name() -> None:
    """Where the first addresses of a name refuse, the next are tried."""
    async with (
        serving() as served,
        open_bucket(
            f"couchbase://many.test:{first_port(served)}", "?config_node_timeout=4"
        ) as bucket,
    ):
        assert (await bucket.upsert("key", 1)).success


@pytest.mark.parametrize("tls", [False, True])
async def test_socket_options(tmp_path: Path, *, tls: bool) -> None:
    """What the options say of TCP is set on every connection's socket, with TLS and without."""
    certificates = Certificates(tmp_path)
    async with serving(tls=certificates.server()) as served:
        address = served.connection_string_tls if tls else served.connection_string
        trust = f"&certpath={certificates.ca}" if tls else ""
        ports = [node.ports["kvSSL" if tls else "kv"] for node in served.cluster.nodes]
        for options, expected in expected_options().items():
            async with open_bucket(address, f"?{options}{trust}") as bucket:
                await bucket.upsert_multi({f"key-{number}": number for number in range(20)})
                assert options_of_clients(ports) == [expected] * 3, options
