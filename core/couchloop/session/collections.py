"""Numbers of named collections: asked of the nodes, kept, and asked anew when they are outdated.

A key of a named collection has the collection's number before it. An operation gets that where it
is built, from its `Defaults`; where it is not known, or something is to be looked at first, it has
`UNNUMBERED` in its place, and comes here when it is to be sent. So whoever uses no collection, or
one whose number is known, pays nothing for the rest:

- The number is asked for once, whatever waits for it (COLLECTIONS_GET_ID 0xbb).
- A node may refuse a number (unknown collection, 0x88): if it lags behind the manifest that gave
  the number, what is for it waits a little; else the number is outdated, for the collection was
  dropped (and perhaps made anew), and is asked for again.
- Nodes that lag may give an outdated answer, so that it counts only if no newer manifest was ever
  told of, or all nodes were asked.
- What waits keeps its order: what was refused first, then what was never sent, each in the order of
  its issue; and all that before what waits for its node. Nothing goes to a node with a new number
  as long as something with the old one is on its way there, for that will be refused.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ref

from couchloop.exceptions import (
    CollectionNotFoundError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    NotSupportedError,
    ProtocolError,
    ScopeNotFoundError,
    UnambiguousTimeoutError,
    caused,
    own_copy,
    status_error,
)
from couchloop.hot.operation import CollectionName, Defaults, Operation
from couchloop.kv.handshake import read_error_body
from couchloop.retries import GivenUp, RetryReason, controlled_backoff
from couchloop.session.strategies import note
from couchloop.session.verdicts import Action, verdict
from couchloop.wire import Feature, Opcode, Status
from couchloop.wire.keys import UNNUMBERED, encode_leb128

if TYPE_CHECKING:
    from couchloop.hot.frames import Frame
    from couchloop.hot.request import Request
    from couchloop.kv.connection import Connection
    from couchloop.session.dispatcher import Dispatcher
    from couchloop.session.requests import OwnRequest, OwnRequests
    from couchloop.session.route_table import RouteTable
    from couchloop.session.shared import Shared
    from couchloop.session.timers import Timer
    from couchloop.settings.values import Address


_ID: Final = Struct(">QI")
"""Manifest and number in the extras of an answer."""
_LONGEST_BODY: Final = 4096
_LONGEST_UID: Final = 16
"""Hexadecimal digits of a manifest's number."""
_MOST_HANDLES: Final = 1024
_PATIENCE: Final = 4
"""So many refusals of a node that seems to lag behind make the number doubtful."""

_NO_COLLECTION: Final = (
    "the collection does not exist, or the user has no right in it: create it, or name another"
)
_NO_SCOPE: Final = (
    "the scope does not exist, and so no collection in it: create it, or name another"
)


class Number(NamedTuple):
    """The number of a collection."""

    prefix: bytes
    """As it stands before keys."""
    manifest: int
    """The number of the manifest that has it."""


class Queue(dict[Operation[Any], None]):
    """Operations that wait for one collection."""

    __slots__ = ("wait",)

    def __init__(self, wait: Wait) -> None:
        super().__init__()
        self.wait = wait


class Wait:
    """What waits for one collection: for its number, or for a node that lags behind.

    Args:
        names: of the collection.
        node: that lags behind; None: the number is not known.
    """

    __slots__ = (
        "again",
        "asked",
        "hint",
        "missing",
        "names",
        "new",
        "node",
        "request",
        "rounds",
        "timer",
    )

    def __init__(self, names: CollectionName, node: Address | None) -> None:
        self.names = names
        self.node = node
        self.again = Queue(self)
        """What was refused."""
        self.new = Queue(self)
        """What was not sent since."""
        self.request: OwnRequest | None = None
        self.timer: Timer | None = None
        self.hint: Address | None = None
        """The node to be asked first: the one that something is for."""
        self.asked: set[Address] = set()
        """The nodes that were asked in this round."""
        self.rounds = 0
        """How often all nodes have been asked."""
        self.missing: CouchbaseError | None = None
        """What the nodes have told, if they know no such collection."""

    def end(self) -> None:
        """Take note that nothing waits here any more: its queues must not point to it."""
        del self.again.wait, self.new.wait

    @property
    def operations(self) -> list[Operation[Any]]:
        """What waits, in order."""
        return [*self.again, *self.new]

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that will see to it."""
        return self.request is not None or (self.timer is not None and self.timer.live)


class Fence(NamedTuple):
    """The last request with an outdated number that is on its way to a node."""

    connection: Connection
    opaque: int

    @property
    def is_there(self) -> bool:
        """Whether it was not answered yet."""
        return self.opaque in self.connection.pending


class Collections:
    """The named collections of one session.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        requests: asks them for numbers.
        dispatcher: sends what has waited.
    """

    __slots__ = (
        "_dispatcher",
        "_fences",
        "_handles",
        "_known",
        "_most_handles",
        "_newest",
        "_requests",
        "_shared",
        "_table",
        "_timers",
        "_waits",
    )

    def __init__(
        self, shared: Shared, table: RouteTable, requests: OwnRequests, dispatcher: Dispatcher
    ) -> None:
        self._shared = shared
        self._timers = shared.timers
        self._table = table
        self._requests = requests
        self._dispatcher = dispatcher
        dispatcher.explain = self.expired
        self._known: dict[CollectionName, Number] = {}
        self._handles: dict[CollectionName, list[ref[Defaults]]] = {}
        self._most_handles = _MOST_HANDLES
        """Names from which on those are looked for whose handles are gone."""
        """What builds operations of each collection, by a number of its own."""
        self._newest = 0
        """The newest manifest that any node has told of."""
        self._waits: dict[tuple[CollectionName, Address | None], Wait] = {}
        self._fences: dict[tuple[CollectionName, Address], Fence] = {}

    def attach(self, defaults: Defaults) -> None:
        """Keep the prefix of *defaults* up to date, as long as they are there.

        A handle may go while its operations are under way, and another come in its place.
        """
        names = defaults.collection
        assert names is not None
        known = self._known.get(names)
        is_sure = known is not None and not self._is_watched(names)
        defaults.prefix = known.prefix if known is not None and is_sure else UNNUMBERED
        handles = self._handles
        others = [each for each in handles.get(names, ()) if each() is not None]
        handles[names] = [*others, ref(defaults)]
        if len(handles) >= self._most_handles:
            # Names may come from users, each once: those whose handles are gone are not kept.
            for each in [each for each, refs in handles.items() if all(r() is None for r in refs)]:
                del handles[each]
            self._most_handles = max(_MOST_HANDLES, 2 * len(handles))

    def _distrust(self, names: CollectionName) -> None:
        """Have what is built next come here first.

        It might overtake what was refused; and a copy that is observed by an outdated number seems
        to have no document.
        """
        for each in self._handles.get(names, ()):
            defaults = each()
            if defaults is not None:
                defaults.prefix = UNNUMBERED

    def _is_watched(self, names: CollectionName) -> bool:
        """Whether anything waits for that collection, or might have to."""
        if any(each == names for each, _ in self._waits):
            return True
        nodes = [node for each, node in self._fences if each == names]
        return any(self._is_fenced(names, node) for node in nodes)

    # Operations come here

    def unnumbered(self, op: Request, connection: Connection, vbucket: int) -> bool:
        """See `couchloop.hot.pipe.PipeOwner`."""
        names = op.defaults.collection if isinstance(op, Operation) else None
        if names is None or not isinstance(op, Operation):
            return False
        if Feature.COLLECTIONS not in connection.features:
            self._dispatcher.fail(op, self._not_available(op, connection))
            return True
        known = self._known.get(names)
        place = None if known is None else connection.address
        wait = self._waits.get((names, place))
        if wait is None:
            if known is not None and not self._is_fenced(names, connection.address):
                op.prefix = known.prefix
                if not self._is_watched(names):
                    op.defaults.prefix = known.prefix
                if not op.is_plain:
                    # It may have a copy of the prefix.
                    op.prepare(vbucket, connection.prefix)
                return False
            wait = self._wait(names, place)
        if not wait.is_busy:
            # Time is not known here; and what else comes in this turn waits for the same answer.
            wait.hint = connection.address
            go_on = self._ask if place is None else self._look
            wait.timer = self._timers.call_at(0.0, lambda now: go_on(wait, now))
        self._dispatcher.hold(op, wait.again if op.attempts else wait.new)
        return True

    def refused(
        self,
        op: Operation[Any],
        answer: Frame,
        connection: Connection,
        error: CouchbaseError,
        now: float,
    ) -> bool:
        """Take *op*, which a node has refused, if that is for the number of its collection."""
        names = op.defaults.collection
        if answer.status != Status.UNKNOWN_COLLECTION or names is None or not op.prefix:
            return False
        told = manifest_of(answer)
        self._newest = max(self._newest, told or 0)
        sent = op.prefix
        op.attempts += 1
        op.obstacle = error
        op.connection = None
        op.prefix = UNNUMBERED
        self._lift(names, connection, op.opaque, now)
        self._distrust(names)
        known = self._known.get(names)
        if known is not None and known.prefix != sent:
            # It was on its way while the number changed.
            self._dispatcher.send_first([op], now)
            return True
        lags = known is not None and told is not None and told < known.manifest
        if lags and op.attempts % _PATIENCE:
            wait = self._wait(names, connection.address)
            if not wait.is_busy:
                when = now + controlled_backoff(op.attempts)
                wait.timer = self._timers.call_at(when, lambda at: self._release(wait, at))
        else:
            wait = self._outdated(names)
            if not wait.is_busy:
                wait.hint = connection.address
                pause = controlled_backoff(op.attempts - 1) if op.attempts > 1 else 0.0
                wait.timer = self._timers.call_at(now + pause, lambda at: self._ask(wait, at))
        self._dispatcher.hold(op, wait.again)
        return True

    def expired(self, op: Request) -> CouchbaseError | None:
        """Return the error of *op*, whose time is up, if it waits here."""
        queue = op.parked
        if not isinstance(queue, Queue):
            return None
        wait = queue.wait
        context = self._dispatcher.failures.context(op)
        if wait.missing is not None:
            return self._own(wait.missing, context)
        what = "no node has told the number of the collection"
        if wait.node is not None:
            what = "the node did not know the collection yet"
            context.node = str(wait.node)
        error = UnambiguousTimeoutError(f"{what} in time", context=context)
        caused(error, op.obstacle)
        return error

    def _wait(self, names: CollectionName, node: Address | None) -> Wait:
        wait = self._waits.get((names, node))
        if wait is None:
            wait = self._waits[names, node] = Wait(names, node)
        return wait

    def _outdated(self, names: CollectionName) -> Wait:
        """Forget the number; what waits for a node that lags behind waits for the next number."""
        if self._known.pop(names, None) is not None:
            self._build_fences(names)
        wait = self._wait(names, None)
        for each in [each for each in self._waits.values() if each.names == names]:
            if each is not wait:
                self._drop(each)
                for old, new in ((each.again, wait.again), (each.new, wait.new)):
                    for op in old:
                        op.parked = new
                    new.update(old)
                each.end()
        return wait

    def _build_fences(self, names: CollectionName) -> None:
        """Take note of what is on its way with the number of that collection."""
        self._fences = {place: fence for place, fence in self._fences.items() if fence.is_there}
        for endpoint in self._table.endpoints.values():
            connection = endpoint.ready
            for op in () if connection is None else connection.pending.values():
                if isinstance(op, Operation) and op.defaults.collection == names:
                    assert connection is not None
                    self._fences[names, connection.address] = Fence(connection, op.opaque)

    def _is_fenced(self, names: CollectionName, node: Address) -> bool:
        """Whether something with an outdated number is on its way to that node."""
        fence = self._fences.get((names, node))
        if fence is None:
            return False
        if fence.is_there:
            return True
        del self._fences[names, node]
        return False

    def _lift(self, names: CollectionName, connection: Connection, opaque: int, now: float) -> None:
        """Have what waits behind a fence go on, if this is what it waited for."""
        place = names, connection.address
        if self._fences.get(place) == (connection, opaque):
            del self._fences[place]
            wait = self._waits.get(place)
            if wait is not None:
                if wait.timer is not None:
                    wait.timer.cancel()
                wait.timer = self._timers.call_at(now, lambda at: self._release(wait, at))

    def _look(self, wait: Wait, now: float) -> None:
        """Have what waits behind a fence go on, if that is gone."""
        if wait.node is not None and self._is_fenced(wait.names, wait.node):
            wait.rounds += 1
            when = now + controlled_backoff(wait.rounds)
            wait.timer = self._timers.call_at(when, lambda at: self._look(wait, at))
        else:
            self._release(wait, now)

    def _drop(self, wait: Wait) -> None:
        self._waits.pop((wait.names, wait.node), None)
        if wait.timer is not None:
            wait.timer.cancel()
            wait.timer = None

    def _release(self, wait: Wait, now: float) -> None:
        """Send what has waited: it may have to wait again, each for its own node."""
        self._drop(wait)
        self._dispatcher.send_first(wait.operations, now)
        wait.end()

    # Asking

    def _ask(self, wait: Wait, now: float) -> None:
        """Ask the next node for the number, unless nobody wants it any more."""
        wait.timer = None
        if not wait.again and not wait.new:
            self._drop(wait)
            wait.end()
            return
        connection = self._next(wait)
        if connection is None:
            # They wait for their nodes, as others do.
            self._release(wait, now)
            return
        wait.asked.add(connection.address)

        def done(request: OwnRequest) -> None:
            self._answered(wait, connection, request)

        names = str(wait.names).encode()
        wait.request = self._requests.send(
            connection, Opcode.COLLECTIONS_GET_ID, done, now, value=names
        )

    def _able(self) -> list[Connection]:
        """Return the connections that may be asked."""
        endpoints = self._table.endpoints.values()
        ready = [c for each in endpoints if (c := each.open_to_all) is not None]
        return [c for c in ready if Feature.COLLECTIONS in c.features]

    def _next(self, wait: Wait) -> Connection | None:
        """Return the connection to be asked next; all were asked: another round begins."""
        able = self._able()
        if all(each.address in wait.asked for each in able):
            wait.asked.clear()
        left = [each for each in able if each.address not in wait.asked]
        first = [each for each in left if each.address == wait.hint]
        return next(iter(first or left), None)

    def _answered(self, wait: Wait, connection: Connection, request: OwnRequest) -> None:
        wait.request = None
        answer = request.answer
        if not self._shared.is_open or self._waits.get((wait.names, None)) is not wait:
            return
        if answer is None:
            # The node did not answer for long, or the connection is lost: that is pause enough.
            wait.timer = self._timers.call_at(0.0, lambda at: self._ask(wait, at))
            return
        now = connection.last_activity
        is_last = all(each.address in wait.asked for each in self._able())
        error: CouchbaseError | None = None
        if answer.status:
            manifest = manifest_of(answer)
            if self._is_final(wait, answer, connection):
                return
            if answer.status in {Status.UNKNOWN_COLLECTION, Status.UNKNOWN_SCOPE}:
                error = self._error(answer, connection)
        else:
            number = self._read(answer, connection, now)
            manifest = None if number is None else number.manifest
            if number is not None and (is_last or number.manifest >= self._newest):
                self._newest = number.manifest
                self._known[wait.names] = number
                self._release(wait, now)
                return
        self._newest = max(self._newest, manifest or 0)
        if not is_last:
            self._ask(wait, now)
            return
        wait.rounds += 1
        pause = controlled_backoff(wait.rounds)
        wait.timer = self._timers.call_at(now + pause, lambda at: self._ask(wait, at))
        if error is not None:
            # User code that runs now finds that somebody sees to it already.
            self._tell_missing(wait, error)

    @staticmethod
    def _read(answer: Frame, connection: Connection, now: float) -> Number | None:
        """Read the number; None: the peer broke the protocol."""
        if len(answer.extras) == _ID.size:
            manifest, number = _ID.unpack(answer.extras)
            if number:
                return Number(encode_leb128(number), manifest)
        connection.fail(ProtocolError("the answer has no number of a collection"), now)
        return None

    def _is_final(self, wait: Wait, answer: Frame, connection: Connection) -> bool:
        """End all that waits, if the answer is an error that stays; return whether it is."""
        status = answer.status
        action, _ = verdict(status, connection.error_map)
        is_unknown = status in {Status.UNKNOWN_COLLECTION, Status.UNKNOWN_SCOPE}
        if is_unknown or action is not Action.FAIL:
            return False
        error = self._error(answer, connection)
        self._drop(wait)
        for op in wait.operations:
            if isinstance(op.parked, Queue) and op.parked.wait is wait:
                own = error
                if isinstance(error, NotSupportedError):
                    own = self._not_available(op, connection)
                self._dispatcher.fail(op, self._own(own, self._dispatcher.failures.context(op)))
        wait.end()
        return True

    def _tell_missing(self, wait: Wait, error: CouchbaseError) -> None:
        """Have those operations fail whose strategy does not want to wait for the collection."""
        wait.missing = error
        reason = RetryReason.COLLECTION_NOT_FOUND
        for op in wait.operations:
            if not isinstance(op.parked, Queue) or reason in op.reasons:
                # User code that ran meanwhile has ended it; or it wanted to wait before.
                continue
            delay = self._dispatcher.strategies.delay(op, reason)
            note(op, reason)
            if not isinstance(delay, GivenUp) or not isinstance(op.parked, Queue):
                continue
            own = self._own(error, self._dispatcher.failures.context(op))
            caused(own, delay.cause)
            self._dispatcher.fail(op, own)

    # Errors

    def _error(self, answer: Frame, connection: Connection) -> CouchbaseError:
        """Return what a node's answer to the question means."""
        status = answer.status
        entry = connection.error_map.get(status)
        context = ErrorContext(
            node=str(connection.address),
            status=status,
            status_name=None if entry is None else entry.name,
        )
        read_error_body(answer, context)
        kind = status_error(status, Opcode.COLLECTIONS_GET_ID, 0)
        text = ""
        if kind is CollectionNotFoundError:
            text = _NO_COLLECTION
        elif kind is ScopeNotFoundError:
            text = _NO_SCOPE
        return kind(text, context=context)

    @staticmethod
    def _merged(told: ErrorContext | None, context: ErrorContext) -> ErrorContext:
        """Return *context*, with what a node has told."""
        if told is not None:
            context.node, context.status = told.node, told.status
            context.status_name = told.status_name
            context.server_context, context.server_ref = told.server_context, told.server_ref
        return context

    def _own(self, error: CouchbaseError, context: ErrorContext) -> CouchbaseError:
        """Return *error* as that of the operation which is at *context*."""
        own = own_copy(error)
        own.context = self._merged(error.context, context)
        own.key = context.key
        return own

    def _not_available(self, op: Operation[Any], connection: Connection) -> CouchbaseError:
        context = self._dispatcher.failures.context(op)
        context.node = str(connection.address)
        return FeatureNotAvailableError(
            "the server, or this type of bucket, knows no named collections: use the default one "
            "(bucket.default_collection()), or upgrade the server to 7.0 or newer",
            context=context,
        )


def manifest_of(answer: Frame) -> int | None:
    """Return the number of the manifest that an error tells of; None: it tells of none."""
    value = answer.value
    if not 0 < len(value) <= _LONGEST_BODY or value[:1] != b"{":
        return None
    try:
        uid = json.loads(value).get("manifest_uid")
        if isinstance(uid, str) and 0 < len(uid) <= _LONGEST_UID:
            return int(uid, 16)
    except (ValueError, AttributeError, RecursionError):
        pass
    return None
