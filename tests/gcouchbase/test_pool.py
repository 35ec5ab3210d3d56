"""BucketPool on a hub."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from couchloop.exceptions import ArgumentError, AuthError
from couchloop.wire import Opcode
from gcouchbase.cluster import Cluster
from gcouchbase.pool import BucketPool
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import cluster_of, key_of_node, start, until


def test_least_busy(served: ServedCluster, cluster: Cluster) -> None:
    """Idle Buckets have their turn; one that waits for an answer is left alone meanwhile."""
    with BucketPool(cluster, "default", 3) as pool:
        assert len(pool) == len({pool.pick() for _ in range(3)}) == 3
        assert repr(pool).startswith("<gcouchbase.pool.BucketPool of 3: <gcouchbase.bucket")
        keys = [key_of_node(served, pool.pick(), node) for node in range(3)]
        for bucket in pool:
            bucket.get_multi(keys, quiet=True)
        assert len(served.cluster.connections()) == 9
        held = served.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
        busy = pool.pick()
        waiting = start(busy.get, "k", timeout=60)
        until(lambda: held.hits)
        assert busy not in {pool.pick() for _ in range(20)}
        waiting.kill()
        assert busy in {pool.pick() for _ in range(3)}
    until(lambda: not served.cluster.connections())


def test_beside_the_shared_bucket(cluster: Cluster) -> None:
    """The shared Bucket is none of the pool's, whose settings may be others."""
    shared = cluster.open_bucket("default")
    shared.upsert("k", 1)
    with BucketPool(cluster, "default", 2, quiet=True) as pool:
        assert shared not in set(pool)
        assert pool.pick().get("k").value == 1
    assert not shared.closed


def test_last_reference(served: ServedCluster, cluster: Cluster) -> None:
    """A pool that nobody refers to closes, but for a Bucket that somebody still has."""
    pool = BucketPool(cluster, "default", 3)
    kept = [pool.pick()]
    others = [bucket._get_close_future() for bucket in pool if bucket is not kept[0]]
    del pool
    gevent.wait(others)
    assert kept[0].upsert("k", 1).success
    kept.clear()
    until(lambda: not served.cluster.connections())


def test_failure(served: ServedCluster) -> None:
    """What opening meets is raised, and nothing is left open."""
    with pytest.raises(AuthError):
        BucketPool(cluster_of(served, password="wrong"), "default", 3)
    until(lambda: not served.cluster.connections())


def test_size(cluster: Cluster) -> None:
    """A size that is none is refused."""
    sizes: list[Any] = [0, -1, True, 1.5, "3"]
    for size in sizes:
        with pytest.raises(ArgumentError, match="size of a pool"):
            BucketPool(cluster, "default", size)
