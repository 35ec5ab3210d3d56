"""Retry strategies, which are users' code: whether an operation is tried again, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couchloop.retries import (
    BestEffort,
    GivenUp,
    RetryReason,
    RetryRequest,
    RetryStrategy,
    controlled_backoff,
    decision,
)

if TYPE_CHECKING:
    from couchloop.hot.operation import Operation


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
        return decision(strategy, request, reason)


def note(op: Operation[Any], reason: RetryReason) -> None:
    """Have *op* know why it could not be done yet."""
    if reason not in op.reasons:
        op.reasons = (*op.reasons, reason)
