"""A loop that stands still: what has come is read first, and peers are not blamed for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AmbiguousTimeoutError,
    CouchbaseError,
    LoopBlockedError,
    NodeTimeoutError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as ops
from couchloop.session.ping import ping
from couchloop.session.standstill import LATE, CatchUp, blame, blocked_for
from couchloop.session.timers import Limit, Timers
from tests.core.client.loop import Bucket, Loop, ManualDriver, Transport, opened


@pytest.fixture(name="loop")
def _loop() -> Loop:
    return Loop()


def fired(timers: Timers, limit: Limit, until: float = 100.0) -> float | None:
    """Let time pass; give when *limit* has fired, None: it has not."""
    while timers.wakeup <= until:
        now, timers.wakeup = timers.wakeup, 1e9
        timers.fire(now)
        if not limit.live:
            return now
    return None


class TestLimit:
    """Time limits of peers."""

    @given(st.floats(0.001, 100.0), st.floats(0.0, 1e6))
    def test_loop_that_runs(self, seconds: float, now: float) -> None:
        """As long as the loop runs it is a timer like every other."""
        timers = Timers()
        limit = timers.limit(now, seconds, lambda _: None)
        assert fired(timers, limit, 1e9) == now + seconds

    def test_standstill(self) -> None:
        """What the loop stands still does not count; nor half of the slice in which it began."""
        timers = Timers()
        limit = timers.limit(0.0, 2.0, lambda _: None)
        timers.stood_still(0.5, 10.0)
        timers.wakeup = 1e9
        timers.fire(10.0)
        assert fired(timers, limit) == pytest.approx(11.75)

    def test_chronic(self) -> None:
        """A loop that stands still again and again comes to an end: a slice counts half at least.

        That takes twice as many slices.
        """
        timers = Timers()
        ended: list[float] = []
        timers.limit(0.0, 2.0, ended.append)
        for number in range(8):
            assert not ended
            timers.stood_still(number * 10.0 + 0.5, number * 10.0 + 10.0)
            timers.fire(number * 10.0 + 10.0)
        assert ended

    def test_cancelled(self) -> None:
        """One that is cancelled never fires."""
        timers = Timers()
        limit = timers.limit(0.0, 2.0, lambda _: pytest.fail("fired"))
        timers.fire(0.5)
        limit.cancel()
        timers.fire(5.0)
        assert not timers

    def test_excuse(self) -> None:
        """A tenth of a limit, and more, is worth telling; overlapping times count once."""
        timers = Timers()
        assert timers.excuse(0.0, 2.5, 2.5) == 0.0
        timers.stood_still(1.0, 1.2)
        assert timers.excuse(0.0, 2.5, 2.5) == 0.0
        timers.stood_still(1.1, 1.5)
        assert timers.excuse(0.0, 2.5, 2.5) == pytest.approx(0.5)
        assert timers.excuse(1.5, 2.5, 1.0) == 0.0
        for number in range(100):
            timers.stood_still(number * 10.0 + 10.0, number * 10.0 + 11.0)
        # Only the last ones are remembered.
        assert timers.standstill(0.0, 1e9) == pytest.approx(8.0)


class Delayed:
    """A session as a catch-up needs it."""

    def __init__(self) -> None:
        self.hears = True
        self.told: list[tuple[float, float]] = []

    def stood_still(self, since: float, until: float) -> None:
        self.told.append((since, until))

    def heard_since(self, when: float) -> bool:
        assert when
        return self.hears


class TestCatchUp:
    """Turns of the loop for reading."""

    def test_in_time(self) -> None:
        """Who is in time waits for nothing."""
        session = Delayed()
        catch_up = CatchUp(session)
        catch_up.overdue(1.0, 1.0 + LATE / 2)
        assert not catch_up.reads_first(1.0)
        assert not session.told

    def test_as_long_as_something_comes(self) -> None:
        """Two turns are for reading whatever comes; then as many as bring something."""
        session = Delayed()
        catch_up = CatchUp(session)
        catch_up.overdue(1.0, 2.0)
        assert session.told == [(1.0, 2.0)]
        assert all(catch_up.reads_first(2.0) for _ in range(20))
        assert catch_up.is_reading
        session.hears = False
        assert not catch_up.reads_first(2.0)
        assert not catch_up.is_reading
        catch_up.overdue(3.0, 4.0)
        assert [catch_up.reads_first(4.0) for _ in range(3)] == [True, True, False]

    def test_bounded(self) -> None:
        """A peer that never stops sending keeps nothing from its end."""
        catch_up = CatchUp(Delayed())
        catch_up.overdue(1.0, 2.0)
        turns = 0
        while catch_up.reads_first(2.0):
            turns += 1
            # Nor does code that blocks in each of these turns.
            catch_up.overdue(1.0, 2.0)
        assert turns == 128

    def test_again(self) -> None:
        """If the loop stands still once more meanwhile, what came then is read too."""
        session = Delayed()
        session.hears = False
        catch_up = CatchUp(session)
        catch_up.overdue(1.0, 2.0)
        assert [catch_up.reads_first(2.0) for _ in range(2)] == [True, True]
        catch_up.overdue(2.0, 3.0)
        assert [catch_up.reads_first(3.0) for _ in range(3)] == [True, True, False]


def test_blame() -> None:
    """The text is equal for all durations; those are attributes, and earlier causes stay."""
    why = ValueError("why")
    texts = set()
    for seconds in (0.5, 3.0):
        error = CouchbaseError("It failed.")
        error.__cause__ = why
        assert blame(error, seconds) is error
        texts.add(str(error))
        cause = error.__cause__
        assert isinstance(cause, LoopBlockedError)
        assert (cause.duration, blocked_for(error), cause.__cause__) == (seconds, seconds, why)
    assert len(texts) == 1
    error = CouchbaseError("It failed.")
    assert str(blame(error, 0.0)) == "It failed."
    assert blocked_for(error) == blocked_for(None) == 0.0


class TestDriver:
    """The one timer, when the loop stood still."""

    @staticmethod
    def blocked(loop: Loop, bucket: Bucket, seconds: float) -> None:
        """Let the nodes answer, and time pass, and the loop go on with its timers first."""
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)
        loop.world.clock.advance(seconds)
        due, driver.armed = driver.armed, None
        assert due is not None
        assert due < loop.world.now
        driver.deadline()

    def submitted(self, loop: Loop, bucket: Bucket, *operations: Any) -> None:
        """Submit, and have it written."""
        for op in operations:
            bucket._driver.submit(op)
        for call in loop.calls:
            call()
        loop.calls.clear()

    def test_answers_count(self, loop: Loop) -> None:
        """Answers that have come are read before anything expires."""
        bucket = opened(loop)
        loop.run()
        gets = [ops.get(bucket._defaults, f"k{n}", quiet=True) for n in range(10)]
        self.submitted(loop, bucket, *gets)
        self.blocked(loop, bucket, 3.0)
        loop.run(0.01)
        assert all(get.answer is not None for get in gets)

    def test_no_answer(self, loop: Loop) -> None:
        """What has none ends a few turns later, and tells of the loop."""
        bucket = opened(loop)
        loop.run()
        for node in loop.world.cluster.nodes:
            loop.world.cluster.hang(node)
        pending: list[Any] = [
            ops.get(bucket._defaults, "a"),
            ops.upsert(bucket._defaults, "a", 1),
        ]
        self.submitted(loop, bucket, *pending)
        self.blocked(loop, bucket, 3.0)
        assert not any(op.done for op in pending)
        loop.run(0.01)
        for op, kind in zip(pending, (UnambiguousTimeoutError, AmbiguousTimeoutError), strict=True):
            assert isinstance(op.error, kind)
            assert "the event loop stood still meanwhile" in op.error.message
            assert 0.5 <= blocked_for(op.error) <= 3.0

    def test_blocked_before_it_was_written(self, loop: Loop) -> None:
        """Where the turn that issued it blocked, that time is known exactly."""
        bucket = opened(loop)
        loop.run()
        get = ops.get(bucket._defaults, "a")
        bucket._driver.submit(get)
        for node in loop.world.cluster.nodes:
            loop.world.cluster.hang(node)
        loop.world.clock.advance(3.0)
        loop.run(0.01)
        assert blocked_for(get.error) == pytest.approx(3.0)

    def test_blocked_within_a_callback(self, loop: Loop) -> None:
        """Likewise where code blocks that an answer has set going."""
        bucket = opened(loop)
        loop.run()
        later = ops.get(bucket._defaults, "b", timeout=1.0)
        driver = bucket._driver

        def deliver(completed: Any) -> None:
            completed.waiter = True
            if completed is not later:
                driver.submit(later)
                for node in loop.world.cluster.nodes:
                    loop.world.cluster.hang(node)
                loop.world.clock.advance(2.0)

        driver.session.delivers = deliver
        driver.submit(ops.get(bucket._defaults, "a", quiet=True))
        loop.run(2.01)
        assert isinstance(later.error, UnambiguousTimeoutError)
        assert 1.0 <= blocked_for(later.error) <= 2.0

    def test_opening(self, loop: Loop) -> None:
        """A Bucket that is opened before its loop runs has its time from then on."""
        bucket = opened(loop)
        loop.world.clock.advance(30.0)
        loop.run(0.01)
        assert bucket._driver.session.is_open

    def test_a_node_that_hangs(self, loop: Loop) -> None:
        """A node that does not answer after that either fails as it should, if later."""
        for node in loop.world.cluster.nodes:
            loop.world.cluster.hang(node)
        bucket = opened(loop, "couchbase://127.0.0.1:10000?bootstrap_on=cccp")
        loop.world.clock.advance(1.0)
        # Two seconds, what was lost, and half a slice.
        loop.run(2.2)
        assert bucket._driver.session.error is None
        loop.run(0.1)
        error = bucket._driver.session.error
        assert isinstance(error, NodeTimeoutError)
        assert "stood still" in error.message

    def test_waiting_for_nodes(self, loop: Loop) -> None:
        """wait_until_ready and ping tell of it too."""
        bucket = opened(loop)
        loop.run()
        for node in loop.world.cluster.nodes:
            loop.world.cluster.hang(node)
        asked = ping(bucket._defaults, timeout=1.0)
        self.submitted(loop, bucket, asked)
        self.blocked(loop, bucket, 3.0)
        loop.run(0.01)
        details = {entry["details"] for entry in asked.result()["kv"]}
        assert details == {
            "the event loop stood still meanwhile: move what blocks it into a thread"
        }

    def test_closing_within_a_turn_for_reading(self, loop: Loop) -> None:
        """A Bucket that closes meanwhile leaves no timer."""
        bucket = opened(loop)
        loop.run()
        self.submitted(loop, bucket, ops.get(bucket._defaults, "a", quiet=True))
        self.blocked(loop, bucket, 3.0)
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)
        assert driver.armed is not None
        bucket._close()
        loop.run()
        assert driver.armed is None
        assert all(isinstance(each, Transport) for each in driver.transports.values())
