"""Calls that are due at some time; no clock: whoever has one asks when, and says when it is.

Also how long the loop stood still: that time is not the peers' (`Limit`), and errors tell of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final

from couchloop.hot.deadlines import Alarm

_SLICES: Final = 4
"""So often the loop is looked at while a limit runs."""
_MOST_STANDSTILLS: Final = 8
_WORTH_TELLING: Final = 0.1
"""The part of a time limit that the loop must have stood still for errors to tell of it."""


class Timer:
    """A call that is due at some time, unless it is cancelled."""

    __slots__ = ("_action", "when")

    def __init__(self, when: float, action: Callable[[float], None]) -> None:
        self.when = when
        self._action: Callable[[float], None] | None = action

    @property
    def live(self) -> bool:
        """Whether it is still to fire."""
        return self._action is not None

    def cancel(self) -> None:
        """Do not fire."""
        self._action = None

    def fire(self, now: float) -> None:
        """Make the call, once."""
        action, self._action = self._action, None
        if action is not None:
            action(now)


class Limit(Timer):
    """A call that is due once the loop has run for so long: what a peer has for its answer.

    It fires in slices, so that a loop that stands still is noticed. Such a slice counts half, for
    nobody knows when in it that began: what has still to be done gets some time, and a loop that
    always stands still comes to an end all the same.
    """

    __slots__ = ("_begun", "_slice", "_timers", "_until")

    def __init__(
        self, timers: Timers, now: float, seconds: float, action: Callable[[float], None]
    ) -> None:
        self._timers = timers
        self._begun = now
        self._slice = seconds / _SLICES
        self._until = now + seconds
        super().__init__(min(now + self._slice, self._until), action)

    def fire(self, now: float) -> None:
        """See `Timer`."""
        lost = self._timers.standstill(self._begun, now)
        if lost:
            self._until += lost + self._slice / 2
        if not self.live or now >= self._until:
            super().fire(now)
            return
        self._begun = now
        self.when = min(now + self._slice, self._until)
        self._timers.push(self)


class Timers(Alarm):
    """The timers of one session, and the time at which it wants to be woken.

    Attributes:
        wakeup: no later than the first live timer; whoever has deadlines of its own lowers it.

    """

    __slots__ = ("_heap", "_numbers", "_standstills")

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._standstills: list[tuple[float, float]] = []

    def __bool__(self) -> bool:
        """Whether any timer is live."""
        heap = self._heap
        while heap and not heap[0][2].live:
            heapq.heappop(heap)
        return bool(heap)

    def call_at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Call *action* with the time, at *when* or after."""
        timer = Timer(when, action)
        self.push(timer)
        return timer

    def limit(self, now: float, seconds: float, action: Callable[[float], None]) -> Limit:
        """Call *action* with the time, once the loop has run for so long from *now* on."""
        limit = Limit(self, now, seconds, action)
        self.push(limit)
        return limit

    def push(self, timer: Timer) -> None:
        """Make *timer* fire when it is due."""
        heapq.heappush(self._heap, (timer.when, next(self._numbers), timer))
        self.wakeup = min(self.wakeup, timer.when)

    def fire(self, now: float) -> None:
        """Make the calls that are due, those of the same time in the order of their making."""
        heap = self._heap
        while heap and (heap[0][0] <= now or not heap[0][2].live):
            heapq.heappop(heap)[2].fire(now)
        if heap:
            self.wakeup = min(self.wakeup, heap[0][0])

    def clear(self) -> None:
        """Forget all of them."""
        for _, _, timer in self._heap:
            timer.cancel()
        self._heap.clear()
        self.wakeup = inf

    # A loop that stands still

    def stood_still(self, since: float, until: float) -> None:
        """Record that nothing could be done between these times: the loop stood still."""
        known = self._standstills
        if known and since <= known[-1][1]:
            since = min(since, known.pop()[0])
        known.append((since, until))
        del known[:-_MOST_STANDSTILLS]

    def standstill(self, since: float, now: float) -> float:
        """Return how many seconds between these times the loop stood still, as far as is known."""
        return sum(max(0.0, min(end, now) - max(begin, since)) for begin, end in self._standstills)

    def excuse(self, since: float, now: float, limit: float) -> float:
        """Return the same; 0.0 if that is too little of *limit* seconds to be worth telling."""
        lost = self.standstill(since, now) if self._standstills else 0.0
        return lost if lost >= limit * _WORTH_TELLING else 0.0
