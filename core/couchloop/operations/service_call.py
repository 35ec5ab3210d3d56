"""A request to a service that is under way: a step of a procedure, or what a stream of rows reads.

A procedure yields a `ServiceRequest`, which is a value. What becomes of it is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from couchloop.exceptions import CouchbaseError, caused, own_copy
from couchloop.hot.request import Request
from couchloop.retries import GivenUp, RetryReason, RetryRequest, RetryStrategy, decision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from couchloop.http.service import ServiceAnswer, ServiceRequest
    from couchloop.operations.recent import Memory
    from couchloop.settings.values import Address, Login
    from couchloop.topology.configuration import ClusterConfig


class Sink(Protocol):
    """Who takes an answer while it comes, in place of keeping the whole of it."""

    def asked_of(
        self, config: ClusterConfig, memory: Memory, seconds: float
    ) -> ServiceRequest | None:
        """Return what is asked of a node of that cluster, within so many seconds.

        None: what the call has says it already. *memory* is the session's. It is called before each
        try; what it raises ends the call.
        """

    def began(self, status: int, headers: Mapping[str, str], node: str) -> None:
        """Take the head of the answer; nothing is repeated from here on."""

    def piece(self, data: bytes) -> None:
        """Take a piece of the body."""

    @property
    def has_enough(self) -> bool:
        """Whether no more is to be read for now: `Performer.resume` has it read again."""

    @property
    def rows(self) -> int:
        """How many rows somebody has had of it."""


class Watch(Protocol):
    """Who is told of a request that is under way; see `couchloop.observe.requests`."""

    node: str | None
    """`host:port` that was asked last."""
    status: int | None
    """Of HTTP, its last answer."""
    retries: int
    """How often it was asked anew."""
    failure: type[BaseException] | None
    """What it has failed with before it was let go of."""

    def answered(self, call: ServiceCall) -> None:
        """Take note of what became of one of its requests of HTTP."""

    def end(
        self,
        kind: type[BaseException] | None,
        *,
        is_cancelled: bool = False,
        request_id: str | None = None,
    ) -> None:
        """Tell that it is over; *kind* is the class of its error."""


def pause_by(
    strategy: RetryStrategy | None,
    request: RetryRequest,
    reason: RetryReason,
    error: CouchbaseError,
    usual: float,
) -> float | None:
    """Return after how many seconds a service is asked anew, as *strategy* says; None: it is not.

    *usual*: the service's own pause, where no strategy is asked. What is wrong with one becomes the
    cause of *error*, which the request has met.
    """
    if strategy is None or reason.always_retry:
        return usual
    found = decision(strategy, request, reason)
    if isinstance(found, GivenUp):
        caused(error, found.cause)
        return None
    return found


class ServiceCall(Request):
    """A request to a service, and what became of it.

    Args:
        asked: what is asked.
        timeout: seconds that it has.
        sink: takes the body as it comes; None: all of it is kept, for a `ServiceAnswer`.
        operation: name of the method that asks, for its retry strategy.
        strategy: that one; None: best effort.
    """

    __slots__ = (
        "answered_at",
        "asked",
        "attempts",
        "avoided",
        "channel",
        "is_given_up",
        "is_unknown",
        "login",
        "obstacle",
        "operation",
        "place",
        "reply",
        "sink",
    )

    name = "service"
    is_probe = False
    """Whether it is asked how a node is: a failure is the answer then, and nothing is repeated."""
    place: int
    """Where it stands among those that a procedure issued at once."""

    def __init__(
        self,
        asked: ServiceRequest,
        timeout: float,
        sink: Sink | None = None,
        operation: str = "",
        strategy: RetryStrategy | None = None,
    ) -> None:
        super().__init__(0, b"", timeout)
        self.operation = operation
        self.retry_strategy = strategy
        self.is_given_up = False
        """Whether its strategy has given it up."""
        self.asked = asked
        self.sink = sink
        self.reply: ServiceAnswer | None = None
        self.answered_at = 0.0
        """When the answer was there."""
        self.channel: Any = None
        """The connection that it is on, or for which it waits to be made."""
        self.login: Login | None = None
        """Who it was sent for last."""
        self.attempts = 0
        """How often it was sent, or tried to be."""
        self.avoided: set[Address] = set()
        """Nodes that it has failed at since it has paused last."""
        self.is_unknown = False
        """Whether the service may have carried it out, and nobody knows."""
        self.obstacle: CouchbaseError | None = None
        self.place = 0

    def gives_up(self, reason: RetryReason, error: CouchbaseError | None = None) -> bool:
        """Whether its strategy gives it up for that *reason*; *error* is what it met."""
        strategy = self.retry_strategy
        if strategy is not None and not reason.always_retry:
            request = RetryRequest(
                self.operation, "", self.asked.is_idempotent, self.attempts, self.reasons
            )
            found = decision(strategy, request, reason)
            if isinstance(found, GivenUp):
                self.is_given_up = True
                if error is not None:
                    caused(error, found.cause)
                return True
        if reason not in self.reasons:
            self.reasons = (*self.reasons, reason)
        return False

    @property
    def done(self) -> bool:
        """Whether the answer or an error is there."""
        return self.reply is not None or self.error is not None

    def result(self) -> ServiceAnswer:
        """Return the answer, or raise why there is none."""
        error = self.error
        if error is None:
            assert self.reply is not None, "it is not complete"
            return self.reply
        # What is kept here must not come to point to this frame.
        self.error = own_copy(error)
        try:
            raise error
        finally:
            del error
