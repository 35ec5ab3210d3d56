"""What becomes of operations in virtual time: tried again, expired, cancelled, in batches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousError,
    AmbiguousTimeoutError,
    NodeUnreachableError,
    NotFoundError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    ValueFormatError,
)
from couchloop.hot.batch import Batch
from couchloop.operations import document as ops
from couchloop.session.session import SessionState
from couchloop.wire import Opcode, Status
from tests.core.session.support import (
    FIRST,
    SECOND,
    completed,
    error_of,
    node_at,
    opened,
    state,
)
from tests.core.world import World


class TestDeadlines:
    """No operation outlives its time, and nothing of it stays."""

    def test_ambiguous(self) -> None:
        """In flight, what changes something is ambiguous at its deadline; a get is not."""
        w = opened()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        w.cluster.inject(opcode=Opcode.GET, silent=True)
        store = w.submit(ops.upsert(w.defaults, "k", 1))
        read = w.submit(ops.get(w.defaults, "k"))
        w.advance(2.4)
        assert not store.done
        w.advance(0.1)
        ambiguous, clear = error_of(store), error_of(read)
        assert type(ambiguous) is AmbiguousTimeoutError
        assert isinstance(ambiguous, AmbiguousError)
        assert type(clear) is UnambiguousTimeoutError
        assert "timeout 2.5 s" in ambiguous.details()
        assert ambiguous.context is not None
        assert ambiguous.context.attempts == 1
        assert ambiguous.context.node == str(w.owner("k"))
        w.assert_idle()

    def test_different_timeouts(self) -> None:
        """Deadlines of any order of issue are met in the order of time."""
        w = opened()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        timeouts = [2.0, 0.5, 1.0, 0.5, 3.0, 0.1]
        for timeout in timeouts:
            w.submit(ops.get(w.defaults, "k", timeout=timeout))
        w.advance(0.3)
        assert len(w.delivered) == 1
        w.advance(5)
        assert [op.timeout for op in completed(w)] == sorted(timeouts)
        w.advance(10)
        assert w.session.in_flight == 0
        assert not w.session._deadlines

    def test_all_at_once(self) -> None:
        """When a long pause passed, deadlines of several timeouts still go in their order."""
        w = opened()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        for timeout in (2.0, 0.5, 1.0):
            w.submit(ops.get(w.defaults, "k", timeout=timeout))
        w.clock.advance(60)
        w.session.handle_deadline(w.now)
        assert [op.timeout for op in completed(w)] == [0.5, 1.0, 2.0]

    def test_nothing_is_retained(self) -> None:
        """Timeouts that are all different leave no queue behind."""
        w = opened()
        for number in range(1, 2000):
            w.submit(ops.get(w.defaults, "k", quiet=True, timeout=1 + number / 1000))
            if not number % 50:
                w.settle()
                w.session.next_deadline()
                assert not w.session._deadlines
        w.settle()
        w.assert_idle()

    def test_many_expire(self) -> None:
        """A great many deadlines at once are dealt with in one pass."""
        w = World()
        w.unanswering.update(w.nodes)
        count = 10_000
        for _ in range(count):
            w.session.submit(ops.get(w.defaults, "k", timeout=1), 0.0)
        w.session.handle_deadline(1.0)
        assert len(w.delivered) == count

    def test_late_answer(self) -> None:
        """An answer after the deadline is an orphan: nobody gets it."""
        w = opened()
        w.cluster.inject(opcode=Opcode.GET, delay=3.0, count=1)
        (key,) = w.keys_of(FIRST)
        late = w.submit(ops.get(w.defaults, key, quiet=True))
        w.advance(2.5)
        assert type(error_of(late)) is UnambiguousTimeoutError
        w.delivered.clear()
        w.advance(5)
        assert w.session.orphans == 1
        assert w.delivered == []
        assert late.answer is None

    def test_while_opening(self) -> None:
        """Deadlines run while an operation waits for the bucket, and say what was met."""
        w = World(config_total_timeout=60.0)
        w.unreachable.add(FIRST)
        w.unanswering.add(SECOND)
        w.session.start(w.now)
        op = w.submit(ops.upsert(w.defaults, "k", 1, timeout=0.5))
        w.advance(0.5)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "not open" in str(error)
        assert error.context is not None
        assert [(node, type(why)) for node, why in error.context.seeds] == [
            (str(FIRST), NodeUnreachableError)
        ]


class TestReentry:
    """User code that calls back in while answers are dispatched."""

    def test_submit(self) -> None:
        """A thousand operations, each issued by the answer to the one before."""
        w = opened()
        left = iter(range(1000))

        def delivered(op: Any) -> None:
            op.result()
            if next(left, None) is not None:
                w.submit(ops.counter(w.defaults, "n", 1, 1))

        w.on_delivered = delivered
        w.submit(ops.counter(w.defaults, "n", 1, 1))
        w.settle()
        w.on_delivered = lambda _: None
        assert w.do(ops.get(w.defaults, "n")).value == 1001

    def test_cancel(self) -> None:
        """An answer whose operation was cancelled by an earlier one's callback reaches nobody."""
        w = opened()
        (key,) = w.keys_of(FIRST)
        gets = [w.submit(ops.get(w.defaults, key, quiet=True)) for _ in range(3)]
        w.on_delivered = lambda op: w.session.cancel(gets[2])
        w.settle()
        assert w.delivered == gets[:2]
        assert w.session.orphans == 1
        w.advance(5)
        w.assert_idle()

    def test_close(self) -> None:
        """Closing from within an answer completes everything else, each once."""
        w = opened()
        gets = [w.submit(ops.get(w.defaults, f"k{n}", quiet=True)) for n in range(50)]
        done: list[Any] = []

        def delivered(op: Any) -> None:
            if not done:
                w.session.close(w.now)
            done.append(op)

        w.on_delivered = delivered
        w.settle()
        assert Counter(map(id, done)) == Counter(map(id, gets))
        assert state(w) is SessionState.CLOSED

    def test_at_deadlines(self) -> None:
        """Callbacks of expired operations may submit, cancel and close."""
        w = opened()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        first = w.submit(ops.get(w.defaults, "a", timeout=1))
        second = w.submit(ops.get(w.defaults, "b", timeout=1))
        third = w.submit(ops.get(w.defaults, "c", timeout=1))
        fresh: list[Any] = []

        def delivered(op: Any) -> None:
            if op is first:
                w.session.cancel(second)
                fresh.append(w.submit(ops.get(w.defaults, "d", timeout=1)))
            if op is third:
                w.session.close(w.now)

        w.on_delivered = delivered
        w.advance(1)
        assert w.delivered == [first, third, fresh[0]]
        assert isinstance(error_of(third), UnambiguousTimeoutError)
        assert isinstance(error_of(fresh[0]), RequestCanceledError)

    def test_when_a_connection_is_lost(self) -> None:
        """Callbacks of failed mutations may submit to the very node, cancel and close."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        stores = [w.submit(ops.upsert(w.defaults, key, n)) for n in range(3)]
        w.session.take_output()
        fresh: list[Any] = []

        def delivered(op: Any) -> None:
            if op is stores[0]:
                w.session.cancel(stores[1])
                fresh.append(w.submit(ops.upsert(w.defaults, key, 9)))

        w.on_delivered = delivered
        w.lose(w.link_to(SECOND))
        w.advance(1)
        fresh[0].result()
        assert w.delivered == [stores[0], stores[2], fresh[0]]


class TestCancel:
    """A caller that goes away."""

    @pytest.mark.parametrize("stage", ["parked", "queued", "written", "retrying", "done"])
    def test_at_every_stage(self, stage: str) -> None:
        """Cancelled at any stage, it is never delivered, and nothing of it stays."""
        w = World() if stage == "parked" else opened()
        if stage == "retrying":
            w.cluster.inject(key="k", status=Status.ETMPFAIL)
        if stage == "written":
            w.cluster.inject(key="k", delay=1.0)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        if stage not in {"parked", "queued"}:
            w.settle()
        before = list(w.delivered)
        w.session.cancel(op)
        w.session.cancel(op)
        if stage == "parked":
            w.open()
        w.advance(5)
        assert w.delivered == before
        assert (op in w.delivered) is (stage == "done")
        assert w.session.orphans == (1 if stage in {"queued", "written"} else 0)
        w.assert_idle()

    def test_batch(self) -> None:
        """A batch is cancelled as a whole, even if some of it is done."""
        w = opened()
        w.cluster.inject(key="b", delay=1.0)
        batch = w.submit(ops.get_multi(w.defaults, ["a", "b", "c"], quiet=True))
        w.settle()
        assert batch.remaining == 1
        w.session.cancel_batch(batch)
        w.advance(5)
        assert w.delivered == []
        w.assert_idle()


class TestBatches:
    """Many keys at once."""

    def test_delivered_once(self) -> None:
        """A batch is complete once, when all of it is."""
        w = opened()
        batch = w.submit(ops.upsert_multi(w.defaults, {f"k{n}": n for n in range(100)}))
        w.settle()
        assert w.delivered == [batch]
        assert batch.result().all_ok

    def test_partial_failure(self) -> None:
        """What fails does not take the others along: all results are in the exception."""
        w = opened()
        w.do(ops.upsert_multi(w.defaults, {"a": 1, "c": 3}))
        batch = w.submit(ops.get_multi(w.defaults, ["a", "b", "c", "d"]))
        w.settle()
        error = error_of(batch)
        assert type(error) is NotFoundError
        good, bad = error.split_results()
        assert {key: result.value for key, result in good.items()} == {"a": 1, "c": 3}
        assert list(bad) == ["b", "d"]
        assert "2 of 4 keys failed" in error.details()

    def test_quiet(self) -> None:
        """Quietly, a miss is a result like any other."""
        w = opened()
        w.do(ops.upsert(w.defaults, "a", 1))
        results = w.do(ops.get_multi(w.defaults, ["a", "b"], quiet=True))
        assert not results.all_ok
        assert (results["a"].value, results["b"].value) == (1, None)
        removed = w.do(ops.remove_multi(w.defaults, ["a", "b"], quiet=True))
        assert [result.success for result in removed.values()] == [True, False]

    def test_deadline(self) -> None:
        """Keys whose node is silent fail at the deadline; the others have their values."""
        w = opened()
        (slow,) = w.keys_of(SECOND)
        (fast,) = w.keys_of(FIRST)
        w.do(ops.upsert_multi(w.defaults, {slow: 1, fast: 2}))
        w.cluster.hang(node_at(w, SECOND))
        batch: Batch[Any] = w.submit(ops.get_multi(w.defaults, [slow, fast], timeout=0.5))
        w.advance(0.6)
        error = error_of(batch)
        assert type(error) is UnambiguousTimeoutError
        good, bad = error.split_results()
        assert (list(good), list(bad)) == ([fast], [slow])


def test_batch_with_a_value_that_cannot_be_read() -> None:
    """One value that does not fit its flags fails the batch, and the others are there."""
    w = opened()
    w.do(ops.upsert_multi(w.defaults, {f"k{n}": {"n": n} for n in range(5)}))
    w.do(ops.append(w.defaults, "k3", "}}"))
    batch = w.submit(ops.get_multi(w.defaults, [f"k{n}" for n in range(5)]))
    w.settle()
    with pytest.raises(ValueFormatError) as info:
        batch.result()
    results = info.value.all_results
    assert results is not None
    assert list(results) == [f"k{n}" for n in range(5)]
    assert [result.success for result in results.values()] == [True, True, True, False, True]
    assert results["k4"].value == {"n": 4}
