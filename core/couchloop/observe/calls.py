"""Who observes a session, and which calls of users are under way that observers were told of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from couchloop.durability import DurabilityLevel
from couchloop.exceptions import ArgumentError, RequestCanceledError
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.operation import Operation
from couchloop.observation import Ended, NodeEvent, Started
from couchloop.operations.procedure import Procedure
from couchloop.safety.printable import shown
from couchloop.wire.framing import JSON_VALUE, decode_framing

if TYPE_CHECKING:
    from couchloop.hot.operation import CollectionName
    from couchloop.observation import Completed

Told = list[tuple[Callable[[Any, Any], object], Any]]
"""Whom to tell of the end of a call, and what each has returned at its begin."""
_NOWHERE: Final = None, None
_LEVEL: Final = 1
"""The number of the framing extra that has a durability level."""
_PAIR: Final = ("started", "ended")
_SINGLE: Final = ("completed", "answered_late", "node_changed")


class Observed(Protocol):
    """What is needed of who is observed: a session's `Shared`, or what stands for one."""

    @property
    def settings(self) -> Any:
        """What counts now; it has `log_redaction`, and of a Bucket its name."""

    def log(self, level: str, text: str, **fields: object) -> None:
        """Have a line logged."""


class _Call(NamedTuple):
    """A call that is under way."""

    started: Started
    begun: float
    """The loop's time."""
    told: Told
    """Whom to tell of its end, and what each has returned at its begin."""


def check_observer(observer: object) -> None:
    """Raise ArgumentError if *observer* has none of the methods of observers, or half of a pair."""
    if isinstance(observer, type):
        raise ArgumentError(f"an observer is an object, not the class {observer.__name__}")
    has = [name for name in (*_PAIR, *_SINGLE) if callable(getattr(observer, name, None))]
    if not has:
        raise ArgumentError(
            f"an observer has methods of couchloop.observation ({', '.join((*_PAIR, *_SINGLE))}); "
            f"{type(observer).__name__} has none of them"
        )
    missing = [name for name in _PAIR if name not in has]
    if len(missing) == 1:
        raise ArgumentError(
            f"an observer of calls has both {_PAIR[0]!r} and {_PAIR[1]!r}; "
            f"{type(observer).__name__} has no {missing[0]!r}"
        )


class Calls:
    """Observers by what they want to know, and the calls that they were told of.

    Args:
        shared: of the session that is observed.
    """

    def __init__(self, shared: Observed) -> None:
        self._shared = shared
        self._observers: list[Any] = []
        self.of_calls: list[Any] = []
        """Those who want to know of calls."""
        self._of_nodes: list[Any] = []
        self.of_operations: list[Any] = []
        """Those who want to know of each operation that is over."""
        self.of_late_answers: list[Any] = []
        """Those who want to know of answers that nobody waits for."""
        self._under_way: dict[Any, _Call] = {}
        self._telling = 0
        """How many of `call` are under way: what an observer does may lead to others being told."""
        self.wall_clock: Callable[[], float] | None = None
        """Gives the seconds since 1970."""

    @property
    def is_wanted(self) -> bool:
        """Whether anybody observes, is being told, or is still to hear of the end of a call."""
        return bool(self._observers or self._under_way or self._telling)

    def add(self, observer: object) -> bool:
        """Tell *observer*, too, from now on; return False if it is told already."""
        if any(each is observer for each in self._observers):
            return False
        self._sort([*self._observers, observer])
        return True

    def remove(self, observer: object) -> None:
        """Tell *observer* no more but of the end of calls that it saw begin."""
        self._sort([each for each in self._observers if each is not observer])

    def clear(self) -> None:
        """Tell nobody of anything any more."""
        self._under_way.clear()
        self._sort([])

    def _sort(self, observers: list[Any]) -> None:
        def those(name: str) -> list[Any]:
            return [each for each in observers if callable(getattr(each, name, None))]

        self._observers = observers
        self.of_calls = those("started")
        self._of_nodes = those("node_changed")
        self.of_operations = those("completed")
        self.of_late_answers = those("answered_late")

    def call(self, tell: Callable[..., Any], *what: object) -> Any:
        """Tell an observer something; return what it returns. What it raises is logged alone."""
        self._telling += 1
        try:
            return tell(*what)
        except Exception as error:  # noqa: BLE001 - an observer's error must not be an operation's
            reason = shown(error)
            if self._shared.settings.log_redaction:
                reason = f"<ud>{reason}</ud>"
            self._shared.log("warning", "an observer has failed: {reason}", reason=reason)
            return None
        finally:
            self._telling -= 1

    def node_changed(self, event: NodeEvent) -> None:
        """Tell of a node."""
        for observer in self._of_nodes:
            self.call(observer.node_changed, event)

    # Calls

    def begin(self, pending: Operation[Any] | Batch[Any], now: float) -> None:
        """Tell that the user has called: this is his frame, and his context."""
        if not self.of_calls or pending.done:
            return
        started = self._described(pending)
        if started is not None:
            self._under_way[pending] = _Call(started, now, self.announce(started))

    def announce(self, started: Started) -> Told:
        """Tell that a call begins; return whom to tell of its end, and what each has returned."""
        return [(each.ended, self.call(each.started, started)) for each in self.of_calls]

    def is_under_way(self, pending: object) -> bool:
        """Whether somebody is to hear of the end of *pending*."""
        return pending in self._under_way

    def end(self, pending: Any, now: float, completed: Completed | None = None) -> None:
        """Tell that a call is over; *completed* is what is known of it if it is an operation."""
        call = self._under_way.pop(pending, None)
        if call is None:
            return
        error = _failure(pending)
        retries = _retries(pending) if completed is None else completed.retries
        ended = Ended(
            call.started,
            max(0.0, now - call.begun),
            None if error is None else type(error),
            retries=retries,
            operation=completed,
        )
        self.tell(call.told, ended)

    def give_up(self, pending: Any, now: float) -> None:
        """Tell that nobody waits for a call any more."""
        call = self._under_way.pop(pending, None)
        if call is not None:
            duration = max(0.0, now - call.begun)
            ended = Ended(call.started, duration, RequestCanceledError, is_cancelled=True)
            self.tell(call.told, ended)

    def tell(self, told: Told, ended: Ended) -> None:
        """Tell those who saw it begin that a call is over."""
        for tell, begun in told:
            self.call(tell, ended, begun)

    def _described(self, pending: Operation[Any] | Batch[Any]) -> Started | None:
        """Return what to tell of a call; None: it is none of documents."""
        size: int | None = None
        key: Any = None
        framing = b""
        if isinstance(pending, Operation):
            name, defaults, timeout = pending.name, pending.defaults, pending.timeout
            key, framing = pending.raw, pending.framing
            names = defaults.collection
        elif isinstance(pending, Procedure):
            name, key, timeout, names = (
                pending.name,
                pending.key,
                pending.timeout,
                pending.collection,
            )
        elif isinstance(pending, Bulk):
            name, timeout = f"{pending.kind.name}_multi", pending.timeout
            names, size = pending.defaults.collection, len(pending.keys)
        elif pending.operations:
            first = pending.operations[0]
            name, timeout, framing = f"{first.name}_multi", first.timeout, first.framing
            names, size = first.defaults.collection, len(pending.operations)
        else:
            return None
        return self._started(name, names, timeout, size, key, framing)

    def _started(
        self,
        name: str,
        names: CollectionName | None,
        timeout: float,
        size: int | None,
        key: Any,
        framing: bytes,
    ) -> Started:
        settings = self._shared.settings
        scope, collection = names or _NOWHERE
        return Started(
            name,
            settings.bucket,
            scope,
            collection,
            timeout,
            None if self.wall_clock is None else self.wall_clock(),
            size,
            _durability(framing),
            key if isinstance(key, str | bytes) and key else None,
            settings.log_redaction,
        )


def _durability(framing: bytes) -> str | None:
    """Return the level in the framing extras of a request, which are ours."""
    if framing and framing != JSON_VALUE:
        for number, payload in decode_framing(framing):
            if number == _LEVEL:
                return DurabilityLevel(payload[0]).name.lower()
    return None


def _failure(pending: Any) -> BaseException | None:
    """Return why a call has failed, if it has; of a batch, of its first key that did."""
    error: BaseException | None = pending.error or getattr(pending, "broken", None)
    if error is None and isinstance(pending, Bulk):
        return pending.first[1] if pending.first is not None else None
    if error is None and isinstance(pending, Batch) and pending.failed is not None:
        return pending.failed
    if error is None and isinstance(pending, Batch):
        for op in pending.operations:
            if op.error is not None:
                return op.error
    return error


def _retries(pending: Any) -> int | None:
    """Return how often the operations of a batch were sent again."""
    if isinstance(pending, Batch) and not isinstance(pending, Bulk | Procedure):
        return sum(op.attempts for op in pending.operations)
    return None
