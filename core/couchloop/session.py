"""One bucket, whole: bootstrap, routing, retries, deadlines and close, without I/O.

The adapter feeds it calls and the time, and after each call takes events, output and the next
deadline from it (docs/architecture.md, "The boundary"). Completed operations leave through the
function *wake*; tables are consistent before it is called, for user code may call back in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from enum import Enum, auto
from math import inf
from operator import attrgetter
from typing import Any, Final, NamedTuple
from zlib import crc32

from couchloop.bootstrap import HTTP, Bootstrap, own_copy
from couchloop.configcache import Cached
from couchloop.events import Closed, DeriveKey, Event, Load, LogRecord, Opened, OpenFailed
from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousForkedProcessError,
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    ArgumentError,
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    ForkedProcessError,
    NoBucketError,
    NodeNotAvailableError,
    NotAuthorizedError,
    ObjectDestroyedError,
    OverloadedError,
    RequestCanceledError,
    ServerError,
    TemporaryFailError,
    UnambiguousTimeoutError,
    status_error,
)
from couchloop.health import Watch
from couchloop.kv.connection import ROOM, State
from couchloop.kv.handshake import Negotiated, read_error_body
from couchloop.kv.scram import KeyDerivation
from couchloop.nodes import Connection, ControlRequest, Endpoint, Nodes, Random
from couchloop.operations import Batch, Operation
from couchloop.recall import FILE_ONLY, Recall
from couchloop.retries import (
    Action,
    BestEffort,
    RetryReason,
    RetryRequest,
    RetryStrategy,
    controlled_backoff,
    verdict,
)
from couchloop.settings import Address, Settings
from couchloop.streaming import ConfigSource, Request
from couchloop.timers import Timers
from couchloop.topology import ClusterConfig, NetworkChoice
from couchloop.wire import Frame, ServerOpcode, Status

_deadline: Final = attrgetter("deadline")
_PRIVILEGE: Final = re.compile(r"without the (\w+) privilege")


_SEARCH_SPREAD: Final = 0.05
"""Seconds within which seeds are asked, at a random moment, once all nodes are lost."""
_SEARCH_PAUSE: Final = 2.0


class SessionState(Enum):
    """Where a session is in its life."""

    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    FAILED = auto()
    CLOSING = auto()
    """No new operation is taken; those in flight may still be answered."""
    CLOSED = auto()


class _GivenUp(NamedTuple):
    """That an operation is not tried again; *cause* is what is wrong with its strategy, if so."""

    cause: Exception | None = None


class Session:
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
        self.settings = settings
        self.state = SessionState.NEW
        self.error: CouchbaseError | None = None
        """Why there is no use in operations: opening failed, or the process was forked."""
        self.admit: Callable[[ClusterConfig], CouchbaseError | None] = lambda _: None
        """Says why the bucket must not be opened, once it is known what it is; None: it may."""
        self._wake = wake
        self._random = random
        self._events: list[Event] = []
        self._timers = Timers()
        self._nodes = Nodes(self, settings, self._timers, self._events, random, entropy)
        self._source = ConfigSource(self, self._nodes, self._timers, self._events, random)
        self._bootstrap: Bootstrap | None = None
        self._next_search = -inf
        """Time before which no seed is asked again when all nodes are lost."""
        self._recall = Recall(self, self._nodes, self._timers, self._events)
        self._retry_strategy: RetryStrategy = (
            BestEffort() if settings.retry_strategy is None else settings.retry_strategy
        )
        self._deadlines: dict[float, dict[Operation[Any], None]] = {}
        self._parked: dict[Operation[Any], None] = {}
        """What waits for the bucket to be open."""
        self._stranded: list[tuple[CouchbaseError, dict[Operation[Any], None]]] = []
        self._with_output: list[Connection | Request] = []
        self._crowded: dict[Connection, None] = {}
        """Connections that take more once their output is taken."""
        self.queued_operations = 0
        """Operations that wait to be sent, for whatever reason."""
        self.queued_bytes = 0
        """Bytes of their keys and values."""
        self.is_loaded = False
        """Whether producers should pause: half of what may wait does, and not yet less than a
        quarter again."""
        self._closing = False
        self.lazy = False
        """Whether it opens at its first use, and at the next where that fails."""

    # Out: what the adapter takes

    def take_events(self) -> list[Event]:
        """Give what is to be done, in order, and forget it."""
        if self.state is SessionState.CLOSING and not self.in_flight:
            self._end()
        while self._stranded and not self._events:
            error, parked = self._stranded.pop(0)
            for op in list(parked):
                self._fail(op, self._fresh(error, op))
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
        deadlines = self._deadlines
        empty = []
        for timeout, queue in deadlines.items():
            if queue:
                break
            empty.append(timeout)
        for timeout in empty:
            del deadlines[timeout]
        if not timers and not deadlines and not self._crowded:
            # Idle: the loop is free to exit.
            timers.wakeup = inf
            return None
        return timers.wakeup

    @property
    def orphans(self) -> int:
        """Answers that came when nobody waited for them any more."""
        return self._nodes.orphans

    @property
    def nodes(self) -> Nodes:
        """The data nodes."""
        return self._nodes

    @property
    def searching(self) -> Connection | None:
        """See `couchloop.health.HealthView`."""
        return None if self._bootstrap is None else self._bootstrap.connection

    @property
    def met(self) -> list[tuple[str, BaseException]]:
        """See `couchloop.health.HealthView`."""
        if self._bootstrap is not None:
            return list(self._bootstrap.met)
        if self._recall.is_trying:
            return self._recall.met
        context = None if self.error is None else self.error.context
        if self.error is None or context is None:
            return []
        return list(context.seeds) or [(context.node or "", self.error)]

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open or being opened."""
        return list(self._nodes.connections.values())

    @property
    def in_flight(self) -> int:
        """Operations that have neither answer nor error yet."""
        return sum(map(len, self._deadlines.values()))

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

    @property
    def is_open(self) -> bool:
        """Whether operations can be routed."""
        return self.state in {SessionState.OPEN, SessionState.CLOSING}

    def failure(self) -> CouchbaseError:
        """Give why the bucket is not open, as an exception of the caller's own."""
        if self.error is None:
            return ObjectDestroyedError(f"bucket {self.settings.bucket!r} is closed")
        return own_copy(self.error)

    # In: the user

    def start(self, now: float) -> None:
        """Look for a first configuration; harmless if it is there or being looked for."""
        if self.state not in (SessionState.NEW, SessionState.FAILED):
            return
        self.state = SessionState.OPENING
        self.error = None
        if self.settings.config_cache:
            self._recall.start(now)
        else:
            self.search(now, now)

    def renew(self, settings: Settings) -> None:
        """Log in as *settings* say on connections made from now on; nothing else may differ.

        It only stores values, so that any thread may call it.
        """
        self.settings = self._nodes.settings = settings

    def submit(self, op: Operation[Any], now: float) -> None:
        """Send *op*, or park it until it can be sent; `wake(op)` follows, perhaps at once."""
        if self._closing:
            op.error = self.failure()
            op.error.context = self._context(op)
            self.completed(op)
            return
        timeout = op.timeout
        op.deadline = deadline = now + timeout
        queue = self._deadlines.get(timeout)
        if queue is None:
            queue = self._deadlines[timeout] = {}
        queue[op] = None
        op.queue = queue
        timers = self._timers
        if deadline < timers.wakeup:  # noqa: PLR1730 - min() takes three times as long
            timers.wakeup = deadline
        route = self._nodes.route
        if route:
            vbucket = ((crc32(op.raw) >> 16) & 0x7FFF) % len(route)
            connection = route[vbucket]
            if connection is not None:
                connection.send(op, vbucket)
                return
        self._send_or_park(op, now)

    def submit_batch(self, batch: Batch[Any], now: float) -> None:
        """Send every operation of *batch*; one `wake(batch)` follows when all are complete."""
        if isinstance(batch, Watch):
            self._watch(batch, now)
            return
        for op in batch.operations:
            self.submit(op, now)

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
            self.start(now)
            self._park(limit, self._nodes.watchers)
            watch.look(now)

    def cancel(self, op: Operation[Any]) -> None:
        """Forget *op*: its caller has gone. An answer that comes later counts as an orphan."""
        if op.queue is None:
            return
        self.detach(op)
        if op.connection is not None:
            op.connection.pending.pop(op.opaque, None)
            op.connection = None

    def cancel_batch(self, batch: Batch[Any]) -> None:
        """Forget every operation of *batch* that is not complete."""
        for op in batch.operations:
            self.cancel(op)

    def close(self, now: float, wait: float = 0.0) -> None:
        """End: take no new operations, give those in flight *wait* seconds, then close.

        What is queued is written; what is pending then fails.
        """
        if self.state is SessionState.CLOSED:
            return
        self._closing = True
        if wait > 0 and self.in_flight and self.state is SessionState.OPEN:
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
        self._closing = True
        self.state = SessionState.CLOSED
        self._end_bootstrap()
        self._recall.end()
        self._source.close()
        self._nodes.close()
        self._timers.clear()
        self._with_output.clear()
        self._crowded.clear()
        self._events[:] = [Closed()]
        what = "was under way when the process forked: the parent process goes on with it"
        inherited = [op for queue in self._deadlines.values() for op in queue]
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
        self._crowded.clear()
        self._timers.clear()
        for queue in list(self._deadlines.values()):
            for op in list(queue):
                kind = (
                    AmbiguousRequestCanceledError
                    if self._is_ambiguous(op)
                    else RequestCanceledError
                )
                self._fail(op, kind("the Bucket was closed", context=self._context(op)))
        self._deadlines.clear()
        self._events.append(Closed())
        self._timers.clear()

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
            self._source.connected()

    def connect_failed(self, connection_id: int, error: BaseException, now: float) -> None:
        """Take note that the transport could not be connected, and why."""
        self.connection_lost(connection_id, error, now)

    def receive_data(self, connection_id: int, data: bytes, now: float) -> None:
        """Take bytes that came on a connection."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.receive_data(data, now)
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

    def progressed(self, connection_id: int, now: float) -> None:
        """Take note that the peer takes what was written, if slowly: a sign of life."""
        connection = self._nodes.connections.get(connection_id)
        if connection is not None:
            connection.last_activity = now

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
        timers = self._timers
        timers.wakeup = inf
        expired: list[Operation[Any]] = []
        for queue in self._deadlines.values():
            for op in queue:
                if op.deadline > now:
                    timers.wakeup = min(timers.wakeup, op.deadline)
                    break
                expired.append(op)
        expired.sort(key=_deadline)
        for op in expired:
            if op.queue is not None:
                self._expire(op)
        for timeout in [timeout for timeout, queue in self._deadlines.items() if not queue]:
            del self._deadlines[timeout]
        timers.fire(now)
        crowded, self._crowded = self._crowded, {}
        for connection in crowded:
            if connection.is_crowded:
                # Its output is still to be taken.
                self.crowded(connection)
            else:
                self._nodes.resume(connection, now)

    # Connection's Owner

    def has_output(self, connection: Connection) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._with_output.append(connection)

    def crowded(self, connection: Connection) -> None:
        """See `couchloop.kv.connection.Owner`: more in the next turn."""
        self._crowded[connection] = None
        self._timers.wakeup = 0.0
        self._nodes.pause(connection)

    def derive_key(self, connection: Connection, derivation: KeyDerivation) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._events.append(DeriveKey(connection.id, derivation))

    def completed(self, op: Operation[Any]) -> None:
        """See `couchloop.kv.connection.Owner`."""
        queue = op.queue
        if queue is not None:
            del queue[op]
            op.queue = None
        batch = op.batch
        if batch is None:
            self._wake(op)
        elif batch.member_done(op):
            self._wake(batch)

    def refused(self, op: Operation[Any], answer: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        connection = op.connection
        assert connection is not None
        if isinstance(op, ControlRequest):
            op.answer = answer
            self.completed(op)
            return
        status = answer.status
        action, reason = verdict(status, connection.error_map)
        error = self._status_error(op, answer, connection)
        if action is Action.FAIL:
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
        """See `couchloop.streaming.StreamOwner`."""
        self._with_output.append(request)

    def config_streamed(self, text: bytes, address: Address, now: float) -> None:
        """See `couchloop.streaming.StreamOwner`."""
        if self._bootstrap is None:
            self._nodes.take_config(text, address, now)
        else:
            self._bootstrap.config_streamed(text, now)

    def stream_failed(self, error: CouchbaseError, now: float) -> None:
        """See `couchloop.streaming.StreamOwner`."""
        if self._bootstrap is not None:
            self._bootstrap.stream_failed(error, now)

    # Nodes' owner, and the bootstrap's

    def config_answered(self, connection: Connection, request: ControlRequest) -> None:
        """See `couchloop.nodes.NodesOwner`."""
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
        """See `couchloop.bootstrap.BootstrapOwner`."""
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
        """See `couchloop.recall.RecallOwner`."""
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
            self.bootstrap_failed(refusal)
            return False
        self.state = SessionState.OPEN
        self._events.append(
            LogRecord(
                "info",
                "bucket {bucket}: {nodes} data nodes, network {network} ({why}), "
                "configuration {rev} from {origin}",
                {
                    "bucket": self.settings.bucket,
                    "nodes": config.data_nodes,
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
        """See `couchloop.nodes.NodesOwner`: keep it for the next start."""
        self._recall.store(config)

    def bootstrap_failed(self, error: CouchbaseError) -> None:
        """See `couchloop.bootstrap.BootstrapOwner`."""
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
        """See `couchloop.nodes.NodesOwner`: ask seeds that are no nodes (any more)."""
        if self.state is not SessionState.OPEN or self._bootstrap is not None:
            return
        if now < self._next_search:
            return
        settings = self.settings
        known = self._nodes.endpoints
        asks = settings.bootstrap_on != FILE_ONLY and (
            bool(settings.srv or settings.web_seeds)
            or any(seed not in known for seed in settings.seeds)
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
            self._search(now, now, known)

    def search(self, now: float, began: float) -> None:
        """See `couchloop.recall.RecallOwner`."""
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

    # Operations

    def enqueue(self, op: Operation[Any], now: float) -> None:
        """See `couchloop.nodes.NodesOwner`."""
        op.deadline = now + op.timeout
        op.queue = self._deadlines.setdefault(op.timeout, {})
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
            vbucket = config.vbucket(op.raw)
            connection = nodes.route[vbucket]
            if connection is not None:
                connection.send(op, vbucket)
                return
            endpoint = nodes.owner_of(op.raw)
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
                error = NodeNotAvailableError(what, context=context)
                error.__cause__ = delay.cause or cause
                self._fail(op, error)
                return
            if op.queue is None:
                # The strategy has ended it.
                return
        self._park(op, parked)

    def _park(self, op: Operation[Any], parked: dict[Operation[Any], None]) -> None:
        """Let *op* wait in *parked*."""
        op.parked = parked
        parked[op] = None
        self.queued_operations += 1
        self.queued_bytes += len(op.raw) + len(op.value)
        if not self.is_loaded and self._is_beyond(2):
            self.is_loaded = True
            self._events.append(Load(is_high=True))

    def _unpark(self, op: Operation[Any]) -> None:
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

    def _overloaded(self, op: Operation[Any], endpoint: Endpoint | None) -> OverloadedError:
        what, cause = self._obstruction(endpoint)
        context = self._context(op)
        context.node = self._awaited_node(endpoint)
        settings = self.settings
        error = OverloadedError(
            f"nothing was sent: {what}, and {self.queued_operations} operations with "
            f"{self.queued_bytes} bytes wait already (max_queued_operations="
            f"{settings.max_queued_operations}, max_queued_bytes={settings.max_queued_bytes}); "
            "wait for answers before issuing more, or set when_overloaded=wait",
            context=context,
        )
        error.__cause__ = cause
        return error

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
            cause = endpoint.last_error
        elif self.is_open:
            what = "the configuration names no node for the key"
        else:
            what = "the bucket was not open"
            if met := self.met:
                cause = met[-1][1]
        return what, own_copy(cause) if isinstance(cause, CouchbaseError) else cause

    def _awaited_node(self, endpoint: Endpoint | None) -> str | None:
        """Name the node that an operation waits for; while opening, the seed that is tried."""
        if endpoint is not None:
            return str(endpoint.address)
        bootstrap = self._bootstrap
        if self.is_open or bootstrap is None or bootstrap.connection is None:
            return None
        return str(bootstrap.connection.address)

    def send_parked(self, parked: dict[Operation[Any], None], now: float) -> None:
        """See `couchloop.nodes.NodesOwner`."""
        operations = list(parked)
        parked.clear()
        for op in operations:
            self._unpark(op)
            if op.queue is not None:
                self._send_or_park(op, now, is_new=False)

    def send_some(
        self, parked: dict[Operation[Any], None], connection: Connection, now: float
    ) -> None:
        """See `couchloop.nodes.NodesOwner`."""
        config = self._nodes.config
        assert config is not None
        while parked and not connection.is_crowded:
            # As much as fits, roughly: a dict's first entries are slow to be found one by one.
            some, room = [], ROOM
            for op in parked:
                some.append(op)
                room -= len(op.raw) + len(op.value)
                if room < 0:
                    break
            for op in some:
                self._unpark(op)
                self._send(op, connection, config.vbucket(op.raw), now)

    def _send(
        self,
        op: Operation[Any],
        connection: Connection,
        vbucket: int,
        now: float,  # noqa: ARG002 - for those who observe
    ) -> None:
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
            if delay >= 0:
                return delay
        except Exception as error:  # noqa: BLE001 - user code: the operation fails, not the session
            # Our own frame, and with it the Bucket, is no part of what the user is to see.
            traceback = error.__traceback__
            return _GivenUp(error.with_traceback(None if traceback is None else traceback.tb_next))
        return _GivenUp(ArgumentError(f"a retry strategy gives seconds from 0, or None: {delay!r}"))

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
        endpoint = self._nodes.owner_of(op.raw)
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
        unanswered: list[Operation[Any]],
        error: CouchbaseError,
        now: float,
    ) -> None:
        """Deal with operations whose connection was lost while they were in flight."""
        saved: dict[Operation[Any], None] = {}
        lost: list[tuple[Operation[Any], CouchbaseError]] = []
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
            # The session's own requests mean this connection, and no other.
            delay = _GivenUp() if isinstance(op, ControlRequest) else self._retry_delay(op, reason)
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

    def _expire(self, op: Operation[Any]) -> None:
        connection = op.connection
        cause: BaseException | None = op.obstacle
        context = self._context(op)
        kind = AmbiguousTimeoutError if self._is_ambiguous(op) else UnambiguousTimeoutError
        if connection is not None:
            what = "the server did not answer"
            connection.pending.pop(op.opaque, None)
            if not isinstance(op, ControlRequest):
                self._nodes.unanswered(connection, op.deadline - op.timeout, op.deadline)
        elif op.parked is not None:
            endpoint = self._nodes.owner_of(op.raw) if self.is_open else None
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
        error = kind(f"{what} within {op.timeout:g} s", context=context)
        error.__cause__ = cause
        self._fail(op, error)

    @staticmethod
    def _is_ambiguous(op: Operation[Any]) -> bool:
        """Whether the server may have done *op*: it is in flight, and it changes something."""
        return op.connection is not None and not op.idempotent

    def detach(self, op: Operation[Any]) -> None:
        """See `couchloop.nodes.NodesOwner`."""
        if op.queue is not None:
            del op.queue[op]
            op.queue = None
        self._unpark(op)

    def _fail(self, op: Operation[Any], error: CouchbaseError) -> None:
        if op.queue is None:
            # User code that ran meanwhile has ended it.
            return
        self.detach(op)
        op.connection = None
        op.error = error
        self.completed(op)

    def _context(self, op: Operation[Any]) -> ErrorContext:
        connection = op.connection
        context = ErrorContext(
            operation=op.name,
            key=op.key,
            bucket=self.settings.bucket,
            attempts=op.attempts + (connection is not None),
            reasons=op.reasons,
        )
        if connection is not None:
            context.node = str(connection.address)
            context.connection_id = connection.hello.connection_id
            context.opaque = op.opaque
        if self._bootstrap is not None or self._recall.is_trying:
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
        if entry is not None and kind is ServerError:
            message = f"the server answered {entry.name}: {entry.description}"
            if "temp" in entry.attributes:
                kind = TemporaryFailError
        elif kind is NotAuthorizedError:
            message = self._not_authorized(context)
        return kind(message, context=context)

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
                own.context, operation=None, key=None, opaque=None, attempts=0, reasons=()
            )
        return own

    def _fresh(self, error: CouchbaseError, op: Operation[Any]) -> CouchbaseError:
        """Give *op* an exception of its own: a shared one would collect tracebacks."""
        own = own_copy(error)
        own.context = replace(own.context or ErrorContext(), operation=op.name, key=op.key)
        own.key = op.key
        return own
