"""One bucket, whole: its life from the search for a configuration to the close, without I/O.

The adapter feeds it calls and the time, and after each call takes events, output and the next
deadline from it (docs/architecture.md, "The boundary"). Completed operations leave through the
function *wake*; tables are consistent before it is called, for user code may call back in. What
becomes of operations meanwhile is in `couchloop.session.dispatcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from math import inf
from typing import Any, Final

from couchloop.exceptions import (
    AmbiguousForkedProcessError,
    AmbiguousRequestCanceledError,
    CouchbaseError,
    ErrorContext,
    ForkedProcessError,
    RequestCanceledError,
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import Negotiated
from couchloop.kv.scram import KeyDerivation
from couchloop.operations.procedure import Procedure
from couchloop.session import reopening
from couchloop.session.bootstrap.config_file import Recall
from couchloop.session.bootstrap.http_stream import ConfigSource, Request
from couchloop.session.bootstrap.search import Bootstrap
from couchloop.session.connections import Nodes, Random
from couchloop.session.dispatcher import Dispatch, SessionState
from couchloop.session.events import Closed, DeriveKey, Event, LogRecord, Opened, OpenFailed
from couchloop.session.requests import OwnRequest
from couchloop.session.timers import Timer
from couchloop.settings.values import FILE_ONLY, HTTP, Address, Settings, one_forms
from couchloop.topology.config_cache import Cached
from couchloop.topology.configuration import ClusterConfig, NetworkChoice
from couchloop.wire import ServerOpcode

__all__ = ["Session", "SessionState"]

_SEARCH_SPREAD: Final = 0.05
"""Seconds within which seeds are asked, at a random moment, once all nodes are lost."""
_SEARCH_PAUSE: Final = 2.0
_STARTING: Final = frozenset({SessionState.NEW, SessionState.FAILED, SessionState.WAITING})


class Session(Dispatch):
    """One bucket's client side.

    Args:
        settings: what to connect to and how.
        wake: called with each completed operation (or batch) that came through `submit`.
        random: source of jitter; not of secrets.
        entropy: gives so many unpredictable bytes (`os.urandom`), for SCRAM nonces.
    """

    def __init__(
        self,
        settings: Settings,
        wake: Callable[[Operation[Any] | Batch[Any]], None],
        random: Random,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(settings, wake)
        self.admit: Callable[[ClusterConfig], CouchbaseError | None] = lambda _: None
        """Says why the bucket must not be opened, once it is known what it is; None: it may."""
        self.lazy = False
        """Whether it opens at its first use, and at the next where that fails."""
        self.heals = False
        """Whether it opens again by itself what could not be opened for a cause that passes."""
        self._failures = 0
        """How often in a row it could not be opened."""
        self._reopening: Timer | None = None
        """When it is opened again."""
        self._random = random
        self._nodes = Nodes(self, settings, self._timers, self._events, random, entropy)
        self._source = ConfigSource(self, self._nodes, self._timers, self._events, random)
        self._bootstrap: Bootstrap | None = None
        self._next_search = -inf
        """Time before which no seed is asked again when all nodes are lost."""
        self._recall = Recall(self, self._nodes, self._timers, self._events)
        self._stranded: list[tuple[CouchbaseError, dict[Any, None]]] = []
        self._with_output: list[Connection | Request] = []
        self._full: dict[Connection, None] = {}
        """Connections that take more once their output is taken."""

    # Out: what the adapter takes

    def take_events(self) -> list[Event]:
        """Give what is to be done, in order, and forget it."""
        if self.state is SessionState.CLOSING and not self._is_used:
            self._end()
        while self._stranded and not self._events:
            error, parked = self._stranded.pop(0)
            for op in list(parked):
                self._fail(op, self._fresh(error, op))
        if self.state is SessionState.CLOSED:
            # Inherited by a forked process; or begun by who was told that this is the end.
            if self._feeder.is_active:
                self._feeder.end_all(self._why_ended, 0.0)
            if self._procedures.is_active:
                self._procedures.end_all(self._why_stopped, 0.0)
        events = self._events.copy()
        self._events.clear()
        return events

    def take_output(self) -> list[tuple[int, bytes]]:
        """Give (connection id, bytes) pairs to write now, and forget them."""
        connections, self._with_output = self._with_output, []
        return [(connection.id, connection.take_output()) for connection in connections]

    def next_deadline(self) -> float | None:
        """Time at which to call `handle_deadline`; None if there is nothing to wait for.

        It may be earlier than needed, never later.
        """
        timers = self._timers
        if timers.wakeup == inf or self.state is SessionState.CLOSED:
            return None
        if not (timers or self._full or self._is_busy):
            # Idle: the loop is free to exit.
            timers.wakeup = inf
            return None
        return timers.wakeup

    @property
    def _is_busy(self) -> bool:
        """Whether anything of the user's, or of its own, is under way."""
        return bool(self._deadlines) or self._feeder.is_active or self._procedures.is_active

    def jitter(self) -> float:
        """See `couchloop.session.procedures.ProceduresOwner`."""
        return self._random.random()

    @property
    def orphans(self) -> int:
        """Answers that came when nobody waited for them any more."""
        return self._nodes.orphans

    @property
    def searching(self) -> Connection | None:
        """See `couchloop.session.health.HealthView`."""
        return None if self._bootstrap is None else self._bootstrap.connection

    @property
    def is_searching(self) -> bool:
        """See `Dispatch`."""
        return (
            self._bootstrap is not None
            or self._recall.is_trying
            or self.state is SessionState.WAITING
        )

    @property
    def met(self) -> list[tuple[str, BaseException]]:
        """See `couchloop.session.health.HealthView`."""
        if self._bootstrap is not None and self._bootstrap.met:
            return list(self._bootstrap.met)
        if self._recall.is_trying and self._recall.met:
            return self._recall.met
        # Of the last time.
        context = None if self.error is None else self.error.context
        if self.error is None or context is None:
            return []
        return list(context.seeds) or [(context.node or "", self.error)]

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open or being opened."""
        return list(self._nodes.connections.values())

    @property
    def addresses(self) -> list[Address]:
        """Where the data nodes are, by the configuration that counts."""
        return list(self._nodes.endpoints)

    @property
    def config(self) -> ClusterConfig | None:
        """The configuration that counts; None before the bucket is open."""
        return self._nodes.config

    @property
    def network(self) -> str:
        """The network on which the nodes are reached; empty before the bucket is open."""
        return self._nodes.network

    # In: the user

    def start(self, now: float) -> None:
        """Look for a first configuration; harmless if it is there or being looked for."""
        if self.state not in _STARTING:
            return
        self.state = SessionState.OPENING
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        if self.settings.config_cache:
            self._recall.start(now)
        else:
            self.search(now, now)

    def renew(self, settings: Settings) -> None:
        """Log in as *settings* say on connections made from now on; nothing else may differ.

        It only stores values, so that any thread may call it.
        """
        self.settings = self._nodes.settings = settings

    def close(self, now: float, wait: float = 0.0) -> None:
        """End: take no new operations, give those in flight *wait* seconds, then close.

        What is queued is written; what is pending then fails.
        """
        if self.state is SessionState.CLOSED:
            return
        self._closing = self._guarded = True
        if wait > 0 and self._is_used and self.state is SessionState.OPEN:
            self.state = SessionState.CLOSING
            self._timers.call_at(now + wait, lambda _: self._end())
        elif self.state is not SessionState.CLOSING or wait <= 0:
            self._end()

    def forked(self) -> None:
        """End without a word: this is a child process, and the connections are its parent's.

        What is under way fails when events are taken: nothing runs within the fork itself.
        """
        if not self._closing:
            self.error = ForkedProcessError(
                f"bucket {self.settings.bucket!r} was opened before this process was forked: "
                "open it again in this process, on an event loop of its own"
            )
        self._closing = self._guarded = True
        self.state = SessionState.CLOSED
        self._end_bootstrap()
        self._recall.end()
        self._source.close()
        self._nodes.close()
        self._timers.clear()
        self._with_output.clear()
        self._full.clear()
        self._events[:] = [Closed()]
        what = "was under way when the process forked: the parent process goes on with it"
        inherited = list(self._deadlines)
        self._stranded = [
            (
                ForkedProcessError(f"the operation {what}, and it changes nothing: repeat it"),
                {op: None for op in inherited if op.idempotent},
            ),
            (
                AmbiguousForkedProcessError(f"the operation {what}, and its outcome is not known"),
                {op: None for op in inherited if not op.idempotent},
            ),
        ]
        self._deadlines.clear()

    def _end(self) -> None:
        if self.state is SessionState.CLOSED:
            return
        self.state = SessionState.CLOSED
        self._end_bootstrap()
        self._recall.end()
        self.error = None
        self._source.close()
        self._nodes.close()
        self._full.clear()
        self._timers.clear()
        for op in self._deadlines:
            kind = AmbiguousRequestCanceledError if self._is_ambiguous(op) else RequestCanceledError
            self._fail(op, kind("the Bucket was closed", context=self._context(op)))
        self._deadlines.clear()
        self._feeder.end_all(self._why_ended, 0.0)
        self._procedures.end_all(self._why_stopped, 0.0)
        self._events.append(Closed())
        self._timers.clear()

    def _why_ended(self, bulk: Bulk[Any]) -> CouchbaseError:
        """Say why what waits in *bulk* is not sent any more."""
        if self.error is None:
            text = "the Bucket was closed: nothing was sent"
            return RequestCanceledError(text, context=ErrorContext(bucket=self.settings.bucket))
        # A forked process: its parent goes on.
        inherited = ForkedProcessError if bulk.kind.idempotent else AmbiguousForkedProcessError
        return inherited("the batch was under way when the process forked: the parent sends it")

    def _why_stopped(self, procedure: Procedure[Any]) -> CouchbaseError:
        """Say why the next step of *procedure* is not sent any more."""
        context = ErrorContext(procedure.name, procedure.key, self.settings.bucket)
        if self.error is None:
            text = "the Bucket was closed: the operation's next step was not sent"
            return RequestCanceledError(text, context=context)
        # As with operations, in a forked process.
        inherited = ForkedProcessError if procedure.idempotent else AmbiguousForkedProcessError
        text = "the operation was under way when the process forked: the parent goes on with it"
        return inherited(text, context=context)

    # In: the transports

    def connected(self, connection_id: int, now: float, local: str | None = None) -> None:
        """Take note that the transport (TLS included) is connected.

        *local* is its own end as "host:port", for reports; None: it has no such thing.
        """
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.local = local
            connection.opened(self.settings.login, self._nodes.nonce, now)
        elif connection_id == self._source.id:
            self._source.connected(now)

    def connect_failed(self, connection_id: int, error: BaseException, now: float) -> None:
        """Take note that the transport could not be connected, and why."""
        self.connection_lost(connection_id, error, now)

    def receive_data(self, connection_id: int, data: bytes, now: float) -> None:
        """Take bytes that came on a connection."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.receive_data(data, now)
            if self._feeder.wants:
                self._feeder.turn(now)
            if self._procedures.wants:
                self._procedures.turn(now)
        elif connection_id == self._source.id and data:
            self._source.receive_data(data, now)

    def connection_lost(self, connection_id: int, reason: BaseException | None, now: float) -> None:
        """Take note that the transport is gone (None: the peer closed it in order)."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.lost(reason, now)
        elif connection_id == self._source.id:
            self._source.lost(reason, now)

    def paused(self, connection_id: int) -> None:
        """Take note that the transport takes no more for now: the network, or the node, is slow.

        What is issued waits until `resumed`; what is written nevertheless is the transport's.
        """
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.is_blocked = True
            self._nodes.pause(connection)

    def progressed(self, connection_id: int, count: int, now: float) -> None:
        """Take note that the peer took *count* bytes of what was kept: a sign of life, if many."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.progressed(count, now)

    def resumed(self, connection_id: int, now: float) -> None:
        """Take note that the transport takes more again."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.is_blocked = False
            self._nodes.resume(connection, now)

    def key_derived(self, connection_id: int, salted_password: bytes, now: float) -> None:
        """Take the result of a `DeriveKey`."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.key_derived(salted_password, now)

    def srv_resolved(self, addresses: Sequence[Address], now: float) -> None:
        """Take the answer to a `ResolveSrv`: addresses in the order of the answer, if any."""
        if self._bootstrap is not None:
            self._bootstrap.srv_resolved(addresses, now)

    def srv_failed(self, error: BaseException, now: float) -> None:
        """Take note that a `ResolveSrv` found out nothing, and why."""
        if self._bootstrap is not None:
            self._bootstrap.srv_failed(error, now)

    def config_loaded(self, result: Cached | BaseException | None, now: float) -> None:
        """Take what a `LoadConfig` found, None if nothing has changed, or why it found nothing."""
        self._recall.loaded(result, now)

    def config_stored(self, result: int | BaseException | None) -> None:
        """Take when a `StoreConfig` wrote the file (None: a newer one stays), or why not."""
        self._recall.stored(result)

    def handle_deadline(self, now: float) -> None:
        """Do what is due: expire operations, connect again, retry."""
        self._expire_due(now)
        self._timers.fire(now)
        self._feeder.turn(now)
        self._procedures.turn(now)
        full, self._full = self._full, {}
        for connection in full:
            if connection.is_output_full:
                # Its output is still to be taken.
                self.output_full(connection)
            else:
                self._nodes.resume(connection, now)

    # Connection's Owner

    def has_output(self, connection: Connection) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._with_output.append(connection)

    def output_full(self, connection: Connection) -> None:
        """See `couchloop.kv.connection.Owner`: more in the next turn."""
        self._full[connection] = None
        self._timers.wakeup = 0.0
        self._nodes.pause(connection)

    def derive_key(self, connection: Connection, derivation: KeyDerivation) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._events.append(DeriveKey(connection.id, derivation))

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`: they are counted there."""

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        if (
            frame.opcode == ServerOpcode.CLUSTERMAP_CHANGE
            and frame.key.decode(errors="replace") == self.settings.bucket
        ):
            self._nodes.config_announced(frame, connection, now)

    def handshake_done(self, connection: Connection, negotiated: Negotiated, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._nodes.handshake_ended(connection)
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.connection is connection:
            bootstrap.handshake_done(negotiated.config, now)
            return
        if self._recall.is_trying:
            self._recall.ready(negotiated.config, connection.address.host, now)
        self._nodes.handshake_done(connection, negotiated.config, now)
        if self.settings.bootstrap_on != HTTP:
            # Data nodes tell of changes themselves.
            self._source.close()
        if self._parked and self.is_open:
            self.send_parked(self._parked, now)

    def failed(self, connection: Connection, error: CouchbaseError, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        was_ready = connection.state is State.READY
        unanswered = self._nodes.drop(connection)
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.connection is connection:
            bootstrap.failed(connection.address, error, now)
            return
        if self._recall.is_trying and self._recall.failed(connection.address, error, now):
            return
        self._nodes.failed(connection, error, now, was_ready=was_ready)
        self._save_or_fail(connection.address, unanswered, error, now)

    # The owner of what asks web ports

    def stream_output(self, request: Request) -> None:
        """See `couchloop.session.bootstrap.http_stream.StreamOwner`."""
        self._with_output.append(request)

    def config_streamed(self, text: bytes, address: Address, now: float) -> None:
        """See `couchloop.session.bootstrap.http_stream.StreamOwner`."""
        if self._bootstrap is None:
            self._nodes.take_config(text, address, now)
        else:
            self._bootstrap.config_streamed(text, now)

    def stream_failed(self, error: CouchbaseError, now: float) -> None:
        """See `couchloop.session.bootstrap.http_stream.StreamOwner`."""
        if self._bootstrap is not None:
            self._bootstrap.stream_failed(error, now)

    # Nodes' owner, and the bootstrap's

    def config_answered(self, connection: Connection, request: OwnRequest) -> None:
        """See `couchloop.session.connections.NodesOwner`."""
        nodes = self._nodes
        if nodes.config_request is request:
            nodes.config_request = None
        if connection.state is not State.READY:
            return
        bootstrap = self._bootstrap
        answer = request.answer
        if bootstrap is not None and bootstrap.connection is connection:
            bootstrap.config_answered(request)
            return
        # Nothing may have come for long on a connection that does not answer.
        now = request.deadline if answer is None else connection.last_activity
        if answer is not None and answer.value and not answer.status:
            nodes.take_config(answer, connection, now)
        nodes.hunt(now)

    def bootstrapped(
        self,
        config: ClusterConfig,
        network: NetworkChoice,
        connection: Connection | None,
        now: float,
    ) -> None:
        """See `couchloop.session.bootstrap.search.BootstrapOwner`."""
        bootstrap = self._bootstrap
        assert bootstrap is not None
        if connection is None or self.settings.bootstrap_on == HTTP:
            self._source.keep(bootstrap.web_addresses, now)
        self._end_bootstrap()
        if self.state is not SessionState.OPENING:
            # A seed has come back after all nodes were lost.
            before = self._nodes.network
            if not self._nodes.apply(config, now, connection, network.name):
                if connection is not None:
                    self._nodes.drop(connection)
            elif self._nodes.network != before:
                text = "bucket {bucket}: network {network} ({why}), no longer {before}"
                fields = {"bucket": self.settings.bucket, "before": before}
                fields |= {"network": network.name, "why": network.why}
                self._events.append(LogRecord("info", text, fields))
            return
        origin = str(self._source.address)
        if connection is not None:
            origin = f"{connection.address} (connection {connection.hello.connection_id})"
        if not self._open(config, network, origin, config):
            if connection is not None:
                self._nodes.drop(connection)
            return
        self._nodes.apply(config, now, connection, network.name)
        self._nodes.start_polling(now)
        self.send_parked(self._parked, now)

    def recalled(
        self, config: ClusterConfig, network: NetworkChoice, told: ClusterConfig, now: float
    ) -> None:
        """See `couchloop.session.bootstrap.config_file.RecallOwner`."""
        if self._open(config, network, f"the file {self.settings.config_cache}", told):
            self._nodes.start_polling(now)
            if self.settings.bootstrap_on == HTTP:
                self._source.keep(self.settings.web_seeds, now)
        else:
            self._nodes.reset()

    def _open(
        self, config: ClusterConfig, network: NetworkChoice, origin: str, told: ClusterConfig
    ) -> bool:
        """Say that the bucket is open, unless another Bucket is open on what *told* says it is."""
        refusal = self.admit(told)
        if refusal is not None:
            self._cannot_open(refusal)
            return False
        self.state = SessionState.OPEN
        self.error = None
        self._failures = 0
        self._events.append(
            LogRecord(
                "info",
                "{subject}: {nodes} data nodes, network {network} ({why}), "
                "configuration {rev} from {origin}",
                {
                    "subject": self.settings.subject,
                    # Without a bucket the configuration lists nodes of other services too.
                    "nodes": sum(map(bool, self._nodes.data_addresses(config, network.name))),
                    "network": network.name,
                    "why": network.why,
                    "rev": "/".join(map(str, config.revision)),
                    "origin": origin,
                },
            )
        )
        self._events.append(Opened())
        return True

    def config_learned(self, config: ClusterConfig) -> None:
        """See `couchloop.session.connections.NodesOwner`: keep it for the next start."""
        self._recall.store(config)

    def bootstrap_failed(self, error: CouchbaseError, now: float) -> None:
        """See `couchloop.session.bootstrap.search.BootstrapOwner`."""
        if self.heals and self.state is SessionState.OPENING and reopening.passes(error):
            self._open_later(error, now)
        else:
            self._cannot_open(error)

    def _open_later(self, error: CouchbaseError, now: float) -> None:
        """Open again after a pause; what waits goes on waiting."""
        self._end_bootstrap()
        self._source.close()
        self.error = error
        self.state = SessionState.WAITING
        self._failures += 1
        delay = reopening.pause(self._failures, self._random.random())
        self._reopening = self._timers.call_at(now + delay, self.start)
        text = "{subject} could not be opened: {reason}; opening it again in {delay:.3f} s"
        fields = {"subject": self.settings.subject, "reason": self.settings.told(error)}
        self._events.append(LogRecord("warning", text, {**fields, "delay": delay}))
        self._events.append(OpenFailed(error))

    def _cannot_open(self, error: CouchbaseError) -> None:
        """End the opening: it would fail again."""
        self._end_bootstrap()
        if self.state is not SessionState.OPENING:
            return
        self._source.close()
        self.error = error
        self.state = SessionState.NEW if self.lazy else SessionState.FAILED
        self._events.append(OpenFailed(error))
        # They fail once that event is performed: user code may then start anew.
        self._stranded.append((error, self._parked))
        self._parked = {}
        self._stranded.append((error, self._nodes.watchers))
        self._nodes.watchers = {}

    def all_nodes_lost(self, now: float) -> None:
        """See `NodesOwner` in `connections`: ask seeds that are no nodes (any more)."""
        if self.state is not SessionState.OPEN or self._bootstrap is not None:
            return
        if now < self._next_search:
            return
        settings = self.settings
        known = one_forms(self._nodes.endpoints)
        asks = settings.bootstrap_on != FILE_ONLY and (
            bool(settings.srv or settings.web_seeds)
            or any(seed.one_form not in known for seed in settings.seeds)
        )
        if asks or settings.config_cache:
            # Half of the pause is jitter: a cluster that is gone is missed by many clients.
            self._next_search = now + _SEARCH_PAUSE * (0.5 + self._random.random() / 2)
        if settings.config_cache:
            self._recall.refresh()
        if asks:
            delay = _SEARCH_SPREAD * self._random.random()
            self._timers.call_at(now + delay, self._ask_seeds)

    def _ask_seeds(self, now: float) -> None:
        """Ask seeds that are no nodes (any more), unless somebody has come back meanwhile."""
        known = self._nodes.endpoints
        is_lost = all(endpoint.ready is None for endpoint in known.values())
        if self.state is SessionState.OPEN and self._bootstrap is None and is_lost:
            self._source.close()
            self._search(now, now, one_forms(known))

    def search(self, now: float, began: float) -> None:
        """See `couchloop.session.bootstrap.config_file.RecallOwner`."""
        self._search(now, began)

    def _search(self, now: float, began: float, known: Container[Address] = ()) -> None:
        settings = self.settings
        self._bootstrap = Bootstrap(
            self,
            settings,
            self._nodes,
            self._timers,
            self._events,
            self._source,
            self._random.random,
            known,
        )
        self._bootstrap.start(now, began)

    def _end_bootstrap(self) -> None:
        bootstrap, self._bootstrap = self._bootstrap, None
        if bootstrap is not None:
            bootstrap.end()
