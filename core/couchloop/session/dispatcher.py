"""Operations on their way: sent, parked, sent later, complete, or out of time.

What the answer of a server means for one is in `couchloop.session.retrying`; the hot half is in
`couchloop.hot.submit`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import CouchbaseError
from couchloop.hot.deadlines import Deadlines
from couchloop.hot.frames import HEADER
from couchloop.hot.operation import Operation
from couchloop.hot.pipe import ROOM
from couchloop.hot.request import Request
from couchloop.hot.submit import Submitter
from couchloop.kv.connection import Connection, connection_of
from couchloop.later import Module
from couchloop.retries import GivenUp, RetryReason
from couchloop.session.configurations import ConfigReason
from couchloop.session.failures import Failures, fresh
from couchloop.session.parking import Parking
from couchloop.session.route_table import Endpoint, RouteTable
from couchloop.session.shared import SessionState, Shared, nobody, weakly
from couchloop.session.standstill import blame
from couchloop.session.strategies import Strategies, note

if TYPE_CHECKING:
    from couchloop.hot.batch import Batch
    from couchloop.hot.frames import Frame
    from couchloop.session import unavailable
    from couchloop.session.liveness import Liveness
else:
    # For the rare servers without vbuckets.
    unavailable = Module("couchloop.session.unavailable", globals())

_OVERHEAD: Final = HEADER.size + 1
"""Bytes of a request beside extras, key and value: the header, and the number of a collection."""


class Dispatcher(Submitter):
    """Operations on their way: what waits for what, until when, and what is sent again.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        deadlines: of the session's requests.
        parking: what waits.
        failures: makes the errors of operations.
        strategies: asked whether operations want to wait.
        liveness: told of operations that were not answered.
        deliver: called with each completed operation (or batch) that came through `submit`.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        deadlines: Deadlines,
        parking: Parking,
        failures: Failures,
        strategies: Strategies,
        liveness: Liveness,
        deliver: Callable[[Any], object],
    ) -> None:
        super().__init__(table, deadlines, deliver)
        self.parking = parking
        self.failures = failures
        self.strategies = strategies
        self._shared = shared
        self._table = table
        self._liveness = liveness
        self._is_closing = False
        self.on_new: Callable[[float], None] = nobody
        """Called where something is issued before the session was started."""
        self.on_config_needed: Callable[[ConfigReason, float], None] = nobody
        """Called where keys have no node."""
        self.before: Callable[[bytes, float], None] = nobody
        """Sends what waits elsewhere with the same key, and was issued first."""
        self.explain: Callable[[Request], CouchbaseError | None] = nobody
        """Says what else an operation has waited for whose time is up."""

    # In: the user

    def admits(self, op: Operation[Any], now: float) -> bool:
        """See `Submitter`; what waits elsewhere on the same key is sent first."""
        if self._is_closing:
            op.error = self.failures.not_taken(op)
            self.completed(op)
            return False
        self.before(op.raw, now)
        return True

    def guard(self, *, waits: bool) -> None:
        """Have `before` called for each operation as long as anything *waits* elsewhere."""
        self._is_guarded = self._is_closing or waits

    def close(self) -> None:
        """Take nothing new."""
        self._is_closing = self._is_guarded = True

    @property
    def is_closing(self) -> bool:
        """Whether nothing new is taken."""
        return self._is_closing

    def issue(self, op: Operation[Any], now: float) -> None:
        """Send *op*, or park it, even if the session takes nothing new."""
        if op.prefix:
            # It may have been built long ago.
            op.prefix = op.defaults.prefix
        self._deadlines.add(op, now)
        self.send_or_park(op, now)

    def wait(self, op: Request, queue: dict[Any, None], now: float) -> bool:
        """Have *op*, which is never sent, wait in *queue*; return whether that may succeed."""
        shared = self._shared
        self._deadlines.add(op, now)
        if self._is_closing:
            self.fail(op, shared.failure())
            return False
        if shared.state is SessionState.FAILED:
            assert shared.error is not None
            self.fail(op, fresh(shared.error, op))
            return False
        if shared.state is SessionState.NEW:
            self.on_new(now)
        self.parking.park(op, queue)
        return True

    def finish(self, op: Request) -> None:
        """Complete *op*, which waits: what it waited for has come."""
        self.detach(op)
        self.completed(op)

    def cancel(self, op: Request) -> None:
        """Forget *op*: its caller has gone. An answer that comes later counts as an orphan."""
        if op.queue is None:
            return
        self.detach(op)
        connection = connection_of(op)
        if connection is not None:
            connection.forget(op)
            op.connection = None

    # Sending, and waiting

    def send_or_park(self, op: Operation[Any], now: float, *, is_new: bool = True) -> None:
        """See `Submitter`."""
        shared = self._shared
        endpoint: Endpoint | None = None
        reason = RetryReason.NODE_NOT_AVAILABLE
        queue = self.parking.until_open
        if shared.is_open:
            config = self._table.config
            assert config is not None
            if not config.is_ready:
                self.fail(op, self.failures.no_bucket(op))
                return
            if not config.has_vbuckets and self._is_unavailable(op):
                return
            if not op.is_plain and op.settles(config):
                self._settle(op)
                return
            endpoint, vbucket = self._table.target(op)
            if endpoint is not None and (connection := endpoint.open_to_all) is not None:
                self._send(op, connection, vbucket)
                return
            if endpoint is None:
                # A newer configuration may tell one.
                queue = self._table.awaiting_config
                self.on_config_needed(ConfigReason.AWAITED, now)
            else:
                queue = endpoint.parked
                reason = RetryReason.SOCKET_NOT_AVAILABLE
                if endpoint.is_open_circuit:
                    reason = RetryReason.CIRCUIT_BREAKER_OPEN
        elif shared.state is SessionState.FAILED:
            assert shared.error is not None
            self.fail(op, fresh(shared.error, op))
            return
        elif shared.state is SessionState.NEW:
            self.on_new(now)
        if not is_new or self._may_wait(op, endpoint, reason):
            self.parking.park(op, queue)

    def _may_wait(self, op: Operation[Any], endpoint: Endpoint | None, reason: RetryReason) -> bool:
        """Whether *op* waits for *endpoint*; if not, it has failed, or its strategy has ended it.

        A node that is merely slow is no failure: no strategy is asked.
        """
        if not op.attempts and self.parking.is_full:
            self.fail(op, self.failures.overloaded(op, endpoint))
            return False
        if endpoint is not None and endpoint.is_slow:
            return True
        delay = self.strategies.delay(op, reason)
        note(op, reason)
        if isinstance(delay, GivenUp):
            self.fail(op, self.failures.not_available(op, endpoint, delay.cause))
            return False
        return op.queue is not None

    def _is_unavailable(self, op: Operation[Any]) -> bool:
        """Whether servers without vbuckets cannot do *op*, which has failed then."""
        error = unavailable.unavailable(op, is_plain=self._shared.settings.is_plain)
        if error is None:
            return False
        error.context, error.key = self.failures.context(op), op.key
        self.fail(op, error)
        return True

    def _settle(self, op: Operation[Any]) -> None:
        """End *op*, which the configuration alone has completed."""
        error, op.error = op.error, None
        if error is None:
            self.finish(op)
            return
        error.context = self.failures.context(op)
        self.fail(op, error)

    def _send(self, op: Operation[Any], connection: Connection, vbucket: int) -> None:
        if not op.is_plain:
            op.prepare(vbucket, connection.prefix)
        connection.send(op, vbucket)

    def send_parked(self, parked: dict[Operation[Any], None], now: float) -> None:
        """Send what waited in *parked*, in order."""
        operations = list(parked)
        parked.clear()
        for op in operations:
            self.parking.unpark(op)
            if op.queue is not None:
                self.send_or_park(op, now, is_new=False)

    def send_first(self, operations: Sequence[Operation[Any]], now: float) -> None:
        """Send what was issued before all that waits for nodes now."""
        table = self._table
        places = [table.awaiting_config, *(each.parked for each in table.endpoints.values())]
        behind = [(place, list(place)) for place in places if place]
        for op in operations:
            self.parking.unpark(op)
            if op.queue is not None:
                self.send_or_park(op, now, is_new=False)
        for place, later in behind:
            if len(place) > len(later):
                for op in later:
                    if op.parked is place:
                        place[op] = place.pop(op)

    def send_later(self, op: Operation[Any], when: float) -> None:
        """Send *op* at *when*."""

        def send(now: float) -> None:
            if op.queue is not None:
                self.send_or_park(op, now)

        # Nothing is to be kept when its time is up: what does not fit ends as a timeout then.
        self._shared.timers.call_at(min(when, op.deadline), send)

    def hold(self, op: Operation[Any], queue: dict[Any, None]) -> None:
        """Let *op* wait for its collection; refuse it if it is new, and too much waits already."""
        reason = RetryReason.KV_COLLECTION_OUTDATED
        if self.parking.is_full and not op.attempts and reason not in op.reasons:
            what = "the number of the collection was not known yet"
            self.fail(op, self.failures.overloaded(op, None, what))
            return
        note(op, reason)
        self.parking.park(op, queue)

    # Connections that take more again

    def use(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        """Use *connection*, which is ready: first for what waits, then for what is new."""
        endpoint.is_paused = bool(endpoint.parked) or connection.is_blocked
        self._table.change()
        self.resume(connection, now)

    def resume(self, connection: Connection, now: float) -> None:
        """Send what waits for *connection*, as much as one turn takes; once all is sent, route."""
        self.note_time(now)
        endpoint = self._table.endpoint_with(connection)
        if (
            endpoint is None
            or endpoint.ready is None
            or endpoint.is_open_circuit
            or connection.is_blocked
        ):
            # Whatever changes that sends what waits.
            return
        self._send_some(endpoint.parked, connection)
        if not connection.is_output_full:
            self._table.go_on(endpoint)

    def _send_some(self, parked: dict[Operation[Any], None], connection: Connection) -> None:
        """Send what waits in *parked* for *connection*, in order, until its output is full."""
        while parked and not connection.is_output_full:
            # As much as fits, roughly: a dict's first entries are slow to be found one by one.
            some, room = [], ROOM
            for op in parked:
                some.append(op)
                room -= _OVERHEAD + len(op.extras) + len(op.raw) + len(op.value)
                if room < 0:
                    break
            for op in some:
                self.parking.unpark(op)
                self._send(op, connection, self._table.target(op)[1])

    # Answers, and ends

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.hot.pipe.PipeOwner`: they are counted there."""

    def expire_due(self, now: float) -> None:
        """End the requests whose time is up, and note when the next is due."""
        expired, self._alarm.wakeup = self._deadlines.take_due(now)
        for op in expired:
            if op.queue is not None:
                self.expire(op, now)

    def expire(self, op: Request, now: float) -> None:
        """End *op*, whose time is up."""
        begun = op.deadline - op.timeout
        standstill = self._shared.timers.excuse(begun, now, op.timeout)
        error = self.explain(op)
        if error is None:
            connection = connection_of(op)
            endpoint = None
            is_parked = connection is None and op.parked is not None and isinstance(op, Operation)
            if is_parked and self._shared.is_open:
                endpoint = self._table.endpoint_of(op)
            error = self.failures.timeout(op, endpoint)
            if connection is not None:
                connection.forget(op)
                if isinstance(op, Operation):
                    is_excused = standstill > 0.0
                    self._liveness.unanswered(connection, begun, op.deadline, is_excused=is_excused)
        self.fail(op, blame(error, standstill))

    def oldest(self, count: int) -> list[Operation[Any]]:
        """Return the users' operations that have been under way longest, *count* at most."""
        return self._deadlines.oldest(Operation, count)

    def detach(self, op: Request) -> None:
        """Take *op* out of the tables that make it wait."""
        self._deadlines.remove(op)
        self.parking.unpark(op)

    def fail(self, op: Request, error: CouchbaseError) -> None:
        """End *op* with *error*, unless user code that ran meanwhile has ended it."""
        if op.queue is None:
            return
        self.detach(op)
        op.connection = None
        op.error = error
        self.completed(op)

    def fail_all(self, operations: dict[Any, None], error: CouchbaseError) -> None:
        """End all of these with *error*, each with an exception of its own."""
        for op in list(operations):
            self.fail(op, fresh(error, op))

    def hand_over(self, batch: Batch[Any], now: float) -> None:  # noqa: ARG002 - others look at it
        """Hand *batch*, which is complete, to who waits for it."""
        self._deliver(batch)

    def begun(self, batch: Batch[Any], now: float) -> None:
        """Take note that the user has issued *batch*: for those who observe."""

    def given_up(self, batch: Batch[Any]) -> None:
        """Take note that nobody waits for *batch* any more: likewise."""

    def note_time(self, now: float) -> None:
        """Take note that it is no earlier than *now*: for those who observe."""

    def end(self) -> None:
        """End all that is under way: the session does."""
        for op in self._deadlines:
            self.fail(op, self.failures.closed(op))
        self._deadlines.clear()

    def ended(self) -> None:
        """Take note that the session has ended: for those who observe."""

    def let_go(self) -> None:
        """Tell callers alone of what they still ask, and hold them no more: the session has ended.

        Nothing is taken any more.
        """
        self._deliver = weakly(self._deliver)
        self.on_new = self.on_config_needed = self.before = self.explain = nobody

    def forked(self) -> list[Request]:
        """Return what was under way, whose deadlines are forgotten: this is a child process."""
        self.close()
        inherited = list(self._deadlines)
        self._deadlines.clear()
        return inherited
