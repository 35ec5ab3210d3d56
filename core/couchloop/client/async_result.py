"""AsyncResult: what SDK 2.5's raw Buckets return, before its outcome is there."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from couchloop.hot.result import MultiResult

Callback = Callable[[Any], Any]
Errback = Callable[[Any, type[BaseException], BaseException, TracebackType | None], Any]


class AsyncResult(MultiResult[Any]):
    """The outcome of one call, by key, filled when it is there (SDK 2.5).

    Attributes:
        callback: Called with the result: of one key the Result itself, of several this dict.
        errback: Called with the same, and the exception as `sys.exc_info` has it.
        remaining: How many keys have no result yet.

    """

    callback: Callback | None = None
    errback: Errback | None = None

    def __init__(self, count: int = 1, *, is_single: bool = True) -> None:
        super().__init__()
        self.remaining = count
        self._is_single = is_single
        self._error: BaseException | None = None
        self._is_done = False
        self.has_told = False
        """Whether one of the callbacks was called."""
        self.told: Callable[[], Any] | None = None
        """Called when an error has been told."""

    @property
    def all_ok(self) -> bool:
        """Whether every key succeeded, as far as that is known."""
        return self._error is None and super().all_ok

    def set_callbacks(self, callback: Callback | None, errback: Errback | None = None) -> None:
        """Have these called with the outcome, at once if it is there."""
        self.callback, self.errback = callback, errback
        if self._is_done:
            self._tell()

    def clear_callbacks(self) -> None:
        """Call nobody any more."""
        self.callback = self.errback = None

    def _set_single(self) -> None:
        """Have the callback given the Result of the one key, and not this dict."""
        self._is_single = True

    def finish(self, results: Any) -> None:
        """Take the results: a dict of key and Result, or one Result."""
        if isinstance(results, dict):
            self.update(results)
        else:
            self[getattr(results, "key", None)] = results
        self._end()

    def fail(self, error: BaseException) -> None:
        """Take the error, and the results that it has."""
        self.update(getattr(error, "all_results", None) or {})
        self._error = error
        self._end()

    def _end(self) -> None:
        self.remaining = 0
        self._is_done = True
        self._tell()

    def _tell(self) -> None:
        if self.has_told:
            return
        given: Any = self
        if self._is_single and len(self) == 1:
            (given,) = self.values()
        error = self._error
        if error is None:
            if self.callback is not None:
                self.has_told = True
                self.callback(given)
        elif self.errback is not None:
            self.has_told = True
            self.errback(given, type(error), error, error.__traceback__)
            if self.told is not None:
                self.told()
