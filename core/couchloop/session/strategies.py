"""Retry strategies, which are users' code: whether an operation is tried again, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from couchloop.exceptions import ArgumentError
from couchloop.retries import (
    BestEffort,
    RetryReason,
    RetryRequest,
    RetryStrategy,
    controlled_backoff,
)

if TYPE_CHECKING:
    from couchloop.hot.operation import Operation


class GivenUp(NamedTuple):
    """That an operation is not tried again; *cause* is what is wrong with its strategy, if so."""

    cause: Exception | None = None


class Strategies:
    """Asks the strategy of an operation, where there is a choice.

    Args:
        default: for operations that have none; None: best effort.
    """

    def __init__(self, default: RetryStrategy | None) -> None:
        self._default: RetryStrategy = BestEffort() if default is None else default
        self.granted: dict[RetryReason, int] = {}
        """How often operations were to be tried again, or to wait, and why."""

    def delay(self, op: Operation[Any], reason: RetryReason) -> float | GivenUp:
        """Return the seconds until *op* is tried again, or that it is given up."""
        delay = self._asked(op, reason)
        if not isinstance(delay, GivenUp):
            self.granted[reason] = self.granted.get(reason, 0) + 1
        return delay

    def _asked(self, op: Operation[Any], reason: RetryReason) -> float | GivenUp:
        attempts = op.attempts + (op.connection is not None)
        if reason.always_retry:
            return controlled_backoff(attempts)
        if not (op.idempotent or reason.allows_non_idempotent_retry):
            return GivenUp()
        strategy = op.retry_strategy
        if strategy is None:
            strategy = self._default
        request = RetryRequest(op.name, op.key, op.idempotent, attempts, op.reasons)
        try:
            delay = strategy.retry_after(request, reason)
            if delay is None:
                return GivenUp()
            if not isinstance(delay, str | bytes):
                # Whatever kind of number it is: what has no meaning as a time ends here.
                seconds = float(delay)
                if seconds >= 0:
                    return seconds
        except Exception as error:  # noqa: BLE001 - user code: the operation fails, not the session
            # Our own frame, and with it the Bucket, is no part of what the user is to see.
            traceback = error.__traceback__
            return GivenUp(error.with_traceback(None if traceback is None else traceback.tb_next))
        what = "a retry strategy gives seconds from 0, or None"
        return GivenUp(ArgumentError(what, objextra=delay))


def note(op: Operation[Any], reason: RetryReason) -> None:
    """Have *op* know why it could not be done yet."""
    if reason not in op.reasons:
        op.reasons = (*op.reasons, reason)
