"""The hot half of a dispatcher alone: where an operation goes, and who is told of its end."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from couchloop.hot.batch import Batch
from couchloop.hot.deadlines import Deadlines
from couchloop.hot.operation import Operation
from couchloop.hot.submit import Routes, Submitter
from couchloop.topology.configuration import parse_config
from couchloop.wire import Opcode
from tests.core.session.parts import FIRST, text_of
from tests.core.world import defaults

D = defaults()


class Pipe:
    """A connection that only takes note."""

    def __init__(self) -> None:
        self.sent: list[tuple[Operation[Any], int]] = []

    def send(self, op: Operation[Any], vbucket: int) -> None:
        self.sent.append((op, vbucket))


class Dispatcher(Submitter):
    """One whose other half only takes note."""

    def __init__(self) -> None:
        self.routes = Routes()
        self.deadlines = Deadlines()
        self.delivered: list[Any] = []
        self.parked: list[Operation[Any]] = []
        self.takes = True
        super().__init__(self.routes, self.deadlines, self.delivered.append)

    def guard(self) -> None:
        """Have each operation looked at."""
        self._is_guarded = True

    def admits(self, op: Operation[Any], now: float) -> bool:
        return self.takes

    def send_or_park(self, op: Operation[Any], now: float, *, is_new: bool = True) -> None:
        self.parked.append(op)


class Elsewhere(Operation[Any]):
    """An operation that is not for the active copy of its key."""

    __slots__ = ()
    is_plain = False


def get(key: Any = "k", timeout: float = 2.5) -> Operation[Any]:
    """Return an operation."""
    return Operation(Opcode.GET, D, key, timeout)


@given(st.binary(min_size=1, max_size=250), st.sampled_from([1, 2, 64, 1024]))
def test_route(key: bytes, vbuckets: int) -> None:
    """It goes to the connection of its key's vbucket, as a configuration would have it."""
    dispatcher = Dispatcher()
    pipes: list[Any] = [Pipe() for _ in range(vbuckets)]
    dispatcher.routes.route = pipes
    op = get(key)
    dispatcher.submit(op, 1.0)
    expected = parse_config(text_of(1, [0] * vbuckets), FIRST.host).vbucket(key)
    assert [number for number, pipe in enumerate(pipes) if pipe.sent] == [expected]
    assert pipes[expected].sent == [(op, expected)]
    assert not dispatcher.parked


def test_no_route() -> None:
    """Without a table, a connection in it, or a plain kind, the other half decides."""
    dispatcher = Dispatcher()
    nowhere, awaiting, elsewhere = get(), get(), Elsewhere(Opcode.GET, D, "k", None)
    dispatcher.submit(nowhere, 1.0)
    dispatcher.routes.route = [None]
    dispatcher.submit(awaiting, 1.0)
    pipe: Any = Pipe()
    dispatcher.routes.route = [pipe]
    dispatcher.submit(elsewhere, 1.0)
    assert dispatcher.parked == [nowhere, awaiting, elsewhere]
    assert not pipe.sent


def test_guarded() -> None:
    """It is asked only where it says so; what is not taken is in no table."""
    dispatcher = Dispatcher()
    dispatcher.takes = False
    dispatcher.submit(get(), 1.0)
    assert len(dispatcher.parked) == 1
    dispatcher.guard()
    refused = get()
    dispatcher.submit(refused, 1.0)
    assert len(dispatcher.parked) == 1
    assert refused.queue is None
    assert len(dispatcher.deadlines) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 100)), min_size=1, max_size=50))
def test_deadlines(times: list[tuple[float, float]]) -> None:
    """Its time runs from the call, and the loop is woken no later than the first is up."""
    dispatcher = Dispatcher()
    for now, timeout in times:
        dispatcher.submit(get(timeout=timeout), now)
    expected = sorted(now + timeout for now, timeout in times)
    assert dispatcher.deadlines.alarm.wakeup == expected[0]
    assert sorted(op.deadline for op in dispatcher.deadlines) == expected
    due, _ = dispatcher.deadlines.take_due(200.0)
    assert [op.deadline for op in due] == expected


def test_completed() -> None:
    """Its time ends, and who waits is told once; of a batch when the last is complete."""
    dispatcher = Dispatcher()
    op, members = get(), [get("a"), get("b")]
    batch: Batch[Any] = Batch(members)
    for each in (op, *members):
        dispatcher.submit(each, 1.0)
    dispatcher.completed(op)
    assert dispatcher.delivered == [op]
    dispatcher.completed(members[1])
    assert dispatcher.delivered == [op]
    dispatcher.completed(members[0])
    assert dispatcher.delivered == [op, batch]
    assert not dispatcher.deadlines
    assert [each.batch for each in members] == [None, None], "they would point to each other"


def test_completed_before_it_was_submitted() -> None:
    """What is in no queue is delivered as well."""
    dispatcher = Dispatcher()
    op = get()
    dispatcher.completed(op)
    assert dispatcher.delivered == [op]
