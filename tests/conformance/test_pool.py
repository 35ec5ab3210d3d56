"""BucketPool: several Buckets of one bucket."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, AuthError, InvalidTimeoutError
from couchloop.wire import Opcode
from tests.conformance.loops import PASSWORD, Loop, cluster_of, key_of_node, open_bucket
from tests.garbage import needs_counting


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


def open_pool(loop: Loop, served: Any, size: int, password: str = PASSWORD, **more: Any) -> Any:
    """Open a pool, and wait until all of it is open; raise what opening met."""
    pool = loop.BucketPool(cluster_of(loop, served, password), "default", size, **more)
    if loop.name == "twisted":
        loop.wait(pool.connect())
    return pool


def test_least_busy(loop: Loop, served: Any) -> None:
    """Idle Buckets have their turn; one that waits for an answer is left alone meanwhile."""
    pool = open_pool(loop, served, 3)
    assert len(pool) == len({pool.pick() for _ in range(3)}) == 3
    module = pool.pick().__class__.__module__
    assert repr(pool).startswith(f"<{type(pool).__module__}.BucketPool of 3: <{module}")
    keys = [key_of_node(served, pool.pick(), node) for node in range(3)]
    for bucket in pool:
        loop.wait(bucket.get_multi(keys, quiet=True))
    assert len(served.cluster.connections()) == 9
    held = served.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
    busy = pool.pick()
    waiting = loop.start(busy.get, "k", timeout=60)
    loop.until(lambda: held.hits)
    assert busy not in {pool.pick() for _ in range(20)}
    waiting.cancel()
    assert busy in {pool.pick() for _ in range(3)}
    loop.wait(pool.close())
    loop.until(lambda: not served.cluster.connections())


def test_beside_the_shared_bucket(loop: Loop, served: Any) -> None:
    """The shared Bucket is none of the pool's, whose settings may be others."""
    shared = open_bucket(loop, cluster_of(loop, served))
    loop.wait(shared.upsert("k", 1))
    pool = open_pool(loop, served, 2, quiet=True)
    assert all(bucket.connected for bucket in pool)
    assert shared not in set(pool)
    assert loop.wait(pool.pick().get("k")).value == 1
    loop.wait(pool.close())
    assert not shared.closed
    loop.wait(shared.close())


@needs_counting
def test_last_reference(loop: Loop, served: Any) -> None:
    """A pool that nobody refers to closes, but for a Bucket that somebody still has."""
    pool = open_pool(loop, served, 3)
    kept = pool.pick()
    loop.wait(kept.get_multi([key_of_node(served, kept, node) for node in range(3)], quiet=True))
    gc.collect()
    gc.disable()
    try:
        del pool
        loop.until(lambda: len(served.cluster.connections()) == 3)
    finally:
        gc.enable()
    assert loop.wait(kept.upsert("k", 1)).success
    loop.wait(kept.close())
    loop.until(lambda: not served.cluster.connections())


def test_failure(loop: Loop, served: Any) -> None:
    """What opening meets is raised, no other error is left unseen, and nothing is left open."""
    with pytest.raises(AuthError):
        open_pool(loop, served, 3, password="wrong")
    loop.until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "3"])
def test_size(loop: Loop, served: Any, size: Any) -> None:
    """A size that is none is refused, and nothing is opened."""
    with pytest.raises(ArgumentError, match="size of a pool"):
        loop.BucketPool(cluster_of(loop, served), "default", size)
    assert served.cluster.accepted == 0


def test_times(loop: Loop, served: Any) -> None:
    """A pool is not closed by halves."""
    pool = open_pool(loop, served, 2)
    with pytest.raises(InvalidTimeoutError):
        pool.close(float("inf"))
    assert loop.wait(pool.pick().upsert("k", 1)).success
    loop.wait(pool.close())
