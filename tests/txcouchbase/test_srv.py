"""Opening through DNS SRV records, with a DNS server of our own on the loopback interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import DatagramProtocol
from twisted.names import client

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import CouchbaseError, ObjectDestroyedError, SrvLookupError
from couchloop.settings.values import Address
from tests.certificates import Certificates
from tests.nameserver import NameServer, Target
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.testing import ReactorClock, ServedCluster, serve

NAME = "_couchbase._tcp.db.test"
NAME_TLS = "_couchbases._tcp.db.test"


@pytest.fixture
def reactor() -> Any:
    """Give the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def names(reactor: Any) -> AsyncIterator[NameServer]:
    """Serve DNS."""
    names = NameServer(reactor)
    yield names
    await names.stop()


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


def targets(served: ServedCluster, host: str = "127.0.0.1", service: str = "kv") -> list[Target]:
    """Give what an SRV record of the cluster says."""
    return [(host, node.ports[service]) for node in served.cluster.nodes]


def opened(reactor: Any, names: NameServer, text: str, **more: Any) -> Bucket:
    """Open the bucket `default` by asking the DNS server."""
    make: Any = client.Resolver
    resolver = make(servers=[("127.0.0.1", names.port)], reactor=reactor)
    cluster = Cluster(text, reactor=reactor, resolver=resolver, **more)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster.open_bucket("default")


@pytest.mark.parametrize("scheme", ["couchbase", "couchbase+dnssrv"])
async def test_record(reactor: Any, names: NameServer, served: ServedCluster, scheme: str) -> None:
    """The record's nodes are tried in its order; the host itself need not even exist."""
    names.zone.records[NAME] = [("127.0.0.1", 1), *targets(served)]
    async with opened(reactor, names, f"{scheme}://db.test") as bucket:
        await bucket.upsert("k", 1)
        assert (await bucket.get("k")).value == 1
    assert names.zone.asked == [NAME]


@pytest.fixture
def _system(names: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let resolv.conf name the DNS server."""
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "# of this test\nsearch elsewhere.test\nnameserver localhost\n"
        "nameserver 127.0.0.1\nnameserver\n"
    )
    monkeypatch.setattr("txcouchbase.dns._SYSTEM", conf)
    monkeypatch.setattr("txcouchbase.dns._PORT", names.port)


@pytest.mark.usefixtures("_system")
async def test_system_servers(reactor: Any, names: NameServer, served: ServedCluster) -> None:
    """By default the servers of resolv.conf are asked, by TCP what does not fit a datagram."""
    many = [("127.0.0.1", port) for port in range(1, 60)]
    for extra in ([], many):
        names.zone.records[NAME] = [*targets(served), *extra]
        names.zone.asked.clear()
        bucket = Bucket(
            "couchbase+dnssrv://db.test/default",
            username="user",
            password="password",
            reactor=reactor,
        )
        async with bucket:
            await bucket.upsert("k", 1)
        assert names.zone.asked == [NAME] * (2 if extra else 1)


class Silent(DatagramProtocol):
    """A name server that is dead."""


async def test_dead_server(reactor: Any, names: NameServer, served: ServedCluster) -> None:
    """Where the first name server is dead, the second is asked in time."""
    names.zone.records[NAME] = targets(served)
    silent = reactor.listenUDP(names.port, Silent(), interface="127.0.0.2")
    make: Any = client.Resolver
    servers = [("127.0.0.2", names.port), ("127.0.0.1", names.port)]
    bucket = Bucket(
        "couchbase+dnssrv://db.test/default?config_total_timeout=20",
        username="user",
        password="password",
        reactor=reactor,
        resolver=make(servers=servers, reactor=reactor),
    )
    async with bucket:
        await bucket.upsert("k", 1)
    await silent.stopListening()


def dial_loopback(reactor: Any, address: Address, _: bool) -> HostnameEndpoint:
    """Give an endpoint for any name: all are this machine."""
    return HostnameEndpoint(reactor, "127.0.0.1", address.port)


@pytest.mark.parametrize("trouble", ["unknown", "broken", "silent", "stopped"])
async def test_no_record(
    reactor: Any, names: NameServer, served: ServedCluster, trouble: str
) -> None:
    """Where DNS tells nothing, for whatever reason, the host is an ordinary one."""
    prepare(names, trouble)
    if trouble == "stopped":
        await names.stop()
    port = served.cluster.nodes[0].ports["kv"]
    text = f"couchbase://db.test:{port}?dnssrv=1&resolve_timeout=200ms"
    async with opened(reactor, names, text, endpoint_factory=dial_loopback) as bucket:
        await bucket.upsert("k", 1)


def prepare(names: NameServer, trouble: str) -> None:
    """Let the DNS server be in trouble."""
    if trouble in {"broken", "silent"}:
        getattr(names.zone, trouble).add(NAME)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("unknown", "there is no DNS SRV record"),
        ("broken", "DNSServerError"),
        ("silent", "within 0.2 s"),
    ],
)
@pytest.mark.usefixtures("_system")
async def test_required(reactor: Any, names: NameServer, trouble: str, why: str) -> None:
    """Under couchbase+dnssrv:// that is fatal; the error names the record, and says why."""
    prepare(names, trouble)
    bucket = Bucket(
        "couchbase+dnssrv://db.test/default?resolve_timeout=200ms",
        username="user",
        password="password",
        reactor=reactor,
    )
    with pytest.raises(SrvLookupError, match=NAME) as raised:
        await bucket.connect()
    assert why in str(raised.value)
    # A name may be known later.
    assert "waiting" in repr(bucket)
    await bucket.close()
    # Twisted closes the socket in the next turn.
    await turn(reactor, lambda: True)


async def test_no_such_service(reactor: Any, names: NameServer) -> None:
    """A record whose target is the root says that there is no such service."""
    names.zone.records[NAME] = [(".", 0)]
    bucket = opened(reactor, names, "couchbase+dnssrv://db.test")
    with pytest.raises(SrvLookupError, match="there is no DNS SRV record"):
        await bucket.connect()
    await bucket.close()


async def test_impossible_name(reactor: Any, names: NameServer) -> None:
    """A host that no DNS message can hold fails like one without a record."""
    bucket = opened(reactor, names, f"couchbase+dnssrv://{'x' * 70}.test")
    with pytest.raises(SrvLookupError):
        await bucket.connect()
    await bucket.close()


async def test_tls(reactor: Any, names: NameServer, tmp_path: Path) -> None:
    """With TLS it is another record, and certificates must name the host that the record names."""
    certificates = Certificates(tmp_path)
    served = serve(reactor=reactor, tls=certificates.server("localhost", "127.0.0.1"))
    try:
        names.zone.records[NAME_TLS] = targets(served, "localhost", "kvSSL")
        text = f"couchbases://db.test?certpath={certificates.ca}"
        async with opened(reactor, names, text) as bucket:
            await bucket.upsert("k", 1)
        names.zone.records[NAME_TLS] = targets(served, "127.0.0.2", "kvSSL")
        with pytest.raises(CouchbaseError, match=r"127\.0\.0\.2"):
            await opened(reactor, names, text).connect()
    finally:
        await served.stop()
    assert set(names.zone.asked) == {NAME_TLS}


async def test_all_nodes_lost(reactor: Any, names: NameServer) -> None:
    """When all nodes are gone the record is looked up again, and leads to where they are now."""
    old = serve(reactor=reactor)
    new = serve(EmbeddedCluster(seed=1, clock=ReactorClock(reactor)), reactor=reactor)
    try:
        names.zone.records[NAME] = targets(old)
        async with opened(reactor, names, "couchbase://db.test") as bucket:
            await bucket.upsert("k", "old")
            await old.stop()
            await turn(reactor, lambda: len(names.zone.asked) > 1)
            names.zone.records[NAME] = targets(new)
            await turn(reactor, new.cluster.connections)
            await bucket.upsert("k", "new", timeout=20.0)
            assert (await bucket.get("k")).value == "new"
    finally:
        await old.stop()
        await new.stop()


@pytest.mark.usefixtures("_system")
async def test_closed_meanwhile(reactor: Any, names: NameServer) -> None:
    """A Bucket that is closed during the lookup leaves no timer and no socket (`logged_errors`)."""
    names.zone.silent.add(NAME)
    text = "couchbase+dnssrv://db.test/default"
    bucket = Bucket(text, username="user", password="password", reactor=reactor)
    waiting = bucket.connect()
    await turn(reactor, lambda: names.zone.asked)
    await bucket.close()
    with pytest.raises(ObjectDestroyedError):
        await waiting
