"""Where the embedded cluster takes the time from."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where the embedded cluster takes the time from."""

    def now(self) -> float:
        """Monotonic seconds: locks, delays, deadlines."""

    def wall(self) -> float:
        """Seconds since the epoch: expiry, CAS."""


class ManualClock:
    """A clock that stands until it is told to go on: for tests and simulations."""

    def __init__(self, wall: float = 1_700_000_000.0, now: float = 0.0) -> None:
        self._wall = wall
        self._now = now

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self._now += seconds
        self._wall += seconds
