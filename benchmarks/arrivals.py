"""Operations that arrive by themselves, as users do. Standard library only, Linux only.

They come at random moments (a Poisson process) of a mean rate, and wait for no answers. A latency
counts from the moment at which the operation was to arrive: whatever is late, be it this program,
is part of it.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from random import Random

_libc = ctypes.CDLL(None, use_errno=True)
_MONOTONIC, _ABSOLUTE = 1, 1
_SOON = 0.05
"""Seconds from the start to the first arrival, about."""


class _Times(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Arrivals:
    """A descriptor that can be read whenever operations have arrived.

    Args:
        rate: operations per second, in the mean.
        seconds: for how long.
        blocks: whether `due` waits for the next one.

    Attributes:
        latencies: seconds, of all that are complete.
        left: operations that are not complete, or still to come.

    """

    def __init__(self, rate: float, seconds: float, *, blocks: bool = False) -> None:
        random = Random(4711)
        began = time.monotonic() + _SOON
        moment = began
        self._times: list[float] = []
        while moment < began + seconds:
            moment += random.expovariate(rate)
            self._times.append(moment)
        self.left = len(self._times)
        self._next = 0
        self.latencies: list[float] = []
        self._descriptor: int = _libc.timerfd_create(_MONOTONIC, 0 if blocks else os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._set()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    @property
    def has_more(self) -> bool:
        """Whether any are still to arrive."""
        return self._next < len(self._times)

    def _set(self) -> None:
        """Have the descriptor be readable once the next one arrives."""
        if self.has_more:
            seconds, part = divmod(self._times[self._next], 1)
            times = _Times(0, 0, int(seconds), max(1, int(part * 1e9)))
            _libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(times), None)

    def due(self) -> list[float]:
        """Return the moments of those that have arrived since the last call."""
        with suppress(BlockingIOError):
            os.read(self._descriptor, 8)
        now, times, first = time.monotonic(), self._times, self._next
        last, end = first, len(times)
        while last < end and times[last] <= now:
            last += 1
        self._next = last
        self._set()
        return times[first:last]

    def done(self, moment: float) -> bool:
        """Take note that the operation of *moment* is complete; return whether all are."""
        self.latencies.append(time.monotonic() - moment)
        self.left -= 1
        return not self.left

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
