"""Limits of the server: what it says when it has no connection left, and how a Bucket goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.exceptions import (
    CouchbaseError,
    HandshakeClosedError,
    LoopBlockedError,
    TlsError,
    TooManyConnectionsError,
    TooManyOpenFilesError,
    UnambiguousTimeoutError,
)
from couchloop.session.health import ClusterState
from tests.certificates import Certificates
from tests.conformance.loops import Loop, cluster_at, cluster_of, open_bucket, opened
from tests.hostile import no_descriptor_left


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve two nodes with two buckets."""
    with loop.serving(loop.embedded(2, ("default", "other"))) as served:
        yield served


def refusal(loop: Loop, cluster: Any, bucket: str = "default") -> CouchbaseError:
    """Return why a bucket cannot be opened."""
    with pytest.raises(CouchbaseError) as raised:
        open_bucket(loop, cluster, bucket)
    return raised.value


def test_a_full_node(loop: Loop, served: Any) -> None:
    """A node that accepts and closes may be out of connections: the error says so, and the cure."""
    cluster = cluster_of(loop, served)
    with opened(loop, cluster) as bucket:
        loop.wait(bucket.upsert("k", 1))
        loop.until(lambda: len(served.cluster.connections(bucket="default")) == 2)
        for node in served.cluster.nodes:
            node.max_connections = 1
        error = refusal(loop, cluster, "other")
        assert type(error) is HandshakeClosedError
        for node in served.cluster.nodes:
            assert f"127.0.0.1:{node.ports['kv']}" in str(error)
        assert "out of connections" in str(error)
        assert "connection_budget()" in str(error)
        assert loop.wait(bucket.get("k")).value == 1


def test_a_full_bucket(loop: Loop, served: Any) -> None:
    """A server that answers 0x32 is a TooManyConnectionsError with node, bucket and cure."""
    for node in served.cluster.nodes:
        node.max_bucket_connections = 0
    error = refusal(loop, cluster_of(loop, served))
    assert type(error) is TooManyConnectionsError
    assert error.is_transient
    for text in ("127.0.0.1:", "'default'", "0x32", "connection_budget()", "fewer"):
        assert text in str(error)


@pytest.mark.parametrize("service", ["kv", "kvSSL"])
def test_full_over_tls(loop: Loop, tmp_path: Path, service: str) -> None:
    """Over TLS too the error of a node that accepts and closes tells of its connections."""
    certificates = Certificates(tmp_path)
    embedded = loop.embedded(1, max_connections=0)
    with loop.serving(embedded, tls=certificates.server()) as served:
        string = served.connection_string
        if service == "kvSSL":
            string = f"{served.connection_string_tls}?certpath={certificates.ca}"
        error = refusal(loop, cluster_at(loop, string))
    assert type(error) in {HandshakeClosedError, TlsError}
    assert "out of connections" in str(error)


def test_closed_before_tls(loop: Loop) -> None:
    """A node that closes before TLS has begun may be out of connections too, as real ones are."""
    with loop.closing_server() as port:
        error = refusal(loop, cluster_at(loop, f"couchbases://127.0.0.1:{port}"))
    assert type(error) is TlsError
    assert "out of connections" in str(error)


def test_own_limit(loop: Loop, served: Any) -> None:
    """A process that may open no more files says so, instead of blaming the node; later it can."""
    cluster = cluster_of(loop, served)
    with no_descriptor_left():
        error = refusal(loop, cluster)
    assert type(error) is TooManyOpenFilesError
    for text in ("127.0.0.1:", "ulimit -n", "connection_budget()"):
        assert text in str(error)
    with opened(loop, cluster) as bucket:
        with no_descriptor_left():
            assert served.cluster.drop_connections()
            loop.until(lambda: bucket.cluster_state is ClusterState.OFFLINE)
        assert loop.wait(bucket.upsert("k", 1, timeout=60)).success


@pytest.mark.parametrize("limit", ["max_connections", "max_bucket_connections"])
def test_back_again(loop: Loop, served: Any, limit: str) -> None:
    """A Bucket goes on trying a full node, waiting operations say why, and it comes back."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        keys = [f"k{number}" for number in range(20)]
        loop.wait(bucket.upsert_multi(dict.fromkeys(keys, 1)))
        full = served.cluster.nodes[1]
        setattr(full, limit, 0)
        accepted = full.accepted
        served.cluster.drop_connections(full)
        loop.until(lambda: full.accepted >= accepted + 3)
        waiting = [loop.start(bucket.get, key, timeout=60) for key in keys]
        for _ in range(20):
            with pytest.raises(CouchbaseError) as raised:
                loop.wait(bucket.get_multi(keys, timeout=0.5))
            error = raised.value
            if not isinstance(error.__cause__, LoopBlockedError):
                # Where others keep the machine busy, that is told first.
                break
        assert type(error) is UnambiguousTimeoutError
        assert isinstance(error.__cause__, HandshakeClosedError | TooManyConnectionsError)
        assert f"127.0.0.1:{full.ports['kv']}" in str(error.__cause__)
        setattr(full, limit, None)
        assert [each.outcome().value for each in waiting] == [1] * len(keys)
