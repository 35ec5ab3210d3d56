"""A dispatcher that tells observers of each operation; who has none pays nothing for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop.exceptions import CouchbaseError, ProtocolError
from couchloop.hot.batch import Batch
from couchloop.hot.frames import Frame
from couchloop.hot.operation import CollectionName, Operation
from couchloop.hot.request import Request
from couchloop.kv.connection import Connection, connection_of
from couchloop.observation import Completed, LateAnswer
from couchloop.observe.calls import Calls
from couchloop.observe.reporting import Reporting
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.session import GiveTurn, Session
from couchloop.session.shared import Random, Shared
from couchloop.settings.values import Settings
from couchloop.wire import Opcode, server_duration

if TYPE_CHECKING:
    from couchloop.hot.deadlines import Deadlines
    from couchloop.session.failures import Failures
    from couchloop.session.liveness import Liveness
    from couchloop.session.parking import Parking
    from couchloop.session.route_table import RouteTable
    from couchloop.session.strategies import Strategies

_OPCODES: Final = frozenset(int(opcode) for opcode in Opcode)
_MOST_REMEMBERED: Final = 1024
_STATUS: Final = Frame._fields.index("status")


class _Remembered(NamedTuple):
    """What is kept of an operation that was given up: not itself, for it holds the value."""

    name: str
    begun: float
    timeout: float
    collection: CollectionName | None


_NOWHERE: Final = None, None


class ObservedDispatcher(Dispatcher):
    """A dispatcher that tells observers of each operation, and logs their reports.

    Args:
        shared: see `Dispatcher`, as all of them.
        table: likewise.
        deadlines: likewise.
        parking: likewise.
        failures: likewise.
        strategies: likewise.
        liveness: likewise.
        deliver: likewise.
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
        super().__init__(shared, table, deadlines, parking, failures, strategies, liveness, deliver)
        self.observe()

    def observe(self) -> None:
        """Begin to observe, as far as settings say so."""
        shared = self._shared
        self._now = 0.0
        """The time of whatever completes an operation."""
        self.calls = calls = Calls(shared)
        """Who observes, beside the reporters."""
        self.reporting = Reporting(shared, calls.call)
        shared.on_node = calls.node_changed
        observer = shared.settings.observer
        if observer is not None:
            calls.add(observer)
        self._sent: dict[Request, float] = {}
        """When each operation in flight was sent last."""
        self._given_up: dict[tuple[int, int], _Remembered] = {}
        """What may still be answered, by connection and opaque."""

    # What tells the time

    def submit(self, op: Operation[Any], now: float) -> None:
        """See `Dispatcher`."""
        self._now = now
        if op.batch is None:
            self.calls.begin(op, now)
        super().submit(op, now)
        if op.connection is not None and op.queue is not None:
            self._sent[op] = now

    def submit_all(self, operations: Sequence[Operation[Any]], now: float) -> None:
        """See `Dispatcher`."""
        for op in operations:
            if op.error is None:
                self.submit(op, now)

    def send_or_park(self, op: Operation[Any], now: float, *, is_new: bool = True) -> None:
        """See `Dispatcher`."""
        self._now = now
        super().send_or_park(op, now, is_new=is_new)

    def _send(self, op: Operation[Any], connection: Connection, vbucket: int) -> None:
        super()._send(op, connection, vbucket)
        if op.connection is not None and op.queue is not None:
            self._sent[op] = self._now

    def send_parked(self, parked: dict[Operation[Any], None], now: float) -> None:
        """See `Dispatcher`."""
        self._now = now
        super().send_parked(parked, now)

    def expire(self, op: Request, now: float) -> None:
        """See `Dispatcher`."""
        self._now = now
        self._remember(op)
        super().expire(op, now)

    def fail(self, op: Request, error: CouchbaseError) -> None:
        """See `Dispatcher`."""
        self._note_time(op)
        super().fail(op, error)

    def note_time(self, now: float) -> None:
        """See `Dispatcher`."""
        self._now = max(self._now, now)

    def _note_time(self, op: Request) -> None:
        """Take note that it is no earlier than something came on the connection of *op*."""
        if op.connection is not None:
            self._now = max(self._now, op.connection.last_activity)

    # The end

    def forked(self) -> list[Request]:
        """See `Dispatcher`: what was observed so far is the parent process's to report."""
        self.calls.clear()
        self.reporting.clear()
        return super().forked()

    def ended(self) -> None:
        """See `Dispatcher`: report what was observed since the last time."""
        self.reporting.report()

    # What is observed

    @property
    def delivers(self) -> None:
        """See `Dispatcher`: who completes an operation has to call `completed`."""

    def completed(self, op: Request) -> None:
        """See `Dispatcher`."""
        # What was never taken has no deadline.
        if isinstance(op, Operation) and op.deadline and op.opcode >= 0:
            self._note_time(op)
            self._tell(op)
        elif op.batch is None:
            self.calls.end(op, self._now)
        # What `Submitter` does, but for a batch.
        if op.queue is not None:
            del op.queue[op]
            op.queue = None
        batch: Any = op.batch
        if batch is None:
            self._deliver(op)
            return
        op.batch = None
        if batch.member_done(op):
            self.hand_over(batch, self._now)

    def hand_over(self, batch: Batch[Any], now: float) -> None:
        """See `Dispatcher`."""
        self.calls.end(batch, max(now, self._now))
        super().hand_over(batch, now)

    def begun(self, batch: Batch[Any], now: float) -> None:
        """See `Dispatcher`."""
        self.calls.begin(batch, now)

    def given_up(self, batch: Batch[Any]) -> None:
        """See `Dispatcher`."""
        self.calls.give_up(batch, self._now)

    def let_go(self) -> None:
        """See `Dispatcher`."""
        super().let_go()
        self._shared.on_node = None

    def _tell(self, op: Operation[Any]) -> None:
        calls = self.calls
        sent = self._sent.pop(op, None)
        if not (self.reporting or calls.of_operations or calls.is_under_way(op)):
            return
        done = self._completed(op, sent)
        self.reporting.completed(done, calls.of_operations, self._now)
        if op.batch is None:
            calls.end(op, self._now, done)

    def _completed(self, op: Operation[Any], sent: float | None) -> Completed:
        connection, error, answer = connection_of(op), op.error, op.answer
        context = None if error is None else error.context
        node = connection_id = opaque = local = None
        attempts = op.attempts
        if connection is not None:
            node, connection_id = str(connection.address), connection.hello.connection_id
            opaque, local = op.opaque, connection.local
            attempts += 1
        elif context is not None:
            node, connection_id, opaque = context.node, context.connection_id, context.opaque
            attempts = context.attempts
        scope, collection = op.defaults.collection or _NOWHERE
        return Completed(
            name=op.name,
            node=node,
            connection_id=connection_id,
            opaque=opaque,
            duration=max(0.0, self._now - (op.deadline - op.timeout)),
            server_duration=_server_duration(answer),
            attempts=attempts,
            timeout=op.timeout,
            outcome=None if error is None else type(error),
            local=local,
            dispatch_duration=None if sent is None else max(0.0, self._now - sent),
            scope=scope,
            collection=collection,
            bucket=self._shared.settings.bucket,
            status=_status(op),
        )

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._now = max(self._now, now)
        duration = timeout = scope = collection = None
        remembered = self._given_up.pop((connection.id, frame.opaque), None)
        if remembered is not None:
            name, timeout = remembered.name, remembered.timeout
            duration = max(0.0, now - remembered.begun)
            scope, collection = remembered.collection or _NOWHERE
        elif frame.opcode in _OPCODES:
            name = Opcode(frame.opcode).name.lower()
        else:
            name = f"0x{frame.opcode:02x}"
        late = LateAnswer(
            name=name,
            node=str(connection.address),
            connection_id=connection.hello.connection_id,
            opaque=frame.opaque,
            duration=duration,
            server_duration=_server_duration(frame),
            timeout=timeout,
            local=connection.local,
            scope=scope,
            collection=collection,
        )
        self.reporting.answered_late(late, self.calls.of_late_answers, self._now)

    def cancel(self, op: Request) -> None:
        """See `Dispatcher`."""
        self._remember(op)
        self._sent.pop(op, None)
        self.calls.give_up(op, self._now)
        super().cancel(op)

    def _remember(self, op: Request) -> None:
        connection = connection_of(op)
        if op.queue is None or connection is None or not isinstance(op, Operation):
            return
        self._given_up[connection.id, op.opaque] = _Remembered(
            op.name, op.deadline - op.timeout, op.timeout, op.defaults.collection
        )
        if len(self._given_up) > _MOST_REMEMBERED:
            del self._given_up[next(iter(self._given_up))]


def _status(op: Operation[Any]) -> int | None:
    """Return the status of the last answer to *op*."""
    if op.fields is not None:
        return int(op.fields[_STATUS])
    context = None if op.error is None else op.error.context
    return None if context is None else context.status


def _server_duration(answer: Frame | None) -> float | None:
    if answer is None or not answer.framing:
        return None
    try:
        microseconds = server_duration(answer.framing)
    except ProtocolError:
        return None
    return None if microseconds is None else microseconds / 1e6


def make_session(
    settings: Settings,
    deliver: Callable[[Any], object],
    random: Random,
    entropy: Callable[[int], bytes],
    give_turn: GiveTurn | None = None,
) -> Session:
    """Return a session that is observed as far as *settings* say so."""
    kind = ObservedDispatcher if settings.is_observed else Dispatcher
    return Session(settings, deliver, random, entropy, kind, give_turn)


def add_observer(session: Session, observer: object, wall_clock: Callable[[], float]) -> None:
    """Tell *observer* what goes on in *session* from now on, and first which nodes are connected.

    *wall_clock* gives the seconds since 1970. A session that nobody has observed so far gets a
    dispatcher that tells: the one that it has becomes another kind, for all parts hold it.
    """
    dispatcher = session.dispatcher
    if not isinstance(dispatcher, ObservedDispatcher):
        # Plainer ways cost those who observe nothing. Whatever stood between the parts and the
        # dispatcher, so that it could be exchanged, is one more lookup and call for each operation;
        # a hook that may be None is a branch at each of some ten places, in both twins; and another
        # object in its place would have to be handed to all parts, with what is under way, while
        # callbacks of operations still hold methods of the old one.
        dispatcher.__class__ = ObservedDispatcher
        assert isinstance(dispatcher, ObservedDispatcher)
        dispatcher.observe()
        _rewire(session)
    calls = dispatcher.calls
    calls.wall_clock = wall_clock
    if calls.add(observer) and callable(tell := getattr(observer, "node_changed", None)):
        for connection in session.table.ready:
            # So that who counts nodes begins with those that are there.
            calls.call(tell, session.shared.node_event(connection, "connected"))


def remove_observer(session: Session, observer: object) -> None:
    """Tell *observer* no more, but of the end of calls that it saw begin.

    Where nobody is left the session costs again what it did before; not yet where it is telling of
    something, or has calls to tell of: methods of the dispatcher as it is are under way.
    """
    dispatcher = session.dispatcher
    if isinstance(dispatcher, ObservedDispatcher):
        dispatcher.calls.remove(observer)
        if not (dispatcher.calls.is_wanted or session.settings.is_observed):
            session.shared.on_node = None
            session.dispatcher.__class__ = Dispatcher
            _rewire(session)


def _rewire(session: Session) -> None:
    """Have *session* call the methods that its dispatcher has now."""
    sends = session.dispatcher
    session.submit, session.cancel = sends.submit, sends.cancel
    session.completed, session.delivers = sends.completed, sends.delivers
    session.orphaned = sends.orphaned
