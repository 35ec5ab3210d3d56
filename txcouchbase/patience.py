"""Delayed calls that let the reactor read first, if it stood still when they were due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads

from couchloop.client.patience import Patience


class PatientCall:
    """A call after *delay* seconds, with what `IDelayedCall` has of use: `active` and `cancel`."""

    def __init__(
        self, reactor: Any, delay: float, call: Callable[..., object], *arguments: object
    ) -> None:
        self._reactor = reactor
        self._call: Callable[[], object] | None = lambda: call(*arguments)
        self._patience = Patience(reactor.seconds() + delay)
        self._delayed: IDelayedCall = reactor.callLater(delay, self._is_due)

    def active(self) -> bool:
        """Whether it is still to be made."""
        return self._call is not None

    def cancel(self) -> None:
        """Do not make it."""
        self._call = None
        if self._delayed.active():
            self._delayed.cancel()

    def _is_due(self) -> None:
        # A clock for tests is not late: it is set forward.
        is_clock = not IReactorFromThreads.providedBy(self._reactor)
        if not is_clock and self._patience.reads_first(self._reactor.seconds()):
            self._delayed = self._reactor.callLater(0, self._is_due)
            return
        call, self._call = self._call, None
        if call is not None:
            call()
