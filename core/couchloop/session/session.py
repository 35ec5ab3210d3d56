"""One bucket, whole: the parts of a session put together, its boundary, and its end.

The adapter feeds it calls and the time, and after each call takes events, output and the next
deadline from it (docs/architecture.md, "The boundary"). Completed operations leave through the
function *deliver*; tables are consistent before it is called, for user code may call back in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import (
    AmbiguousForkedProcessError,
    CouchbaseError,
    ErrorContext,
    ForkedProcessError,
    RequestCanceledError,
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.deadlines import Deadlines
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.hot.request import Request
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import Negotiated
from couchloop.kv.scram import KeyDerivation
from couchloop.operations.procedure import Procedure
from couchloop.session.bulk import Feeder
from couchloop.session.collections import Collections
from couchloop.session.configurations import ConfigReason, ConfigTracker
from couchloop.session.connections import Connections
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.events import Closed, DeriveKey, Event, Output
from couchloop.session.failures import Failures
from couchloop.session.health import HealthView, Waiter
from couchloop.session.liveness import Liveness
from couchloop.session.opening import Opening
from couchloop.session.parking import Parking, Queued
from couchloop.session.procedures import Procedures
from couchloop.session.requests import OwnRequests
from couchloop.session.retrying import Retrying
from couchloop.session.route_table import RouteTable
from couchloop.session.services.services import Services
from couchloop.session.shared import Random, SessionState, Shared
from couchloop.session.strategies import Strategies
from couchloop.settings.values import Address, Settings
from couchloop.topology.configuration import ClusterConfig
from couchloop.wire import ServerOpcode

__all__ = ["Session", "SessionState"]

if TYPE_CHECKING:
    from couchloop.topology.config_cache import Cached

GiveTurn = Callable[[Any, float], object]
"""Called with a large batch or a procedure that is to go on, and the time."""

_UNDER_WAY: Final = (
    "the operation was under way when the process forked: the parent process goes on with it"
)


class Session:
    """One bucket's client side.

    Args:
        settings: what to connect to and how.
        deliver: called with each completed operation (or batch) that came through `submit`.
        random: source of jitter; not of secrets.
        entropy: gives so many unpredictable bytes (`os.urandom`), for SCRAM nonces.
        dispatcher: the kind that sends operations: one that is observed, or one that is not.
        give_turn: called with a large batch or a procedure that is to go on, and the time: it has
            `go_on` called where user code may run. None: that is here.

    Attributes:
        submit: sends an operation, or parks it until it can be sent; it is delivered then, perhaps
            at once.
        cancel: forgets an operation whose caller has gone; a later answer counts as an orphan.
        completed, delivers, refused, orphaned, unnumbered: see `couchloop.hot.pipe.PipeOwner`.

    """

    def __init__(
        self,
        settings: Settings,
        deliver: Callable[[Any], object],
        random: Random,
        entropy: Callable[[int], bytes],
        dispatcher: type[Dispatcher] = Dispatcher,
        give_turn: GiveTurn | None = None,
    ) -> None:
        self.shared = shared = Shared(settings)
        self._deadlines = deadlines = Deadlines(shared.timers)
        self.table = table = RouteTable(shared)
        self.requests = requests = OwnRequests(shared, deadlines)
        self.parking = parking = Parking(shared)
        self._liveness = liveness = Liveness(shared, table, requests)
        self._connections = nodes = Connections(shared, table, self, random, entropy)
        self.tracker = tracker = ConfigTracker(shared, table, nodes, requests, liveness)
        self.dispatcher = sends = dispatcher(
            shared,
            table,
            deadlines,
            parking,
            Failures(shared, parking),
            Strategies(settings.retry_strategy),
            liveness,
            deliver,
        )
        self.collections = collections = Collections(shared, table, requests, sends)
        self._retrying = retrying = Retrying(shared, table, tracker, sends, collections)
        self._feeder = Feeder(shared, table, sends, give_turn)
        self.services = services = Services(shared, nodes.new_id, random, self._with_output_of)
        self._procedures = Procedures(shared, sends, services, random, give_turn)
        self.health = HealthView(shared, table, nodes, requests, sends, services)
        self._with_output: list[Connection | Output] = []
        self._full: dict[Connection, None] = {}
        """Connections that take more once their output is taken."""
        self.opening = opening = Opening(
            shared, table, nodes, tracker, sends, random, self._with_output_of
        )
        # What is told upwards.
        table.on_some_lost = self._some_lost
        table.on_all_lost = opening.all_nodes_lost
        liveness.on_revived = sends.use
        tracker.resend = sends.send_parked
        tracker.on_learned = opening.config_file.store
        sends.on_new = opening.start
        sends.on_config_needed = tracker.request_config
        services.find = opening.find
        services.own = table.topology
        tracker.on_changed = services.changed
        opening.on_failed = services.not_found
        # What is called for each operation is called where it is.
        self.submit: Callable[[Operation[Any], float], None] = sends.submit
        self.cancel: Callable[[Request], None] = sends.cancel
        self.completed: Callable[[Request], None] = sends.completed
        self.delivers = sends.delivers
        self.refused: Callable[[Request, Frame, float], None] = retrying.refused
        self.orphaned: Callable[[Connection, Frame, float], None] = sends.orphaned
        self.unnumbered: Callable[[Request, Connection, int], bool] = collections.unnumbered

    # Out: what the adapter takes

    def take_events(self) -> list[Event]:
        """Return what is to be done, in order, and forget it."""
        shared = self.shared
        if shared.state is SessionState.CLOSING and not self._is_used:
            self._end(0.0)
        self.opening.fail_stranded()
        if shared.state is SessionState.CLOSED:
            # Inherited by a forked process; or begun by who was told that this is the end.
            self.services.end_inherited()
            self._end_batches()
        events = shared.events.copy()
        shared.events.clear()
        return events

    def take_output(self) -> list[tuple[int, bytes]]:
        """Return (connection id, bytes) pairs to write now, and forget them."""
        connections = self._with_output.copy()
        self._with_output.clear()
        return [(connection.id, connection.take_output()) for connection in connections]

    def next_deadline(self) -> float | None:
        """Time at which to call `handle_deadline`, or earlier; None: nothing is waited for."""
        timers = self.shared.timers
        if timers.wakeup == inf or self.shared.state is SessionState.CLOSED:
            return None
        if not (timers or self._full or self._is_busy):
            # Idle: the loop is free to exit.
            timers.wakeup = inf
            return None
        return timers.wakeup

    @property
    def _is_busy(self) -> bool:
        """Whether anything of the user's, or of its own, is under way."""
        return (
            bool(self._deadlines)
            or self._feeder.is_active
            or self._procedures.is_active
            or bool(self.services)
        )

    @property
    def _is_used(self) -> bool:
        """Whether anybody but the session itself waits for an operation."""
        return (
            self._feeder.is_active
            or self._procedures.is_active
            or self._deadlines.any_of(Operation)
        )

    # How it is

    @property
    def settings(self) -> Settings:
        """What counts now."""
        return self.shared.settings

    @property
    def state(self) -> SessionState:
        """Where it is in its life."""
        return self.shared.state

    @property
    def error(self) -> CouchbaseError | None:
        """Why it is not open: what opening met last, or that the process was forked."""
        return self.shared.error

    @property
    def is_open(self) -> bool:
        """Whether operations can be routed."""
        return self.shared.is_open

    @property
    def in_flight(self) -> int:
        """Operations that have neither answer nor error yet."""
        return len(self._deadlines) + self._feeder.queued_keys

    @property
    def queued(self) -> Queued:
        """Operations that wait to be sent, those of large batches included, and their bytes."""
        feeder, parking = self._feeder, self.parking
        return Queued(parking.operations + feeder.queued_keys, parking.bytes + feeder.queued_bytes)

    @property
    def is_loaded(self) -> bool:
        """Whether producers should pause."""
        return self.parking.is_loaded

    @property
    def orphans(self) -> int:
        """Answers that came when nobody waited for them any more."""
        return self._connections.orphans

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open or being opened."""
        return list(self._connections.by_id.values())

    @property
    def addresses(self) -> list[Address]:
        """Where the data nodes are, by the configuration that counts."""
        return list(self.table.endpoints)

    @property
    def config(self) -> ClusterConfig | None:
        """The configuration that counts; None before the bucket is open."""
        return self.table.config

    @property
    def network(self) -> str:
        """The network on which the nodes are reached; empty before the bucket is open."""
        return self.table.network

    def failure(self) -> CouchbaseError:
        """Return why the bucket is not open, as an exception of the caller's own."""
        return self.shared.failure()

    # In: the user

    def start(self, now: float) -> None:
        """Look for a first configuration; harmless if it is there or being looked for."""
        self.opening.start(now)

    def renew(self, settings: Settings) -> None:
        """Log in as *settings* say on connections made from now on; nothing else may differ.

        It only stores values, so that any thread may call it.
        """
        self.shared.settings = settings

    def submit_batch(self, batch: Batch[Any], now: float) -> None:
        """Send every operation of *batch*; it is delivered when all are complete.

        A Bulk is sent in slices: those after the first when `go_on` is called. Long answers of
        another are read in slices as well.
        """
        self.dispatcher.begun(batch, now)
        if isinstance(batch, Bulk):
            self._feeder.begin(batch, now)
        elif isinstance(batch, Procedure):
            self._procedures.begin_or_refuse(batch, now)
        elif isinstance(batch, Waiter):
            self.health.begin(batch, now)
        else:
            batch.progress = self._feeder.read_later
            self.dispatcher.submit_all(batch.operations, now)

    def cancel_batch(self, batch: Batch[Any]) -> None:
        """Forget every operation of *batch* that is not complete."""
        self.dispatcher.given_up(batch)
        if isinstance(batch, Bulk):
            self._feeder.cancel(batch)
        elif isinstance(batch, Procedure):
            self._procedures.forget(batch)
        elif isinstance(batch, Waiter):
            self.health.cancel(batch)
        else:
            self._feeder.leave(batch)
            for op in batch.operations:
                op.batch = None
                self.dispatcher.cancel(op)

    def go_on(self, batch: Batch[Any], now: float) -> None:
        """Read, build and send one more slice of a batch, or take the next step of a procedure.

        User code runs in here.
        """
        if isinstance(batch, Procedure):
            self._procedures.go_on(batch, now)
        else:
            self._feeder.go_on(batch, now)

    # In: the loop

    def stood_still(self, since: float, until: float) -> None:
        """Take note that the loop did nothing between these times; errors tell of it."""
        self.shared.timers.stood_still(since, until)

    def heard_since(self, when: float) -> bool:
        """Return whether anything has come from any peer at *when* or later."""
        return self._connections.heard_since(when) or self.services.pools.heard_since(when)

    def handle_deadline(self, now: float) -> None:
        """Do what is due: expire operations, connect again, retry."""
        self.dispatcher.expire_due(now)
        self.services.expire_due(now)
        self.shared.timers.fire(now)
        self._feeder.turn(now)
        self._procedures.turn(now)
        full, self._full = self._full, {}
        for connection in full:
            if connection.is_output_full:
                # Its output is still to be taken.
                self.output_full(connection)
            else:
                self.dispatcher.resume(connection, now)

    # In: the transports

    def connected(self, connection_id: int, now: float, local: str | None = None) -> None:
        """Take note that the transport (TLS included) is connected.

        *local* is its own end as "host:port", for reports; None: it has no such thing.
        """
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.local = local
            connection.opened(self.shared.settings.login, self._connections.nonce, now)
        elif connection_id == self.opening.source.id:
            self.opening.source.connected(now)
        else:
            self.services.pools.connected(connection_id, local)

    def connect_failed(self, connection_id: int, error: BaseException, now: float) -> None:
        """Take note that the transport could not be connected, and why."""
        self.connection_lost(connection_id, error, now)

    def receive_data(self, connection_id: int, data: bytes, now: float) -> None:
        """Take bytes that came on a connection."""
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.receive_data(data, now)
            if self._feeder.wants:
                self._feeder.turn(now)
            if self._procedures.wants:
                self._procedures.turn(now)
        elif connection_id == self.opening.source.id and data:
            self.opening.source.receive_data(data, now)
        elif data:
            self._procedures.turn_after(self.services.pools.receive_data, connection_id, data, now)

    def connection_lost(self, connection_id: int, reason: BaseException | None, now: float) -> None:
        """Take note that the transport is gone (None: the peer closed it in order)."""
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.lost(reason, now)
        elif connection_id == self.opening.source.id:
            self.opening.source.lost(reason, now)
        else:
            self.services.pools.lost(connection_id, reason, now)

    def paused(self, connection_id: int) -> None:
        """Take note that the transport takes no more for now: the network, or the node, is slow.

        What is issued waits until `resumed`; what is written nevertheless is the transport's.
        """
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.is_blocked = True
            self.table.pause(connection)

    def progressed(self, connection_id: int, count: int, now: float) -> None:
        """Take note that the peer took *count* bytes of what was kept: a sign of life, if many."""
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.progressed(count, now)

    def resumed(self, connection_id: int, now: float) -> None:
        """Take note that the transport takes more again."""
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.is_blocked = False
            self.dispatcher.resume(connection, now)

    # In: answers to events

    def key_derived(self, connection_id: int, salted_password: bytes, now: float) -> None:
        """Take the result of a `DeriveKey`."""
        connection = self._connections.by_id.get(connection_id)
        if connection is not None:
            connection.key_derived(salted_password, now)

    def srv_resolved(self, addresses: Sequence[Address], now: float) -> None:
        """Take the answer to a `ResolveSrv`: addresses in the order of the answer, if any."""
        if self.opening.bootstrap is not None:
            self.opening.bootstrap.srv_resolved(addresses, now)

    def srv_failed(self, error: BaseException, now: float) -> None:
        """Take note that a `ResolveSrv` found out nothing, and why."""
        if self.opening.bootstrap is not None:
            self.opening.bootstrap.srv_failed(error, now)

    def config_loaded(self, result: Cached | BaseException | None, now: float) -> None:
        """Take what a `LoadConfig` found, None if nothing has changed, or why it found nothing."""
        self.opening.config_file.loaded(result, now)

    def config_stored(self, result: int | BaseException | None) -> None:
        """Take when a `StoreConfig` wrote the file (None: a newer one stays), or why not."""
        self.opening.config_file.stored(result)

    # The owner of its connections: see `couchloop.kv.connection.Owner`

    def has_output(self, connection: Connection) -> None:
        """See `couchloop.hot.pipe.PipeOwner`."""
        self._with_output.append(connection)

    def _with_output_of(self, request: Output) -> None:
        self._with_output.append(request)

    def output_full(self, connection: Connection) -> None:
        """See `couchloop.hot.pipe.PipeOwner`: more in the next turn."""
        self._full[connection] = None
        self.shared.timers.wakeup = 0.0
        self.table.pause(connection)

    def derive_key(self, connection: Connection, derivation: KeyDerivation) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self.shared.events.append(DeriveKey(connection.id, derivation))

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.hot.pipe.PipeOwner`."""
        if (
            frame.opcode == ServerOpcode.CLUSTERMAP_CHANGE
            and frame.key.decode(errors="replace") == self.shared.settings.bucket
        ):
            self.tracker.announced(frame, connection, now)

    def handshake_done(self, connection: Connection, negotiated: Negotiated, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._connections.handshake_ended(connection)
        if self.opening.takes_ready(connection, negotiated, now):
            return
        if negotiated.config:
            self.tracker.take(negotiated.config, connection, now)
        endpoint = self._connections.became_ready(connection, now)
        if endpoint is not None:
            self.dispatcher.use(endpoint, connection, now)
        self.opening.node_ready()
        if self.parking.until_open and self.shared.is_open:
            self.dispatcher.send_parked(self.parking.until_open, now)

    def failed(self, connection: Connection, error: CouchbaseError, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        was_ready = connection.state is State.READY
        unanswered = self._connections.drop(connection, error)
        if self.opening.takes_failed(connection, error, now):
            return
        self._connections.failed(connection, error, now, was_ready=was_ready)
        self._retrying.connection_lost(connection, unanswered, error, now)

    def _some_lost(self, now: float) -> None:
        self.tracker.request_config(ConfigReason.CONNECTION_LOST, now)

    # The end

    def close(self, now: float, wait: float = 0.0) -> None:
        """End: take no new operations, give those in flight *wait* seconds, then close.

        What is queued is written; what is pending then fails.
        """
        shared = self.shared
        if shared.state is SessionState.CLOSED:
            return
        self.dispatcher.close()
        if wait > 0 and self._is_used and shared.state is SessionState.OPEN:
            shared.state = SessionState.CLOSING
            shared.timers.call_at(now + wait, self._end)
        elif shared.state is not SessionState.CLOSING or wait <= 0:
            self._end(now)

    def _end(self, now: float) -> None:
        shared = self.shared
        if shared.state is SessionState.CLOSED:
            return
        shared.state = SessionState.CLOSED
        self.opening.end()
        shared.error = None
        self._connections.close()
        self._full.clear()
        shared.timers.clear()
        self.dispatcher.note_time(now)
        self.dispatcher.end()
        self.services.close()
        self._end_batches()
        shared.events.append(Closed())
        self.dispatcher.ended()
        shared.timers.clear()
        self._let_go()

    def forked(self) -> None:
        """End without a word: this is a child process, and the connections are its parent's.

        What is under way fails when events are taken: nothing runs within the fork itself.
        """
        shared = self.shared
        if not self.dispatcher.is_closing:
            shared.error = ForkedProcessError(
                f"{shared.named} was opened before this process was forked: "
                "open it again in this process, on an event loop of its own"
            )
        inherited = self.dispatcher.forked()
        shared.state = SessionState.CLOSED
        opening = self.opening
        opening.forked()
        self.services.forked()
        self._connections.close()
        shared.timers.clear()
        self._with_output.clear()
        self._full.clear()
        shared.events[:] = [Closed()]
        harmless = {op: None for op in inherited if op.idempotent or op.is_read}
        unknown = {op: None for op in inherited if op not in harmless}
        text = f"{_UNDER_WAY}, and it changes nothing: repeat it"
        opening.strand(ForkedProcessError(text), harmless, 0.0)
        text = f"{_UNDER_WAY}, and its outcome is not known"
        opening.strand(AmbiguousForkedProcessError(text), unknown, 0.0)
        self._let_go()

    def _let_go(self) -> None:
        """Have the parts hold each other no more, nor the driver: no circle is left of a session.

        What still ends is delivered as long as the driver is there.
        """
        for part in (
            self.table,
            self._connections,
            self.tracker,
            self.dispatcher,
            self.opening,
            self._liveness,
            self._feeder,
            self._procedures,
            self.services,
        ):
            part.let_go()
        self.delivers = self.dispatcher.delivers

    def _end_batches(self) -> None:
        """End what is made of several operations; those have failed already."""
        if self._feeder.is_active:
            self._feeder.end_all(self._why_ended, 0.0)
        if self._procedures.is_active:
            self._procedures.end_all(self._why_stopped, 0.0)

    def _why_ended(self, bulk: Bulk[Any]) -> CouchbaseError:
        """Return why what waits in *bulk* is not sent any more."""
        if self.shared.error is None:
            text = "the Bucket was closed: nothing was sent"
            return RequestCanceledError(text, context=ErrorContext(bucket=self.settings.bucket))
        # A forked process: its parent goes on.
        inherited = ForkedProcessError if bulk.kind.idempotent else AmbiguousForkedProcessError
        return inherited("the batch was under way when the process forked: the parent sends it")

    def _why_stopped(self, procedure: Procedure[Any]) -> CouchbaseError:
        """Return why the next step of *procedure* is not sent any more."""
        context = ErrorContext(procedure.name, procedure.key, self.settings.bucket)
        if self.shared.error is None:
            text = "the Bucket was closed: the operation's next step was not sent"
            return RequestCanceledError(text, context=context)
        # As with operations, in a forked process.
        inherited = ForkedProcessError if procedure.idempotent else AmbiguousForkedProcessError
        text = "the operation was under way when the process forked: the parent goes on with it"
        return inherited(text, context=context)
