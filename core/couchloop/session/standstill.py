"""A loop that stood still: the answers are read before anybody is blamed for having sent none.

Application code that blocks keeps the loop from reading and from its timers alike. When it runs
again, whatever is due looks as if nobody had answered; but the answers are in the sockets.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from couchloop.exceptions import CouchbaseError, LoopBlockedError, caused

LATE: Final = 0.01
"""Seconds: a timer that fires so late has something to tell of the loop."""
LEAST_TURNS: Final = 2
"""Of the loop: in which of them timers come before sockets differs."""
_MOST_TURNS: Final = 128
"""One turn reads 64 KB of a connection, and a system keeps some megabytes for each."""

STOOD_STILL: Final = "the event loop stood still meanwhile: move what blocks it into a thread"

E = TypeVar("E", bound=CouchbaseError)


def blocked_for(error: BaseException | None) -> float:
    """Return how long the loop stood still by what *error* tells: seconds, 0.0 if nothing."""
    cause = None if error is None else error.__cause__
    return cause.duration if isinstance(cause, LoopBlockedError) else 0.0


class Delayed(Protocol):
    """What a catch-up needs of its session."""

    def stood_still(self, since: float, until: float) -> None:
        """Record that the loop stood still between these times."""

    def heard_since(self, when: float) -> bool:
        """Whether anything has come from any peer at *when* or later."""


class CatchUp:
    """Has what is due wait until what has arrived is read.

    Args:
        session: whose deadlines they are.
        late: seconds after which something is late; infinity: never, for a clock that is set
            forward by whoever tests.
    """

    __slots__ = ("_late", "_least", "_session", "_since", "_turns")

    def __init__(self, session: Delayed, late: float = LATE) -> None:
        self._session = session
        self._late = late
        self._turns = 0
        """How many more turns of the loop may be for reading."""
        self._least = 0
        """How many of them are so whatever comes."""
        self._since: float | None = None
        """When the present turn began."""

    @property
    def is_reading(self) -> bool:
        """Whether the timer is set for the next turn of the loop, whatever is due when."""
        return self._since is not None

    def noticed(self, since: float, now: float) -> bool:
        """Record that the loop does at *now* what it was asked for; return whether that is late.

        *since*: when it was due.
        """
        is_late = now - since > self._late
        if is_late:
            self._session.stood_still(since, now)
        return is_late

    def overdue(self, due: float, now: float) -> None:
        """Record likewise what time limits are about: what has arrived is read first."""
        if self.noticed(due, now):
            self._least = LEAST_TURNS
            if not self.is_reading:
                self._turns = _MOST_TURNS

    def reads_first(self, now: float) -> bool:
        """Whether what is due now has to wait for one more turn of the loop."""
        since = self._since
        goes_on = self._least or (since is not None and self._session.heard_since(since))
        if not (self._turns and goes_on):
            self.end()
            return False
        self._turns -= 1
        self._least = max(0, self._least - 1)
        self._since = now
        return True

    def end(self) -> None:
        """Wait no more: nothing is due any longer."""
        self._turns = self._least = 0
        self._since = None


def blame(error: E, seconds: float) -> E:
    """Make *error* tell that the loop stood still for so long, unless that is 0.0; return it."""
    if seconds:
        error.message = f"{error.message.rstrip('.')}; {STOOD_STILL}"
        blocked = LoopBlockedError()
        blocked.duration = seconds
        caused(blocked, error.__cause__)
        caused(error, blocked)
    return error
