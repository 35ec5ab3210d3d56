"""What becomes of operations: sent, parked, sent again elsewhere, or ended with an error.

The part of a session that deals with operations; its life is in `couchloop.session.session`. The
hot path is `submit` and `completed`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Final, NamedTuple
from zlib import crc32

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousTimeoutError,
    ArgumentError,
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    NoBucketError,
    NodeNotAvailableError,
    NotAuthorizedError,
    ObjectDestroyedError,
    OverloadedError,
    ServerError,
    TemporaryFailError,
    UnambiguousTimeoutError,
    own_copy,
    status_error,
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.deadlines import Deadlines
from couchloop.hot.frames import HEADER, Frame
from couchloop.hot.operation import Operation
from couchloop.hot.pipe import ROOM
from couchloop.hot.request import UNNUMBERED, Request
from couchloop.kv.connection import Connection, State, connection_of
from couchloop.kv.handshake import read_error_body
from couchloop.operations.procedure import Procedure
from couchloop.retries import (
    BestEffort,
    RetryReason,
    RetryRequest,
    RetryStrategy,
    controlled_backoff,
)
from couchloop.session.bulk import Feeder
from couchloop.session.collections import Collections, Queue
from couchloop.session.connections import Endpoint, Nodes
from couchloop.session.events import Event, Load
from couchloop.session.health import Watch
from couchloop.session.procedures import Procedures
from couchloop.session.standstill import blame
from couchloop.session.timers import Timers
from couchloop.session.verdicts import Action, verdict
from couchloop.settings.values import Address, Settings
from couchloop.wire import Status

_OVERHEAD: Final = HEADER.size + 1
"""Bytes of a request beside extras, key and value: the header, and the number of a collection."""
_PRIVILEGE: Final = re.compile(r"without the (\w+) privilege")


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


class Queued(NamedTuple):
    """What waits to be sent."""

    operations: int
    bytes: int
    """Of their keys and values."""


def _because(what: str, cause: BaseException | None) -> str:
    """Say *what* happened, and why if that is known."""
    if not isinstance(cause, CouchbaseError):
        return what
    return f"{what}: {cause.message.rstrip('.')}"


class _GivenUp(NamedTuple):
    """That an operation is not tried again; *cause* is what is wrong with its strategy, if so."""

    cause: Exception | None = None


class Dispatch(ABC):
    """Operations on their way: what waits for what, until when, and what is tried again.

    Args:
        settings: of the session.
        wake: called with each completed operation (or batch) that came through `submit`.
    """

    _nodes: Nodes
    """Set by the session, which they tell of connections."""

    def __init__(self, settings: Settings, wake: Callable[[Any], None]) -> None:
        self.settings = settings
        self.state = SessionState.NEW
        self.error: CouchbaseError | None = None
        """Why it is not open: what opening met last, or that the process was forked."""
        self.queued_operations = 0
        """Operations that wait to be sent, for whatever reason."""
        self.queued_bytes = 0
        """Bytes of their keys and values."""
        self.is_loaded = False
        """Whether producers should pause: half of what may wait does, and not yet less than a
        quarter again."""
        self._wake = wake
        self._events: list[Event] = []
        self._timers = Timers()
        self._retry_strategy: RetryStrategy = (
            BestEffort() if settings.retry_strategy is None else settings.retry_strategy
        )
        self._deadlines = Deadlines()
        self._queues = self._deadlines.by_timeout
        self._parked: dict[Operation[Any], None] = {}
        """What waits for the bucket to be open."""
        self._closing = False
        self._guarded = False
        """Whether `submit` has to look before it takes an operation."""
        self._feeder = Feeder(self, self._timers)
        self._procedures = Procedures(self, self._timers)
        self.collections = Collections(self, self._timers)

    # What the session knows beside

    @abstractmethod
    def start(self, now: float) -> None:
        """Look for a first configuration; harmless if it is there or being looked for."""

    @abstractmethod
    def jitter(self) -> float:
        """See `couchloop.session.procedures.ProceduresOwner`."""

    @property
    @abstractmethod
    def searching(self) -> Connection | None:
        """See `couchloop.session.health.HealthView`."""

    @property
    @abstractmethod
    def is_searching(self) -> bool:
        """Whether a configuration is being looked for."""

    @property
    @abstractmethod
    def met(self) -> list[tuple[str, BaseException]]:
        """See `couchloop.session.health.HealthView`."""

    @property
    def nodes(self) -> Nodes:
        """The data nodes."""
        return self._nodes

    @property
    def in_flight(self) -> int:
        """Operations that have neither answer nor error yet."""
        return len(self._deadlines) + self._feeder.queued_keys

    @property
    def _is_used(self) -> bool:
        """Whether anybody but the session itself waits for an operation."""
        return (
            self._feeder.is_active
            or self._procedures.is_active
            or self._deadlines.any_of(Operation)
        )

    @property
    def is_open(self) -> bool:
        """Whether operations can be routed."""
        return self.state in {SessionState.OPEN, SessionState.CLOSING}

    @property
    def queued(self) -> Queued:
        """Operations that wait to be sent, those of large batches included, and their bytes."""
        feeder = self._feeder
        return Queued(
            self.queued_operations + feeder.queued_keys, self.queued_bytes + feeder.queued_bytes
        )

    def failure(self) -> CouchbaseError:
        """Give why the bucket is not open, as an exception of the caller's own."""
        if self.error is None:
            return ObjectDestroyedError(f"bucket {self.settings.bucket!r} is closed")
        return own_copy(self.error)

    # In: the user

    def submit(self, op: Operation[Any], now: float) -> None:
        """Send *op*, or park it until it can be sent; `wake(op)` follows, perhaps at once."""
        if self._guarded and not self._admits(op, now):
            return
        timeout = op.timeout
        op.deadline = deadline = now + timeout
        queue = self._queues.get(timeout)
        if queue is None:
            queue = self._deadlines.queue(timeout)
        queue[op] = None
        op.queue = queue
        timers = self._timers
        if deadline < timers.wakeup:  # noqa: PLR1730 - min() takes three times as long
            timers.wakeup = deadline
        route = self._nodes.route
        if route and op.is_plain:
            vbucket = ((crc32(op.raw) >> 16) & 0x7FFF) % len(route)
            connection = route[vbucket]
            if connection is not None:
                connection.send(op, vbucket)
                return
        self._send_or_park(op, now)

    def _admits(self, op: Operation[Any], now: float) -> bool:
        """Whether *op* is taken; what waits in a batch on the same key is sent first."""
        if self._closing:
            op.error = self.failure()
            op.error.context = self._context(op)
            self.completed(op)
            return False
        self._feeder.before(op.raw, now)
        return True

    def submit_batch(self, batch: Batch[Any], now: float) -> None:
        """Send every operation of *batch*; one `wake(batch)` follows when all are complete.

        A Bulk is sent in slices: those after the first when `go_on` is called.
        """
        if isinstance(batch, Watch):
            self._watch(batch, now)
            return
        if isinstance(batch, Procedure):
            if self._closing:
                batch.refuse(self.failure())
                self._wake(batch)
            else:
                self._procedures.take(batch, now)
            return
        if isinstance(batch, Bulk):
            if self._closing:
                batch.ended = self.failure()
            try:
                self._feeder.take(batch, now)
            except Exception as error:  # noqa: BLE001 - of keys with methods of their own
                self._break_off(batch, error)
            except BaseException:
                # A transcoder was interrupted: nobody waits for the batch.
                self.cancel_batch(batch)
                raise
            return
        operations = batch.operations
        if batch.remaining < len(operations):
            # Some of them cannot be sent, and have failed already.
            operations = [op for op in operations if op.error is None]
        for op in operations:
            self.submit(op, now)

    # What large batches need (see `couchloop.session.bulk.FeedOwner`)

    def go_on(self, batch: Batch[Any], now: float) -> None:
        """Read, build and send one more slice of a Bulk, or take the next step of a procedure.

        User code runs in here.
        """
        if isinstance(batch, Bulk):
            self._feeder.go_on(batch, now)
        elif isinstance(batch, Procedure):
            self._procedures.go_on(batch, now)

    # What procedures need (see `couchloop.session.procedures.ProceduresOwner`)

    @property
    def is_ending(self) -> bool:
        """See `couchloop.session.procedures.ProceduresOwner`."""
        return self.state is SessionState.CLOSING

    def procedure_done(self, procedure: Procedure[Any]) -> None:
        """See `couchloop.session.procedures.ProceduresOwner`."""
        self._wake(procedure)

    def give_turn(self, batch: Bulk[Any] | Procedure[Any], now: float) -> None:
        """Have a large batch or a procedure go on; an adapter may bring a way of its own."""
        try:
            self.go_on(batch, now)
        except Exception as error:
            if isinstance(batch, Procedure):
                raise
            # Of keys with methods of their own.
            self._break_off(batch, error)

    def _break_off(self, bulk: Bulk[Any], error: Exception) -> None:
        """Send no more of *bulk*, and have its caller know why; all that is known of it is void."""
        self.cancel_batch(bulk)
        # Its frames would lead to the batch, which has it.
        bulk.break_off(error.with_traceback(None))
        self._wake(bulk)

    @property
    def refusal(self) -> CouchbaseError | None:
        """See `couchloop.session.bulk.FeedOwner`."""
        return self.failure() if self.state is SessionState.CLOSED else None

    def issue(self, op: Operation[Any], now: float) -> None:
        """See `couchloop.session.bulk.FeedOwner`."""
        if op.prefix:
            # It may have been built long ago.
            op.prefix = op.defaults.prefix
        self.enqueue(op, now)
        self._send_or_park(op, now)

    def guard(self) -> None:
        """See `couchloop.session.bulk.FeedOwner`."""
        self._guarded = self._closing or bool(self._feeder.waiting)

    def batch_done(self, bulk: Bulk[Any]) -> None:
        """See `couchloop.session.bulk.FeedOwner`."""
        self._wake(bulk)

    def routed(self) -> None:
        """See `couchloop.session.connections.NodesOwner`."""
        self._feeder.routed()

    def _watch(self, watch: Watch, now: float) -> None:
        limit = watch.limit
        watch.view = self
        self.enqueue(limit, now)
        if self._closing:
            self._fail(limit, self.failure())
        elif self.state is SessionState.FAILED:
            assert self.error is not None
            self._fail(limit, self._fresh(self.error, limit))
        else:
            if self.state is SessionState.NEW:
                self.start(now)
            self._park(limit, self._nodes.watchers)
            watch.look(now)

    def cancel(self, op: Request) -> None:
        """Forget *op*: its caller has gone. An answer that comes later counts as an orphan."""
        if op.queue is None:
            return
        self.detach(op)
        if op.connection is not None:
            op.connection.forget(op)
            op.connection = None

    def cancel_batch(self, batch: Batch[Any]) -> None:
        """Forget every operation of *batch* that is not complete."""
        if isinstance(batch, Procedure):
            self._procedures.forget(batch)
            return
        issued: Sequence[Request] = batch.operations
        if isinstance(batch, Bulk):
            issued = self._feeder.forget(batch)
        elif isinstance(batch, Watch):
            issued = [batch.limit, *batch.requests]
        for op in issued:
            op.batch = None
            self.cancel(op)
        if isinstance(batch, Watch):
            batch.let_go()

    # In: the loop

    def stood_still(self, since: float, until: float) -> None:
        """Take note that the loop did nothing between these times; errors tell of it."""
        self._timers.stood_still(since, until)

    def heard_since(self, when: float) -> bool:
        """Tell whether anything has come from any peer at *when* or later."""
        return any(c.last_heard >= when for c in self._nodes.connections.values())

    # Answers

    def completed(self, op: Request) -> None:
        """See `couchloop.kv.connection.Owner`."""
        queue = op.queue
        if queue is not None:
            del queue[op]
            op.queue = None
        batch = op.batch
        if batch is None:
            self._wake(op)
        else:
            # The two would point to each other.
            op.batch = None
            if batch.member_done(op):
                self._wake(batch)

    def refused(self, op: Request, answer: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        connection = connection_of(op)
        assert connection is not None
        status = answer.status
        if not isinstance(op, Operation) or status in op.answers:
            op.answer = answer
            self.completed(op)
            return
        action, reason = verdict(status, connection.error_map)
        error = self._status_error(op, answer, connection)
        if self.collections.refused(op, answer, connection, error, now):
            return
        if action is Action.FAIL or status in op.final:
            self._fail(op, error)
            return
        if action is Action.RECONNECT:
            lost = self._of_the_connection(error)
            # Not at once: the answers that came together with this one still count.
            self._timers.call_at(now, lambda at: connection.lost(lost, at))
        delay = self._retry_delay(op, reason)
        if isinstance(delay, _GivenUp):
            if (
                action is Action.RECONNECT
                and reason is not RetryReason.KV_ERROR_MAP_RETRY_INDICATED
            ):
                # By itself it would say that the password is wrong, or the bucket missing.
                text = "the node no longer knew the connection, which is replaced"
                error = NodeNotAvailableError(text, context=error.context, inner_cause=error)
            if delay.cause is not None:
                error.__cause__ = delay.cause
            self._fail(op, error)
            return
        op.attempts += 1
        op.obstacle = error
        op.connection = None
        if op.queue is None:
            # The strategy has ended it.
            return
        self._note(op, reason)
        entry = connection.error_map.get(status)
        if status == Status.CONFIG_ONLY or (
            entry is not None and "fetch-config" in entry.attributes
        ):
            self._nodes.ask_for_config(now)
        if action is Action.REROUTE:
            self._reroute(op, answer, connection, now)
        elif action is Action.RETRY_NOW and op.attempts == 1:
            self._send_or_park(op, now)
        else:
            self._send_later(op, now + delay)

    # Named collections (see `couchloop.session.collections.CollectionsOwner`)

    def unnumbered(self, op: Request, connection: Connection, vbucket: int) -> bool:
        """See `couchloop.hot.pipe.PipeOwner`."""
        return self.collections.unnumbered(op, connection, vbucket)

    def hold(self, op: Operation[Any], queue: Queue) -> None:
        """See `couchloop.session.collections.CollectionsOwner`."""
        reason = RetryReason.KV_COLLECTION_OUTDATED
        if self._is_full and not op.attempts and reason not in op.reasons:
            what = "the number of the collection was not known yet"
            self._fail(op, self._overloaded(op, None, what))
            return
        self._note(op, reason)
        self._park(op, queue)

    def send_first(self, operations: Sequence[Operation[Any]], now: float) -> None:
        """See `couchloop.session.collections.CollectionsOwner`."""
        nodes = self._nodes
        places = [nodes.homeless, *(each.parked for each in nodes.endpoints.values())]
        behind = [(place, list(place)) for place in places if place]
        for op in operations:
            self._unpark(op)
            if op.queue is not None:
                self._send_or_park(op, now, is_new=False)
        for place, later in behind:
            if len(place) > len(later):
                for op in later:
                    if op.parked is place:
                        place[op] = place.pop(op)

    def fail(self, op: Operation[Any], error: CouchbaseError) -> None:
        """See `couchloop.session.collections.CollectionsOwner`."""
        self._fail(op, error)

    def wants_to_wait(self, op: Operation[Any], reason: RetryReason) -> BaseException | bool:
        """See `couchloop.session.collections.CollectionsOwner`."""
        delay = self._retry_delay(op, reason)
        self._note(op, reason)
        if isinstance(delay, _GivenUp):
            return delay.cause or False
        return True

    def context(self, op: Request) -> ErrorContext:
        """See `couchloop.session.collections.CollectionsOwner`."""
        return self._context(op)

    def _expire_due(self, now: float) -> None:
        """End the operations whose time is up, and note when the next is due."""
        expired, self._timers.wakeup = self._deadlines.take_due(now)
        for op in expired:
            if op.queue is not None:
                self._expire(op, now)

    # Sending, waiting, trying again

    def enqueue(self, op: Request, now: float) -> None:
        """See `couchloop.session.connections.NodesOwner`."""
        op.deadline = now + op.timeout
        op.queue = self._deadlines.queue(op.timeout)
        op.queue[op] = None
        self._timers.wakeup = min(self._timers.wakeup, op.deadline)

    def _send_or_park(self, op: Operation[Any], now: float, *, is_new: bool = True) -> None:
        """Send *op* to the node that owns its key, or let it wait for what it lacks.

        *is_new*: it has not agreed to wait yet.
        """
        endpoint: Endpoint | None = None
        reason = RetryReason.NODE_NOT_AVAILABLE
        parked = self._parked
        if self.is_open:
            nodes = self._nodes
            config = nodes.config
            assert config is not None
            if not config.is_ready:
                what = "there are no documents without a bucket: open one"
                self._fail(op, NoBucketError(what, context=self._context(op)))
                return
            if not op.is_plain and op.settles(config):
                self._settle(op)
                return
            endpoint, vbucket = nodes.target(op)
            if endpoint is not None and (connection := endpoint.open_to_all) is not None:
                if not op.is_plain:
                    op.prepare(vbucket, connection.prefix)
                connection.send(op, vbucket)
                return
            if endpoint is None:
                # A newer configuration may tell one.
                parked = nodes.homeless
                nodes.seek_config(now)
            else:
                parked = endpoint.parked
                reason = RetryReason.SOCKET_NOT_AVAILABLE
                if endpoint.is_open_circuit:
                    reason = RetryReason.CIRCUIT_BREAKER_OPEN
        elif self.state is SessionState.FAILED:
            assert self.error is not None
            self._fail(op, self._fresh(self.error, op))
            return
        elif self.state is SessionState.NEW:
            self.start(now)
        if is_new and not op.attempts and self._is_full:
            self._fail(op, self._overloaded(op, endpoint))
            return
        if is_new and not (endpoint is not None and endpoint.is_slow):
            delay = self._retry_delay(op, reason)
            self._note(op, reason)
            if isinstance(delay, _GivenUp):
                what, cause = self._obstruction(endpoint)
                context = self._context(op)
                context.node = self._awaited_node(endpoint)
                reason_known = None if context.seeds else cause
                error = NodeNotAvailableError(_because(what, reason_known), context=context)
                error.__cause__ = delay.cause or cause
                self._fail(op, error)
                return
            if op.queue is None:
                # The strategy has ended it.
                return
        self._park(op, parked)

    def _settle(self, op: Operation[Any]) -> None:
        """End *op*, which the configuration alone has completed."""
        error, op.error = op.error, None
        if error is None:
            self.detach(op)
            self.completed(op)
            return
        error.context = self._context(op)
        self._fail(op, error)

    def _park(self, op: Request, parked: dict[Any, None]) -> None:
        """Let *op* wait in *parked*."""
        if op.prefix:
            # Its collection may be another by then, and others wait for the number of that.
            op.prefix = UNNUMBERED
        op.parked = parked
        parked[op] = None
        self.queued_operations += 1
        self.queued_bytes += len(op.raw) + len(op.value)
        if not self.is_loaded and self._is_beyond(2):
            self.is_loaded = True
            self._events.append(Load(is_high=True))

    def _unpark(self, op: Request) -> None:
        """Let *op* wait no more."""
        if op.parked is None:
            return
        op.parked.pop(op, None)
        op.parked = None
        self.queued_operations -= 1
        self.queued_bytes -= len(op.raw) + len(op.value)
        if self.is_loaded and not self._is_beyond(4):
            self.is_loaded = False
            self._events.append(Load(is_high=False))

    def _is_beyond(self, part: int) -> bool:
        """Whether one part in *part* of what may wait does."""
        settings = self.settings
        return (
            self.queued_operations * part >= settings.max_queued_operations
            or self.queued_bytes * part >= settings.max_queued_bytes
        )

    @property
    def _is_full(self) -> bool:
        """Whether an operation that would have to wait is refused."""
        return self.settings.when_overloaded == "fail" and self._is_beyond(1)

    def _obstruction(self, endpoint: Endpoint | None) -> tuple[str, BaseException | None]:
        """Say what an operation waits for, and what the connection met last; a copy of that.

        *endpoint* is the node that owns its key, if the bucket is open and there is one.
        """
        cause: BaseException | None = None
        if endpoint is not None:
            what = "the node was not connected"
            if endpoint.is_open_circuit:
                what = "the circuit breaker of the node was open"
            elif endpoint.is_slow:
                what = "the node, or the network, did not take the data as fast as it was issued"
            elif endpoint.ready is not None:
                what = "no newer configuration came (wait_for_config)"
            elif endpoint.last_error is None and endpoint.connection is not None:
                # The first try still runs.
                accepted = endpoint.connection.state is not State.OPENING
                what += ", and did not answer the handshake" if accepted else ", and did not accept"
            cause = endpoint.last_error
        elif self.is_open:
            what = "the configuration names no node for the key"
        else:
            what = "the bucket was not open"
            if self.state is SessionState.WAITING:
                cause = self.error
            elif met := self.met:
                cause = met[-1][1]
        return what, own_copy(cause) if isinstance(cause, CouchbaseError) else cause

    def _awaited_node(self, endpoint: Endpoint | None) -> str | None:
        """Name the node that an operation waits for; while opening, the seed that is tried."""
        if endpoint is not None:
            return str(endpoint.address)
        seed = self.searching
        return None if self.is_open or seed is None else str(seed.address)

    def send_parked(self, parked: dict[Operation[Any], None], now: float) -> None:
        """See `couchloop.session.connections.NodesOwner`."""
        operations = list(parked)
        parked.clear()
        for op in operations:
            self._unpark(op)
            if op.queue is not None:
                self._send_or_park(op, now, is_new=False)

    def send_some(
        self, parked: dict[Operation[Any], None], connection: Connection, now: float
    ) -> None:
        """See `couchloop.session.connections.NodesOwner`."""
        while parked and not connection.is_output_full:
            # As much as fits, roughly: a dict's first entries are slow to be found one by one.
            some, room = [], ROOM
            for op in parked:
                some.append(op)
                room -= _OVERHEAD + len(op.extras) + len(op.raw) + len(op.value)
                if room < 0:
                    break
            for op in some:
                self._unpark(op)
                self._send(op, connection, self._nodes.target(op)[1], now)

    def _send(
        self,
        op: Operation[Any],
        connection: Connection,
        vbucket: int,
        now: float,  # noqa: ARG002 - for those who observe
    ) -> None:
        if not op.is_plain:
            op.prepare(vbucket, connection.prefix)
        connection.send(op, vbucket)

    def _retry_delay(self, op: Operation[Any], reason: RetryReason) -> float | _GivenUp:
        """Decide whether *op* is tried again: seconds to wait, or that it is given up."""
        attempts = op.attempts + (op.connection is not None)
        if reason.always_retry:
            return controlled_backoff(attempts)
        if not (op.idempotent or reason.allows_non_idempotent_retry):
            return _GivenUp()
        strategy = op.retry_strategy
        if strategy is None:
            strategy = self._retry_strategy
        request = RetryRequest(op.name, op.key, op.idempotent, attempts, op.reasons)
        try:
            delay = strategy.retry_after(request, reason)
            if delay is None:
                return _GivenUp()
            if not isinstance(delay, str | bytes):
                # Whatever kind of number it is: what has no meaning as a time ends here.
                seconds = float(delay)
                if seconds >= 0:
                    return seconds
        except Exception as error:  # noqa: BLE001 - user code: the operation fails, not the session
            # Our own frame, and with it the Bucket, is no part of what the user is to see.
            traceback = error.__traceback__
            return _GivenUp(error.with_traceback(None if traceback is None else traceback.tb_next))
        what = "a retry strategy gives seconds from 0, or None"
        return _GivenUp(ArgumentError(what, objextra=delay))

    @staticmethod
    def _note(op: Operation[Any], reason: RetryReason) -> None:
        if reason not in op.reasons:
            op.reasons = (*op.reasons, reason)

    def _send_later(self, op: Operation[Any], when: float) -> None:
        def send(now: float) -> None:
            if op.queue is not None:
                self._send_or_park(op, now)

        # Nothing is to be kept when its time is up: what does not fit ends as a timeout then.
        self._timers.call_at(min(when, op.deadline), send)

    def _reroute(
        self, op: Operation[Any], answer: Frame, connection: Connection, now: float
    ) -> None:
        """Handle not-my-vbucket: the answer may carry the configuration that tells whose it is."""
        newer = False
        if answer.value:
            newer = self._nodes.take_config(answer, connection, now)
        else:
            self._nodes.ask_for_config(now)
        if op.queue is None:
            return
        endpoint = self._nodes.endpoint_of(op)
        is_known = newer or (endpoint is not None and endpoint.connection is not connection)
        rerouting = self.settings.rerouting
        if is_known and rerouting.at_once:
            self._send_or_park(op, now)
        elif rerouting.waits and not is_known:
            self._park(op, self._nodes.homeless)
            self._nodes.seek_config(now)
        elif rerouting.delay is not None:
            self._send_later(op, now + rerouting.delay)
        else:
            self._send_later(op, now + controlled_backoff(op.attempts))

    def _save_or_fail(
        self,
        address: Address,
        unanswered: list[Request],
        error: CouchbaseError,
        now: float,
    ) -> None:
        """Deal with operations whose connection was lost while they were in flight."""
        saved: dict[Operation[Any], None] = {}
        lost: list[tuple[Request, CouchbaseError]] = []
        reason = RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT
        for op in unanswered:
            if op.queue is None:
                continue
            kind, what = ConnectionLostError, "it changes nothing, and can be tried again"
            if not op.idempotent:
                kind, what = AmbiguousConnectionLostError, "the server may have done it, or not"
            failure: CouchbaseError = kind(
                f"the connection was lost before the answer came: {what}",
                context=self._context(op),
            )
            failure.__cause__ = own_copy(error)
            if not isinstance(op, Operation):
                # The session's own requests mean this connection, and no other.
                lost.append((op, failure))
                continue
            delay = self._retry_delay(op, reason)
            if isinstance(delay, _GivenUp):
                if delay.cause is not None:
                    failure.__cause__ = delay.cause
                lost.append((op, failure))
                continue
            op.connection = None
            op.attempts += 1
            op.obstacle = failure
            self._note(op, reason)
            saved[op] = None
        endpoint = self._nodes.endpoints.get(address)
        if endpoint is not None and endpoint.parked:
            # They waited for its circuit breaker, and were issued later: they stay behind.
            saved.update(endpoint.parked)
            endpoint.parked.clear()
        self.send_parked(saved, now)
        for op, why in lost:
            self._fail(op, why)

    # Ends

    def _expire(self, op: Request, now: float) -> None:
        connection = connection_of(op)
        begun = op.deadline - op.timeout
        standstill = self._timers.excuse(begun, now, op.timeout)
        told = self.collections.expired(op)
        if told is not None:
            self._fail(op, blame(told, standstill))
            return
        cause: BaseException | None = op.obstacle
        context = self._context(op)
        kind = AmbiguousTimeoutError if self._is_ambiguous(op) else UnambiguousTimeoutError
        if connection is not None:
            what = "the server did not answer"
            connection.forget(op)
            if isinstance(op, Operation):
                self._nodes.unanswered(connection, begun, op.deadline, is_excused=standstill > 0.0)
        elif op.parked is not None:
            endpoint = self._nodes.endpoint_of(op) if self.is_open else None
            what, waited_for = self._obstruction(endpoint)
            cause = waited_for or cause
            context.node = self._awaited_node(endpoint)
        elif op.obstacle is not None:
            what = "the operation could not be completed"
            if op.obstacle.context is not None:
                met = op.obstacle.context
                context.node, context.connection_id = met.node, met.connection_id
                context.status, context.status_name = met.status, met.status_name
        else:
            what = "no connection could take it"
        # What was met at seeds stands in the context; what an earlier try met is no reason now.
        reason = None if context.seeds or connection is not None else cause
        error = kind(_because(f"{what} in time", reason), context=context)
        error.__cause__ = cause
        self._fail(op, blame(error, standstill))

    @staticmethod
    def _is_ambiguous(op: Request) -> bool:
        """Whether the server may have done *op*: it is in flight, and it changes something."""
        return op.connection is not None and not op.idempotent

    def detach(self, op: Request) -> None:
        """See `couchloop.session.connections.NodesOwner`."""
        if op.queue is not None:
            del op.queue[op]
            op.queue = None
        self._unpark(op)

    def _fail(self, op: Request, error: CouchbaseError) -> None:
        if op.queue is None:
            # User code that ran meanwhile has ended it.
            return
        self.detach(op)
        op.connection = None
        op.error = error
        self.completed(op)

    def _overloaded(
        self, op: Operation[Any], endpoint: Endpoint | None, why: str = ""
    ) -> OverloadedError:
        what, cause = self._obstruction(endpoint)
        if why:
            what, cause = why, None
        context = self._context(op)
        context.node = self._awaited_node(endpoint)
        settings = self.settings
        reason = _because(what, None if context.seeds else cause)
        error = OverloadedError(
            f"nothing was sent: {reason}, and as many operations or bytes wait already as may "
            f"(max_queued_operations={settings.max_queued_operations}, "
            f"max_queued_bytes={settings.max_queued_bytes}); wait for answers before issuing more, "
            "or set when_overloaded=wait",
            context=context,
            objextra=Queued(self.queued_operations, self.queued_bytes),
        )
        error.__cause__ = cause
        return error

    def _context(self, op: Request) -> ErrorContext:
        connection = connection_of(op)
        context = ErrorContext(
            operation=op.name,
            key=op.key,
            bucket=self.settings.bucket,
            attempts=op.attempts + (connection is not None),
            reasons=op.reasons,
            timeout=op.timeout,
        )
        if connection is not None:
            context.node = str(connection.address)
            context.connection_id = connection.hello.connection_id
            context.opaque = op.opaque
        if isinstance(op, Operation) and (names := op.defaults.collection) is not None:
            context.scope, context.collection = names
        if self.is_searching:
            context.seeds = tuple(self.met)
        return context

    def _status_error(
        self, op: Operation[Any], answer: Frame, connection: Connection
    ) -> CouchbaseError:
        status = answer.status
        context = self._context(op)
        context.status = status
        entry = connection.error_map.get(status)
        if entry is not None:
            context.status_name = entry.name
        read_error_body(answer, context)
        message = ""
        kind = status_error(status, op.opcode, op.cas)
        conceal = self.settings.login.conceal
        context.server_context = context.server_context and conceal(context.server_context)
        context.server_ref = context.server_ref and conceal(context.server_ref)
        if entry is not None and kind is ServerError:
            message = conceal(f"the server answered {entry.name}: {entry.description}")
            if "temp" in entry.attributes:
                kind = TemporaryFailError
        elif kind is NotAuthorizedError:
            message = self._not_authorized(context)
        return op.explained(kind(message, context=context), answer)

    def _not_authorized(self, context: ErrorContext) -> str:
        """Say who may not do it, and what the server says of the missing privilege."""
        login = self.settings.login
        user = "the user of the client certificate"
        if not login.by_certificate:
            user = f"user {login.username!r}"
        named = _PRIVILEGE.search(context.server_context or "")
        privilege = f"the privilege {named[1]}" if named else "a privilege for this"
        return (
            f"{user} lacks {privilege} on bucket {self.settings.bucket!r}: a role that includes it "
            "must be given to the user"
        )

    @staticmethod
    def _of_the_connection(error: CouchbaseError) -> CouchbaseError:
        """Give *error* without what is about one operation alone."""
        own = own_copy(error)
        own.key = None
        if own.context is not None:
            own.context = replace(
                own.context,
                operation=None,
                key=None,
                opaque=None,
                attempts=0,
                reasons=(),
                timeout=None,
            )
        return own

    def _fresh(self, error: CouchbaseError, op: Request) -> CouchbaseError:
        """Give *op* an exception of its own: a shared one would collect tracebacks."""
        own = own_copy(error)
        own.context = replace(
            own.context or ErrorContext(), operation=op.name, key=op.key, timeout=op.timeout
        )
        own.key = op.key
        return own
