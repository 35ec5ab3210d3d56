"""What is under way, and when its time is up: exact, at a bounded cost whatever the timeouts."""

from __future__ import annotations

import gc
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import TimeoutError as OperationTimeoutError
from couchloop.hot.deadlines import _MOST_QUEUES, _SLACK, Deadlines
from couchloop.hot.operation import Operation
from couchloop.hot.request import Request
from couchloop.operations import document as ops
from couchloop.session.requests import OwnRequest
from tests.core.world import World, defaults
from tests.share import share

DEFAULTS = defaults()


def made(deadlines: Deadlines, now: float, timeout: float) -> Operation[Any]:
    """Begin an operation."""
    op = ops.get(DEFAULTS, "k", timeout=timeout)
    op.deadline = now + timeout
    op.queue = deadlines.queue(timeout)
    op.queue[op] = None
    return op


def ended(op: Request) -> None:
    """End it."""
    assert op.queue is not None
    del op.queue[op]
    op.queue = None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "end", "wait"]),
            st.one_of(st.sampled_from([1.0, 2.5]), st.floats(0.001, 100.0)),
        ),
        max_size=300,
    )
)
def test_like_a_list(steps: list[tuple[str, float]]) -> None:
    """Whatever begins, ends and expires: due is what a plain list says, in that order."""
    deadlines = Deadlines()
    now = 0.0
    model: list[Operation[Any]] = []
    for what, value in steps:
        if what == "begin":
            model.append(made(deadlines, now, value))
        elif what == "end" and model:
            ended(model.pop(int(value * 1000) % len(model)))
        elif what == "wait":
            now += value / 10
            due, following = deadlines.take_due(now)
            wanted = [op for op in model if op.deadline <= now]
            assert sorted(map(id, due)) == sorted(map(id, wanted))
            assert [op.deadline for op in due] == sorted(op.deadline for op in wanted)
            model = [op for op in model if op.deadline > now]
            assert following == min((op.deadline for op in model), default=inf)
            for op in due:
                ended(op)
        assert len(deadlines) == len(model)
        assert bool(deadlines) == bool(model)
        assert set(deadlines) == set(model)
        assert len(deadlines.by_timeout) <= _MOST_QUEUES
    deadlines.clear()
    assert not deadlines
    assert deadlines.take_due(inf) == ([], inf)


def test_a_timeout_for_each() -> None:
    """A hundred thousand operations with timeouts of their own leave nothing, nor cost a pass.

    One that began before them, and is still under way, keeps nothing of them.
    """
    tracemalloc = pytest.importorskip("tracemalloc")
    many = share(100_000)
    deadlines = Deadlines()
    older = [made(deadlines, 0.0, 1000.0 + n) for n in range(_MOST_QUEUES)]
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(many):
            ended(made(deadlines, number / 1000, 2.0 + number / many))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000
    assert len(deadlines) == len(older)
    assert len(deadlines.by_timeout) <= _MOST_QUEUES
    assert len(deadlines._rest._heap) <= _SLACK


def test_many_at_once() -> None:
    """So many under way at one time expire one by one, each at its own deadline."""
    many = share(20_000)
    w = World()
    w.open()
    for node in w.cluster.nodes:
        w.cluster.hang(node)
    gets = [
        w.submit(ops.get(w.defaults, f"k{n}", timeout=1.0 + (n * 7919 % many) / many))
        for n in range(many)
    ]
    assert w.session.in_flight >= len(gets)
    ends: list[float] = []
    w.on_delivered = lambda _: ends.append(w.now)
    w.advance(1.5)
    assert len(ends) == sum(op.timeout <= 1.5 for op in gets)
    assert ends == sorted(ends)
    w.advance(0.5)
    assert all(isinstance(op.error, OperationTimeoutError) for op in gets)
    assert w.delivered == sorted(gets, key=lambda op: op.deadline)


def test_any_of() -> None:
    """Whether any is of a kind is found in both places."""
    deadlines = Deadlines()
    assert not deadlines.any_of(Operation)
    request = OwnRequest(0, 1.0, lambda _: None)
    request.deadline = 1.0
    deadlines.queue(1.0)[request] = None
    assert not deadlines.any_of(Operation)
    many = [made(deadlines, 0.0, 5.0 + n) for n in range(_MOST_QUEUES + 5)]
    for op in many[:-1]:
        ended(op)
    assert deadlines.any_of(Operation)
    ended(many[-1])
    assert not deadlines.any_of(Operation)


@given(st.lists(st.sampled_from([0.5, 1.0, 2.5, 60.0, None]), max_size=60), st.integers(0, 20))
def test_oldest(timeouts: list[float | None], count: int) -> None:
    """Those that were begun first, in that order, whatever their timeouts; of the kind alone."""
    deadlines = Deadlines()
    model: list[Operation[Any]] = []
    for now, timeout in enumerate(timeouts):
        if timeout is None:
            deadlines.add(OwnRequest(0x0A, 1.0, lambda _: None), float(now))
        else:
            model.append(made(deadlines, float(now), timeout))
    assert deadlines.oldest(Operation, count) == model[:count]
