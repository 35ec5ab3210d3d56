"""Whoever is told of what is over, and when reports of it are due."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from couchloop.observe.reports import Reporter, reporters

if TYPE_CHECKING:
    from couchloop.observation import Completed, LateAnswer
    from couchloop.session.timers import Timers


class Reported(Protocol):
    """What is needed of whoever is reported of: a session's `Shared`, or what stands for one."""

    @property
    def settings(self) -> Any:
        """What counts now; it has `reports`."""

    @property
    def timers(self) -> Timers:
        """By which reports are made in time."""

    def log(self, level: str, text: str, **fields: object) -> None:
        """Have a line logged."""


class Reporting:
    """The reporters that settings ask for, and when each is to log what it has.

    Args:
        shared: of who is reported of.
        call: tells an observer something; what that raises is logged alone.
    """

    def __init__(self, shared: Reported, call: Callable[..., Any]) -> None:
        self._shared = shared
        self._call = call
        self._settings = shared.settings.reports
        """What the reporters go by."""
        self._reporters = reporters(self._settings)
        self._armed: dict[str, Timers] = {}
        """Which report is due, by its title, and whose timers know of it."""

    def __bool__(self) -> bool:
        """Whether there is any reporter."""
        return bool(self._reporters)

    def completed(self, done: Completed, others: Iterable[Any], now: float) -> None:
        """Tell reporters and *others* of what is over."""
        self._heed_settings()
        for observer in (*self._reporters, *others):
            self._call(observer.completed, done)
        self._arm(now)

    def answered_late(self, late: LateAnswer, others: Iterable[Any], now: float) -> None:
        """Likewise of an answer that nobody waits for."""
        self._heed_settings()
        for observer in (*self._reporters, *others):
            self._call(observer.answered_late, late)
        self._arm(now)

    def report(self) -> None:
        """Log what was observed since the last time."""
        for reporter in self._reporters:
            self._report(reporter)

    def clear(self) -> None:
        """Forget all: it is another process' to report."""
        self._reporters.clear()

    def forget(self) -> None:
        """Forget what was observed so far."""
        for reporter in self._reporters:
            reporter.take()

    def _heed_settings(self) -> None:
        """Have the reporters go by the settings that count now: attributes of the Bucket."""
        settings = self._shared.settings.reports
        if settings is not self._settings:
            self._settings = settings
            for reporter in self._reporters:
                reporter.heed(settings)

    def _arm(self, now: float) -> None:
        timers = self._shared.timers
        for reporter in self._reporters:
            if reporter.pending and self._armed.get(reporter.title) is not timers:
                self._armed[reporter.title] = timers
                self._report_later(reporter, timers, now)

    def _report_later(self, reporter: Reporter, timers: Timers, now: float) -> None:
        def report(_now: float) -> None:
            if self._armed.get(reporter.title) is timers:
                del self._armed[reporter.title]
            self._report(reporter)

        timers.call_at(now + reporter.interval, report)

    def _report(self, reporter: Reporter) -> None:
        if reporter.pending:
            report = json.dumps(reporter.take())
            self._shared.log("info", "{title}: {report}", title=reporter.title, report=report)
