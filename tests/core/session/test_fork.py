"""A session in a forked child: silent, at an end, and honest to those who wait; then a lazy one."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousError,
    ForkedProcessError,
    NodeUnreachableError,
    ObjectDestroyedError,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation
from couchloop.observation import Completed, LateAnswer
from couchloop.operations import document as operations
from couchloop.session import health
from couchloop.session.events import Closed, OpenFailed
from couchloop.session.session import SessionState
from couchloop.settings.values import Reports
from tests.core.world import World


def failure_of(pending: Operation[Any] | Batch[Any]) -> BaseException:
    """Return what an operation has failed with."""
    with pytest.raises(ForkedProcessError) as caught:
        pending.result()
    return caught.value


class TestInherited:
    """What was open before the fork."""

    def test_it_says_nothing(self) -> None:
        """What was encoded, asked for or due is forgotten: no output, one event, no deadline."""
        w = World()
        session = w.open()
        w.submit(operations.upsert(w.defaults, "a", 1))
        session.forked()
        assert session.take_output() == []
        assert session.take_events() == [Closed()]
        assert session.take_events() == []
        assert session.take_output() == []
        assert session.next_deadline() is None
        w.assert_idle()

    def test_what_was_under_way(self) -> None:
        """Those who wait learn it when events are taken, not before: mutations are ambiguous."""
        w = World()
        session = w.open()
        get = w.submit(operations.get(w.defaults, "a"))
        upsert = w.submit(operations.upsert(w.defaults, "a", 1))
        gets = w.submit(operations.get_multi(w.defaults, ["b", "c"]))
        session.forked()
        assert w.delivered == []
        w.settle()
        assert sorted(map(id, w.delivered)) == sorted(map(id, (get, upsert, gets)))
        failures = [failure_of(pending) for pending in (get, upsert, gets)]
        assert [isinstance(each, AmbiguousError) for each in failures] == [False, True, False]
        assert len({id(each) for each in failures}) == 3

    @pytest.mark.parametrize("moment", ["new", "opening", "reconnecting"])
    def test_what_was_parked(self, moment: str) -> None:
        """An operation that waits for the bucket, or for a node, is its parent's as well."""
        w = World()
        address = next(iter(w.nodes))
        if moment == "reconnecting":
            w.open()
            w.unreachable.update(w.nodes)
            for number in list(w.links):
                w.lose(number)
        elif moment == "opening":
            w.unanswering.add(address)
            w.session.start(w.now)
            w.settle()
        upsert = w.submit(operations.upsert(w.defaults, "a", 1))
        ready = w.submit(health.wait_until_ready(w.defaults, 10))
        w.session.forked()
        attempts = len(w.attempts)
        w.settle()
        assert isinstance(failure_of(upsert), AmbiguousError)
        failure_of(ready)
        w.advance(100)
        assert len(w.attempts) == attempts

    def test_later_operations(self) -> None:
        """They fail at once, each with an error of its own that says what to do."""
        w = World()
        session = w.open()
        session.forked()
        first = w.submit(operations.get(w.defaults, "a"))
        second = w.submit(operations.upsert(w.defaults, "a", 1))
        ready = w.submit(health.wait_until_ready(w.defaults, 10))
        errors = [failure_of(first), failure_of(second)]
        assert errors[0] is not errors[1]
        for error in errors:
            assert not isinstance(error, AmbiguousError)
            assert "default" in str(error)
            assert "open it again" in str(error)
        failure_of(ready)
        assert isinstance(session.failure(), ForkedProcessError)
        assert session.in_flight == 0
        assert session.next_deadline() is None

    def test_one_that_was_closing(self) -> None:
        """It is closed; what was in flight is the parent's, what comes later meets a closed one."""
        w = World()
        session = w.open()
        get = w.submit(operations.get(w.defaults, "a"))
        session.close(w.now, 10)
        session.forked()
        w.settle()
        failure_of(get)
        later = w.submit(operations.get(w.defaults, "a"))
        with pytest.raises(ObjectDestroyedError):
            later.result()

    def test_observers_hear_nothing(self) -> None:
        """The parent reports what was under way; in the child it would be counted twice."""
        heard: list[Completed | LateAnswer] = []

        class Observer:
            def completed(self, done: Completed) -> None:
                heard.append(done)

            def answered_late(self, late: LateAnswer) -> None:
                heard.append(late)

        w = World(observer=Observer(), reports=Reports(metrics=True))
        session = w.open()
        w.do(operations.upsert(w.defaults, "a", 1))
        assert len(heard) == 1
        w.submit(operations.get(w.defaults, "a"))
        logs = len(w.logs)
        session.forked()
        w.advance(1000)
        assert len(heard) == 1
        assert len(w.logs) == logs

    def test_within_an_answer(self) -> None:
        """User code that forks while answers are dispatched: what came with it finds nobody."""
        w = World()
        session = w.open()
        address = w.owner("a")
        keys = w.keys_of(address, 3)
        gets = [w.submit(operations.get(w.defaults, key, quiet=True)) for key in keys]

        def fork(op: Any) -> None:
            if op is gets[0]:
                session.forked()

        w.on_delivered = fork
        w.settle()
        assert not gets[0].result().success
        for get in gets[1:]:
            failure_of(get)


class TestLazy:
    """The session that a child makes in place of the inherited one."""

    def test_it_opens_at_its_first_use(self) -> None:
        """Nothing happens before that; the first operation waits for the bucket to be open."""
        w = World()
        w.session.opening.lazy = True
        w.advance(100)
        assert w.attempts == []
        assert not w.do(operations.get(w.defaults, "a", quiet=True)).success
        assert w.session.state is SessionState.OPEN
        assert len(w.links) == len(w.nodes)

    def test_waiting_until_ready_is_a_use(self) -> None:
        """So is what waits for the nodes."""
        w = World()
        w.session.opening.lazy = True
        ready = w.submit(health.wait_until_ready(w.defaults, 10))
        w.advance(1)
        ready.result()
        assert w.session.state is SessionState.OPEN

    def test_it_tries_again(self) -> None:
        """Where opening fails the operation gets that error, and the next operation opens anew."""
        w = World()
        w.session.opening.lazy = True
        w.unreachable.update(w.nodes)
        get = w.submit(operations.get(w.defaults, "a"))
        w.settle()
        with pytest.raises(NodeUnreachableError):
            get.result()
        assert sum(isinstance(event, OpenFailed) for event in w.events) == 1
        assert isinstance(w.session.failure(), NodeUnreachableError)
        w.unreachable.clear()
        assert not w.do(operations.get(w.defaults, "a", quiet=True)).success
