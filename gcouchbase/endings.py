"""What ends a driver from outside: its process forks, or the thread of its hub ends."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, Protocol
from weakref import WeakSet

from gcouchbase.internals import renew_after_fork, thread_local


class OnHub(Protocol):
    """What is told: a driver."""

    @property
    def home(self) -> object:
        """Its hub."""

    def is_here(self) -> bool:
        """Whether this is the thread of the hub, and the hub lives."""

    def forked(self) -> None:
        """Record that this is a forked child."""

    def thread_ended(self) -> None:
        """Record that the hub never runs again."""


_drivers: Final[WeakSet[OnHub]] = WeakSet()


class _ThreadEnd:
    """Ends with its thread, and sees to the drivers whose hub never runs again from then on."""

    def __init__(self) -> None:
        self.drivers: WeakSet[OnHub] = WeakSet()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            for driver in list(self.drivers):
                driver.thread_ended()


_of_thread: Final[Any] = thread_local()
"""What this thread has: its `_ThreadEnd`."""


def watch_for_end(driver: OnHub) -> None:
    """Register *driver*, which is of this thread's hub; it is held weakly."""
    _drivers.add(driver)
    if not hasattr(_of_thread, "end"):
        _of_thread.end = _ThreadEnd()
    _of_thread.end.drivers.add(driver)


def _after_fork() -> None:
    """In a forked child, drop the connections of the parent."""
    drivers = list(_drivers)
    # First the loop: see there.
    for hub in {driver.home for driver in drivers if driver.is_here()}:
        renew_after_fork(hub)
    for driver in drivers:
        driver.forked()


os.register_at_fork(after_in_child=_after_fork)
