"""A Twisted Bucket whose nodes are behind port mapping: every byte goes through a TCP forwarder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from twisted.internet.defer import DeferredList
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import (
    CouchbaseError,
    NetworkNotFoundError,
    NodeUnreachableError,
    TlsError,
    UnambiguousTimeoutError,
)
from tests.certificates import Certificates
from tests.forwarding import NOWHERE, Forwarder
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ReactorClock, ServedCluster, serve

PASSWORD = "password"
DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(50)}


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Give what is logged."""
    seen: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        seen.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


@asynccontextmanager
async def mapped(
    network: str = "external", host: str = "127.0.0.1", tls: ServerCertificate | None = None
) -> AsyncIterator[tuple[ServedCluster, Forwarder]]:
    """Serve nodes whose own addresses lead nowhere, and forward ports to them."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    cluster = EmbeddedCluster(clock=ReactorClock(reactor), host=NOWHERE)
    with Forwarder(host) as forwarder:
        served = serve(cluster, tls=tls, alternates={network: forwarder})
        try:
            yield served, forwarder
        finally:
            await turn(reactor, lambda: not cluster.connections())
            await served.stop()


def outside(served: ServedCluster, network: str = "external", service: str = "kv") -> str:
    """Give the address of the first node outside."""
    way = served.cluster.nodes[0].alternates[network]
    assert way.ports is not None
    return f"{way.host}:{way.ports[service]}"


def open_bucket(address: str, options: str = "", scheme: str = "couchbase") -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{scheme}://{address}/default{options}", username="user", password=PASSWORD)


@pytest.mark.parametrize("network", ["external", "tunnel"])
async def test_dialled_address(network: str, lines: list[str]) -> None:
    """The dialled address chooses the network, on which every node is reached; one line says so."""
    async with (
        mapped(network) as (served, forwarder),
        open_bucket(outside(served, network)) as bucket,
    ):
        assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
        assert forwarder.accepted == 3
        ports = [node.alternates[network].ports for node in served.cluster.nodes]
        assert bucket.server_nodes == [f"127.0.0.1:{each['kv']}" for each in ports if each]
        (line,) = [text for text in lines if "network" in text]
        assert f"network {network} ({outside(served, network)} is listed there)" in line


async def test_named_network(lines: list[str]) -> None:
    """A network that is named is used, whichever address was dialled."""
    async with mapped("tunnel") as (served, forwarder):
        seed = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']}"
        async with open_bucket(seed, "?network=tunnel") as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
            # The seed's connection serves its node; the two others are dialled.
            assert forwarder.accepted == 2
            assert any("network tunnel (network=tunnel was given)" in line for line in lines)


async def test_network_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """LCB_OPTIONS chooses the network as the connection string does, and wins over it."""
    monkeypatch.setenv("LCB_OPTIONS", "network=tunnel")
    async with mapped("tunnel") as (served, forwarder):
        seed = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']}"
        async with open_bucket(seed, "?network=default") as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
            assert forwarder.accepted == 2


async def test_unreachable_network() -> None:
    """On a network whose addresses lead nowhere operations fail with the one to try instead."""
    async with (
        mapped() as (served, _),
        open_bucket(outside(served), "?network=default&operation_timeout=1.5") as bucket,
    ):
        reads = [bucket.get(key, quiet=True) for key in DOCUMENTS]
        failures = [why for good, why in await DeferredList(reads, consumeErrors=True) if not good]
        errors = [failure.value for failure in failures if NOWHERE in str(failure.value)]
        assert errors
        for error in errors:
            assert isinstance(error, UnambiguousTimeoutError)
            assert isinstance(error.__cause__, NodeUnreachableError)
            assert "try network=external" in str(error.__cause__)


async def test_unknown_network() -> None:
    """A network that no node is on ends the opening, with the names that there are."""
    async with mapped("tunnel") as (served, _):
        with pytest.raises(NetworkNotFoundError, match="try network=default or network=tunnel"):
            await open_bucket(outside(served, "tunnel"), "?network=external").connect()


async def test_later_configurations() -> None:
    """A node that joins later is reached on the same network, through the forwarder."""
    async with (
        mapped() as (served, forwarder),
        open_bucket(outside(served)) as bucket,
    ):
        await bucket.upsert_multi(DOCUMENTS)
        node = served.cluster.add_node()
        served.cluster.rebalance()
        await turn(served.reactor, lambda: len(bucket.server_nodes) == 4)
        assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
        assert served.cluster.connections(node)
        assert forwarder.accepted == 4


@pytest.mark.parametrize(
    ("names", "failure"), [(("localhost",), None), ((NOWHERE, "127.0.0.1"), TlsError)]
)
async def test_tls(
    tmp_path: Path, names: tuple[str, ...], failure: type[CouchbaseError] | None
) -> None:
    """The certificate must name the alternate host that is dialled, not the node's own address."""
    certificates = Certificates(tmp_path)
    options = f"?certpath={certificates.ca}"
    async with mapped(host="localhost", tls=certificates.server(*names)) as (served, forwarder):
        address = outside(served, service="kvSSL")
        bucket = open_bucket(address, options, "couchbases")
        if failure is None:
            async with bucket:
                assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
                assert all(connection.tls for connection in served.cluster.connections())
                assert forwarder.accepted == 3
        else:
            with pytest.raises(failure, match="localhost"):
                await bucket.connect()
