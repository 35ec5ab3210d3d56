"""What an observer is told: operations that are over, and answers that came too late (RFC 0035)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from couchloop.exceptions import CouchbaseError


@dataclass(frozen=True, slots=True)
class Completed:
    """One operation that is over. Times are in seconds; None: unknown."""

    name: str
    """Of the Bucket's method: `get`, `upsert`."""
    node: str | None
    """The last that it was sent to, as "host:port"."""
    connection_id: str | None
    opaque: int | None
    duration: float
    """From the call to the answer, waiting and retrying included."""
    server_duration: float | None
    """What the server says that the last try took it."""
    attempts: int
    """How often it was sent."""
    timeout: float
    outcome: type[CouchbaseError] | None
    """The error's class; None: it succeeded."""
    local: str | None = None
    """The connection's own end, as "host:port"."""
    dispatch_duration: float | None = None
    """From the last try's sending to its answer, or to the end without one."""
    scope: str | None = None
    """Of the collection that it is for; None: the default one."""
    collection: str | None = None
    """Likewise the collection's name."""


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """An answer whose operation had timed out, or was cancelled. Times are in seconds."""

    name: str
    """The operation's, or the opcode's if that is forgotten."""
    node: str
    connection_id: str
    opaque: int
    duration: float | None
    """From the call to the late answer; None: forgotten."""
    server_duration: float | None
    timeout: float | None
    local: str | None = None
    """The connection's own end, as "host:port"."""
    scope: str | None = None
    """Of the collection that it was for; None: the default one, or that is forgotten."""
    collection: str | None = None
    """Likewise the collection's name."""


class Observer(Protocol):
    """Whoever wants to know. Called on the loop: it must not block."""

    def completed(self, operation: Completed, /) -> None:
        """Called with an operation that is over."""

    def answered_late(self, answer: LateAnswer, /) -> None:
        """Called with an answer that nobody waits for."""
