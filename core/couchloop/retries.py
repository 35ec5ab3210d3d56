"""When an operation is tried again: reasons and strategies.

The rules are those of RFC 0049, with the decisions of docs/retries.md: a locked document fails at
once and a temporary failure is tried again until the deadline, unless a strategy says otherwise;
nothing that changes a document is sent again while nobody knows whether the server has done it,
whatever a strategy says. What a refusal of the server means is in `couchloop.session.verdicts`.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import Any, Final, NamedTuple, Protocol

from couchloop.arguments.times import LONGEST
from couchloop.exceptions import ArgumentError
from couchloop.records import record

__all__ = [
    "BestEffort",
    "FailFast",
    "GivenUp",
    "Policies",
    "RetryReason",
    "RetryRequest",
    "RetryStrategy",
    "check_strategy",
    "controlled_backoff",
    "decision",
]


class RetryReason(StrEnum):
    """Why an operation could not be done yet; the names are those of RFC 0049."""

    UNKNOWN = "UNKNOWN"
    SOCKET_NOT_AVAILABLE = "SOCKET_NOT_AVAILABLE"
    """The node that owns the key is not connected, or has forgotten who we are."""
    NODE_NOT_AVAILABLE = "NODE_NOT_AVAILABLE"
    """No node owns the key at present, or the bucket is not open yet."""
    CIRCUIT_BREAKER_OPEN = "CIRCUIT_BREAKER_OPEN"
    """The node has left many operations in a row without an answer."""
    SOCKET_CLOSED_WHILE_IN_FLIGHT = "SOCKET_CLOSED_WHILE_IN_FLIGHT"
    KV_LOCKED = "KV_LOCKED"
    KV_TEMPORARY_FAILURE = "KV_TEMPORARY_FAILURE"
    KV_SYNC_WRITE_IN_PROGRESS = "KV_SYNC_WRITE_IN_PROGRESS"
    KV_SYNC_WRITE_RE_COMMIT_IN_PROGRESS = "KV_SYNC_WRITE_RE_COMMIT_IN_PROGRESS"
    KV_ERROR_MAP_RETRY_INDICATED = "KV_ERROR_MAP_RETRY_INDICATED"
    KV_NOT_MY_VBUCKET = "KV_NOT_MY_VBUCKET"
    KV_COLLECTION_OUTDATED = "KV_COLLECTION_OUTDATED"
    COLLECTION_NOT_FOUND = "COLLECTION_NOT_FOUND"
    """No node knows the collection, or its scope, so far (not in RFC 0049)."""
    QUERY_PREPARED_STATEMENT_FAILURE = "QUERY_PREPARED_STATEMENT_FAILURE"
    """The query service does not know a prepared statement any more: it is prepared anew."""
    QUERY_ERROR_RETRYABLE = "QUERY_ERROR_RETRYABLE"
    """The query service says that the statement did not run, and may be asked for again."""
    SEARCH_TOO_MANY_REQUESTS = "SEARCH_TOO_MANY_REQUESTS"
    ANALYTICS_TEMPORARY_FAILURE = "ANALYTICS_TEMPORARY_FAILURE"
    VIEWS_TEMPORARY_FAILURE = "VIEWS_TEMPORARY_FAILURE"
    VIEWS_NO_ACTIVE_PARTITION = "VIEWS_NO_ACTIVE_PARTITION"
    """The node has no documents of the bucket: another one has."""
    SERVICE_RESPONSE_CODE_INDICATED = "SERVICE_RESPONSE_CODE_INDICATED"
    """The service is not ready on that node (503): another one may be."""

    @property
    def allows_non_idempotent_retry(self) -> bool:
        """Whether it is certain that the server has not done the operation."""
        return self not in _UNCERTAIN

    @property
    def always_retry(self) -> bool:
        """Whether it is tried again without asking a strategy: the cluster is rearranging."""
        return self in _ALWAYS


_SOCKET_ERRORS: Final = frozenset(
    {RetryReason.SOCKET_NOT_AVAILABLE, RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT}
)
_UNCERTAIN: Final = frozenset({RetryReason.UNKNOWN, RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT})
_ALWAYS: Final = frozenset(
    {
        RetryReason.KV_NOT_MY_VBUCKET,
        RetryReason.KV_COLLECTION_OUTDATED,
        RetryReason.VIEWS_NO_ACTIVE_PARTITION,
    }
)


class RetryRequest(NamedTuple):
    """An operation as a strategy sees it."""

    operation: str
    """Its name: "get", "upsert", …"""
    key: str | bytes
    idempotent: bool
    """Whether doing it twice is the same as doing it once."""
    attempts: int
    """How often it was sent so far."""
    reasons: tuple[str, ...]
    """Why it had to be tried again so far, each reason once; the present one not included."""


class RetryStrategy(Protocol):
    """Decides whether an operation that could not be done is tried again, and when.

    One strategy may serve many Buckets. Buckets share a connection only if their strategies are
    equal, so a strategy with parameters should compare by value.
    """

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        It is called on the loop: it must neither block nor use the Bucket. For the reasons
        SOCKET_NOT_AVAILABLE, NODE_NOT_AVAILABLE, CIRCUIT_BREAKER_OPEN (before the operation was
        sent), SOCKET_CLOSED_WHILE_IN_FLIGHT and COLLECTION_NOT_FOUND any number means "wait": the
        operation goes out as soon as its node can take it. With a request to a service any number
        for the first and the fourth of these, and for SERVICE_RESPONSE_CODE_INDICATED, has another
        node asked.

        A strategy that raises, or gives what is no number of seconds, has given up; its error
        becomes the `__cause__` of the operation's.
        """


@record(frozen=True, slots=True)
class BestEffort:
    """Try again until the deadline, with pauses that grow. The default (RFC 0049).

    Args:
        first: seconds before the second try.
        longest: seconds that no pause exceeds.
        growth: what each pause is multiplied by to give the next.

    """

    first: float = 0.001
    longest: float = 0.5
    growth: float = 2.0

    def __post_init__(self) -> None:
        """Raise ArgumentError for pauses that are none, or shrink."""
        if not 0 < self.first <= self.longest <= LONGEST:
            raise ArgumentError("best effort: 0 < first <= longest (seconds, a year at most)")
        if not 1 <= self.growth < inf:
            raise ArgumentError("best effort: growth >= 1, and finite")

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        """Give up at once for a locked document, never for anything else."""
        if reason is RetryReason.KV_LOCKED:
            return None
        return min(self.first * self.growth ** min(max(request.attempts, 1) - 1, 64), self.longest)


@record(frozen=True, slots=True)
class Policies:
    """Best effort, but only for the operations that the option retry_policy names (SDK 2.5).

    A policy is `all`, `none`, or one of `get` and `safe`, which both mean idempotent operations.

    Args:
        pauses: decides what may be tried again.
        socket_errors: the policy where a node is not connected, or its connection was lost.
        missing_node: the policy where no node owns the key, or the bucket is not open yet.

    """

    pauses: BestEffort = BestEffort()
    socket_errors: str = "all"
    missing_node: str = "all"

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        """Give up where the policy for *reason* excludes the operation."""
        policy = "all"
        if reason in _SOCKET_ERRORS:
            policy = self.socket_errors
        elif reason is RetryReason.NODE_NOT_AVAILABLE:
            policy = self.missing_node
        if policy == "none" or (policy != "all" and not request.idempotent):
            return None
        return self.pauses.retry_after(request, reason)


@record(frozen=True, slots=True)
class FailFast:
    """Never try again where there is a choice, and never wait for a node."""

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:  # noqa: ARG002 - a protocol
        """Give up."""
        return None


_CONTROLLED: Final = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0)


def controlled_backoff(attempts: int) -> float:
    """Seconds before the try that follows *attempts* (from 1) where no strategy is asked."""
    return _CONTROLLED[min(attempts, len(_CONTROLLED)) - 1]


class GivenUp(NamedTuple):
    """That an operation is not tried again; *cause* is what is wrong with its strategy, if so."""

    cause: Exception | None = None


def decision(
    strategy: RetryStrategy, request: RetryRequest, reason: RetryReason
) -> float | GivenUp:
    """Return the seconds until *request* is tried again, as *strategy* says, or that it is not."""
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


def check_strategy(strategy: RetryStrategy, key: Any = None) -> RetryStrategy:
    """Return *strategy* if it is one; raise ArgumentError."""
    if isinstance(strategy, type) or not callable(getattr(strategy, "retry_after", None)):
        what = f"{type(strategy).__name__} has none"
        if isinstance(strategy, type):
            what = f"{strategy.__name__} is a class"
        raise ArgumentError(
            "a retry strategy is an object with a method retry_after, as BestEffort() has it: "
            f"{what}",
            key=key,
            objextra=strategy,
        )
    return strategy
