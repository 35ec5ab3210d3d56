"""Health of a Bucket over sockets: ping, diagnostics, waiting until ready; observers, reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, UnambiguousTimeoutError
from couchloop.observation import Completed, LateAnswer
from couchloop.session.health import ClusterState, PingStatus
from tests.conformance.loops import LIMIT, Loop, cluster_of, opened, opened_at


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Its bucket, open."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


def statuses(report: Any) -> list[PingStatus]:
    """Return what a ping says of the nodes."""
    return sorted(entry["status"] for entry in report["kv"])


def test_ping(loop: Loop, bucket: Any) -> None:
    """Right after opening, it reports every node as answering."""
    report = loop.wait(bucket.ping())
    assert statuses(report) == [PingStatus.OK] * 3
    assert all(entry["latency"] >= 0 for entry in report["kv"])


def test_hung_node(loop: Loop, served: Any, bucket: Any) -> None:
    """A node that hangs is reported when its time is up; others go on meanwhile."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    served.cluster.hang(served.cluster.nodes[0])
    with loop.ticking() as ticker:
        asking = loop.start(bucket.ping, timeout=0.2)
        seen = ticker.ticks
        loop.until(lambda: ticker.ticks >= seen + 10)
        report = asking.outcome()
    assert statuses(report) == [PingStatus.OK, PingStatus.OK, PingStatus.TIMEOUT]


def test_diagnostics(loop: Loop, served: Any, bucket: Any) -> None:
    """All nodes are connected once the Bucket is ready; to say so, nothing is written."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    before = dict(served.cluster.operations)
    report = bucket.diagnostics("mine")
    assert report["id"] == "mine"
    assert [entry["state"] for entry in report["services"]["kv"]] == ["connected"] * 3
    assert report.state is bucket.cluster_state is ClusterState.ONLINE
    assert dict(served.cluster.operations) == before


def test_own_ends(loop: Loop, served: Any, bucket: Any) -> None:
    """The local ends in diagnostics are those that the server sees."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    ends = {entry["local"] for entry in bucket.diagnostics()["services"]["kv"]}
    assert ends == {connection.peer for connection in served.cluster.connections()}


def test_not_ready(loop: Loop, served: Any, bucket: Any) -> None:
    """Waiting ends with what the node met that is away, or once it is back."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    node = served.cluster.nodes[1]
    served.cluster.stop(node)
    loop.until(lambda: bucket.cluster_state is ClusterState.DEGRADED)
    loop.wait(bucket.wait_until_ready(LIMIT, ClusterState.DEGRADED))
    with pytest.raises(UnambiguousTimeoutError) as caught:
        loop.wait(bucket.wait_until_ready(0.3))
    assert caught.value.context is not None
    assert len(caught.value.context.seeds) == 1
    served.cluster.restart(node)
    loop.wait(bucket.wait_until_ready(LIMIT))
    assert bucket.cluster_state is ClusterState.ONLINE


def test_offline(loop: Loop, bucket: Any) -> None:
    """Nobody waits for a cluster to be offline."""
    with pytest.raises(ArgumentError):
        loop.wait(bucket.wait_until_ready(1.0, ClusterState.OFFLINE))


def test_given_up(loop: Loop, served: Any, bucket: Any) -> None:
    """A caller that goes away leaves nothing of its ping behind."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    served.cluster.hang(served.cluster.nodes[0])
    asking = loop.start(bucket.ping, timeout=60.0)
    session = bucket._driver.session
    loop.until(lambda: session.in_flight)
    asking.cancel()
    loop.until(lambda: session.in_flight == 0)


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.places: list[tuple[str | None, str | None]] = []

    def completed(self, operation: Completed, /) -> None:
        self.names.append(operation.name)
        self.places.append((operation.scope, operation.collection))

    def answered_late(self, answer: LateAnswer, /) -> None:
        raise AssertionError(f"nothing is late: {answer}")


def test_observer(loop: Loop, served: Any) -> None:
    """An observer that is given to the Bucket hears of its operations."""
    notes = Notes()
    served.cluster.create_collection("default", "zoo.birds")
    with opened_at(loop, f"{served.connection_string}/default", observer=notes) as bucket:
        loop.wait(bucket.upsert("k", 1))
        loop.wait(bucket.get("k"))
        loop.wait(bucket.scope("zoo").collection("birds").upsert("k", 1))
    assert notes.names == ["upsert", "get", "upsert"]
    assert notes.places == [(None, None), (None, None), ("zoo", "birds")]


def test_reports(loop: Loop, served: Any) -> None:
    """Slow operations go to the adapter's log as JSON, at the latest when the Bucket closes."""
    options = "enable_tracing=on&tracing_threshold_kv=0.000001"
    start = "Operations over threshold: "
    with loop.log() as lines:
        with opened_at(loop, f"{served.connection_string}/default?{options}") as bucket:
            loop.wait(bucket.upsert("k", 1))
        loop.until(lambda: [line for line in lines if line.startswith(start)])
    (line,) = [line for line in lines if line.startswith(start)]
    report = json.loads(line.removeprefix(start))
    assert report["kv"]["total_count"] == 1
    assert report["kv"]["top_requests"][0]["operation_name"] == "upsert"


def test_reports_by_attribute(loop: Loop, served: Any) -> None:
    """From when on an operation is slow can be set on the Bucket, by SDK 2.5's attribute."""
    start = "Operations over threshold: "
    with loop.log() as lines:
        text = f"{served.connection_string}/default?enable_tracing=on"
        with opened_at(loop, text) as bucket:
            loop.wait(bucket.upsert("k", 1))
            assert bucket.tracing_threshold_kv == 0.5
            bucket.tracing_threshold_kv = 0
            bucket.TRACING_THRESHOLD_QUEUE_SIZE = 3
            loop.wait(bucket.get("k"))
        loop.until(lambda: [line for line in lines if line.startswith(start)])
    (line,) = [line for line in lines if line.startswith(start)]
    report = json.loads(line.removeprefix(start))
    assert [each["operation_name"] for each in report["kv"]["top_requests"]] == ["get"]
