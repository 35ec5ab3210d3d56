"""One bucket, whole: bootstrap, routing, retries, deadlines and close, without I/O.

The adapter feeds it calls and the time, and after each call takes events, output and the next
deadline from it (docs/architecture.md, "The boundary"). Completed operations leave through the
function *wake*; tables are consistent before it is called, for user code may call back in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import count
from math import inf
from operator import attrgetter
from typing import Any, Final, Protocol
from zlib import crc32

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotDataNodeError,
    ObjectDestroyedError,
    ProtocolError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    status_error,
)
from couchloop.kv.connection import Connection as AnyConnection
from couchloop.kv.connection import State
from couchloop.kv.handshake import Hello, Negotiated, config_text, read_error_body
from couchloop.kv.scram import KeyDerivation
from couchloop.operations import Batch, Operation
from couchloop.retries import REROUTE_DELAY, Action, backoff, verdict
from couchloop.settings import Address, Settings
from couchloop.topology import ClusterConfig, parse_config, select_network
from couchloop.wire import Feature, Frame, Opcode, ServerOpcode, Status

_CONFIG_FLOOR: Final = 0.05
"""Least seconds between two requests for a configuration (RFC 0024)."""
_NOT_READY_DELAY: Final = 0.1
_DRAIN_DELAY: Final = 0.05
_RECONNECT_FIRST: Final = 0.05
_RECONNECT_LONGEST: Final = 2.0
_STEADY: Final = 2.0
"""A connection that was ready for so many seconds makes earlier failures forgotten."""


Connection = AnyConnection[Operation[Any]]

_deadline: Final = attrgetter("deadline")


class Random(Protocol):
    """What the session needs of a generator: jitter, and where to begin."""

    def random(self) -> float:
        """Give a number from 0.0 up to, not including, 1.0."""

    def getrandbits(self, k: int, /) -> int:
        """Give a number of *k* bits."""


# What a session asks of its adapter ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Connect to *address*; answer with `connected` or `connect_failed`."""

    id: int
    address: Address
    tls: bool


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Write what was taken, then close the transport, or give up connecting it."""

    id: int


@dataclass(frozen=True, slots=True)
class DeriveKey:
    """Run `derivation.derive()` off the loop's thread; answer with `key_derived`."""

    id: int
    derivation: KeyDerivation


@dataclass(frozen=True, slots=True)
class Opened:
    """The first configuration is there: the bucket can be used."""


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """No seed would have us. Operations fail with *error* until `start` is called again."""

    error: CouchbaseError


@dataclass(frozen=True, slots=True)
class Closed:
    """The session has ended; it follows the last `CloseConnection`."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Something an operator may want to know; `text` is to be formatted with `fields`."""

    level: str
    """`debug`, `info` or `warning`."""
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


Event = OpenConnection | CloseConnection | DeriveKey | Opened | OpenFailed | Closed | LogRecord


class SessionState(Enum):
    """Where a session is in its life."""

    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    FAILED = auto()
    CLOSING = auto()
    """No new operation is taken; those in flight may still be answered."""
    CLOSED = auto()


# Parts --------------------------------------------------------------------------------------------


class _Timer:
    """A call that is due at some time, unless it is cancelled."""

    __slots__ = ("_action", "when")

    def __init__(self, when: float, action: Callable[[float], None]) -> None:
        self.when = when
        self._action: Callable[[float], None] | None = action

    @property
    def live(self) -> bool:
        return self._action is not None

    def cancel(self) -> None:
        self._action = None

    def fire(self, now: float) -> None:
        action, self._action = self._action, None
        if action is not None:
            action(now)


class _Endpoint:
    """A data node as this session sees it: its connection, and what waits for one."""

    __slots__ = ("address", "connection", "failures", "parked", "ready_since", "timer")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.connection: Connection | None = None
        self.failures = 0
        """How often in a row its connection was lost soon, or could not be made."""
        self.ready_since = 0.0
        self.parked: dict[Operation[Any], None] = {}
        self.timer: _Timer | None = None

    @property
    def ready(self) -> Connection | None:
        connection = self.connection
        if connection is not None and connection.state is State.READY:
            return connection
        return None


class _ConfigRequest(Operation[None]):
    """GET_CLUSTER_CONFIG 0xb5, asked by the session itself."""

    __slots__ = ()
    name = "get_cluster_config"
    idempotent = True

    def __init__(self, timeout: float, known: ClusterConfig | None) -> None:
        # Not the constructor of user operations: there is no key.
        extras = b""
        if known is not None and min(known.revision) > 0:
            extras = b"".join(number.to_bytes(8) for number in known.revision)
        self.opcode = Opcode.GET_CLUSTER_CONFIG
        self.key = self.raw = self.value = b""
        self.extras = extras
        self.timeout = timeout
        self.cas = self.opaque = self.attempts = 0
        self.quiet = False
        self._reset()

    def decode(self, answer: Frame) -> None:
        """Nobody asks for the result."""


class _ConfigAnswer(Batch[Any]):
    """A batch of one: hands the session the answer to its own request."""

    __slots__ = ("_connection", "_session")

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection

    def member_done(self, op: Operation[Any]) -> bool:
        """Take the answer; nobody is to be woken."""
        assert isinstance(op, _ConfigRequest)
        self._session.config_answered(self._connection, op)
        return False


class _Bootstrap:
    """The search for a first configuration."""

    __slots__ = ("connection", "met", "seeds", "timers")

    def __init__(self, seeds: list[Address]) -> None:
        self.seeds = seeds
        self.connection: Connection | None = None
        self.met: list[tuple[str, BaseException]] = []
        self.timers: list[_Timer] = []


# Errors that tell more than others when seeds failed in different ways, most telling first.
_TELLING: Final = (
    AuthError,
    BucketNotFoundError,
    FeatureNotAvailableError,
    ProtocolError,
    NotDataNodeError,
)


def _own_copy(error: CouchbaseError) -> CouchbaseError:
    """Give *error* anew: one that several callers share would collect their tracebacks."""
    own = copy(error)
    own.__cause__ = error.__cause__
    if own.context is not None:
        own.context = replace(own.context)
    return own


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
        self.config: ClusterConfig | None = None
        self.network = ""
        self.error: CouchbaseError | None = None
        """Why opening failed, while the state is FAILED."""
        self._orphans = 0
        self._wake = wake
        self._random = random
        self._entropy = entropy
        self._client_id = entropy(8).hex()
        self._ids = count(1)
        self._connections: dict[int, Connection] = {}
        self._handshake_timers: dict[int, _Timer] = {}
        self._endpoints: dict[Address, _Endpoint] = {}
        self._draining: dict[Address, Connection] = {}
        """Connections to nodes that the configuration no longer lists."""
        self._by_node: list[_Endpoint | None] = []
        self._route: list[Connection | None] = []
        self._parked: dict[Operation[Any], None] = {}
        self._stranded: list[tuple[CouchbaseError, dict[Operation[Any], None]]] = []
        self._bootstrap: _Bootstrap | None = None
        self._config_request: _ConfigRequest | None = None
        self._config_asked = -inf
        self._config_turn = 0
        self._deadlines: dict[float, dict[Operation[Any], None]] = {}
        self._timers: list[tuple[float, int, _Timer]] = []
        self._timer_numbers = count()
        self._wakeup = inf
        self._closing = False
        self._with_output: list[Connection] = []
        self._events: list[Event] = []

    # Out: what the adapter takes

    def take_events(self) -> list[Event]:
        """Give what is to be done, in order, and forget it."""
        if self.state is SessionState.CLOSING and not self.in_flight:
            self._end()
        while self._stranded and not self._events:
            error, parked = self._stranded.pop(0)
            for op in list(parked):
                self._fail(op, self._fresh(error, op))
        events, self._events = self._events, []
        return events

    def take_output(self) -> list[tuple[int, bytes]]:
        """Give (connection id, bytes) pairs to write now, and forget them."""
        connections, self._with_output = self._with_output, []
        return [(connection.id, connection.take_output()) for connection in connections]

    def next_deadline(self) -> float | None:
        """Time at which to call `handle_deadline`; None if there is nothing to wait for.

        It may be earlier than needed, never later.
        """
        if self._wakeup == inf or self.state is SessionState.CLOSED:
            return None
        timers = self._timers
        while timers and not timers[0][2].live:
            heapq.heappop(timers)
        deadlines = self._deadlines
        empty = []
        for timeout, queue in deadlines.items():
            if queue:
                break
            empty.append(timeout)
        for timeout in empty:
            del deadlines[timeout]
        if not timers and not deadlines:
            # Idle: the loop is free to exit.
            self._wakeup = inf
            return None
        return self._wakeup

    @property
    def orphans(self) -> int:
        """Answers that came when nobody waited for them any more."""
        return self._orphans + sum(connection.orphans for connection in self._connections.values())

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open or being opened."""
        return list(self._connections.values())

    @property
    def in_flight(self) -> int:
        """Operations that have neither answer nor error yet."""
        return sum(map(len, self._deadlines.values()))

    @property
    def addresses(self) -> list[Address]:
        """Where the data nodes are, by the configuration that counts."""
        return list(self._endpoints)

    def failure(self) -> CouchbaseError:
        """Give why the bucket is not open, as an exception of the caller's own."""
        if self.error is None:
            return ObjectDestroyedError(f"bucket {self.settings.bucket!r} is closed")
        return _own_copy(self.error)

    # In: the user

    def start(self, now: float) -> None:
        """Look for a first configuration; harmless if it is there or being looked for."""
        if self.state not in (SessionState.NEW, SessionState.FAILED):
            return
        self.state = SessionState.OPENING
        self.error = None
        seeds = list(self.settings.seeds)
        if self.settings.randomize_nodes:
            seeds.sort(key=lambda _: self._random.random())
        self._bootstrap = _Bootstrap(seeds)
        self._bootstrap.timers.append(
            self._call_at(now + self.settings.config_total_timeout, self._bootstrap_too_long)
        )
        self._try_next_seed(now)

    def submit(self, op: Operation[Any], now: float) -> None:
        """Send *op*, or park it until it can be sent; `wake(op)` follows, perhaps at once."""
        if self._closing:
            op.error = ObjectDestroyedError("the Bucket is closed", context=self._context(op))
            self.completed(op)
            return
        timeout = op.timeout
        op.deadline = deadline = now + timeout
        queue = self._deadlines.get(timeout)
        if queue is None:
            queue = self._deadlines[timeout] = {}
        queue[op] = None
        op.queue = queue
        if deadline < self._wakeup:  # noqa: PLR1730 - min() takes three times as long
            self._wakeup = deadline
        route = self._route
        if route:
            vbucket = ((crc32(op.raw) >> 16) & 0x7FFF) % len(route)
            connection = route[vbucket]
            if connection is not None:
                connection.send(op, vbucket)
                return
        self._send_or_park(op, now)

    def submit_batch(self, batch: Batch[Any], now: float) -> None:
        """Send every operation of *batch*; one `wake(batch)` follows when all are complete."""
        for op in batch.operations:
            self.submit(op, now)

    def cancel(self, op: Operation[Any]) -> None:
        """Forget *op*: its caller has gone. An answer that comes later counts as an orphan."""
        if op.queue is None:
            return
        self._detach(op)
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
            self._call_at(now + wait, lambda _: self._end())
        elif self.state is not SessionState.CLOSING or wait <= 0:
            self._end()

    def _end(self) -> None:
        if self.state is SessionState.CLOSED:
            return
        self.state = SessionState.CLOSED
        self._end_bootstrap()
        self.error = None
        for connection in self.connections:
            connection.close()
            self._forget(connection)
        for endpoint in self._endpoints.values():
            if endpoint.timer is not None:
                endpoint.timer.cancel()
        self._endpoints.clear()
        self._by_node.clear()
        self._route.clear()
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
        self._wakeup = inf

    # In: the transports

    def connected(self, connection_id: int, now: float) -> None:
        """Take note that the transport (TLS included) is connected."""
        connection = self._connections.get(connection_id)
        if connection is not None:
            connection.opened(self.settings.login, self._nonce, now)

    def connect_failed(self, connection_id: int, error: BaseException, now: float) -> None:
        """Take note that the transport could not be connected, and why."""
        self.connection_lost(connection_id, error, now)

    def receive_data(self, connection_id: int, data: bytes, now: float) -> None:
        """Take bytes that came on a connection."""
        connection = self._connections.get(connection_id)
        if connection is not None:
            connection.receive_data(data, now)

    def connection_lost(self, connection_id: int, reason: BaseException | None, now: float) -> None:
        """Take note that the transport is gone (None: the peer closed it in order)."""
        connection = self._connections.get(connection_id)
        if connection is not None:
            connection.lost(reason, now)

    def key_derived(self, connection_id: int, salted_password: bytes, now: float) -> None:
        """Take the result of a `DeriveKey`."""
        connection = self._connections.get(connection_id)
        if connection is not None:
            connection.key_derived(salted_password, now)

    def handle_deadline(self, now: float) -> None:
        """Do what is due: expire operations, connect again, retry."""
        self._wakeup = inf
        expired: list[Operation[Any]] = []
        for queue in self._deadlines.values():
            for op in queue:
                if op.deadline > now:
                    self._wakeup = min(self._wakeup, op.deadline)
                    break
                expired.append(op)
        expired.sort(key=_deadline)
        for op in expired:
            if op.queue is not None:
                self._expire(op)
        for timeout in [timeout for timeout, queue in self._deadlines.items() if not queue]:
            del self._deadlines[timeout]
        timers = self._timers
        while timers and (timers[0][0] <= now or not timers[0][2].live):
            heapq.heappop(timers)[2].fire(now)
        if timers:
            self._wakeup = min(self._wakeup, timers[0][0])

    # Connection's Owner

    def has_output(self, connection: Connection) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._with_output.append(connection)

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
        if isinstance(op, _ConfigRequest):
            op.answer = answer
            self.completed(op)
            return
        status = answer.status
        action, reason = verdict(status, connection.error_map)
        if action is Action.FAIL:
            self._fail(op, self._status_error(op, answer, connection))
            return
        op.attempts += 1
        if reason not in op.reasons:
            op.reasons = (*op.reasons, reason)
        op.connection = None
        if action is Action.REROUTE:
            self._reroute(op, answer, connection, now)
        elif action is Action.RECONNECT:
            self._send_later(op, now + backoff(op.attempts))
            error = self._status_error(op, answer, connection)
            error.key = None
            # Not at once: the answers that came together with this one still count.
            self._call_at(now, lambda at: connection.lost(error, at))
        else:
            if status == Status.CONFIG_ONLY:
                self._ask_for_config(now)
            self._send_later(op, now + backoff(op.attempts))

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        if (
            frame.opcode == ServerOpcode.CLUSTERMAP_CHANGE
            and frame.key.decode(errors="replace") == self.settings.bucket
        ):
            if frame.value:
                self._take_config(frame, connection, now)
            else:
                self._ask_for_config(now)

    def handshake_done(self, connection: Connection, negotiated: Negotiated, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        self._handshake_timers.pop(connection.id).cancel()
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.connection is connection:
            self._take_first_config(connection, negotiated.config, now)
            return
        if negotiated.config:
            self._take_config(negotiated.config, connection, now)
        endpoint = self._endpoints.get(connection.address)
        if endpoint is None or endpoint.connection is not connection:
            # The configuration that it brought does not list its node.
            return
        endpoint.ready_since = now
        self._log("debug", "connected to {node}", node=connection.address)
        self._rebuild_route()
        self._send_parked(endpoint.parked, now)

    def failed(self, connection: Connection, error: CouchbaseError, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        was_ready = connection.state is State.READY
        unanswered = self._drop(connection)
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.connection is connection:
            self._seed_failed(connection.address, error, now)
            return
        endpoint = self._endpoints.get(connection.address)
        if endpoint is None or endpoint.connection is not connection:
            # The configuration no longer lists its node.
            self._save_or_fail(unanswered, error, now)
            return
        endpoint.connection = None
        self._rebuild_route()
        self._connect_later(endpoint, error, now, was_ready=was_ready)
        self._ask_for_config(now)
        self._save_or_fail(unanswered, error, now)

    def _connect_later(
        self, endpoint: _Endpoint, error: CouchbaseError, now: float, *, was_ready: bool
    ) -> None:
        """Replace the connection of *endpoint*: at once if it was steady, else after a while."""
        if was_ready and now - endpoint.ready_since >= _STEADY:
            endpoint.failures = 0
        delay = 0.0
        if endpoint.failures or not was_ready:
            delay = min(_RECONNECT_FIRST * 2.0 ** min(endpoint.failures, 16), _RECONNECT_LONGEST)
            # Half of it is jitter, so that many clients do not come back in step.
            delay *= 0.5 + self._random.random() / 2
        endpoint.failures += 1
        endpoint.timer = self._call_at(now + delay, lambda at: self._connect(endpoint, at))
        self._log(
            "warning",
            "lost {node} of bucket {bucket}: {reason}; connecting again in {delay:.3f} s",
            node=endpoint.address,
            bucket=self.settings.bucket,
            reason=str(error),
            delay=delay,
        )

    # Bootstrap

    def _try_next_seed(self, now: float) -> None:
        bootstrap = self._bootstrap
        assert bootstrap is not None
        if not bootstrap.seeds:
            self._bootstrap_failed()
            return
        connection = self._open(bootstrap.seeds.pop(0))
        bootstrap.connection = connection
        self._give_up_later(connection, now)

    def _give_up_later(self, connection: Connection, now: float) -> None:
        """Fail *connection* if it is not ready within the time that one node has."""

        def too_long(at: float) -> None:
            doing = "accept" if connection.state is State.OPENING else "answer the handshake"
            limit = self.settings.config_node_timeout
            connection.lost(
                NodeTimeoutError(
                    f"the node did not {doing} within {limit:g} s (config_node_timeout)"
                ),
                at,
            )

        self._handshake_timers[connection.id] = self._call_at(
            now + self.settings.config_node_timeout, too_long
        )

    def _take_first_config(self, connection: Connection, text: bytes, now: float) -> None:
        """Open the bucket with the configuration of a seed, once that is usable."""
        config: ClusterConfig | None = None
        if text:
            try:
                config = parse_config(text, connection.address.host)
            except ProtocolError as error:
                connection.lost(error, now)
                return
        if config is not None and config.locator == "ketama":
            connection.lost(
                FeatureNotAvailableError(
                    f"bucket {self.settings.bucket!r} is of type memcached, which is not "
                    "supported: use an ephemeral bucket"
                ),
                now,
            )
            return
        if config is None or not config.is_ready:
            # The bucket is being created or warming up: ask again until time is up.
            self._call_at(now + _NOT_READY_DELAY, lambda at: self._ask(connection, at))
            return
        network = select_network(config, connection.address, self.settings.network)
        if not any(self._data_addresses(config, network)):
            known = sorted({name for node in config.nodes for name in node.networks})
            port = "TLS data port" if self.settings.tls else "data port"
            connection.lost(
                NodeUnreachableError(
                    f"no node of bucket {self.settings.bucket!r} has a {port} on network "
                    f"{network!r}: its networks are {', '.join(known)}"
                ),
                now,
            )
            return
        self.network = network
        self._end_bootstrap()
        self.state = SessionState.OPEN
        self._log(
            "info",
            "bucket {bucket}: {nodes} data nodes, network {network}, "
            "configuration {rev} from {node}",
            bucket=self.settings.bucket,
            nodes=config.data_nodes,
            network=self.network,
            rev="/".join(map(str, config.revision)),
            node=connection.address,
        )
        self._events.append(Opened())
        self._apply(config, now, connection)
        self._send_parked(self._parked, now)

    def _seed_failed(self, seed: Address, error: CouchbaseError, now: float) -> None:
        bootstrap = self._bootstrap
        assert bootstrap is not None
        bootstrap.connection = None
        bootstrap.met.append((str(seed), error))
        self._log("warning", "seed {node}: {reason}", node=seed, reason=str(error))
        if isinstance(error, AuthError):
            # No other node would say otherwise.
            bootstrap.seeds.clear()
        self._try_next_seed(now)

    def _bootstrap_too_long(self, _now: float) -> None:
        bootstrap = self._bootstrap
        assert bootstrap is not None
        connection = bootstrap.connection
        limit = f"within {self.settings.config_total_timeout:g} s (config_total_timeout)"
        what = "no node gave a configuration of the bucket"
        context = ErrorContext()
        if connection is not None:
            context.node = str(connection.address)
            if connection.state is State.READY:
                what = "the bucket was not ready: it is being created, or warming up"
        error = BootstrapTimeoutError(f"{what} {limit}", context=context)
        if connection is not None:
            bootstrap.met.append((str(connection.address), error))
            self._drop(connection)
        self._bootstrap_failed(error)

    def _bootstrap_failed(self, error: CouchbaseError | None = None) -> None:
        bootstrap = self._bootstrap
        assert bootstrap is not None
        met = tuple(bootstrap.met)
        self._end_bootstrap()
        if error is None:
            causes = [cause for _, cause in met if isinstance(cause, CouchbaseError)]
            told = [cause for kind in _TELLING for cause in causes if isinstance(cause, kind)]
            error = _own_copy((told or causes)[0])
        context = replace(error.context or ErrorContext(), bucket=self.settings.bucket)
        if len(met) > 1:
            context.seeds = met
        error.context = context
        self.error = error
        self.state = SessionState.FAILED
        self._events.append(OpenFailed(error))
        # They fail once that event is performed: user code may then start anew.
        self._stranded.append((error, self._parked))
        self._parked = {}

    def _end_bootstrap(self) -> None:
        bootstrap, self._bootstrap = self._bootstrap, None
        if bootstrap is not None:
            for timer in bootstrap.timers:
                timer.cancel()

    # Configurations

    def _take_config(self, source: Frame | bytes, connection: Connection, now: float) -> bool:
        """Apply a configuration that came on *connection* if it is newer; tell whether it was.

        *source* is a frame that carries it, or its text.
        """
        try:
            text = source if isinstance(source, bytes) else config_text(source)
            config = parse_config(text, connection.address.host)
        except ProtocolError as error:
            self._log("warning", "{node} gave {reason}", node=connection.address, reason=str(error))
            return False
        return self._apply(config, now)

    def _apply(self, config: ClusterConfig, now: float, first: Connection | None = None) -> bool:
        """Make *config* the one that counts, if it is usable and newer.

        *first* is the connection that bootstrap has made: it becomes that of its node.
        """
        known = self.config
        if not config.is_ready or (known is not None and config.revision <= known.revision):
            return False
        if self.state not in {SessionState.OPEN, SessionState.CLOSING}:
            return False
        addresses = self._data_addresses(config, self.network)
        if not any(addresses):
            self._log(
                "warning",
                "configuration {rev} lists no data node on network {network}: ignored",
                rev="/".join(map(str, config.revision)),
                network=self.network,
            )
            return False
        self.config = config
        endpoints: dict[Address, _Endpoint] = {}
        self._by_node = []
        for node, address in zip(config.nodes, addresses, strict=False):
            if address is None:
                self._by_node.append(None)
                continue
            endpoint = self._endpoints.get(address) or endpoints.get(address)
            if endpoint is None:
                endpoint = _Endpoint(address)
                endpoint.connection = self._draining.pop(address, None)
            endpoints[address] = endpoint
            self._by_node.append(endpoint)
            if first is not None and (node.this_node or address == first.address):
                first.address = address
                endpoint.connection = first
                first = None
        removed = [e for address, e in self._endpoints.items() if address not in endpoints]
        self._endpoints = endpoints
        if first is not None:
            # It gave the configuration, but is no data node of this bucket.
            self._drop(first)
        for endpoint in endpoints.values():
            if endpoint.connection is None and endpoint.timer is None:
                self._connect(endpoint, now)
        self._rebuild_route()
        for endpoint in (*removed, *endpoints.values()):
            if endpoint.parked:
                # Another node may own the keys now.
                self._send_parked(endpoint.parked, now)
        for endpoint in removed:
            if endpoint.timer is not None:
                endpoint.timer.cancel()
            connection = endpoint.connection
            if connection is not None:
                self._draining[connection.address] = connection
                self._drain(connection, now)
        return True

    def _data_addresses(self, config: ClusterConfig, network: str) -> list[Address | None]:
        """Give where each data node of *config* is reached on *network*; None: it is not."""
        service = "kvSSL" if self.settings.tls else "kv"
        return [node.address(network, service) for node in config.nodes[: config.data_nodes]]

    def _drain(self, connection: Connection, now: float) -> None:
        """Close *connection* as soon as nothing is in flight on it, unless its node comes back."""
        if self._draining.get(connection.address) is not connection:
            return
        if connection.state is not State.READY or not connection.pending:
            self._drop(connection)
        else:
            self._call_at(now + _DRAIN_DELAY, lambda at: self._drain(connection, at))

    def _rebuild_route(self) -> None:
        if self.config is None:
            return
        ready = [None if endpoint is None else endpoint.ready for endpoint in self._by_node]
        # Index -1 stands for no node.
        ready.append(None)
        self._route = [ready[index] for index in self.config.active]

    def _ask_for_config(self, now: float) -> None:
        """Ask any node for a newer configuration, unless that is being done or was just done."""
        if self._config_request is not None or now - self._config_asked < _CONFIG_FLOOR:
            return
        ready = [c for e in self._endpoints.values() if (c := e.ready) is not None]
        if ready:
            # In turn, so that a node that hangs is not asked for ever.
            self._config_turn += 1
            self._ask(ready[self._config_turn % len(ready)], now)

    def _ask(self, connection: Connection, now: float) -> None:
        if connection.state is not State.READY:
            return
        self._config_asked = now
        # Older servers refuse a request that names the revision we have.
        known = self.config if Feature.CONFIG_KNOWN_VERSION in connection.features else None
        request = _ConfigRequest(self.settings.config_node_timeout, known)
        self._config_request = request
        request.batch = _ConfigAnswer(self, connection)
        self._enqueue(request, now)
        connection.send(request, 0)

    def config_answered(self, connection: Connection, request: _ConfigRequest) -> None:
        """Take the answer to the session's own request for a configuration."""
        if self._config_request is request:
            self._config_request = None
        if connection.state is not State.READY:
            return
        answer = request.answer
        bootstrap = self._bootstrap
        is_first = bootstrap is not None and bootstrap.connection is connection
        if answer is None:
            if is_first:
                connection.lost(
                    NodeTimeoutError(
                        "the node did not give a configuration within "
                        f"{request.timeout:g} s (config_node_timeout)"
                    ),
                    request.deadline,
                )
            return
        now = connection.last_activity
        if is_first:
            try:
                text = b"" if answer.status else config_text(answer)
            except ProtocolError as error:
                connection.lost(error, now)
                return
            self._take_first_config(connection, text, now)
        elif answer.value and not answer.status:
            self._take_config(answer, connection, now)

    # Connections

    def _open(self, address: Address) -> Connection:
        number = next(self._ids)
        hello = Hello(self.settings.agent, f"{self._client_id}/{number:016x}")
        connection = Connection(
            self,
            number,
            address,
            self.settings.bucket,
            hello,
            tls=self.settings.tls,
            opaque=self._random.getrandbits(32),
        )
        self._connections[number] = connection
        self._events.append(OpenConnection(number, address, self.settings.tls))
        return connection

    def _connect(self, endpoint: _Endpoint, now: float) -> None:
        endpoint.timer = None
        endpoint.connection = self._open(endpoint.address)
        self._give_up_later(endpoint.connection, now)

    def _drop(self, connection: Connection) -> list[Operation[Any]]:
        """End *connection*; give the operations that were in flight on it."""
        unanswered = connection.close()
        request = self._config_request
        if request is not None and request.connection is connection:
            self._config_request = None
            self._detach(request)
        self._forget(connection)
        return unanswered

    def _forget(self, connection: Connection) -> None:
        if self._connections.pop(connection.id, None) is not None:
            timer = self._handshake_timers.pop(connection.id, None)
            if timer is not None:
                timer.cancel()
            self._orphans += connection.orphans
            if self._draining.get(connection.address) is connection:
                del self._draining[connection.address]
            self._events.append(CloseConnection(connection.id))

    def _nonce(self) -> str:
        return self._entropy(18).hex()

    # Operations

    def _enqueue(self, op: Operation[Any], now: float) -> None:
        op.deadline = now + op.timeout
        op.queue = self._deadlines.setdefault(op.timeout, {})
        op.queue[op] = None
        self._wakeup = min(self._wakeup, op.deadline)

    def _send_or_park(self, op: Operation[Any], now: float) -> None:
        """Send *op* to the node that owns its key, or let it wait for what it lacks."""
        if self.state in {SessionState.OPEN, SessionState.CLOSING}:
            config = self.config
            assert config is not None
            vbucket = config.vbucket(op.raw)
            connection = self._route[vbucket]
            if connection is not None:
                connection.send(op, vbucket)
                return
            owner = config.active[vbucket]
            endpoint = self._by_node[owner] if owner >= 0 else None
            if endpoint is None:
                # No node has this vbucket now; a newer configuration may tell one.
                if "NODE_NOT_AVAILABLE" not in op.reasons:
                    op.reasons = (*op.reasons, "NODE_NOT_AVAILABLE")
                self._ask_for_config(now)
                self._send_later(op, now + REROUTE_DELAY)
                return
            op.parked = endpoint.parked
        elif self.state is SessionState.FAILED:
            assert self.error is not None
            self._fail(op, self._fresh(self.error, op))
            return
        else:
            op.parked = self._parked
        op.parked[op] = None

    def _send_parked(self, parked: dict[Operation[Any], None], now: float) -> None:
        """Send what waited in *parked*, in order."""
        operations = list(parked)
        parked.clear()
        for op in operations:
            op.parked = None
            if op.queue is not None:
                self._send_or_park(op, now)

    def _send_later(self, op: Operation[Any], when: float) -> None:
        def send(now: float) -> None:
            if op.queue is not None:
                self._send_or_park(op, now)

        # Nothing is to be kept when its time is up.
        self._call_at(min(when, op.deadline), send)

    def _reroute(
        self, op: Operation[Any], answer: Frame, connection: Connection, now: float
    ) -> None:
        """Handle not-my-vbucket: the answer may carry the configuration that tells whose it is."""
        newer = False
        if answer.value:
            newer = self._take_config(answer, connection, now)
        else:
            self._ask_for_config(now)
        if op.queue is None:
            return
        config = self.config
        if config is not None:
            owner = config.active[config.vbucket(op.raw)]
            endpoint = self._by_node[owner] if owner >= 0 else None
            if newer or (endpoint is not None and endpoint.connection is not connection):
                self._send_or_park(op, now)
                return
        self._send_later(op, now + REROUTE_DELAY)

    def _save_or_fail(
        self,
        unanswered: list[Operation[Any]],
        error: CouchbaseError,
        now: float,
    ) -> None:
        """Deal with operations whose connection was lost while they were in flight."""
        saved: dict[Operation[Any], None] = {}
        lost: list[Operation[Any]] = []
        for op in unanswered:
            if op.queue is None:
                continue
            if op.idempotent:
                op.connection = None
                op.attempts += 1
                if "SOCKET_CLOSED_WHILE_IN_FLIGHT" not in op.reasons:
                    op.reasons = (*op.reasons, "SOCKET_CLOSED_WHILE_IN_FLIGHT")
                saved[op] = None
            else:
                lost.append(op)
        # Nothing waits for a node whose connection was ready: these are the first in line.
        self._send_parked(saved, now)
        for op in lost:
            failure = AmbiguousConnectionLostError(
                "the connection was lost before the answer came: the server may have done it, "
                "or not",
                context=self._context(op),
            )
            failure.__cause__ = error
            self._fail(op, failure)

    def _expire(self, op: Operation[Any]) -> None:
        connection = op.connection
        ambiguous = self._is_ambiguous(op)
        if connection is not None:
            connection.pending.pop(op.opaque, None)
        if op is self._config_request:
            self._config_request = None
        kind = AmbiguousTimeoutError if ambiguous else UnambiguousTimeoutError
        if connection is not None:
            what = "the server did not answer"
        elif self.state is SessionState.OPENING:
            what = "the bucket was not open"
        elif op.attempts:
            what = "the operation could not be completed"
        else:
            what = "no connection could take it"
        error = kind(f"{what} within {op.timeout:g} s", context=self._context(op))
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.met:
            error.__cause__ = bootstrap.met[-1][1]
        self._fail(op, error)

    @staticmethod
    def _is_ambiguous(op: Operation[Any]) -> bool:
        """Whether the server may have done *op*: it is in flight, and it changes something."""
        return op.connection is not None and not op.idempotent

    def _detach(self, op: Operation[Any]) -> None:
        """Take *op* out of the tables that make it wait."""
        if op.queue is not None:
            del op.queue[op]
            op.queue = None
        if op.parked is not None:
            op.parked.pop(op, None)
            op.parked = None

    def _fail(self, op: Operation[Any], error: CouchbaseError) -> None:
        if op.queue is None:
            # User code that ran meanwhile has ended it.
            return
        self._detach(op)
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
        if self._bootstrap is not None:
            context.seeds = tuple(self._bootstrap.met)
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
        if entry is not None and kind.__name__ == "ServerError":
            message = f"the server answered {entry.name}: {entry.description}"
        return kind(message, context=context)

    def _fresh(self, error: CouchbaseError, op: Operation[Any]) -> CouchbaseError:
        """Give *op* an exception of its own: a shared one would collect tracebacks."""
        own = _own_copy(error)
        own.context = replace(own.context or ErrorContext(), operation=op.name, key=op.key)
        own.key = op.key
        return own

    # Time and log

    def _call_at(self, when: float, action: Callable[[float], None]) -> _Timer:
        timer = _Timer(when, action)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        self._wakeup = min(self._wakeup, when)
        return timer

    def _log(self, level: str, text: str, **fields: object) -> None:
        self._events.append(LogRecord(level, text, fields))
