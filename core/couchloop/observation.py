"""What an observer is told: calls, operations, late answers, nodes (RFC 0035, RFC 0067)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any, Final, Protocol

from couchloop.exceptions import CouchbaseError

__all__ = [
    "KV",
    "MANAGEMENT",
    "AnyObserver",
    "CallObserver",
    "Completed",
    "Ended",
    "LateAnswer",
    "NodeChange",
    "NodeEvent",
    "NodeObserver",
    "Observer",
    "Started",
]

KV: Final = "kv"
"""The data service, by RFC 0067's name."""
MANAGEMENT: Final = "management"
"""Whatever managers ask, in one step or in several, of whichever service."""
_DIGITS: Final = 16
"""Of a key's hash: enough that two keys hardly ever share one."""


@dataclass(frozen=True, slots=True)
class Completed:
    """One operation, or request to a service, that is over. Times are in seconds; None: unknown."""

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
    bucket: str = ""
    """The bucket's name."""
    status: int | None = None
    """The server's last answer to it (`couchloop.wire.Status`; of what is asked of a service the
    status of HTTP); None: there was none."""
    service: str = KV
    """Which was asked: `kv`, `query`, `search`, `views`, `analytics` or `management`."""
    request_id: str | None = None
    """By which the service's own logs name a request (`client_context_id`), if it has that."""
    statement: str | None = field(default=None, repr=False)
    """What a query says, where the option `show_queries` lets it be shown."""

    @property
    def retries(self) -> int:
        """How often it was sent again."""
        return max(0, self.attempts - 1)


@dataclass(frozen=True, slots=True)
class Started:
    """A call that begins: of one operation, a batch, a request to a service, or several steps."""

    name: str
    """Of the Bucket's method: `get`, `get_multi`, `list_append`."""
    bucket: str
    scope: str | None
    """Of the collection that it is for; None: the default one."""
    collection: str | None
    """Likewise the collection's name."""
    timeout: float
    """Seconds that it has."""
    at: float | None
    """Seconds since 1970; None: nobody has told the client the time of day."""
    batch_size: int | None = None
    """How many keys it is about; None: it is no batch."""
    durability: str | None = None
    """The level that a change asks for: `majority` …; None: none, or it is not known yet."""
    raw_key: str | bytes | None = field(default=None, repr=False)
    """The document's key, however private; None: it is about none, or about several."""
    is_redacted: bool = False
    """Whether users' data is kept out of logs (the option `log_redaction`)."""
    service: str = KV
    """Which is asked: `kv`, `query`, `search`, `views`, `analytics` or `management`."""
    statement: str | None = field(default=None, repr=False)
    """What a query says, where the option `show_queries` lets it be shown."""

    @property
    def key(self) -> str | None:
        """The document's key, as it may be shown: its hash (SHA-256) where redaction asks."""
        raw = self.raw_key
        if raw is None:
            return None
        if self.is_redacted:
            data = raw if isinstance(raw, bytes) else raw.encode(errors="surrogatepass")
            return f"sha256:{sha256(data).hexdigest()[:_DIGITS]}"
        return raw if isinstance(raw, str) else raw.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over."""

    call: Started
    duration: float
    """Seconds from the call to its end, waiting and retrying included."""
    outcome: type[BaseException] | None
    """The error's class (of a batch: the first error's); None: it succeeded."""
    is_cancelled: bool = False
    """Whether its caller has gone: nothing is known of its outcome then."""
    retries: int | None = None
    """How often it was sent again, all operations of a batch together; None: that is not known."""
    operation: Completed | None = None
    """What is known of a call that is one operation; None: it is none, or was not sent."""


class NodeChange(Enum):
    """What has become of the connection to a node."""

    CONNECTED = "connected"
    """It can be used."""
    LOST = "lost"
    """It has failed, and is replaced."""
    CLOSED = "closed"
    """The Bucket was closed, or does without the node."""
    CIRCUIT_OPENED = "circuit_opened"
    """It answers nothing: nothing is sent to it for now."""
    CIRCUIT_CLOSED = "circuit_closed"
    """It answers again."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A data node whose connection has changed."""

    change: NodeChange
    node: str
    """As "host:port"."""
    connection_id: str
    bucket: str
    reason: type[CouchbaseError] | None = None
    """Of the error with which it was lost."""
    details: str = ""
    """What the error says, as a log may show it."""


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
        """Called with an operation, or a request to a service, that is over."""

    def answered_late(self, answer: LateAnswer, /) -> None:
        """Called with an answer that nobody waits for."""


class CallObserver(Protocol):
    """Whoever wants to know of calls as users make them, from their begin."""

    def started(self, call: Started, /) -> Any:
        """Called where the user calls, in his context; what it returns comes back at the end."""

    def ended(self, call: Ended, begun: Any, /) -> None:
        """Called on the loop, in whatever context, with what `started` has returned."""


class NodeObserver(Protocol):
    """Whoever wants to know of nodes. Called on the loop: it must not block."""

    def node_changed(self, event: NodeEvent, /) -> None:
        """Called with a node whose connection has changed."""


AnyObserver = Observer | CallObserver | NodeObserver
"""An observer has the methods of one of these, or of several."""
