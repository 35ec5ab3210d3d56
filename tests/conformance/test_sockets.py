"""How a Bucket dials: families of addresses, all addresses of a name, odd names, socket options."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.exceptions import (
    CouchbaseError,
    InvalidConnectionStringError,
    NodeUnreachableError,
    UnknownHostError,
)
from tests.certificates import Certificates
from tests.conformance.loops import Loop, opened_at, refusal_at
from tests.sockets import (
    NO_IPV6,
    ODD_NAMES,
    Asked,
    expected_options,
    has_ipv6,
    options_of_clients,
)

IPV4 = frozenset({socket.AF_INET})
IPV6 = frozenset({socket.AF_INET6})

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)


@pytest.fixture
def asked(loop: Loop) -> Iterator[Asked]:
    """Let the loop's names be those of `tests.sockets`."""
    with loop.names() as asked:
        yield asked


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve three nodes."""
    with loop.serving(loop.embedded()) as served:
        yield served


@pytest.fixture
def served6(loop: Loop) -> Iterator[Any]:
    """Three nodes that listen on the loopback address of IPv6, and are called by it."""
    with loop.serving(loop.embedded(host="::1"), host="::1") as served:
        yield served


def first_port(served: Any) -> int:
    """Return the port of the seed."""
    port: int = served.cluster.nodes[0].ports["kv"]
    return port


def refusal(loop: Loop, address: str, options: str = "") -> CouchbaseError:
    """Return why the bucket at *address* cannot be opened."""
    return refusal_at(loop, f"{address}/default{options}")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(loop: Loop, tmp_path: Path, asked: Asked, name: str, *, tls: bool) -> None:
    """What is ASCII is dialled as it is: as a seed, in configurations, with TLS, at web ports."""
    certificates = Certificates(tmp_path)
    cluster = loop.embedded(host=name)
    trust = f"?certpath={certificates.ca}" if tls else ""
    scheme, data, web = ("couchbases", "kvSSL", "mgmtSSL") if tls else ("couchbase", "kv", "mgmt")
    with loop.serving(cluster, tls=certificates.server_of(name) if tls else None):
        ports = cluster.nodes[0].ports
        for place in (f"{ports[data]}", f"{ports[web]}=http{'s' if tls else ''}"):
            with opened_at(loop, f"{scheme}://{name}:{place}/default{trust}") as bucket:
                assert loop.wait(bucket.upsert_multi({f"k{n}": n for n in range(30)})).all_ok
                nodes = [f"{name}:{each.ports[data]}" for each in cluster.nodes]
                assert bucket.server_nodes == nodes
    assert {host for host, _ in asked} == {name}


@needs_ipv6
@pytest.mark.parametrize("option", ["ipv6=only", "ipv6=allow", "ip_protocol=force_ipv6"])
def test_ipv6(loop: Loop, served6: Any, asked: Asked, option: str) -> None:
    """With ipv6=only names mean IPv6 addresses, with ipv6=allow either kind, and literals work."""
    port = first_port(served6)
    for address in (served6.connection_string, f"couchbase://both.test:{port}"):
        with opened_at(loop, f"{address}/default?{option}") as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
            peers = [connection.peer for connection in served6.cluster.connections()]
            assert peers
            assert all(peer.startswith("::1:") for peer in peers)
        loop.until(lambda: not served6.cluster.connections())
    assert asked == [("both.test", IPV4 | IPV6 if "allow" in option else IPV6)]


@needs_ipv6
def test_ipv4_alone(loop: Loop, served6: Any, asked: Asked) -> None:
    """By default only the IPv4 addresses of a name are used: what listens on IPv6 is not met."""
    why = refusal(loop, f"couchbase://both.test:{first_port(served6)}")
    assert isinstance(why, NodeUnreachableError)
    assert asked == [("both.test", IPV4)]
    assert served6.cluster.nodes[0].accepted == 0


@pytest.mark.parametrize(
    ("address", "option"),
    [("[::1]", ""), ("[::1]", "?ipv6=disabled"), ("127.0.0.1", "?ipv6=only")],
)
def test_literals_of_the_wrong_family(loop: Loop, served: Any, address: str, option: str) -> None:
    """A numeric address of a family that is not used is refused, by the name of the option."""
    why = refusal(loop, f"couchbase://{address}:{first_port(served)}", option)
    assert isinstance(why, NodeUnreachableError)
    assert option.removeprefix("?") in str(why)
    assert "ipv6=" in str(why)
    assert served.cluster.nodes[0].accepted == 0


def test_names_without_an_address_of_the_family(loop: Loop, asked: Asked) -> None:
    """A name that has addresses of the other family only is reported together with the option."""
    why = refusal(loop, "couchbase://old.test:11211", "?ipv6=only")
    assert isinstance(why, UnknownHostError)
    assert "old.test" in str(why)
    assert "ipv6=only" in str(why)
    assert asked == [("old.test", IPV6)]


def test_name_of_other_letters(loop: Loop, served: Any, asked: Asked) -> None:
    """A name that is not ASCII is encoded by IDNA once, for the resolver and for web ports."""
    node = served.cluster.nodes[0]
    for place in (f"{node.ports['kv']}", f"{node.ports['mgmt']}=http"):
        with opened_at(loop, f"couchbase://Bücher.test:{place}/default") as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
    assert asked == [("xn--bcher-kva.test", IPV4)] * 2


def test_strange_agent(loop: Loop, served: Any) -> None:
    """A web port is asked whatever the client calls itself."""
    address = f"couchbase://127.0.0.1:{served.cluster.nodes[0].ports['mgmt']}=http/default"
    with opened_at(loop, f"{address}?client_string=%20h%C3%A9%E2%80%A8%20") as bucket:
        assert loop.wait(bucket.upsert("key", 1)).success
    with pytest.raises(InvalidConnectionStringError, match="control character"):
        loop.bucket(f"{address}?client_string=a%0Ab")


@pytest.mark.usefixtures("asked")
def test_all_addresses_of_a_name(loop: Loop, served: Any) -> None:
    """Where the first addresses of a name refuse, the next are tried."""
    address = f"couchbase://many.test:{first_port(served)}/default?config_node_timeout=4"
    with opened_at(loop, address) as bucket:
        assert loop.wait(bucket.upsert("key", 1)).success


@pytest.mark.parametrize("tls", [False, True])
def test_socket_options(loop: Loop, tmp_path: Path, *, tls: bool) -> None:
    """What the options say of TCP is set on every connection's socket, with TLS and without."""
    certificates = Certificates(tmp_path)
    with loop.serving(loop.embedded(), tls=certificates.server()) as served:
        address = served.connection_string_tls if tls else served.connection_string
        trust = f"&certpath={certificates.ca}" if tls else ""
        ports = [node.ports["kvSSL" if tls else "kv"] for node in served.cluster.nodes]
        for options, expected in expected_options().items():
            with opened_at(loop, f"{address}/default?{options}{trust}") as bucket:
                loop.wait(bucket.upsert_multi({f"key-{n}": n for n in range(20)}))
                assert options_of_clients(ports) == [expected] * 3, options
