"""What all parts of a session know: what was asked for, where it is in its life, whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from inspect import ismethod
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakMethod

from couchloop.exceptions import CouchbaseError, ObjectDestroyedError, own_copy
from couchloop.later import Module
from couchloop.session.events import Event, LogRecord
from couchloop.session.timers import Timers

if TYPE_CHECKING:
    from typing import Literal

    from couchloop import observation
    from couchloop.kv.connection import Connection
    from couchloop.settings.values import Settings

    Change = Literal["connected", "lost", "closed", "circuit_opened", "circuit_closed"]
    """The values of `couchloop.observation.NodeChange`."""
else:
    # Few programs have observers, and its classes take a tenth of what it takes to import us.
    observation = Module("couchloop.observation", globals())


def nobody(*_: object) -> None:
    """Do nothing: what a part tells upwards, if nobody wants to know (any more)."""


def weakly(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls *call* as long as the object lives whose method it is."""
    if not ismethod(call):
        return call
    method = WeakMethod(call)

    def call_if_there(*arguments: Any) -> None:
        there = method()
        if there is not None:
            there(*arguments)

    return call_if_there


class SessionState(Enum):
    """Where a session is in its life."""

    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    FAILED = auto()
    """It could not be opened, and trying again would not help."""
    WAITING = auto()
    """It could not be opened for a cause that passes, and is opened again after a pause."""
    CLOSING = auto()
    """No new operation is taken; those in flight may still be answered."""
    CLOSED = auto()


class Random(Protocol):
    """What is needed of a generator: jitter, and where to begin."""

    def random(self) -> float:
        """Return a number from 0.0 up to, not including, 1.0."""

    def getrandbits(self, k: int, /) -> int:
        """Return a number of *k* bits."""


class Search(Protocol):
    """What looks for a configuration, and who can say how far it has come."""

    @property
    def connection(self) -> Connection | None:
        """The connection to the seed that is being tried."""

    @property
    def attempts(self) -> list[tuple[str, BaseException]]:
        """What happened at each seed so far, as ("host:port", error)."""

    def unanswered(self) -> CouchbaseError | None:
        """Return what whoever is asked has not done so far; None: nobody is being asked."""


class Shared:
    """What all parts of a session know.

    Args:
        settings: what to connect to and how.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        """What counts now: other credentials may come."""
        self.state = SessionState.NEW
        self.error: CouchbaseError | None = None
        """Why it is not open: what opening met last, or that the process was forked."""
        self.search: Search | None = None
        """What looks for a configuration, if anything does."""
        self.has_warned = False
        """Whether it was said that the password is sent in clear text, however often it opens."""
        self.timers = Timers()
        self.events: list[Event] = []
        """What the adapter is to do; each part appends to it."""
        self.on_node: Callable[[observation.NodeEvent], object] | None = None
        """Called with each node whose connection changes; None: nobody wants to know."""

    @property
    def is_open(self) -> bool:
        """Whether operations can be routed."""
        return self.state in {SessionState.OPEN, SessionState.CLOSING}

    @property
    def is_searching(self) -> bool:
        """Whether a configuration is being looked for, or will be again."""
        return self.search is not None or self.state is SessionState.WAITING

    @property
    def searching(self) -> Connection | None:
        """The connection to the seed that is being tried."""
        return None if self.search is None else self.search.connection

    @property
    def attempts(self) -> list[tuple[str, BaseException]]:
        """What happened at each seed, as ("host:port", error), while the bucket is not open."""
        if self.search is not None and (attempts := self.search.attempts):
            return list(attempts)
        # Of the last time.
        context = None if self.error is None else self.error.context
        if self.error is None or context is None:
            return []
        return list(context.seeds) or [(context.node or "", self.error)]

    def obstacle(self) -> BaseException | None:
        """Return what keeps it from being open: what was met last, else what it waits for."""
        if self.is_open:
            return None
        if self.state is SessionState.WAITING:
            return self.error
        if attempts := self.attempts:
            return attempts[-1][1]
        return None if self.search is None else self.search.unanswered()

    @property
    def named(self) -> str:
        """What is opened, for errors."""
        bucket = self.settings.bucket
        return f"bucket {bucket!r}" if bucket else "what asks the cluster's services"

    def failure(self) -> CouchbaseError:
        """Return why the bucket is not open, as an exception of the caller's own."""
        if self.error is None:
            return ObjectDestroyedError(f"{self.named} is closed")
        return own_copy(self.error)

    def node_changed(
        self, connection: Connection, change: Change, error: CouchbaseError | None = None
    ) -> None:
        """Tell who observes what has become of a connection, and with which error."""
        if self.on_node is not None:
            self.on_node(self.node_event(connection, change, error))

    def node_event(
        self, connection: Connection, change: Change, error: CouchbaseError | None = None
    ) -> observation.NodeEvent:
        """Return what to tell who observes of a connection."""
        return observation.NodeEvent(
            observation.NodeChange(change),
            str(connection.address),
            connection.hello.connection_id,
            self.settings.bucket,
            None if error is None else type(error),
            "" if error is None else self.settings.told(error),
        )

    def log(self, level: str, text: str, **fields: object) -> None:
        """Have a line logged; *text* is to be formatted with *fields*."""
        self.events.append(LogRecord(level, text, fields))
