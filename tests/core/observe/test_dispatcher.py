"""What observers of a session hear of operations, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from couchloop.exceptions import AmbiguousTimeoutError, DocumentExistsError
from couchloop.hot.operation import CollectionName, Operation
from couchloop.observation import Completed
from couchloop.observe.dispatcher import ObservedDispatcher
from couchloop.operations import document as operations
from couchloop.session import health
from couchloop.session.ping import ping
from couchloop.wire import Feature, Opcode, Status
from tests.core.observe.test_reports import Notes
from tests.core.world import World


def observed(**settings: Any) -> tuple[World, Notes]:
    """Return a world whose bucket is open and observed."""
    notes = Notes()
    world = World(observer=notes, **settings)
    world.open()
    return world, notes


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
        w.do(ping(w.defaults))
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
