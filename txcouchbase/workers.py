"""Threads of our own for what may block: name look-ups, key derivations, files."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from twisted.python.failure import Failure

MOST: Final = 10


class Workers:
    """Threads as a pool of Twisted's, but each ends as soon as there is nothing to do.

    Not those of the reactor's pool: all of them may be waiting for a Bucket (`threadsafe`), which
    would then wait for them.
    """

    def __init__(self) -> None:
        self._reset()
        # A forked child has none of the threads.
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = allocate_lock()
        self._works: deque[tuple[Callable[..., object], Callable[..., object], Any, Any]] = deque()
        self._threads = 0

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, Any], object],
        func: Callable[..., object],
        *args: Any,
        **kw: Any,
    ) -> None:
        """Call *func* in a thread, and then, there too, *onResult*; see Twisted's ThreadPool."""
        with self._lock:
            self._works.append((onResult, func, args, kw))
            if self._threads == MOST:
                return
            self._threads += 1
        try:
            Thread(target=self._work, name="couchloop", daemon=True).start()
        except Exception:  # noqa: BLE001 - whoever waits for the work is told
            self._not_started()

    def _not_started(self) -> None:
        """Leave the work to the threads that there are, if there are any; else it fails."""
        with self._lock:
            self._threads -= 1
            if self._threads:
                return
            works = list(self._works)
            self._works.clear()
        for tell, *_ in works:
            tell(False, Failure())  # type: ignore[no-untyped-call]

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._works:
                    self._threads -= 1
                    return
                tell, func, args, kw = self._works.popleft()
            try:
                outcome: tuple[bool, Any] = (True, func(*args, **kw))
            except BaseException:  # noqa: BLE001 - whoever waits for it is told
                outcome = (False, Failure())  # type: ignore[no-untyped-call]
            tell(*outcome)
            # Not kept while this thread looks for more.
            del tell, func, args, kw, outcome


workers: Final = Workers()
"""Those of this process."""
