"""Virtual time: one heap of events, and one digest of all that happened."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

_EPOCH: Final = 1_700_000_000.0
_MOST_AT_ONE_INSTANT: Final = 50_000


class EndlessError(Exception):
    """Things happen without end while time stands still."""


class Timer:
    """An event to come, unless it is cancelled."""

    __slots__ = ("action", "arguments")

    def __init__(self, action: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
        self.action = action
        self.arguments = arguments

    def cancel(self) -> None:
        """Let nothing happen."""
        self.action = None
        self.arguments = ()


class Loop:
    """The time of one world. It is the cluster's clock too.

    Args:
        trace: called with a line for everything that is noted.
    """

    def __init__(self, trace: Callable[[str], object] | None = None) -> None:
        self.ticks = 0
        """Orders what happens at one instant; see `tick`."""
        self.events = 0
        self._now = 0.0
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = 0
        self._digest = blake2b(digest_size=16)
        self._trace = trace

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return _EPOCH + self._now

    def tick(self) -> int:
        """Return a number that is greater than all before it."""
        self.ticks += 1
        return self.ticks

    def at(self, when: float, action: Callable[..., object], *arguments: Any) -> Timer:
        """Call *action* at *when*; what is due at one instant runs in the order of these calls."""
        timer = Timer(action, arguments)
        self._numbers += 1
        heapq.heappush(self._heap, (max(when, self._now), self._numbers, timer))
        return timer

    def after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> Timer:
        """Call *action* when so many seconds have passed."""
        return self.at(self._now + seconds, action, *arguments)

    def run(self, until: float) -> None:
        """Let time pass. Raises EndlessError if it does not get on."""
        heap = self._heap
        at_once = 0
        while heap and heap[0][0] <= until:
            when, _, timer = heapq.heappop(heap)
            if timer.action is None:
                continue
            if when > self._now:
                self._now = when
                at_once = 0
            at_once += 1
            if at_once > _MOST_AT_ONE_INSTANT:
                raise EndlessError(f"{at_once} events at {when!r}, the next: {timer.action!r}")
            self.events += 1
            timer.action(*timer.arguments)
        self._now = max(self._now, until)

    def note(self, text: str) -> None:
        """Write down that something happened: it counts in the digest."""
        line = f"{self._now!r} {text}\n"
        self._digest.update(line.encode())
        if self._trace is not None:
            self._trace(line)

    def digest(self) -> str:
        """What distinguishes this run from every other."""
        return self._digest.hexdigest()
