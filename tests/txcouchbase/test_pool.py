"""BucketPool on a reactor."""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from couchloop.exceptions import AuthError
from tests.txcouchbase.support import Memory
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
