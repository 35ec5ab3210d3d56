"""What observers of a session hear, and the reports made of it, in virtual time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import AmbiguousTimeoutError, DocumentExistsError
from couchloop.hot.operation import CollectionName, Operation
from couchloop.observation import Completed, LateAnswer
from couchloop.observe.dispatcher import ObservedDispatcher
from couchloop.observe.histogram import Histogram
from couchloop.operations import document as operations
from couchloop.session import health
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Reports
from couchloop.wire import Feature, Opcode, Status
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


def observed(**settings: Any) -> tuple[World, Notes]:
    """Return a world whose bucket is open and observed."""
    notes = Notes()
    world = World(observer=notes, **settings)
    world.open()
    return world, notes


def reported(world: World, title: str) -> list[Any]:
    """Return the reports of that title."""
    prefix = f"{title}: "
    return [json.loads(line.removeprefix(prefix)) for line in world.logs if line.startswith(prefix)]


class TestObserver:
    """The calls themselves."""

    def test_success(self) -> None:
        """An operation is told with its node, times, attempts and no outcome."""
        w, notes = observed()
        w.cluster.inject(opcode=Opcode.GET, delay=0.25, count=1)
        w.submit(operations.get(w.defaults, "k", quiet=True, timeout=2.0))
        w.advance(0.25)
        (done,) = notes.done
        assert (done.name, done.node) == ("get", str(w.owner("k")))
        assert (done.duration, done.timeout, done.attempts) == (0.25, 2.0, 1)
        assert done.outcome is None
        ids = {connection.hello.connection_id for connection in w.session.connections}
        assert done.connection_id in ids
        assert done.server_duration == pytest.approx(0.25, rel=0.01)

    def test_failures(self) -> None:
        """A refusal and a timeout are told with the error's class and where they happened."""
        w, notes = observed()
        w.do(operations.upsert(w.defaults, "k", 1))
        w.submit(operations.insert(w.defaults, "k", 1))
        w.settle()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        w.submit(operations.upsert(w.defaults, "k", 1, timeout=0.5))
        w.advance(0.5)
        _, refused, silent = notes.done
        assert (refused.outcome, refused.attempts) == (DocumentExistsError, 1)
        assert refused.node == silent.node == str(w.owner("k"))
        assert (silent.outcome, silent.duration) == (AmbiguousTimeoutError, 0.5)
        assert silent.server_duration is None

    def test_retries(self) -> None:
        """Each time that it was sent counts, and the duration is that of all of them."""
        w, notes = observed()
        w.cluster.inject(opcode=Opcode.SET, status=Status.ETMPFAIL, count=3)
        w.submit(operations.upsert(w.defaults, "k", 1))
        w.advance(1.0)
        (done,) = notes.done
        assert done.attempts == 4
        assert done.outcome is None
        assert 0.001 <= done.duration < 1.0

    def test_batch(self) -> None:
        """Each member of a batch is told of by itself."""
        w, notes = observed()
        w.submit(operations.upsert_multi(w.defaults, {"a": 1, "b": 2}))
        w.settle()
        assert [done.name for done in notes.done] == ["upsert", "upsert"]

    def test_own_requests(self) -> None:
        """What the session asks by itself is no operation of the user's."""
        w, notes = observed(config_poll_interval=2.5)
        w.do(health.ping(w.defaults))
        w.do(health.wait_until_ready(w.defaults, 1.0))
        w.advance(10.0)
        assert notes.done == []

    def test_late_answers(self) -> None:
        """A late answer is told with its operation's name and time; a cancelled one's too."""
        w, notes = observed()
        w.cluster.inject(opcode=Opcode.GET, delay=1.0)
        w.submit(operations.get(w.defaults, "k", timeout=0.5))
        gone = w.submit(operations.get(w.defaults, "k"))
        w.settle()
        w.session.cancel(gone)
        w.advance(2.0)
        # The server has answered one after the other.
        assert [(late.name, late.duration) for late in notes.late] == [("get", 1.0), ("get", 2.0)]
        assert {late.node for late in notes.late} == {str(w.owner("k"))}
        assert w.session.orphans == 2
        assert isinstance(w.session.dispatcher, ObservedDispatcher)
        assert not w.session.dispatcher._given_up

    def test_collection(self) -> None:
        """What is told of an operation, or of its late answer, names its collection if named."""
        w, notes = observed()
        w.cluster.create_collection("default", "zoo.birds")
        names = CollectionName("zoo", "birds")
        birds = replace(w.defaults, collection=names, max_key=246)
        w.session.collections.attach(birds)
        w.do(operations.upsert(birds, "k", 1))
        w.do(operations.upsert(w.defaults, "k", 1))
        w.cluster.inject(opcode=Opcode.GET, delay=1.0)
        w.submit(operations.get(birds, "k", timeout=0.5))
        w.submit(operations.get(w.defaults, "k", timeout=0.5))
        w.advance(3.0)
        told = [(each.name, each.scope, each.collection) for each in notes.done]
        assert told == [
            ("upsert", "zoo", "birds"),
            ("upsert", None, None),
            ("get", "zoo", "birds"),
            ("get", None, None),
        ]
        late = [(each.name, each.scope, each.collection) for each in notes.late]
        assert late == [("get", "zoo", "birds"), ("get", None, None)]

    def test_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more than so many are remembered: what is forgotten is told without its time."""
        monkeypatch.setattr("couchloop.observe.dispatcher._MOST_REMEMBERED", 1)
        w, notes = observed()
        w.cluster.inject(opcode=Opcode.GET, delay=1.0)
        for _ in range(2):
            w.submit(operations.get(w.defaults, "k", timeout=0.5))
        w.advance(2.0)
        assert [(late.name, late.duration) for late in notes.late] == [("get", None), ("get", 2.0)]

    def test_broken_observer(self) -> None:
        """An observer that raises is logged, and harms no operation."""

        class Broken(Notes):
            def completed(self, operation: Completed, /) -> None:
                raise RuntimeError("broken")

        w = World(observer=Broken())
        w.open()
        assert w.do(operations.upsert(w.defaults, "k", 1)).success
        assert any("an observer has failed: RuntimeError('broken')" in line for line in w.logs)

    def test_reentrance(self) -> None:
        """An operation issued from the callback of another is told of as well."""
        w, notes = observed()

        def again(op: Operation[Any]) -> None:
            if op.name == "upsert":
                w.submit(operations.get(w.defaults, "k"))

        w.on_delivered = again
        w.submit(operations.upsert(w.defaults, "k", 1))
        w.settle()
        assert [done.name for done in notes.done] == ["upsert", "get"]

    def test_off(self) -> None:
        """Unobserved, a session is a plain one, and asks no server for durations."""
        w = World()
        w.open()
        assert not isinstance(w.session.dispatcher, ObservedDispatcher)
        for connection in w.session.connections:
            assert Feature.TRACING not in connection.features
        watched, _ = observed()
        for connection in watched.session.connections:
            assert Feature.TRACING in connection.features

    def test_retried(self) -> None:
        """The dispatch that is told is the last try's, without the tries and pauses before it."""
        w, notes = observed()
        w.cluster.inject(opcode=Opcode.GET, status=Status.ETMPFAIL, delay=0.5, count=1)
        w.cluster.inject(opcode=Opcode.GET, delay=0.25, count=2)
        w.submit(operations.get(w.defaults, "k", quiet=True))
        w.advance(2.0)
        (done,) = notes.done
        assert done.attempts == 2
        assert done.dispatch_duration == pytest.approx(0.25)
        assert done.duration > 0.75

    def test_parked(self) -> None:
        """What was never sent has no dispatch, and no connection."""
        w, notes = observed()
        for node in w.cluster.nodes:
            w.cluster.stop(node)
        w.settle()
        w.submit(operations.get(w.defaults, "k", timeout=0.5))
        w.advance(0.5)
        (done,) = notes.done
        assert done.dispatch_duration is None
        assert done.local is None


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


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_histogram(durations: list[int], percent: float) -> None:
    """A percentile is at least the true one, by no more than 1/64, and merging changes nothing."""
    histogram, first, second = Histogram(), Histogram(), Histogram()
    for number, duration in enumerate(durations):
        histogram.add(duration)
        (first if number % 2 else second).add(duration)
    first.merge(second)
    rank = max(1, -(-len(durations) * int(percent) // 100))
    true = sorted(durations)[rank - 1]
    assert true <= histogram.percentile(percent) <= true + true / 64
    assert first.summary() == histogram.summary()
    assert histogram.percentile(100.0) == max(durations)


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
