"""BucketPool on a reactor."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from couchloop.exceptions import ArgumentError, AuthError
from couchloop.wire import Opcode
from tests.txcouchbase.support import Memory, outcome
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.pool import BucketPool


class PoolTests(SynchronousTestCase):
    """Several Buckets of one bucket."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.cluster = Cluster(
            self.memory.connection_string,
            reactor=self.memory.reactor,
            endpoint_factory=self.memory.endpoint_factory,
        )
        self.cluster.authenticate(PasswordAuthenticator("user", "password"))

    def test_least_busy(self) -> None:
        """Idle Buckets have their turn; one that waits for an answer is left alone meanwhile."""
        pool = BucketPool(self.cluster, "default", 3)
        assert self.memory.result(pool.connect()) is None
        assert len(pool) == len({pool.pick() for _ in range(3)}) == 3
        assert len(self.memory.cluster.connections()) == 9
        assert repr(pool).startswith("<txcouchbase.pool.BucketPool of 3: <txcouchbase.bucket")
        held = self.memory.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
        busy = pool.pick()
        waiting = busy.get("k", quiet=True, timeout=1)
        self.memory.reactor.advance(0)
        assert held.hits == 1
        assert busy not in {pool.pick() for _ in range(20)}
        self.memory.reactor.advance(1)
        assert outcome(waiting)
        assert busy in {pool.pick() for _ in range(3)}
        self.memory.result(pool.close())
        assert self.memory.idle

    def test_context_manager(self) -> None:
        """`async with` opens all and closes all; the shared Bucket is none of them."""

        async def use() -> int:
            async with BucketPool(self.cluster, "default", 2, quiet=True) as pool:
                assert all(bucket.connected for bucket in pool)
                shared = self.cluster.open_bucket("default")
                assert shared not in set(pool)
                await shared.upsert("k", 1)
                value: int = (await pool.pick().get("k")).value
                await shared.close()
                return value

        assert self.memory.result(Deferred.fromCoroutine(use())) == 1
        assert self.memory.idle

    def test_failure(self) -> None:
        """The first error of an opening is the pool's, and no other is left unseen."""
        self.cluster.authenticate(PasswordAuthenticator("user", "wrong"))
        pool = BucketPool(self.cluster, "default", 3)
        assert isinstance(self.memory.error(pool.connect()), AuthError)
        del pool
        gc.collect()
        self.memory.reactor.advance(0)
        assert self.memory.idle
        assert not self.flushLoggedErrors()  # type: ignore[no-untyped-call]

    def test_last_reference(self) -> None:
        """A pool that nobody refers to closes, but for a Bucket that somebody still has."""
        pool = BucketPool(self.cluster, "default", 3)
        self.memory.result(pool.connect())
        kept = pool.pick()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        del pool
        self.memory.reactor.advance(0)
        assert len(self.memory.cluster.connections()) == 3
        self.memory.result(kept.close())
        assert self.memory.idle

    def test_size(self) -> None:
        """A size that is none is refused, and nothing is opened."""
        sizes: list[Any] = [0, -1, True, 1.5, "3"]
        for size in sizes:
            with pytest.raises(ArgumentError, match="size of a pool"):
                BucketPool(self.cluster, "default", size)
        assert self.memory.idle
