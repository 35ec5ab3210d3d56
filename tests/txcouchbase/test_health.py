"""Health of a Bucket on a reactor whose clock stands still."""

from __future__ import annotations

import gc
from weakref import ref

from couchloop.session.health import ClusterState
from tests.garbage import release
from tests.txcouchbase.support import outcome
from tests.txcouchbase.test_bucket import MemoryTests


class HealthTests(MemoryTests):
    """ping(), diagnostics() and wait_until_ready() of the Twisted Bucket."""

    def test_ready(self) -> None:
        """Issued before anything is connected, it fires once all nodes are."""
        bucket = self.memory.open()
        before = bucket.cluster_state
        waiting = outcome(bucket.wait_until_ready(5.0))
        self.clock.advance(0)
        assert waiting == [None]
        assert (before, bucket.cluster_state) == (ClusterState.OFFLINE, ClusterState.ONLINE)
        self.memory.result(bucket.close())

    def test_lifetime(self) -> None:
        """A wait keeps its Bucket; what has ended does not."""
        bucket = self.opened()
        gone = ref(bucket)
        self.cluster.hang(self.cluster.nodes[0])
        found = outcome(bucket.ping(timeout=1.0))
        del bucket
        gc.collect()
        assert gone() is not None
        self.clock.advance(1.0)
        assert len(found) == 1
        release()
        assert gone() is None
        self.clock.advance(0)
