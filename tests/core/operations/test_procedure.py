"""Procedures alone, carried out by hand; how a session does it: session/test_procedures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    BusyError,
    CasMismatchError,
    EmptyKeyError,
    NotFoundError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.operations.arguments import asking_by
from couchloop.operations.procedure import (
    Again,
    Pause,
    Procedure,
    Steps,
    Together,
    Within,
    asked_until_run,
    outcome_of,
    pauses,
    perform,
    procedure,
)
from couchloop.operations.service_call import ServiceCall
from couchloop.retries import FailFast, RetryReason, RetryRequest, RetryStrategy
from couchloop.wire import Opcode
from tests.core.world import defaults

D = defaults()


class Echo(Operation[int]):
    """An operation that gives its answer's CAS."""

    __slots__ = ()
    name = "echo"

    def decode(self, answer: Frame) -> int:
        return answer.cas


def echo(key: str = "k", timeout: float = 2.5) -> Echo:
    """Return one."""
    return Echo(Opcode.GET, D, key, timeout)


class Hands:
    """What carries a procedure out: it notes what is begun, and the test answers."""

    def __init__(self, steps: Steps[Any], timeout: float = 10.0) -> None:
        self.begun: list[Operation[Any]] = []
        self.asked: list[ServiceCall] = []
        self.paused: list[float] = []
        self.turns = 0
        self.procedure: Procedure[Any] = Procedure("double", D, "k", timeout, steps)
        self.procedure.wants_turn = self._note
        self.procedure.start(0.0)

    def _note(self, _: Procedure[Any]) -> None:
        self.turns += 1

    def begin(self, op: Operation[Any], now: float) -> None:
        """See `Performer`."""
        del now
        self.begun.append(op)

    def ask(self, call: ServiceCall, now: float) -> None:
        """See `Performer`."""
        del now
        self.asked.append(call)

    def resume(self, call: ServiceCall, now: float) -> None:
        """See `Performer`: no procedure does that."""
        raise AssertionError((call, now))

    def give_up(self, call: ServiceCall) -> None:
        """See `Performer`: likewise."""
        raise AssertionError(call)

    def pause(self, procedure: Procedure[Any], seconds: float, now: float) -> None:
        """See `Performer`."""
        del procedure, now
        self.paused.append(seconds)

    def go_on(self, now: float = 0.0) -> bool:
        """Give it a turn."""
        return self.procedure.go_on(self, now)

    def answer(self, op: Operation[Any], cas: int = 1, error: Any = None) -> None:
        """Answer an operation, or make it fail."""
        if error is None:
            op.answer = Frame(0x81, op.opcode, 0, 0, 0, cas, b"", b"", b"", b"")
        op.error = error
        whole, op.batch = op.batch, None
        assert whole is not None
        whole.member_done(op)


def test_one_after_the_other() -> None:
    """A step begins in a turn once the last is complete, and has what that gave."""

    def steps() -> Steps[int]:
        first = yield echo("a")
        second = yield echo("b")
        return int(first + second)

    hands = Hands(steps())
    assert not hands.go_on()
    assert [op.key for op in hands.begun] == ["a"]
    assert not hands.go_on(), "nothing happens before its answer"
    hands.answer(hands.begun[0], 3)
    assert hands.turns == 1
    assert not hands.go_on()
    hands.answer(hands.begun[1], 4)
    assert hands.go_on()
    assert hands.procedure.done
    assert [hands.procedure.result(), hands.procedure.result()] == [7, 7]


def test_a_failure_is_thrown() -> None:
    """It can be caught in the procedure; what leaves it is the caller's, under its name."""
    seen: list[Exception] = []

    def steps() -> Steps[None]:
        try:
            yield echo("a")
        except CasMismatchError as error:
            seen.append(error)
        yield echo("b")

    hands = Hands(steps())
    hands.go_on()
    hands.answer(hands.begun[0], error=CasMismatchError("changed"))
    assert not hands.go_on()
    assert len(seen) == 1
    hands.answer(hands.begun[1], error=NotFoundError("missing"))
    assert hands.go_on()
    raised = []
    for _ in range(2):
        with pytest.raises(NotFoundError) as caught:
            hands.procedure.result()
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert raised[0].key == "k"


def test_users_code() -> None:
    """What it raises is raised as it is, once."""

    def steps() -> Steps[None]:
        yield echo()
        raise ZeroDivisionError

    hands = Hands(steps())
    hands.go_on()
    hands.answer(hands.begun[0])
    assert hands.go_on()
    with pytest.raises(ZeroDivisionError):
        hands.procedure.result()
    with pytest.raises(RuntimeError, match="failed before"):
        hands.procedure.result()


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.randoms())
def test_together(successes: list[bool], random: Any) -> None:
    """Each has its own outcome in its place, in whatever order they come."""
    outcomes: list[Any] = []

    def steps() -> Steps[None]:
        outcomes.extend((yield Together([echo(f"k{n}") for n in range(len(successes))])))

    hands = Hands(steps())
    hands.go_on()
    order = list(range(len(successes)))
    random.shuffle(order)
    for place in order:
        assert not hands.turns
        error = None if successes[place] else NotFoundError("missing")
        hands.answer(hands.begun[place], place + 1, error)
    assert hands.turns == 1
    assert hands.go_on()
    for place, (outcome, success) in enumerate(zip(outcomes, successes, strict=True)):
        if success:
            assert outcome == place + 1
        else:
            assert isinstance(outcome, NotFoundError)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_race(successes: list[bool]) -> None:
    """The first success ends it; those that were not waited for have no outcome, and are named."""
    outcomes: list[Any] = []

    def steps() -> Steps[None]:
        race = [echo(f"k{n}") for n in range(len(successes))]
        outcomes.extend((yield Together(race, is_race=True)))

    hands = Hands(steps())
    hands.go_on()
    asked = 0
    for op, success in zip(list(hands.begun), successes, strict=True):
        hands.answer(op, 7, None if success else NotFoundError("missing"))
        asked += 1
        if success:
            break
    unwanted = hands.procedure.unwanted()
    assert unwanted == ([] if asked == len(successes) else hands.begun[asked:])
    assert hands.go_on()
    assert outcomes[asked:] == [None] * (len(successes) - asked)
    assert (7 in outcomes) is any(successes)


class TestTime:
    """All steps share the time of its caller."""

    def test_a_step_has_what_is_left(self) -> None:
        """No operation has longer than the whole."""

        def steps() -> Steps[None]:
            yield echo("a", 2.5)
            yield echo("b", 2.5)

        hands = Hands(steps(), timeout=3.0)
        hands.go_on(0.0)
        hands.answer(hands.begun[0])
        hands.go_on(2.0)
        assert [op.timeout for op in hands.begun] == [2.5, 1.0]

    def test_none_is_left(self) -> None:
        """The next step is not begun, and that is not ambiguous; what was met last is the cause."""

        def steps() -> Steps[None]:
            try:
                yield echo()
            except CasMismatchError:
                yield echo()

        hands = Hands(steps(), timeout=3.0)
        hands.go_on(0.0)
        hands.answer(hands.begun[0], error=CasMismatchError("changed"))
        assert hands.go_on(3.0)
        assert len(hands.begun) == 1
        with pytest.raises(UnambiguousTimeoutError) as caught:
            hands.procedure.result()
        assert isinstance(caught.value.__cause__, CasMismatchError)

    def test_a_time_of_its_own(self) -> None:
        """What follows `Within` has so much, whatever was left."""

        def steps() -> Steps[None]:
            yield echo("a")
            yield Within(20.0)
            yield echo("b", 100.0)

        hands = Hands(steps(), timeout=3.0)
        hands.go_on(0.0)
        hands.answer(hands.begun[0])
        assert not hands.go_on(9.0)
        assert hands.begun[1].timeout == 20.0

    def test_pauses(self) -> None:
        """A pause is no longer than what is left; the session may end it with an error."""

        def steps() -> Steps[None]:
            yield Pause(5.0)

        hands = Hands(steps(), timeout=3.0)
        assert not hands.go_on(1.0)
        assert hands.paused == [2.0]
        assert not hands.procedure.is_ready
        hands.procedure.end(RequestCanceledError("closed"))
        assert hands.go_on(1.0)
        with pytest.raises(RequestCanceledError):
            hands.procedure.result()

    @given(st.integers(0, 200))
    def test_pauses_grow(self, tries: int) -> None:
        """Each is longer than the one before, up to a limit."""
        seconds = [each.seconds for each in pauses(tries)]
        assert len(seconds) == tries
        assert seconds == sorted(seconds)
        assert all(0.002 <= each <= 0.1 for each in seconds)


def test_let_go() -> None:
    """One whose caller has gone closes its generator, so that its `finally` runs."""
    closed: list[bool] = []

    def steps() -> Steps[None]:
        try:
            yield echo()
        finally:
            closed.append(True)

    hands = Hands(steps())
    hands.go_on()
    hands.procedure.let_go()
    assert closed == [True]
    assert hands.procedure.done
    assert not hands.go_on()


def test_within_each_other() -> None:
    """A procedure may do another's steps as its own, and have a value in a failure's place."""

    def inner() -> Steps[int]:
        return int((yield echo("inner")))

    def missing() -> Steps[int]:
        yield echo("missing")
        return 0

    def steps() -> Steps[tuple[int, int, int]]:
        first = yield from perform(procedure("inner", D, "k", None, inner()))
        rescued: Callable[[], int] = lambda: -1  # noqa: E731 - a type for it
        with_default = procedure("missing", D, "k", None, missing()).rescue(NotFoundError, rescued)
        second = yield from perform(with_default)
        third = yield from perform(echo("plain"))
        return first, second, third

    hands = Hands(steps())
    hands.go_on()
    hands.answer(hands.begun[0], 5)
    hands.go_on()
    hands.answer(hands.begun[1], error=NotFoundError("missing"))
    hands.go_on()
    hands.answer(hands.begun[2], 6)
    assert hands.go_on()
    assert hands.procedure.result() == (5, -1, 6)


def test_refused() -> None:
    """A key that is none is refused at the call; one that a session refuses has its error."""

    def steps() -> Steps[None]:
        yield echo()

    with pytest.raises(EmptyKeyError):
        procedure("double", D, "", None, steps())
    made = procedure("double", D, "k", None, steps())
    made.refuse(RequestCanceledError("closed"))
    assert made.done
    with pytest.raises(RequestCanceledError) as caught:
        made.result()
    assert caught.value.key == "k"


def test_outcomes() -> None:
    """An operation has none, its result, or its exception without our frames."""
    op = echo()
    assert outcome_of(op) is None
    op.error = NotFoundError("missing")
    error = outcome_of(op)
    assert isinstance(error, NotFoundError)
    assert error.__traceback__ is None


def answer(status: int) -> ServiceAnswer:
    """Return what a service might say."""
    return ServiceAnswer(status, {}, b"", "host:8091")


def test_service() -> None:
    """A request to a service is a step: its answer is given, whatever the status, or its error."""
    asked = ServiceRequest(Service.MANAGEMENT, "GET", "/pools")

    def steps() -> Steps[Any]:
        first = yield asked
        found = yield Together((echo("a"), asked))
        try:
            yield asked
        except NotFoundError as error:
            return first, found, type(error)

    hands = Hands(steps(), timeout=7.0)
    assert not hands.go_on()
    (call,) = hands.asked
    assert (call.asked, call.timeout, call.batch) == (asked, 7.0, hands.procedure)
    call.reply = answer(404)
    hands.procedure.member_done(call)  # type: ignore[arg-type]
    assert not hands.go_on(5.0)
    # Beside an operation, in what is left of the time.
    (op,) = hands.begun
    second = hands.asked[1]
    assert (op.timeout, second.timeout, op.place, second.place) == (2.0, 2.0, 0, 1)
    op.answer = Frame(0x81, Opcode.GET, 0, 0, 0, 5, b"", b"", b"", b"")
    second.reply = answer(200)
    hands.procedure.member_done(op)
    hands.procedure.member_done(second)  # type: ignore[arg-type]
    assert not hands.go_on(5.0)
    third = hands.asked[2]
    third.error = NotFoundError()
    hands.procedure.member_done(third)  # type: ignore[arg-type]
    assert hands.go_on(5.0)
    assert hands.procedure.result() == (answer(404), [5, answer(200)], NotFoundError)


class Patient:
    """A strategy that waits for three seconds, and has heard why."""

    def __init__(self) -> None:
        self.heard: list[tuple[RetryRequest, RetryReason]] = []

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float:
        self.heard.append((request, reason))
        return 3.0


@pytest.mark.parametrize("strategy", [None, FailFast(), Patient()])
def test_asked_anew(strategy: RetryStrategy | None) -> None:
    """What is refused for now is asked anew, after the strategy's pause, or is raised."""
    asked = ServiceRequest(Service.QUERY, "POST", "/query/service")

    def rows_of(answer: ServiceAnswer) -> int:
        if answer.status != 200:
            raise BusyError("not now")
        return answer.status

    def is_busy(error: Exception) -> bool:
        return isinstance(error, BusyError)

    hands = Hands(asked_until_run(asked, rows_of, is_busy, RetryReason.QUERY_ERROR_RETRYABLE))
    hands.procedure.defaults = asking_by(D, strategy)
    for number, status in enumerate((503, 503, 200)):
        assert not hands.go_on()
        call = hands.asked[number]
        call.reply = answer(status)
        hands.procedure.member_done(call)  # type: ignore[arg-type]
        assert hands.go_on() is (status == 200 or isinstance(strategy, FailFast))
        if hands.procedure.done:
            break
        hands.procedure.awake()
    if isinstance(strategy, FailFast):
        assert hands.paused == []
        with pytest.raises(BusyError, match="not now"):
            hands.procedure.result()
        return
    assert hands.procedure.result() == 200
    assert hands.paused == ([3.0, 3.0] if strategy is not None else [0.002, 0.003])
    if isinstance(strategy, Patient):
        why = RetryReason.QUERY_ERROR_RETRYABLE
        assert strategy.heard == [
            (RetryRequest("double", "", False, 1, ()), why),
            (RetryRequest("double", "", False, 2, (why,)), why),
        ]


def test_no_time_to_ask_anew() -> None:
    """What the service has refused last is the cause, should time run out meanwhile."""
    asked = ServiceRequest(Service.QUERY, "POST", "/query/service")

    def steps() -> Steps[Any]:
        yield Again(BusyError("not now"), RetryReason.QUERY_ERROR_RETRYABLE, 1, 5.0)
        yield asked

    hands = Hands(steps(), timeout=2.0)
    assert not hands.go_on()
    assert hands.paused == [2.0]
    hands.procedure.awake()
    assert hands.go_on(2.0)
    with pytest.raises(UnambiguousTimeoutError) as raised:
        hands.procedure.result()
    assert isinstance(raised.value.__cause__, BusyError)
