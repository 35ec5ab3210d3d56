"""Procedures: operations that follow each other, in virtual time."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from typing import Any

import pytest

from couchloop.exceptions import (
    CasMismatchError,
    CouchbaseError,
    EmptyKeyError,
    ForkedProcessError,
    InvalidTimeoutError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as ops
from couchloop.operations.procedure import (
    Pause,
    Procedure,
    Steps,
    Together,
    pauses,
    procedure,
)
from couchloop.session.session import SessionState
from tests.core.session.support import FIRST, error_of, opened
from tests.core.world import World
from tests.garbage import release


class Mark:
    """Something whose end can be seen."""


def made(w: World, steps: Steps[Any], timeout: float | None = None, **more: Any) -> Procedure[Any]:
    """Make a procedure on the key `k`."""
    return Procedure("take", w.defaults, "k", timeout, steps, **more)


def test_steps_follow_each_other() -> None:
    """Each step is given what became of the one before, and the caller what is returned."""
    w = opened()
    d = w.defaults

    def steps() -> Steps[int]:
        stored = yield ops.upsert(d, "k", 1)
        found = yield ops.get(d, "k")
        assert found.cas == stored.cas
        try:
            yield ops.replace(d, "k", 2, cas=1)
        except CasMismatchError:
            yield ops.replace(d, "k", 3, cas=found.cas)
        return int((yield ops.get(d, "k")).value)

    assert w.do(made(w, steps())) == 3
    w.advance(10)
    w.assert_idle()


def test_pauses_pass_on_the_loop() -> None:
    """A pause takes half of its time at least, and all of it at most; nothing is sent meanwhile."""
    w = opened()

    def steps() -> Steps[str]:
        yield Pause(1.0)
        return str((yield ops.get(w.defaults, "k", quiet=True)).value)

    asked = w.submit(made(w, steps()))
    w.advance(0.49)
    assert not asked.done
    w.advance(0.52)
    assert asked.result() == "None"


def test_pauses_grow_to_a_limit() -> None:
    """Tries are bounded, and the pauses between them grow to a tenth of a second."""
    seconds = [pause.seconds for pause in pauses(30)]
    assert len(seconds) == 30
    assert seconds == sorted(seconds)
    assert seconds[0] < 0.01
    assert seconds[-1] == 0.1


def test_several_at_once() -> None:
    """Operations of one step are issued together, and each has its own outcome."""
    w = opened()
    d = w.defaults
    w.do(ops.upsert(d, "a", 1))

    def steps() -> Steps[list[Any]]:
        return list((yield Together([ops.get(d, "a"), ops.get(d, "no"), ops.upsert(d, "b", 2)])))

    read, missing, stored = w.do(made(w, steps()))
    assert read.value == 1
    assert isinstance(missing, NotFoundError)
    assert stored.success


def test_a_race_ends_with_its_first_success() -> None:
    """What is not waited for any more is cancelled, and has no outcome."""
    w = opened()
    d = w.defaults
    slow, *_ = w.keys_of(FIRST)
    fast = next(f"f{n}" for n in range(100) if w.owner(f"f{n}") != FIRST)
    w.do(ops.upsert(d, fast, 1))
    number = w.link_to(FIRST)
    link = w.links.pop(number)

    def steps() -> Steps[list[Any]]:
        race = [ops.get(d, slow), ops.get(d, fast)]
        return list((yield Together(race, is_race=True)))

    lost, won = w.do(made(w, steps()))
    assert lost is None
    assert won.value == 1
    w.links[number] = link
    w.advance(10)
    w.assert_idle()


def test_a_race_without_a_winner() -> None:
    """Where none succeeds, all have their outcomes."""
    w = opened()
    d = w.defaults

    def steps() -> Steps[list[Any]]:
        return list((yield Together([ops.get(d, "x"), ops.get(d, "y")], is_race=True)))

    assert [type(each) for each in w.do(made(w, steps()))] == [NotFoundError, NotFoundError]


def test_its_error_is_the_callers() -> None:
    """What a step has met reaches the caller, with the name and the key of the whole."""
    w = opened()

    def steps() -> Steps[None]:
        yield ops.get(w.defaults, "other")

    error = error_of(w.submit(made(w, steps())) and _settled(w))
    assert type(error) is NotFoundError
    assert error.context is not None
    assert error.context.operation == "take"
    assert error.context.timeout == 2.5
    assert not error.result.success


def _settled(w: World) -> Any:
    w.settle()
    return w.delivered[-1]


def test_errors_of_the_users_own_code() -> None:
    """What his own function raises reaches the caller as it is, once; nothing else is harmed."""
    w = opened()

    def steps() -> Steps[None]:
        yield ops.get(w.defaults, "k", quiet=True)
        raise ZeroDivisionError

    asked = made(w, steps())
    with pytest.raises(ZeroDivisionError):
        w.do(asked)
    w.do(ops.upsert(w.defaults, "k", 1))
    w.advance(10)
    w.assert_idle()


def test_one_time_for_all_steps() -> None:
    """All steps share the time of the caller; what is not sent for lack of it is no ambiguity."""
    w = opened()

    def steps() -> Steps[None]:
        while True:
            try:
                yield ops.replace(w.defaults, "no", 1)
            except NotFoundError:
                yield Pause(0.3)

    asked = w.submit(made(w, steps(), 1.0))
    w.advance(0.9)
    assert not asked.done
    w.advance(0.11)
    error = error_of(asked)
    assert type(error) is UnambiguousTimeoutError
    assert isinstance(error.__cause__, NotFoundError)
    assert error.context is not None
    assert error.context.timeout == 1.0
    w.advance(10)
    w.assert_idle()


def test_a_step_has_what_is_left() -> None:
    """A step that is not answered ends when the time of the whole is up."""
    w = opened()
    seen = []

    def steps() -> Steps[None]:
        yield Pause(0.8)
        w.links.clear()
        op = ops.get(w.defaults, "k")
        seen.append(op)
        yield op

    asked = w.submit(made(w, steps(), 1.0, idempotent=True))
    w.advance(1.0)
    assert isinstance(error_of(asked), UnambiguousTimeoutError)
    assert 0.2 <= seen[0].timeout <= 0.6


@pytest.mark.parametrize("where", ["operation", "pause"])
def test_cancelled(where: str) -> None:
    """A caller that goes away ends it at once: the step is cancelled, and nothing is kept."""
    w = opened()
    ended = []
    kept: list[weakref.ref[Any]] = []

    def steps() -> Steps[None]:
        mark = Mark()
        kept.append(weakref.ref(mark))
        try:
            yield Pause(1.0) if where == "pause" else ops.get(w.defaults, "k")
        finally:
            ended.append(where)

    asked = w.submit(made(w, steps()))
    w.session.cancel_batch(asked)
    assert ended == [where]
    w.advance(10)
    w.assert_idle()
    assert not w.delivered
    release()
    assert kept[0]() is None


@pytest.mark.parametrize("where", ["operation", "pause"])
def test_closed_meanwhile(where: str) -> None:
    """A session that closes ends it with an error that its generator may see."""
    w = opened()
    seen = []

    def steps() -> Steps[None]:
        try:
            yield Pause(1.0) if where == "pause" else ops.get(w.defaults, "k")
        except CouchbaseError as error:
            seen.append(type(error))
            yield ops.get(w.defaults, "k")

    asked = w.submit(made(w, steps()))
    w.session.close(w.now)
    assert seen == [RequestCanceledError]
    assert type(error_of(asked)) is ObjectDestroyedError
    assert w.delivered[-1] is asked


def test_closing_in_order_waits() -> None:
    """A session that closes in order lets a procedure take its next steps, and then ends."""
    w = opened()

    def steps() -> Steps[int]:
        yield ops.upsert(w.defaults, "k", 1)
        yield Pause(0.1)
        return int((yield ops.get(w.defaults, "k")).value)

    asked = w.submit(made(w, steps()))
    w.session.close(w.now, 1.0)
    w.advance(0.2)
    assert asked.result() == 1
    assert w.session.state is SessionState.CLOSED
    with pytest.raises(ObjectDestroyedError):
        w.do(made(w, steps()))


@pytest.mark.parametrize("is_safe", [True, False])
def test_in_a_forked_child(is_safe: bool) -> None:
    """A forked child says that its parent goes on with it."""
    w = opened()

    def steps() -> Steps[None]:
        yield Pause(1.0)

    asked = w.submit(made(w, steps(), idempotent=is_safe))
    w.session.forked()
    w.settle()
    error = error_of(asked)
    assert isinstance(error, ForkedProcessError)
    assert (type(error) is ForkedProcessError) is is_safe


def test_it_goes_on_where_user_code_may_run() -> None:
    """Where the session's owner gives the turns, no step is begun outside of one."""
    w = opened()
    turns: list[Procedure[Any]] = []
    session: Any = w.session
    session._procedures._give_turn = lambda procedure, _: turns.append(procedure)
    begun = []

    def steps() -> Steps[None]:
        for number in range(3):
            begun.append(number)
            yield ops.get(w.defaults, "k", quiet=True)

    asked = w.submit(made(w, steps()))
    w.settle()
    assert begun == [0]
    assert turns == [asked]
    while not asked.done:
        w.session.go_on(asked, w.now)
        w.settle()
    assert begun == [0, 1, 2]


def test_answers_within_a_turn_are_not_lost() -> None:
    """A step that is complete while another turn is busy with its procedure is not forgotten."""
    w = opened()

    def steps() -> Steps[Any]:
        first = yield ops.get(w.defaults, "k", quiet=True)
        w.session.go_on(asked, w.now)
        second = yield ops.get(w.defaults, "k", quiet=True)
        return first.success, second.success

    asked = made(w, steps())
    assert w.do(asked) == (False, False)


def test_result_may_be_asked_twice() -> None:
    """Each time an exception of its own is raised, without the frames of the first."""
    w = opened()

    def steps() -> Steps[None]:
        yield ops.get(w.defaults, "no")

    asked = w.submit(made(w, steps()))
    w.settle()
    first, second = error_of(asked), error_of(asked)
    assert first is not second
    assert type(first) is type(second) is NotFoundError


def test_bad_arguments() -> None:
    """A key or a time that is none is refused at the call."""
    w = opened()

    def steps() -> Steps[None]:
        yield Pause(1.0)

    with pytest.raises(EmptyKeyError):
        procedure("take", w.defaults, "", None, steps())
    with pytest.raises(InvalidTimeoutError):
        procedure("take", w.defaults, "k", -1, steps())


def test_nothing_is_kept_of_what_has_ended() -> None:
    """A procedure that has ended, well or not, is gone with its last reference, and its steps."""
    w = opened()

    def steps(key: str) -> Steps[None]:
        mark = Mark()
        kept.append(weakref.ref(mark))
        yield ops.get(w.defaults, key)

    class Watched(Procedure[Any]):
        __slots__ = ("__weakref__",)

    kept: list[Any] = []
    w.do(ops.upsert(w.defaults, "yes", 1))
    gc.disable()
    try:
        for key in ("yes", "no"):
            asked = w.submit(Watched("take", w.defaults, key, None, steps(key)))
            w.settle()
            with pytest.raises(NotFoundError) if key == "no" else nullcontext():
                asked.result()
            kept.append(weakref.ref(asked))
            del asked
            w.delivered.clear()
        release()
        assert [ref() for ref in kept] == [None] * 4
    finally:
        gc.enable()
