"""The embedded cluster without ports: a Bucket that is given its sockets."""

from __future__ import annotations

import pytest

from couchloop.exceptions import BucketAlreadyOpenError, NodeUnreachableError
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import MemoryCluster
from tests.gcouchbase.support import until


def cluster_in(memory: MemoryCluster) -> Cluster:
    """Return a Cluster that reaches *memory*."""
    cluster = Cluster(memory.connection_string, socket_factory=memory.socket_factory)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster


def test_documents() -> None:
    """A Bucket works as over TCP, and closes when the last reference goes."""
    with MemoryCluster() as memory:
        bucket = cluster_in(memory).open_bucket("default")
        bucket.upsert_multi({f"k{n}": n for n in range(50)})
        assert bucket.get("k7").value == 7
        assert len(memory.cluster.connections(bucket="default")) == 3
        del bucket
        until(lambda: not memory.cluster.connections())


def test_restart() -> None:
    """A node that was stopped refuses, and is found again once it is back."""
    with MemoryCluster() as memory:
        bucket = cluster_in(memory).open_bucket("default")
        for node in memory.cluster.nodes:
            memory.cluster.stop(node)
        until(lambda: not memory.cluster.connections())
        for node in memory.cluster.nodes:
            memory.cluster.restart(node)
        bucket.upsert("k", 1)
        bucket.close()


def test_refused() -> None:
    """A factory that raises OSError means a node that cannot be reached."""
    with MemoryCluster() as memory:
        cluster = cluster_in(memory)
        for node in memory.cluster.nodes:
            memory.cluster.stop(node)
        with pytest.raises(NodeUnreachableError, match="Connection refused"):
            cluster.open_bucket("default")


def test_another_factory() -> None:
    """The same bucket by another way is a conflict, not the same Bucket."""
    with MemoryCluster() as memory:
        bucket = cluster_in(memory).open_bucket("default")
        other = Cluster(memory.connection_string)
        other.authenticate(PasswordAuthenticator("user", "password"))
        with pytest.raises(BucketAlreadyOpenError, match="connector"):
            other.open_bucket("default")
        bucket.close()
