"""Limits of the server: what it says when it has no connection left, and how a Bucket goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory, Protocol

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CouchbaseError,
    HandshakeClosedError,
    TlsError,
    TooManyConnectionsError,
    TooManyOpenFilesError,
    UnambiguousTimeoutError,
)
from couchloop.health import ClusterState
from tests.certificates import Certificates
from tests.hostile import no_descriptor_left
from tests.txcouchbase.support import outcome, turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.testing import ReactorClock, ServedCluster, serve


@pytest.fixture
def reactor() -> Any:
    """Give the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve two nodes with two buckets."""
    cluster = EmbeddedCluster(2, ("default", "other"), clock=ReactorClock(reactor))
    served = serve(cluster, reactor=reactor)
    yield served
    await served.stop()


def cluster_of(served: ServedCluster) -> Cluster:
    """Give the client's Cluster of an embedded one."""
    cluster = Cluster(served.connection_string, reactor=served.reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster


async def refusal(bucket: Bucket) -> CouchbaseError:
    """Give why *bucket* cannot be opened."""
    with pytest.raises(CouchbaseError) as raised:
        await bucket.connect()
    return raised.value


async def test_a_full_node(served: ServedCluster) -> None:
    """A node that accepts and closes may be out of connections: the error says so, and the cure."""
    cluster = cluster_of(served)
    async with cluster.open_bucket("default") as bucket:
        await bucket.upsert("k", 1)
        await turn(served.reactor, lambda: len(served.cluster.connections(bucket="default")) == 2)
        for node in served.cluster.nodes:
            node.max_connections = 1
        error = await refusal(cluster.open_bucket("other"))
        assert type(error) is HandshakeClosedError
        for node in served.cluster.nodes:
            assert f"127.0.0.1:{node.ports['kv']}" in str(error)
        assert "out of connections" in str(error)
        assert "connection_budget()" in str(error)
        assert (await bucket.get("k")).value == 1


async def test_a_full_bucket(served: ServedCluster) -> None:
    """A server that answers 0x32 is a TooManyConnectionsError with node, bucket and cure."""
    for node in served.cluster.nodes:
        node.max_bucket_connections = 0
    error = await refusal(cluster_of(served).open_bucket("default"))
    assert type(error) is TooManyConnectionsError
    assert error.is_transient
    for text in ("127.0.0.1:", "'default'", "0x32", "connection_budget()", "fewer"):
        assert text in str(error)


@pytest.mark.parametrize("service", ["kv", "kvSSL"])
async def test_full_over_tls(tmp_path: Any, reactor: Any, service: str) -> None:
    """Over TLS too the error of a node that accepts and closes tells of its connections."""
    certificates = Certificates(tmp_path)
    cluster = EmbeddedCluster(1, max_connections=0, clock=ReactorClock(reactor))
    served = serve(cluster, reactor=reactor, tls=certificates.server())
    string = cluster.connection_string(service) + f"?certpath={certificates.ca}"
    client = Cluster(string if service == "kvSSL" else served.connection_string, reactor=reactor)
    client.authenticate(PasswordAuthenticator("user", "password"))
    error = await refusal(client.open_bucket("default"))
    assert type(error) in {HandshakeClosedError, TlsError}
    assert "out of connections" in str(error)
    await served.stop()


class Closing(Protocol):
    """Closes at once."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


async def test_closed_before_tls(reactor: Any) -> None:
    """A node that closes before TLS has begun may be out of connections too, as real ones are."""
    factory = Factory.forProtocol(Closing)
    factory.noisy = False
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    cluster = Cluster(f"couchbases://127.0.0.1:{listening.getHost().port}", reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    error = await refusal(cluster.open_bucket("default"))
    assert type(error) is TlsError
    assert "out of connections" in str(error)
    await maybeDeferred(listening.stopListening)


async def test_own_limit(served: ServedCluster, reactor: Any) -> None:
    """A process that may open no more files says so, instead of blaming the node; later it can."""
    cluster = cluster_of(served)
    with no_descriptor_left():
        error = await refusal(cluster.open_bucket("default"))
    assert type(error) is TooManyOpenFilesError
    for text in ("127.0.0.1:", "ulimit -n", "connection_budget()"):
        assert text in str(error)
    async with cluster.open_bucket("default") as bucket:
        with no_descriptor_left():
            before = served.cluster.drop_connections()
            await turn(reactor, lambda: bucket.cluster_state is ClusterState.OFFLINE)
        assert before
        assert (await bucket.upsert("k", 1, timeout=60)).success


@pytest.mark.parametrize("limit", ["max_connections", "max_bucket_connections"])
async def test_back_again(served: ServedCluster, reactor: Any, limit: str) -> None:
    """A Bucket goes on trying a full node, waiting operations say why, and it comes back."""
    async with cluster_of(served).open_bucket("default") as bucket:
        keys = [f"k{number}" for number in range(20)]
        await bucket.upsert_multi(dict.fromkeys(keys, 1))
        full = served.cluster.nodes[1]
        setattr(full, limit, 0)
        accepted = full.accepted
        served.cluster.drop_connections(full)
        await turn(reactor, lambda: full.accepted >= accepted + 3)
        waiting = [outcome(bucket.get(key, timeout=60)) for key in keys]
        with pytest.raises(CouchbaseError) as raised:
            await bucket.get_multi(keys, timeout=0.05)
        error = raised.value
        assert type(error) is UnambiguousTimeoutError
        assert isinstance(error.__cause__, HandshakeClosedError | TooManyConnectionsError)
        assert f"127.0.0.1:{full.ports['kv']}" in str(error.__cause__)
        setattr(full, limit, None)
        await turn(reactor, lambda: all(waiting))
        assert all(result.value == 1 for (result,) in waiting)
