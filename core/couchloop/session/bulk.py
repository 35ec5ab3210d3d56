"""Large batches, as the nodes take them: what is built, sent and read in one turn of the loop.

Three rules. A turn does so much and no more, whatever waits (`SLICE`). A node has so much under way
for one batch and no more, so that no operation's time runs while it only waits for those before it.
And an operation on a key that still waits in a batch is written after it: that key is sent first.

Where a node takes nothing, one operation waits for it in the ordinary way (what else waits is not
even built). If its time runs out, so does that of all that wait for this node: a cluster that
cannot be reached ends a batch within one timeout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    OverloadedError,
    UnambiguousTimeoutError,
    caused,
)
from couchloop.hot.batch import Batch, Bulk, Lane
from couchloop.hot.encoding import encode_key
from couchloop.hot.operation import Operation
from couchloop.session.shared import SessionState, weakly

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.kv.connection import Connection
    from couchloop.session.dispatcher import Dispatcher
    from couchloop.session.route_table import RouteTable
    from couchloop.session.shared import Shared

SLICE: Final = 128
"""Keys that are built in one turn of the loop: a few milliseconds."""
_SLICE_BYTES: Final = 256 << 10
"""Bytes of values that are encoded in one turn."""
_GIVEN_UP: Final = 8 * SLICE
"""Keys that are failed in one turn, where nothing is to be built."""
_LOOKED_AT: Final = 4 * SLICE
"""Keys that are looked at in one turn, if most of them have to wait."""
_FIRST: Final = 16
"""Reads that a node has under way for one batch before any answer has shown how long they are."""
_MOST: Final = 1024
"""The same from then on."""
_MOST_BYTES: Final = 1 << 20
"""Bytes of requests, or of the answers that are expected, that it has under way for one batch."""


class Feeder:
    """The large batches of one session.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        dispatcher: sends what is built.
        give_turn: has `go_on` called in the place where user code of a batch may run; None: that
            is here.

    Attributes:
        waiting: batches with keys that were not issued yet, in the order of their issue.
        wants: batches that want a turn: after what has just come, or in the next turn of the loop.

    """

    __slots__ = (
        "_active",
        "_dispatcher",
        "_give_turn",
        "_left",
        "_shared",
        "_table",
        "waiting",
        "wants",
    )

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        dispatcher: Dispatcher,
        give_turn: Callable[[Batch[Any], float], object] | None,
    ) -> None:
        self._shared = shared
        self._table = table
        self._dispatcher = dispatcher
        self._give_turn = give_turn
        dispatcher.before = self.before
        table.on_routed = self.routed
        self.waiting: dict[Bulk[Any], None] = {}
        self._active: dict[Batch[Any], None] = {}
        self.wants: dict[Batch[Any], None] = {}
        self._left = SLICE
        """What may still be built in this turn of the loop."""

    def let_go(self) -> None:
        """Hold those no more who are told: the session has ended."""
        if self._give_turn is not None:
            self._give_turn = weakly(self._give_turn)

    @property
    def is_active(self) -> bool:
        """Whether there is any batch."""
        return bool(self._active)

    @property
    def queued_keys(self) -> int:
        """How many keys wait."""
        return sum(bulk.waiting for bulk in self.waiting)

    @property
    def queued_bytes(self) -> int:
        """About how many bytes these are, with their values."""
        return sum(bulk.queued_bytes for bulk in self.waiting)

    def take(self, bulk: Bulk[Any], now: float) -> None:
        """Begin with *bulk*."""
        self._active[bulk] = None
        self.waiting[bulk] = None
        bulk.progress = self.wants_turn
        self._dispatcher.guard(waits=bool(self.waiting))
        self._left = SLICE
        self.go_on(bulk, now)

    def read_later(self, batch: Batch[Any]) -> None:
        """Have the answers of a batch that was sent whole read in turns: they are long."""
        self._active[batch] = None
        self.wants_turn(batch)

    def begin(self, bulk: Bulk[Any], now: float) -> None:
        """Begin with *bulk*, whatever its keys raise."""
        if self._dispatcher.is_closing:
            bulk.ended = self._shared.failure()
        try:
            self.take(bulk, now)
            if self._shared.state is SessionState.CLOSED:
                # No turn comes any more.
                while bulk in self._active:
                    self.go_on(bulk, now)
        except Exception as error:  # noqa: BLE001 - of keys with methods of their own
            self.break_off(bulk, error, now)
        except BaseException:
            # A transcoder was interrupted: nobody waits for the batch.
            self.cancel(bulk)
            raise

    def break_off(self, bulk: Bulk[Any], error: BaseException, now: float) -> None:
        """Send no more of *bulk*, and have its caller know why; all that is known of it is void."""
        self.cancel(bulk)
        # Its frames would lead to the batch, which has it.
        bulk.break_off(error.with_traceback(None))
        self._dispatcher.hand_over(bulk, now)

    def leave(self, batch: Batch[Any]) -> None:
        """Read no more of a batch that was sent whole: its caller has gone."""
        self._active.pop(batch, None)
        self.wants.pop(batch, None)

    def cancel(self, bulk: Bulk[Any]) -> None:
        """Forget *bulk*, with all that was issued of it: its caller has gone."""
        for op in self.forget(bulk):
            self._dispatcher.cancel(op)

    @property
    def _refusal(self) -> CouchbaseError | None:
        """Why no operation can be sent, now or later, if so."""
        return self._shared.failure() if self._shared.state is SessionState.CLOSED else None

    def forget(self, bulk: Bulk[Any]) -> list[Operation[Any]]:
        """Send no more of *bulk*; return the operations that were issued."""
        self.leave(bulk)
        self._all_issued(bulk)
        bulk.progress = None
        bulk.lanes.clear()
        issued = list(bulk.outstanding)
        bulk.outstanding.clear()
        for op in issued:
            op.batch = None
        return issued

    def _all_issued(self, bulk: Bulk[Any]) -> None:
        if bulk in self.waiting:
            del self.waiting[bulk]
            self._dispatcher.guard(waits=bool(self.waiting))

    # Turns

    def wants_turn(self, bulk: Batch[Any]) -> None:
        """Have *bulk* go on in the next turn of the loop."""
        if bulk in self._active and bulk not in self.wants:
            self.wants[bulk] = None
            self._shared.timers.wakeup = 0.0

    def routed(self) -> None:
        """Take note that nodes can be reached now, or no longer."""
        for bulk in self.waiting:
            self.wants_turn(bulk)

    def turn(self, now: float) -> None:
        """Let batches go on, in turn, as far as one turn of the loop goes."""
        wants = self.wants
        self._left = SLICE
        for bulk in list(wants):
            if self._left <= 0:
                break
            if wants.pop(bulk, self) is None:
                # Whoever is busy with it sees then that there is more to do.
                if isinstance(bulk, Bulk):
                    bulk.is_called = True
                self._have_turn(bulk, now)
        if wants:
            self._shared.timers.wakeup = 0.0

    def _have_turn(self, bulk: Batch[Any], now: float) -> None:
        if self._give_turn is not None:
            self._give_turn(bulk, now)
        elif not isinstance(bulk, Bulk):
            self._read_on(bulk, now)
        else:
            self._feed_or_break(bulk, now)

    def _feed_or_break(self, bulk: Bulk[Any], now: float) -> None:
        try:
            self.go_on(bulk, now)
        except BaseException as error:  # noqa: BLE001 - of keys and transcoders of the user's
            self.break_off(bulk, error, now)

    def end_all(self, why: Callable[[Bulk[Any]], CouchbaseError], now: float) -> None:
        """End all batches, at once, for the session ends: no turn comes any more."""
        for bulk in list(self._active):
            if not isinstance(bulk, Bulk):
                self._all_read(bulk, now)
                continue
            bulk.ended = why(bulk)
            left = -1
            # Where others are to read the answers, their turn comes, or has come.
            while bulk in self._active and left != bulk.remaining:
                left = bulk.remaining
                self._have_turn(bulk, now)

    def _read_on(self, batch: Batch[Any], now: float) -> None:
        """Read more of a batch that was sent whole."""
        try:
            self._left -= max(SLICE // 2, batch.read_some() // 2)
        except BaseException as error:
            # Its caller sees it, who reads once more what has failed.
            self._all_read(batch, now)
            if isinstance(error, Exception):
                return
            raise
        if batch not in self._active:
            # User code has cancelled it meanwhile.
            return
        if batch.is_reading:
            self.wants_turn(batch)
        else:
            self._all_read(batch, now)

    def _all_read(self, batch: Batch[Any], now: float) -> None:
        """Hand a batch that was sent whole over: what is left of it is read by its caller."""
        batch.is_reading = False
        self.leave(batch)
        self._dispatcher.hand_over(batch, now)

    def go_on(self, bulk: Batch[Any], now: float) -> None:
        """Read what was answered, build and send more: one slice."""
        if bulk not in self._active:
            return
        if not isinstance(bulk, Bulk):
            self._read_on(bulk, now)
            return
        bulk.is_called = False
        self._left -= bulk.read_some() // 2
        if bulk.ended is None and bulk.waiting:
            bulk.ended = self._refusal
        if bulk.ended is not None:
            bulk.give_up(_GIVEN_UP)
        elif bulk.waiting:
            self._feed(bulk, now)
        if bulk not in self._active:
            # User code has cancelled it meanwhile.
            return
        if not bulk.waiting:
            self._all_issued(bulk)
        if bulk.done:
            self.forget(bulk)
            self._dispatcher.hand_over(bulk, now)
        elif bulk.finished or bulk.is_called or (bulk.ended is not None and bulk.waiting):
            self.wants_turn(bulk)

    # Sending

    def before(self, raw: bytes, now: float, until: Bulk[Any] | None = None) -> None:
        """Send the key with these bytes first, if it waits in a batch (of those before *until*)."""
        for bulk in list(self.waiting):
            if bulk is until:
                return
            place = bulk.place_of(raw)
            if place is not None and not bulk.issued[place] and bulk.ended is None:
                self._issue(bulk, place, self._lane(bulk, raw)[0], now)

    def _issue(self, bulk: Bulk[Any], place: int, lane: Lane, now: float) -> None:
        self._left -= 1
        op = bulk.operation(place)
        if op is None or bulk.issued[place] or bulk not in self._active:
            # It is refused; or a transcoder took its time, and it was issued, or is not wanted.
            return
        if len(self.waiting) > 1:
            self.before(op.raw, now, until=bulk)
        bulk.issue(op, lane)
        self._dispatcher.issue(op, now)

    def _lane(self, bulk: Bulk[Any], raw: bytes) -> tuple[Lane, Connection | None]:
        """Return the lane of a key's node, and the connection that takes it now, if one does."""
        table = self._table
        config = table.config
        node = connection = None
        if config is not None and config.is_ready and self._shared.is_open:
            index = config.active[config.vbucket(raw)]
            endpoint = table.by_node[index] if index >= 0 else None
            node = ""
            if endpoint is not None:
                node, connection = endpoint.id, endpoint.open_to_all
        lane = bulk.lanes.get(node)
        if lane is None:
            lane = bulk.lanes[node] = Lane()
        return lane, connection

    def _feed(self, bulk: Bulk[Any], now: float) -> None:
        """Build and issue what nodes take, within what is left of this turn."""
        most = bulk.built_bytes + _SLICE_BYTES
        for lane in list(bulk.lanes.values()):
            places = lane.places
            while places and self._has_room(bulk, most):
                if not self._try(bulk, places[0], now):
                    break
                places.popleft()
        cursor, last = bulk.cursor, len(bulk.keys)
        end = min(last, cursor + _LOOKED_AT)
        while cursor < end and self._has_room(bulk, most):
            if not self._shared.is_open and bulk.outstanding:
                # One waits for the bucket to be open: that is enough.
                return
            bulk.fill(cursor)
            bulk.cursor = cursor + 1
            self._try(bulk, cursor, now, is_new=True)
            cursor = bulk.cursor
        if cursor < last or not self._has_room(bulk, most):
            self.wants_turn(bulk)

    def _has_room(self, bulk: Bulk[Any], most: int) -> bool:
        return self._left > 0 and bulk.built_bytes < most and bulk.waiting > 0

    def _try(self, bulk: Bulk[Any], place: int, now: float, *, is_new: bool = False) -> bool:
        """Issue a key if its node takes it, or refuse it; else have it wait, and give False."""
        if bulk.issued[place]:
            return True
        try:
            raw = encode_key(bulk.defaults.transcoder, bulk.keys[place], bulk.kind.name)
        except CouchbaseError as error:
            bulk.refuse(place, error)
            return True
        lane, connection = self._lane(bulk, raw)
        if lane.dead is not None and _is_dead(lane, connection):
            bulk.refuse(place, _unsent(bulk, lane.dead))
            return True
        if is_new and lane.places:
            # In order, and without building it.
            lane.places.append(place)
            return False
        if not _takes(bulk, lane, connection):
            if is_new:
                lane.places.append(place)
            return False
        self._issue(bulk, place, lane, now)
        return True


def _unsent(bulk: Bulk[Any], cause: CouchbaseError) -> CouchbaseError:
    """Return why a key of *bulk* was not sent; *cause* is what has ended those before it."""
    if isinstance(cause, OverloadedError):
        return cause
    context = ErrorContext(operation=bulk.kind.name)
    if cause.context is not None:
        context.bucket, context.node = cause.context.bucket, cause.context.node
    error = UnambiguousTimeoutError(
        "nothing was sent: what the batch had for the same node before was not answered within "
        f"{bulk.timeout:g} s",
        context=context,
    )
    caused(error, cause)
    return error


def _is_dead(lane: Lane, connection: Connection | None) -> bool:
    """Whether what is issued for its node ends in vain, and it has shown no sign of life since."""
    return connection is None or connection.last_activity <= lane.died


def _takes(bulk: Bulk[Any], lane: Lane, connection: Connection | None) -> bool:
    """Whether *lane* takes one more operation now."""
    if not lane.open:
        # Where there is no connection it waits for one, in the place of all others.
        return True
    if connection is None:
        return False
    if bulk.kind.gives_value and not bulk.answers:
        return lane.open < _FIRST
    expected = lane.open * bulk.answer_bytes // bulk.answers if bulk.answers else 0
    return lane.open < _MOST and lane.bytes + expected < _MOST_BYTES
