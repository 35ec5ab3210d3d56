"""Health of a Bucket on a gevent hub."""

from __future__ import annotations

import json
import logging

import gevent
import pytest

from couchloop.exceptions import ArgumentError, UnambiguousTimeoutError
from couchloop.observation import Completed, LateAnswer
from couchloop.session.health import ClusterState, PingStatus
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

    def test_own_ends(self, served: ServedCluster, bucket: Bucket) -> None:
        """The local ends in diagnostics are those that the server sees."""
        bucket.wait_until_ready(10.0)
        ends = {entry["local"] for entry in bucket.diagnostics()["services"]["kv"]}
        assert ends == {connection.peer for connection in served.cluster.connections()}

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


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def completed(self, operation: Completed, /) -> None:
        self.names.append(operation.name)

    def answered_late(self, answer: LateAnswer, /) -> None:
        raise AssertionError(f"nothing is late: {answer}")


def test_observer(served: ServedCluster) -> None:
    """An observer that is given to the Bucket hears of its operations."""
    notes = Notes()
    text = f"{served.connection_string}/default"
    with Bucket(text, username="user", password="password", observer=notes) as bucket:
        bucket.upsert("k", 1)
        bucket.get("k")
    assert notes.names == ["upsert", "get"]


def test_reports(served: ServedCluster, caplog: pytest.LogCaptureFixture) -> None:
    """Slow operations go to the log `gcouchbase` as JSON, at the latest when the Bucket closes."""
    text = f"{served.connection_string}/default?enable_tracing=on&tracing_threshold_kv=0.000001"
    with (
        caplog.at_level(logging.INFO, "gcouchbase"),
        Bucket(text, username="user", password="password") as bucket,
    ):
        bucket.upsert("k", 1)
        bucket.close()
        until(lambda: "Operations over threshold" in caplog.text)
    (line,) = [each for each in caplog.messages if each.startswith("Operations over threshold: ")]
    report = json.loads(line.partition(": ")[2])
    assert report["kv"]["total_count"] == 1
    assert report["kv"]["top_requests"][0]["operation_name"] == "upsert"
