"""A Bucket whose nodes are behind port mapping: every byte goes through a TCP forwarder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import (
    CouchbaseError,
    NetworkNotFoundError,
    NodeUnreachableError,
    TlsError,
    UnambiguousTimeoutError,
)
from couchloop.topology.configuration import Network
from tests.certificates import Certificates
from tests.conformance.loops import Loop, key_of_node, opened_at, refusal_at
from tests.forwarding import NOWHERE, Forwarder
from tests.interop.served import served as running

DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(50)}


@contextmanager
def mapped(
    loop: Loop,
    network: str = "external",
    host: str = "127.0.0.1",
    tls: ServerCertificate | None = None,
) -> Iterator[tuple[Any, Forwarder]]:
    """Serve nodes whose own addresses lead nowhere, and forward ports to them."""
    cluster = loop.embedded(host=NOWHERE)
    with (
        Forwarder(host) as forwarder,
        loop.serving(cluster, tls=tls, alternates={network: forwarder}) as served,
    ):
        yield served, forwarder
        loop.until(lambda: not cluster.connections())


def outside(served: Any, network: str = "external", service: str = "kv") -> str:
    """Return the address of the first node outside."""
    way = served.cluster.nodes[0].alternates[network]
    return f"{way.host}:{way.ports[service]}"


def text(address: str, options: str = "", scheme: str = "couchbase") -> str:
    """Return the connection string of the bucket at *address*."""
    return f"{scheme}://{address}/default{options}"


@pytest.mark.parametrize("network", ["external", "tunnel"])
def test_dialled_address(loop: Loop, network: str) -> None:
    """The dialled address chooses the network, on which every node is reached; one line says so."""
    with (
        loop.log() as lines,
        mapped(loop, network) as (served, forwarder),
        opened_at(loop, text(outside(served, network))) as bucket,
    ):
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
        assert forwarder.accepted == 3
        ports = [node.alternates[network].ports for node in served.cluster.nodes]
        assert bucket.server_nodes == [f"127.0.0.1:{each['kv']}" for each in ports if each]
        (line,) = [line for line in lines if "network" in line]
        assert f"network {network} ({outside(served, network)} is listed there)" in line


def test_named_network(loop: Loop) -> None:
    """A network that is named is used, whichever address was dialled."""
    with loop.log() as lines, mapped(loop, "tunnel") as (served, forwarder):
        seed = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']}"
        with opened_at(loop, text(seed, "?network=tunnel")) as bucket:
            assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
            # The seed's connection serves its node; the two others are dialled.
            assert forwarder.accepted == 2
            assert any("network tunnel (network=tunnel was given)" in line for line in lines)


def test_network_by_the_environment(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """LCB_OPTIONS chooses the network as the connection string does, and wins over it."""
    monkeypatch.setenv("LCB_OPTIONS", "network=tunnel")
    with mapped(loop, "tunnel") as (served, forwarder):
        seed = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']}"
        with opened_at(loop, text(seed, "?network=default")) as bucket:
            assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
            assert forwarder.accepted == 2


def test_unreachable_network(loop: Loop) -> None:
    """On a network whose addresses lead nowhere operations fail with the one to try instead."""
    options = "?network=default&operation_timeout=1.5"
    with (
        mapped(loop) as (served, _),
        opened_at(loop, text(outside(served), options)) as bucket,
    ):
        with pytest.raises(UnambiguousTimeoutError) as caught:
            loop.wait(bucket.get(key_of_node(served, bucket, 1)))
        cause = caught.value.__cause__
        assert isinstance(cause, NodeUnreachableError)
        assert NOWHERE in str(cause)
        assert "try network=external" in str(cause)


def test_unknown_network(loop: Loop) -> None:
    """A network that no node is on ends the opening, with the names that there are."""
    with mapped(loop, "tunnel") as (served, _):
        error = refusal_at(loop, text(outside(served, "tunnel"), "?network=external"))
    assert isinstance(error, NetworkNotFoundError)
    assert "try network=default or network=tunnel" in str(error)


def test_later_configurations(loop: Loop) -> None:
    """A node that joins later is reached on the same network, through the forwarder."""
    with (
        mapped(loop) as (served, forwarder),
        opened_at(loop, text(outside(served))) as bucket,
    ):
        loop.wait(bucket.upsert_multi(DOCUMENTS))
        node = served.cluster.add_node()
        served.cluster.rebalance()
        loop.until(lambda: len(bucket.server_nodes) == 4)
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
        assert served.cluster.connections(node)
        assert forwarder.accepted == 4


@pytest.mark.parametrize(
    ("names", "failure"), [(("localhost",), None), ((NOWHERE, "127.0.0.1"), TlsError)]
)
def test_tls(
    loop: Loop, tmp_path: Path, names: tuple[str, ...], failure: type[CouchbaseError] | None
) -> None:
    """The certificate must name the alternate host that is dialled, not the node's own address."""
    certificates = Certificates(tmp_path)
    options = f"?certpath={certificates.ca}"
    with mapped(loop, host="localhost", tls=certificates.server(*names)) as (served, forwarder):
        string = text(outside(served, service="kvSSL"), options, "couchbases")
        if failure is None:
            with opened_at(loop, string) as bucket:
                assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
                assert all(connection.tls for connection in served.cluster.connections())
                assert forwarder.accepted == 3
        else:
            error = refusal_at(loop, string)
            assert isinstance(error, failure)
            assert "localhost" in str(error)


@pytest.mark.parametrize("program", ["twisted", "gevent"])
def test_program(loop: Loop, program: str) -> None:
    """The cluster as a program presents its nodes as its arguments say, on either loop."""
    outside = ("--alternate=tunnel=[::1]:30000", "--services=kv,mgmt")
    arguments = ("--nodes=2", f"--advertise={NOWHERE}", *outside)
    with running(*arguments, f"--loop={program}") as line:
        seed = line["connection_string"].partition(",")[0].replace(NOWHERE, "127.0.0.1")
        with opened_at(loop, f"{seed}/default?network=default") as bucket:
            config = bucket._driver.session.config
            assert [node.networks["default"].host for node in config.nodes] == [NOWHERE] * 2
            assert [node.networks["tunnel"] for node in config.nodes] == [
                Network("::1", {"kv": 30000, "mgmt": 30001}),
                Network("::1", {"kv": 30002, "mgmt": 30003}),
            ]
