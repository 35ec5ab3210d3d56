"""Calls that are due at some time; no clock: whoever has one asks when, and says when it is."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf


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


class Timers:
    """The timers of one session, and the time at which it wants to be woken.

    Attributes:
        wakeup: no later than the first live timer; whoever has deadlines of its own lowers it.

    """

    __slots__ = ("_heap", "_numbers", "wakeup")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self.wakeup = inf

    def __bool__(self) -> bool:
        """Whether any timer is live."""
        heap = self._heap
        while heap and not heap[0][2].live:
            heapq.heappop(heap)
        return bool(heap)

    def call_at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Have *action* called with the time, at *when* or after."""
        timer = Timer(when, action)
        heapq.heappush(self._heap, (when, next(self._numbers), timer))
        self.wakeup = min(self.wakeup, when)
        return timer

    def fire(self, now: float) -> None:
        """Make the calls that are due, those of the same time in the order of their making."""
        heap = self._heap
        while heap and (heap[0][0] <= now or not heap[0][2].live):
            heapq.heappop(heap)[2].fire(now)
        if heap:
            self.wakeup = min(self.wakeup, heap[0][0])

    def clear(self) -> None:
        """Forget all of them."""
        self._heap.clear()
        self.wakeup = inf
