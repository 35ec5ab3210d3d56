"""Opening through DNS SRV records, with a DNS server of our own on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.exceptions import CouchbaseError, SrvLookupError
from tests.certificates import Certificates
from tests.conformance.loops import LIMIT, Loop, login, opened_at
from tests.nameserver import Process as NameServer

NAME = "_couchbase._tcp.db.test"
NAME_TLS = "_couchbases._tcp.db.test"


@pytest.fixture(scope="module")
def process() -> Iterator[NameServer]:
    """Start the DNS server once for all tests."""
    names = NameServer()
    yield names
    names.stop()


@pytest.fixture
def names(process: NameServer) -> NameServer:
    """Return the DNS server without any record."""
    for name in (NAME, NAME_TLS):
        process.tell(name)
    process.asked()
    return process


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving() as served:
        yield served


def targets(served: Any, host: str = "127.0.0.1", service: str = "kv") -> list[str]:
    """Return what an SRV record of the cluster says."""
    return [f"{host}:{node.ports[service]}" for node in served.cluster.nodes]


def refusal(loop: Loop, names: NameServer, text: str) -> CouchbaseError:
    """Return why the bucket at *text* cannot be opened by asking the DNS server."""
    with pytest.raises(CouchbaseError) as raised:
        loop.bucket(text, resolver=loop.resolver(names.port), **login())
    return raised.value


@pytest.mark.parametrize("scheme", ["couchbase", "couchbase+dnssrv"])
def test_record(loop: Loop, names: NameServer, served: Any, scheme: str) -> None:
    """The record's nodes are tried in its order; the host itself need not even exist."""
    names.tell(NAME, "127.0.0.1:1", *targets(served))
    text = f"{scheme}://db.test/default"
    with opened_at(loop, text, resolver=loop.resolver(names.port)) as bucket:
        loop.wait(bucket.upsert("k", 1))
        assert loop.wait(bucket.get("k")).value == 1
    assert names.asked() == [NAME]


def test_record_of_a_cluster(loop: Loop, names: NameServer, served: Any) -> None:
    """A Cluster hands its resolver on to its Buckets."""
    names.tell(NAME, *targets(served))
    cluster = loop.Cluster("couchbase://db.test", resolver=loop.resolver(names.port))
    cluster.authenticate(username="user", password="password")
    bucket = cluster.open_bucket("default")
    assert loop.wait(bucket.upsert("k", 1)).success
    loop.wait(bucket.close())
    assert names.asked() == [NAME]


def test_dead_server(loop: Loop, names: NameServer, served: Any) -> None:
    """Where the first name server is dead, the second is asked in time."""
    names.tell(NAME, *targets(served))
    text = "couchbase+dnssrv://db.test/default?config_total_timeout=20"
    resolver = loop.resolver(names.port, "127.0.0.2", "127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", names.port))
        with opened_at(loop, text, resolver=resolver) as bucket:
            loop.wait(bucket.upsert("k", 1))


def closed_port() -> int:
    """Return a port where nothing listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("trouble", ["unknown", "broken", "silent", "stopped"])
def test_no_record(loop: Loop, names: NameServer, served: Any, trouble: str) -> None:
    """Where DNS tells nothing, for whatever reason, the host is an ordinary one.

    Others go on meanwhile.
    """
    names.tell(NAME, *[trouble] * (trouble in {"broken", "silent"}))
    resolver = loop.resolver(closed_port() if trouble == "stopped" else names.port)
    port = served.cluster.nodes[0].ports["kv"]
    text = f"couchbase://db.test:{port}/default?dnssrv=1&resolve_timeout=200ms"
    with loop.all_hosts_here() as here, loop.ticking() as ticker:
        before = ticker.ticks
        with opened_at(loop, text, resolver=resolver, **here) as bucket:
            loop.wait(bucket.upsert("k", 1))
        assert ticker.ticks > before


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("unknown", {"there is no DNS SRV record"}),
        ("broken", {"DNSServerError", "SERVFAIL"}),
        ("silent", {"within 0.2 s"}),
    ],
)
def test_required(loop: Loop, names: NameServer, trouble: str, why: set[str]) -> None:
    """Under couchbase+dnssrv:// that is fatal; the error names the record, and says why."""
    names.tell(NAME, *[trouble] * (trouble in {"broken", "silent"}))
    error = refusal(loop, names, "couchbase+dnssrv://db.test/default?resolve_timeout=200ms")
    assert isinstance(error, SrvLookupError)
    assert NAME in str(error)
    assert any(text in str(error) for text in why)


def test_no_such_service(loop: Loop, names: NameServer) -> None:
    """A record whose target is the root says that there is no such service."""
    names.tell(NAME, ".:0")
    error = refusal(loop, names, "couchbase+dnssrv://db.test/default")
    assert isinstance(error, SrvLookupError)
    assert "there is no DNS SRV record" in str(error)


def test_impossible_name(loop: Loop, names: NameServer) -> None:
    """A host that no DNS message can hold fails like one without a record."""
    text = f"couchbase+dnssrv://{'x' * 70}.test/default"
    assert isinstance(refusal(loop, names, text), SrvLookupError)


def test_tls(loop: Loop, names: NameServer, tmp_path: Path) -> None:
    """With TLS it is another record, and certificates must name the host that the record names."""
    certificates = Certificates(tmp_path)
    with loop.serving(tls=certificates.server("localhost", "127.0.0.1")) as served:
        names.tell(NAME_TLS, *targets(served, "localhost", "kvSSL"))
        text = f"couchbases://db.test/default?certpath={certificates.ca}"
        with opened_at(loop, text, resolver=loop.resolver(names.port)) as bucket:
            loop.wait(bucket.upsert("k", 1))
        names.tell(NAME_TLS, *targets(served, "127.0.0.2", "kvSSL"))
        assert "127.0.0.2" in str(refusal(loop, names, text))
    assert set(names.asked()) == {NAME_TLS}


def test_all_nodes_lost(loop: Loop, names: NameServer) -> None:
    """When all nodes are gone the record is looked up again, and leads to where they are now."""
    with loop.serving() as old, loop.serving(loop.embedded(seed=1)) as new:
        names.tell(NAME, *targets(old))
        resolver = loop.resolver(names.port)
        with opened_at(loop, "couchbase://db.test/default", resolver=resolver) as bucket:
            loop.wait(bucket.upsert("k", "old"))
            names.asked()
            loop.wait(old.stop())
            loop.until(names.asked)
            names.tell(NAME, *targets(new))
            loop.until(new.cluster.connections, "the new nodes were not found")
            loop.wait(bucket.upsert("k", "new", timeout=LIMIT))
            assert loop.wait(bucket.get("k")).value == "new"
