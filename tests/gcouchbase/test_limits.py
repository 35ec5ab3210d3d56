"""Limits of the server: what it says when it has no connection left, and how a Bucket goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent.server import StreamServer

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
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import cluster_of, start, until
from tests.hostile import no_descriptor_left


@pytest.fixture
def served() -> Iterator[ServedCluster]:
    """Serve two nodes with two buckets."""
    with serve(EmbeddedCluster(2, ("default", "other"), clock=SystemClock())) as served:
        yield served


def refusal(cluster: Cluster, bucket: str = "default") -> CouchbaseError:
    """Give why a bucket cannot be opened."""
    with pytest.raises(CouchbaseError) as raised:
        cluster.open_bucket(bucket)
    return raised.value


def test_a_full_node(served: ServedCluster) -> None:
    """A node that accepts and closes may be out of connections: the error says so, and the cure."""
    cluster = cluster_of(served)
    with cluster.open_bucket("default") as bucket:
        bucket.upsert("k", 1)
        until(lambda: len(served.cluster.connections(bucket="default")) == 2)
        for node in served.cluster.nodes:
            node.max_connections = 1
        error = refusal(cluster, "other")
        assert type(error) is HandshakeClosedError
        for node in served.cluster.nodes:
            assert f"127.0.0.1:{node.ports['kv']}" in str(error)
        assert "out of connections" in str(error)
        assert "connection_budget()" in str(error)
        assert bucket.get("k").value == 1


def test_a_full_bucket(served: ServedCluster) -> None:
    """A server that answers 0x32 is a TooManyConnectionsError with node, bucket and cure."""
    for node in served.cluster.nodes:
        node.max_bucket_connections = 0
    error = refusal(cluster_of(served))
    assert type(error) is TooManyConnectionsError
    assert error.is_transient
    for text in ("127.0.0.1:", "'default'", "0x32", "connection_budget()", "fewer"):
        assert text in str(error)


@pytest.mark.parametrize("service", ["kv", "kvSSL"])
def test_full_over_tls(tmp_path: Path, service: str) -> None:
    """Over TLS too the error of a node that accepts and closes tells of its connections."""
    certificates = Certificates(tmp_path)
    cluster = EmbeddedCluster(1, max_connections=0, clock=SystemClock())
    with serve(cluster, tls=certificates.server()) as served:
        string = served.connection_string
        if service == "kvSSL":
            string = f"{served.connection_string_tls}?certpath={certificates.ca}"
        client = Cluster(string)
        client.authenticate(PasswordAuthenticator("user", "password"))
        error = refusal(client)
    assert type(error) in {HandshakeClosedError, TlsError}
    assert "out of connections" in str(error)


def test_closed_before_tls() -> None:
    """A node that closes before TLS has begun may be out of connections too, as real ones are."""
    server = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.close())
    server.start()
    try:
        cluster = Cluster(f"couchbases://127.0.0.1:{server.server_port}")
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        error = refusal(cluster)
    finally:
        server.stop()
    assert type(error) is TlsError
    assert "out of connections" in str(error)


def test_own_limit(served: ServedCluster) -> None:
    """A process that may open no more files says so, instead of blaming the node; later it can."""
    cluster = cluster_of(served)
    with no_descriptor_left():
        error = refusal(cluster)
    assert type(error) is TooManyOpenFilesError
    for text in ("127.0.0.1:", "ulimit -n", "connection_budget()"):
        assert text in str(error)
    with cluster.open_bucket("default") as bucket:
        with no_descriptor_left():
            assert served.cluster.drop_connections()
            until(lambda: bucket.cluster_state is ClusterState.OFFLINE)
        assert bucket.upsert("k", 1, timeout=60).success


@pytest.mark.parametrize("limit", ["max_connections", "max_bucket_connections"])
def test_back_again(served: ServedCluster, limit: str) -> None:
    """A Bucket goes on trying a full node, waiting operations say why, and it comes back."""
    with cluster_of(served).open_bucket("default") as bucket:
        keys = [f"k{number}" for number in range(20)]
        bucket.upsert_multi(dict.fromkeys(keys, 1))
        full = served.cluster.nodes[1]
        setattr(full, limit, 0)
        accepted = full.accepted
        served.cluster.drop_connections(full)
        until(lambda: full.accepted >= accepted + 3)
        waiting = start(bucket.get_multi, keys, timeout=60)
        with pytest.raises(CouchbaseError) as raised:
            bucket.get_multi(keys, timeout=0.05)
        error = raised.value
        assert type(error) is UnambiguousTimeoutError
        assert isinstance(error.__cause__, HandshakeClosedError | TooManyConnectionsError)
        assert f"127.0.0.1:{full.ports['kv']}" in str(error.__cause__)
        setattr(full, limit, None)
        until(waiting.ready)
        result = waiting.get()
        assert not isinstance(result, Exception)
        assert all(result[key].value == 1 for key in keys)
