"""The reports that are made of what is observed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from couchloop.observation import Completed, LateAnswer
from couchloop.operations import document as operations
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Reports
from couchloop.wire import Opcode
from tests.core.world import World


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.done: list[Completed] = []
        self.late: list[LateAnswer] = []

    def completed(self, operation: Completed, /) -> None:
        self.done.append(operation)

    def answered_late(self, answer: LateAnswer, /) -> None:
        self.late.append(answer)


def reported(world: World, title: str) -> list[Any]:
    """Return the reports of that title."""
    prefix = f"{title}: "
    return [json.loads(line.removeprefix(prefix)) for line in world.logs if line.startswith(prefix)]


class TestThreshold:
    """The log of slow operations."""

    def test_report(self) -> None:
        """The slowest come first, ten seconds after the first of them, and are counted all."""
        w = World(reports=Reports(tracing=True, threshold_size=2))
        w.open()
        for delay in (0.6, 0.9, 0.7, 0.1):
            w.cluster.inject(opcode=Opcode.GET, delay=delay, count=1)
            w.submit(operations.get(w.defaults, "k", quiet=True, timeout=2.5))
            w.advance(1.0)
        w.advance(6.5)
        assert reported(w, "Operations over threshold") == []
        w.advance(0.2)
        (report,) = reported(w, "Operations over threshold")
        assert list(report) == ["kv"]
        assert report["kv"]["total_count"] == 3
        first, second = report["kv"]["top_requests"]
        assert first["total_duration_us"] == pytest.approx(900_000)
        assert second["total_duration_us"] == pytest.approx(700_000)
        assert first["operation_name"] == "get"
        assert first["timeout_ms"] == 2500
        assert first["last_remote_socket"] == str(w.owner("k"))
        assert first["last_server_duration_us"] == pytest.approx(900_000, rel=0.01)
        assert first["last_dispatch_duration_us"] == pytest.approx(900_000)
        assert first["last_local_socket"] in {link.peer for link in w.cluster.connections()}
        assert first["operation_id"].startswith("0x")

    def test_nothing_slow(self) -> None:
        """Without slow operations there is no line, and no timer."""
        w = World(reports=Reports(tracing=True))
        w.open()
        w.do(operations.upsert(w.defaults, "k", 1))
        w.advance(3.0)
        w.assert_idle()
        w.advance(60.0)
        assert reported(w, "Operations over threshold") == []

    def test_close(self) -> None:
        """What was not yet reported is when the Bucket closes."""
        w = World(reports=Reports(tracing=True))
        w.open()
        w.cluster.inject(opcode=Opcode.GET, delay=0.6)
        w.submit(operations.get(w.defaults, "k", quiet=True))
        w.advance(1.0)
        w.session.close(w.now)
        w.settle()
        assert len(reported(w, "Operations over threshold")) == 1
        assert w.session.next_deadline() is None

    def test_settings_that_change(self) -> None:
        """Other settings count from then on: the limit, how many are shown, and when."""
        w = World(reports=Reports(tracing=True, threshold_interval=100.0))
        w.open()

        def slow(seconds: float) -> None:
            w.cluster.inject(opcode=Opcode.GET, delay=seconds, count=1)
            w.submit(operations.get(w.defaults, "k", quiet=True, timeout=2.5))
            w.advance(1.0)

        def change(**changed: Any) -> None:
            settings = w.session.settings
            w.session.renew(replace(settings, reports=replace(settings.reports, **changed)))

        slow(0.3)
        change(threshold=0.2, threshold_size=1, threshold_interval=5.0)
        slow(0.4)
        slow(0.3)
        w.advance(3.5)
        (report,) = reported(w, "Operations over threshold")
        assert report["kv"]["total_count"] == 2
        (entry,) = report["kv"]["top_requests"]
        assert entry["total_duration_us"] == pytest.approx(400_000)
        change(threshold_size=5)
        slow(0.3)
        slow(0.4)
        change(threshold_size=1, orphaned_size=2, orphaned_interval=1.0)
        slow(0.1)
        w.advance(3.0)
        _, second = reported(w, "Operations over threshold")
        assert second["kv"]["total_count"] == 2
        (entry,) = second["kv"]["top_requests"]
        assert entry["total_duration_us"] == pytest.approx(400_000)


def test_orphan_report() -> None:
    """Late answers are counted and shown in the same form."""
    w = World(reports=Reports(tracing=True, orphaned_size=1, orphaned_interval=2.0))
    w.open()
    w.cluster.inject(opcode=Opcode.GET, delay=0.3)
    for _ in range(3):
        w.submit(operations.get(w.defaults, "k", timeout=0.2))
    w.advance(2.2)
    assert reported(w, "Orphaned responses observed") == []
    w.advance(0.2)
    (report,) = reported(w, "Orphaned responses observed")
    assert report["kv"]["total_count"] == 3
    (entry,) = report["kv"]["top_requests"]
    assert entry["operation_name"] == "get"
    assert entry["total_duration_us"] == pytest.approx(900_000)


def test_metrics() -> None:
    """Percentiles per operation and node come every ten minutes, and begin anew."""
    w = World(reports=Reports(metrics=True))
    w.open()
    keys = [w.keys_of(address)[0] for address in w.nodes]
    for key in keys:
        w.do(operations.upsert(w.defaults, key, 1))
    w.cluster.inject(opcode=Opcode.GET, delay=0.1, count=1)
    w.submit(operations.get(w.defaults, keys[0]))
    w.advance(599.0)
    assert reported(w, "Metrics") == []
    w.advance(2.0)
    (report,) = reported(w, "Metrics")
    assert report["meta"] == {"emit_interval_s": 600}
    kv = report["operations"]["kv"]
    assert kv["upsert"]["total_count"] == 3
    assert set(kv["upsert"]["nodes"]) == set(map(str, w.nodes))
    assert kv["get"]["percentiles_us"]["100.0"] == 100_000
    assert list(kv["get"]["percentiles_us"]) == ["50.0", "90.0", "99.0", "99.9", "100.0"]
    w.do(operations.upsert(w.defaults, keys[0], 1))
    w.advance(601.0)
    _, second = reported(w, "Metrics")
    assert second["operations"]["kv"]["upsert"]["total_count"] == 1
    assert "get" not in second["operations"]["kv"]


def test_options() -> None:
    """The options of the connection string say what is reported; by default nothing is."""
    plain = make_settings("couchbase://h/b", username="u", password="p")
    assert plain.reports == Reports()
    assert not plain.is_observed
    text = (
        "couchbase://h/b?enable_tracing=on&metrics=on&tracing_threshold_kv=0.25"
        "&tracing_threshold_queue_flush_interval=1&tracing_threshold_queue_size=2"
        "&tracing_orphaned_queue_flush_interval=3&tracing_orphaned_queue_size=4"
    )
    settings = make_settings(text, username="u", password="p")
    assert settings.is_observed
    assert settings.reports == Reports(
        tracing=True,
        metrics=True,
        threshold=0.25,
        threshold_interval=1.0,
        threshold_size=2,
        orphaned_interval=3.0,
        orphaned_size=4,
    )
    assert make_settings(
        "couchbase://h/b", username="u", password="p", observer=Notes()
    ).is_observed
