"""Health of a Bucket on a reactor whose clock stands still."""

from __future__ import annotations

import gc
import json
from typing import Any
from weakref import ref

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from couchloop.exceptions import ArgumentError, UnambiguousTimeoutError
from couchloop.observation import Completed, LateAnswer
from couchloop.session.health import ClusterState, PingStatus
from tests.txcouchbase.support import error_of, outcome
from tests.txcouchbase.test_bucket import MemoryTests


class HealthTests(MemoryTests):
    """ping(), diagnostics() and wait_until_ready() of the Twisted Bucket."""

    def test_ping(self) -> None:
        """Its Deferred fires with the report of every node."""
        bucket = self.opened()
        report = self.memory.result(bucket.ping())
        assert [entry["status"] for entry in report["kv"]] == [PingStatus.OK] * 3
        self.memory.result(bucket.close())

    def test_hung_node(self) -> None:
        """It fires when the time of a node that hangs is up, and does not fail."""
        bucket = self.opened()
        self.memory.result(bucket.wait_until_ready(5.0))
        self.cluster.hang(self.cluster.nodes[0])
        found = outcome(bucket.ping(timeout=1.0))
        self.clock.advance(0.5)
        assert found == []
        self.clock.advance(0.5)
        statuses = sorted(entry["status"] for entry in found[0]["kv"])
        assert statuses == [PingStatus.OK, PingStatus.OK, PingStatus.TIMEOUT]
        self.cluster.restart(self.cluster.nodes[0])
        self.memory.result(bucket.close())

    def test_diagnostics(self) -> None:
        """It gives the report itself, and writes nothing."""
        bucket = self.opened()
        self.memory.result(bucket.wait_until_ready(5.0))
        before = dict(self.cluster.operations)
        report = bucket.diagnostics()
        assert [entry["state"] for entry in report["services"]["kv"]] == ["connected"] * 3
        assert report.state is bucket.cluster_state
        self.clock.advance(0)
        assert dict(self.cluster.operations) == before
        self.memory.result(bucket.close())

    def test_ready(self) -> None:
        """Issued before anything is connected, it fires once all nodes are."""
        bucket = self.memory.open()
        before = bucket.cluster_state
        waiting = outcome(bucket.wait_until_ready(5.0))
        self.clock.advance(0)
        assert waiting == [None]
        assert (before, bucket.cluster_state) == (ClusterState.OFFLINE, ClusterState.ONLINE)
        self.memory.result(bucket.close())

    def test_not_ready(self) -> None:
        """It fails with what the node met that is away; a bad state fails at once."""
        bucket = self.opened()
        self.memory.result(bucket.wait_until_ready(5.0))
        self.cluster.stop(self.cluster.nodes[2])
        self.clock.pump([0.1] * 10)
        found = outcome(bucket.wait_until_ready(1.0))
        self.clock.pump([0.1] * 11)
        (error,) = found
        assert isinstance(error, UnambiguousTimeoutError)
        assert error.context is not None
        assert len(error.context.seeds) == 1
        refused = error_of(bucket.wait_until_ready(1.0, ClusterState.OFFLINE))
        assert isinstance(refused, ArgumentError)
        self.memory.result(bucket.close())

    def test_cancelled(self) -> None:
        """A cancelled wait leaves nothing behind."""
        bucket = self.opened()
        self.cluster.hang(self.cluster.nodes[0])
        ping = bucket.ping(timeout=60.0)
        self.clock.advance(0)
        ping.addErrback(lambda _: None)
        ping.cancel()
        assert bucket._driver.session.in_flight == 0
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
        assert gone() is None
        self.clock.advance(0)


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def completed(self, operation: Completed, /) -> None:
        self.names.append(operation.name)

    def answered_late(self, answer: LateAnswer, /) -> None:
        raise AssertionError(f"nothing is late: {answer}")


class ObservationTests(MemoryTests):
    """Observers and reports of the Twisted Bucket."""

    def test_observer(self) -> None:
        """An observer that is given to the Bucket hears of its operations."""
        notes = Notes()
        bucket = self.opened(observer=notes)
        self.memory.result(bucket.upsert("k", 1))
        self.memory.result(bucket.get("k"))
        self.memory.result(bucket.close())
        assert notes.names == ["upsert", "get"]

    def test_reports(self) -> None:
        """Slow operations go to Twisted's log as JSON."""
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        bucket = self.opened(options="?enable_tracing=on")
        self.cluster.inject(key="k", delay=0.6, count=1)
        found = outcome(bucket.upsert("k", 1))
        self.clock.pump([0.1] * 7)
        assert len(found) == 1
        self.clock.pump([1.0] * 11)
        lines = [formatEvent(event) for event in events]
        (line,) = [each for each in lines if each.startswith("Operations over threshold: ")]
        report = json.loads(line.partition(": ")[2])
        assert report["kv"]["top_requests"][0]["operation_name"] == "upsert"
        self.memory.result(bucket.close())
