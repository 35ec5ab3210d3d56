"""How a gevent Bucket dials: families of addresses, all addresses of a name, socket options."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CouchbaseError,
    InvalidConnectionStringError,
    NodeUnreachableError,
    UnknownHostError,
)
from gcouchbase.bucket import Bucket
from gcouchbase.testing import MemoryCluster, ServedCluster, SystemClock, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import PASSWORD
from tests.sockets import (
    NO_IPV6,
    ODD_NAMES,
    addresses,
    expected_options,
    has_ipv6,
    options_of_clients,
)

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)


class Resolver:
    """A gevent resolver that knows the names of these tests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def getaddrinfo(self, host: str, port: int, family: int, *_: Any) -> list[Any]:
        self.asked.append((host, family))
        families = [family] if family else [socket.AF_INET, socket.AF_INET6]
        found = addresses(host, families)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(kind, socket.SOCK_STREAM, 6, "", (address, port)) for kind, address in found]


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """Let this hub's names be those of these tests."""
    hub: Any = gevent.get_hub()
    resolver, before = Resolver(), hub.resolver
    hub.resolver = resolver
    yield resolver
    hub.resolver = before


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(tmp_path: Path, resolver: Resolver, name: str, *, tls: bool) -> None:
    """What is ASCII is dialled as it is: as a seed, in configurations, with TLS."""
    certificates = Certificates(tmp_path)
    cluster = EmbeddedCluster(clock=SystemClock(), host=name)
    trust = f"?certpath={certificates.ca}" if tls else ""
    scheme, service = ("couchbases", "kvSSL") if tls else ("couchbase", "kv")
    with (
        serve(cluster, tls=certificates.server_of(name) if tls else None),
        open_bucket(f"{scheme}://{name}:{cluster.nodes[0].ports[service]}", trust) as bucket,
    ):
        assert bucket.upsert_multi({f"k{n}": n for n in range(30)}).all_ok
        assert bucket.server_nodes == [f"{name}:{each.ports[service]}" for each in cluster.nodes]
    assert {host for host, _ in resolver.asked} == {name}


@pytest.fixture
def served6() -> Iterator[ServedCluster]:
    """Three nodes that listen on the loopback address of IPv6, and are called by it."""
    with serve(EmbeddedCluster(clock=SystemClock(), host="::1"), host="::1") as served:
        yield served


def first_port(served: ServedCluster) -> int:
    """Give the port of the seed."""
    return served.cluster.nodes[0].ports["kv"]


def open_bucket(address: str, options: str = "") -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{address}/default{options}", username="user", password=PASSWORD)


def refusal(address: str, options: str = "") -> CouchbaseError:
    """Give why the bucket at *address* cannot be opened."""
    with pytest.raises(CouchbaseError) as caught:
        open_bucket(address, options)
    return caught.value


@needs_ipv6
@pytest.mark.parametrize("option", ["ipv6=only", "ipv6=allow", "ip_protocol=force_ipv6"])
def test_ipv6(served6: ServedCluster, resolver: Resolver, option: str) -> None:
    """With ipv6=only names mean IPv6 addresses, with ipv6=allow either kind, and literals work."""
    port = first_port(served6)
    for address in (served6.connection_string, f"couchbase://both.test:{port}"):
        with open_bucket(address, f"?{option}") as bucket:
            assert bucket.upsert("key", 1).success
            peers = [connection.peer for connection in served6.cluster.connections()]
            assert all(peer.startswith("::1:") for peer in peers)
    family = socket.AF_UNSPEC if "allow" in option else socket.AF_INET6
    assert resolver.asked == [("both.test", family)]


@needs_ipv6
def test_ipv4_alone(served6: ServedCluster, resolver: Resolver) -> None:
    """By default only the IPv4 addresses of a name are used: what listens on IPv6 is not met."""
    why = refusal(f"couchbase://both.test:{first_port(served6)}")
    assert isinstance(why, NodeUnreachableError)
    assert resolver.asked == [("both.test", socket.AF_INET)]
    assert served6.cluster.nodes[0].accepted == 0


@pytest.mark.parametrize(
    ("address", "option"),
    [("[::1]", ""), ("[::1]", "?ipv6=disabled"), ("127.0.0.1", "?ipv6=only")],
)
def test_literals_of_the_wrong_family(served: ServedCluster, address: str, option: str) -> None:
    """A numeric address of a family that is not used is refused, by the name of the option."""
    why = refusal(f"couchbase://{address}:{first_port(served)}", option)
    assert isinstance(why, NodeUnreachableError)
    assert option.removeprefix("?") in str(why)
    assert "ipv6=" in str(why)
    assert served.cluster.nodes[0].accepted == 0


def test_names_without_an_address_of_the_family(resolver: Resolver) -> None:
    """A name that has addresses of the other family only is reported together with the option."""
    why = refusal("couchbase://old.test:11211", "?ipv6=only")
    assert isinstance(why, UnknownHostError)
    assert "old.test" in str(why)
    assert "ipv6=only" in str(why)
    assert resolver.asked == [("old.test", socket.AF_INET6)]


def test_name_of_other_letters(served: ServedCluster, resolver: Resolver) -> None:
    """A name that is not ASCII is encoded by IDNA once, for the resolver and for web ports."""
    node = served.cluster.nodes[0]
    for place in (f"{node.ports['kv']}", f"{node.ports['mgmt']}=http"):
        with open_bucket(f"couchbase://Bücher.test:{place}") as bucket:
            assert bucket.upsert("key", 1).success
    assert resolver.asked == [("xn--bcher-kva.test", socket.AF_INET)] * 2


def test_strange_agent(served: ServedCluster) -> None:
    """A web port is asked whatever the client calls itself."""
    address = f"couchbase://127.0.0.1:{served.cluster.nodes[0].ports['mgmt']}=http"
    with open_bucket(address, "?client_string=%20h%C3%A9%E2%80%A8%20") as bucket:
        assert bucket.upsert("key", 1).success
    with pytest.raises(InvalidConnectionStringError, match="control character"):
        open_bucket(address, "?client_string=a%0Ab")


def test_own_sockets() -> None:
    """What a socket_factory connects to is its own affair: the option does not count."""
    with MemoryCluster() as memory:
        address = f"{memory.connection_string}/default?ipv6=only"
        with Bucket(
            address, username="user", password=PASSWORD, socket_factory=memory.socket_factory
        ) as bucket:
            assert bucket.upsert("key", 1).success


@pytest.mark.usefixtures("resolver")
def test_all_addresses_of_a_name(served: ServedCluster) -> None:
    """Where the first addresses of a name refuse, the next are tried."""
    with open_bucket(
        f"couchbase://many.test:{first_port(served)}", "?config_node_timeout=4"
    ) as bucket:
        assert bucket.upsert("key", 1).success


@pytest.mark.parametrize("tls", [False, True])
def test_socket_options(tmp_path: Path, *, tls: bool) -> None:
    """What the options say of TCP is set on every connection's socket, with TLS and without."""
    certificates = Certificates(tmp_path)
    with serve(tls=certificates.server()) as served:
        address = served.connection_string_tls if tls else served.connection_string
        trust = f"&certpath={certificates.ca}" if tls else ""
        ports = [node.ports["kvSSL" if tls else "kv"] for node in served.cluster.nodes]
        for options, expected in expected_options().items():
            with open_bucket(address, f"?{options}{trust}") as bucket:
                bucket.upsert_multi({f"key-{number}": number for number in range(20)})
                assert options_of_clients(ports) == [expected] * 3, options
