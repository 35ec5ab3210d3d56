"""A gevent Bucket whose nodes are behind port mapping: every byte goes through a TCP forwarder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import (
    CouchbaseError,
    NetworkNotFoundError,
    NodeUnreachableError,
    TlsError,
    UnambiguousTimeoutError,
)
from couchloop.topology.configuration import Network
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.certificates import Certificates
from tests.forwarding import NOWHERE, Forwarder
from tests.gcouchbase.support import PASSWORD, key_of_node, until
from tests.interop.served import served as running

DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(50)}


@contextmanager
def mapped(
    network: str = "external", host: str = "127.0.0.1", tls: ServerCertificate | None = None
) -> Iterator[tuple[ServedCluster, Forwarder]]:
    """Serve nodes whose own addresses lead nowhere, and forward ports to them."""
    cluster = EmbeddedCluster(clock=SystemClock(), host=NOWHERE)
    with (
        Forwarder(host) as forwarder,
        serve(cluster, tls=tls, alternates={network: forwarder}) as served,
    ):
        yield served, forwarder


def outside(served: ServedCluster, network: str = "external", service: str = "kv") -> str:
    """Give the address of the first node outside."""
    way = served.cluster.nodes[0].alternates[network]
    assert way.ports is not None
    return f"{way.host}:{way.ports[service]}"


def open_bucket(address: str, options: str = "", scheme: str = "couchbase") -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{scheme}://{address}/default{options}", username="user", password=PASSWORD)


@pytest.mark.parametrize("network", ["external", "tunnel"])
def test_dialled_address(network: str, caplog: pytest.LogCaptureFixture) -> None:
    """The dialled address chooses the network, on which every node is reached; one line says so."""
    caplog.set_level(logging.INFO)
    with (
        mapped(network) as (served, forwarder),
        open_bucket(outside(served, network)) as bucket,
    ):
        assert bucket.upsert_multi(DOCUMENTS).all_ok
        assert forwarder.accepted == 3
        ports = [node.alternates[network].ports for node in served.cluster.nodes]
        assert bucket.server_nodes == [f"127.0.0.1:{each['kv']}" for each in ports if each]
        (line,) = [text for text in caplog.messages if "network" in text]
        assert f"network {network} ({outside(served, network)} is listed there)" in line


def test_named_network(caplog: pytest.LogCaptureFixture) -> None:
    """A network that is named is used, whichever address was dialled."""
    caplog.set_level(logging.INFO)
    with mapped("tunnel") as (served, forwarder):
        seed = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']}"
        with open_bucket(seed, "?network=tunnel") as bucket:
            assert bucket.upsert_multi(DOCUMENTS).all_ok
            # The seed's connection serves its node; the two others are dialled.
            assert forwarder.accepted == 2
            assert any("network tunnel (network=tunnel was given)" in m for m in caplog.messages)


def test_network_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """LCB_OPTIONS chooses the network as the connection string does, and wins over it."""
    monkeypatch.setenv("LCB_OPTIONS", "network=tunnel")
    with mapped("tunnel") as (served, forwarder):
        seed = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']}"
        with open_bucket(seed, "?network=default") as bucket:
            assert bucket.upsert_multi(DOCUMENTS).all_ok
            assert forwarder.accepted == 2


def test_unreachable_network() -> None:
    """On a network whose addresses lead nowhere operations fail with the one to try instead."""
    with (
        mapped() as (served, _),
        open_bucket(outside(served), "?network=default&operation_timeout=1.5") as bucket,
    ):
        key = key_of_node(served, bucket, 1)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            bucket.get(key)
        cause = caught.value.__cause__
        assert isinstance(cause, NodeUnreachableError)
        assert "try network=external" in str(cause)


def test_unknown_network() -> None:
    """A network that no node is on ends the opening, with the names that there are."""
    with (
        mapped("tunnel") as (served, _),
        pytest.raises(NetworkNotFoundError, match="try network=default or network=tunnel"),
    ):
        open_bucket(outside(served, "tunnel"), "?network=external")


def test_later_configurations() -> None:
    """A node that joins later is reached on the same network, through the forwarder."""
    with (
        mapped() as (served, forwarder),
        open_bucket(outside(served)) as bucket,
    ):
        bucket.upsert_multi(DOCUMENTS)
        node = served.cluster.add_node()
        served.cluster.rebalance()
        until(lambda: len(bucket.server_nodes) == 4)
        assert bucket.upsert_multi(DOCUMENTS).all_ok
        assert served.cluster.connections(node)
        assert forwarder.accepted == 4


@pytest.mark.parametrize(
    ("names", "failure"), [(("localhost",), None), ((NOWHERE, "127.0.0.1"), TlsError)]
)
def test_tls(tmp_path: Path, names: tuple[str, ...], failure: type[CouchbaseError] | None) -> None:
    """The certificate must name the alternate host that is dialled, not the node's own address."""
    certificates = Certificates(tmp_path)
    options = f"?certpath={certificates.ca}"
    with mapped(host="localhost", tls=certificates.server(*names)) as (served, forwarder):
        address = outside(served, service="kvSSL")
        if failure is None:
            with open_bucket(address, options, "couchbases") as bucket:
                assert bucket.upsert_multi(DOCUMENTS).all_ok
                assert all(connection.tls for connection in served.cluster.connections())
                assert forwarder.accepted == 3
        else:
            with pytest.raises(failure, match="localhost"):
                open_bucket(address, options, "couchbases")


@pytest.mark.parametrize("loop", ["twisted", "gevent"])
def test_program(loop: str) -> None:
    """The cluster as a program presents its nodes as its arguments say, on either loop."""
    arguments = ("--nodes=2", f"--advertise={NOWHERE}", "--alternate=tunnel=[::1]:30000")
    with running(*arguments, f"--loop={loop}") as line:
        seed = line["connection_string"].partition(",")[0].replace(NOWHERE, "127.0.0.1")
        with open_bucket(seed.removeprefix("couchbase://"), "?network=default") as bucket:
            config = bucket._driver.session.config
            assert config is not None
            assert [node.networks["default"].host for node in config.nodes] == [NOWHERE] * 2
            assert [node.networks["tunnel"] for node in config.nodes] == [
                Network("::1", {"kv": 30000, "mgmt": 30001}),
                Network("::1", {"kv": 30002, "mgmt": 30003}),
            ]
