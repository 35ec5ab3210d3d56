"""Health of a Bucket on a gevent hub."""

from __future__ import annotations

import gevent
import pytest

from couchloop.exceptions import ArgumentError, UnambiguousTimeoutError
from couchloop.health import ClusterState, PingStatus
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import is_idle, start, ticking, until


class TestHealth:
    """ping(), diagnostics() and wait_until_ready() of the gevent Bucket."""

    def test_ping(self, bucket: Bucket) -> None:
        """Right after opening, it reports every node as answering."""
        report = bucket.ping()
        assert [entry["status"] for entry in report["kv"]] == [PingStatus.OK] * 3
        assert all(entry["latency"] >= 0 for entry in report["kv"])

    def test_hung_node(self, served: ServedCluster, bucket: Bucket) -> None:
        """A node that hangs is reported; other greenlets go on meanwhile."""
        bucket.wait_until_ready(10.0)
        served.cluster.hang(served.cluster.nodes[0])
        with ticking() as ticker:
            asking = start(bucket.ping, timeout=0.2)
            ticker.goes_on()
            report = asking.get()
        assert not isinstance(report, Exception)
        statuses = sorted(entry["status"] for entry in report["kv"])
        assert statuses == [PingStatus.OK, PingStatus.OK, PingStatus.TIMEOUT]

    def test_diagnostics(self, bucket: Bucket) -> None:
        """All nodes are connected once the Bucket is ready."""
        bucket.wait_until_ready(10.0)
        report = bucket.diagnostics("mine")
        assert report["id"] == "mine"
        assert [entry["state"] for entry in report["services"]["kv"]] == ["connected"] * 3
        assert report.state is bucket.cluster_state is ClusterState.ONLINE

    def test_not_ready(self, served: ServedCluster, bucket: Bucket) -> None:
        """It raises what the node met that is away, and returns once it is back."""
        bucket.wait_until_ready(10.0)
        node = served.cluster.nodes[1]
        served.cluster.stop(node)
        until(lambda: bucket.cluster_state is ClusterState.DEGRADED)
        bucket.wait_until_ready(10.0, ClusterState.DEGRADED)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            bucket.wait_until_ready(0.3)
        assert caught.value.context is not None
        assert len(caught.value.context.seeds) == 1
        served.cluster.restart(node)
        bucket.wait_until_ready(10.0)
        assert bucket.cluster_state is ClusterState.ONLINE

    def test_offline(self, bucket: Bucket) -> None:
        """Nobody waits for a cluster to be offline."""
        with pytest.raises(ArgumentError):
            bucket.wait_until_ready(1.0, ClusterState.OFFLINE)

    def test_killed(self, served: ServedCluster, bucket: Bucket) -> None:
        """A killed greenlet leaves nothing of its ping behind."""
        bucket.wait_until_ready(10.0)
        served.cluster.hang(served.cluster.nodes[0])
        asking = gevent.spawn(bucket.ping, timeout=60.0)
        until(lambda: bucket._driver.session.in_flight)
        asking.kill()
        assert is_idle(bucket)
