"""Plain threads that tests of either loop begin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Threads:
    """So many plain threads, each with its own number, and what becomes of them."""

    def __init__(self, work: Callable[[int], Any], count: int = 64) -> None:
        self.results: dict[int, Any] = {}
        """What *work* gave, or raised, by number."""
        self._work = work
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        try:
            self.results[number] = self._work(number)
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self.results[number] = error

    @property
    def ended(self) -> bool:
        """Whether none of them runs any more."""
        return not any(thread.is_alive() for thread in self._threads)
