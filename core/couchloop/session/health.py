"""How a bucket's connections are: diagnostics, ping, waiting until it is ready (RFC 0034, 0061).

A `Waiter` goes through an adapter like a batch. Its one member that the session counts down is
its time limit; the session has it look again whenever a connection or the configuration changes.
"""

from __future__ import annotations

import json
from enum import Enum, IntEnum
from typing import Any, Final

from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    ErrorContext,
    NodeTimeoutError,
    UnambiguousTimeoutError,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Defaults
from couchloop.hot.request import Request
from couchloop.kv.connection import Connection, State
from couchloop.session.connections import Connections
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.requests import OwnRequest, OwnRequests, WaitLimit
from couchloop.session.route_table import Endpoint, RouteTable
from couchloop.session.shared import Shared
from couchloop.session.standstill import STOOD_STILL, blame, blocked_for
from couchloop.settings.values import Address
from couchloop.wire import Opcode


class ClusterState(Enum):
    """How many data nodes can be used."""

    ONLINE = "online"
    """All of them."""
    DEGRADED = "degraded"
    """At least one."""
    OFFLINE = "offline"
    """None."""


class EndpointState(Enum):
    """How the connection to one node is."""

    NEW = "new"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    RECONNECTING = "reconnecting"
    """It was lost, or could not be made, and is to be made again."""
    DISCONNECTING = "disconnecting"
    """The node is no longer in the configuration; what is in flight may still be answered."""


class PingStatus(IntEnum):
    """How a node answered a ping (SDK 2.5)."""

    OK = 0
    TIMEOUT = 1
    ERROR = 2


_BY_STATE: Final = {
    State.OPENING: EndpointState.CONNECTING,
    State.HANDSHAKE: EndpointState.AUTHENTICATING,
    State.READY: EndpointState.CONNECTED,
    State.CLOSED: EndpointState.DISCONNECTED,
}
_RFC_PING: Final = ("id", "latency_us", "remote", "state", "namespace", "details")


class HealthView:
    """What is needed of a session for reports, and for what waits for nodes.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        connections: to them.
        requests: asks nodes for a sign of life.
        dispatcher: has what waits end in time.
    """

    __slots__ = ("connections", "dispatcher", "requests", "shared", "table")

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        connections: Connections,
        requests: OwnRequests,
        dispatcher: Dispatcher,
    ) -> None:
        self.shared = shared
        self.table = table
        self.connections = connections
        self.requests = requests
        self.dispatcher = dispatcher

    def begin(self, waiter: Waiter, now: float) -> None:
        """Have *waiter* wait for what it waits for."""
        waiter.view = self
        if self.dispatcher.wait(waiter.limit, self.table.waiters, now):
            waiter.look(now)

    def cancel(self, waiter: Waiter) -> None:
        """Forget *waiter*: its caller has gone."""
        for request in (waiter.limit, *waiter.requests):
            request.batch = None
            self.dispatcher.cancel(request)
        waiter.let_go()


# Diagnostics


class DiagnosticsReport(dict[str, Any]):
    """What `diagnostics` gives: a dict that can be written as JSON."""

    def __init__(self, content: dict[str, Any], state: ClusterState) -> None:
        super().__init__(content)
        self.state = state
        """Of the whole cluster."""

    def as_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(self)


def cluster_state(view: HealthView) -> ClusterState:
    """Return whether all data nodes, some or none can be used."""
    endpoints = view.table.endpoints.values()
    ready = sum(endpoint.ready is not None for endpoint in endpoints)
    if not view.shared.is_open or not ready:
        return ClusterState.OFFLINE
    return ClusterState.ONLINE if ready == len(endpoints) else ClusterState.DEGRADED


def diagnostics(
    view: HealthView, now: float, report_id: str | None = None, version: int = 2
) -> DiagnosticsReport:
    """Return how each connection is, without any I/O.

    Args:
        view: the session.
        now: monotonic seconds.
        report_id: goes into the report; None: one that nobody else has.
        version: 2 (RFC 0061), or 1: the lists of SDK 2.5 (`config`) and of RFC 0034 (`services`).

    Raises ArgumentError for another version.
    """
    if version not in {1, 2}:
        raise ArgumentError("version must be 1 or 2", objextra=version)
    if report_id is None:
        report_id = view.connections.nonce()
    entries = [_entry(view, endpoint, now) for endpoint in view.table.endpoints.values()]
    entries += [_draining(view, connection, now) for connection in view.connections.draining]
    if not view.shared.is_open:
        entries += _seeds(view, now)
    report: dict[str, Any] = {
        "version": version,
        "id": report_id,
        "sdk": view.shared.settings.agent,
    }
    if version == 1:
        for entry in entries:
            entry["scope"] = entry.pop("namespace")
            entry["status"] = entry["state"]
        report["config"] = entries
    report["services"] = {"kv": entries} if entries else {}
    return DiagnosticsReport(report, cluster_state(view))


def _entry(view: HealthView, endpoint: Endpoint, now: float) -> dict[str, Any]:
    connection = endpoint.connection
    state = EndpointState.RECONNECTING if connection is None else _BY_STATE[connection.state]
    entry = _connection_entry(view, endpoint.address, connection, state, now)
    entry["id"] = endpoint.id
    if endpoint.last_error is not None and state is not EndpointState.CONNECTED:
        entry["details"] = endpoint.last_error.message
    return entry


def _draining(view: HealthView, connection: Connection, now: float) -> dict[str, Any]:
    state = EndpointState.DISCONNECTING
    return _connection_entry(view, connection.address, connection, state, now)


def _seeds(view: HealthView, now: float) -> list[dict[str, Any]]:
    """Return what happened at the seeds so far: nodes are not known yet."""
    attempts = dict(view.shared.attempts)
    searching = view.shared.searching
    entries = []
    for number, seed in enumerate(view.shared.settings.seeds):
        connection = None
        state = EndpointState.NEW
        if searching is not None and searching.address == seed:
            connection = searching
            state = _BY_STATE[connection.state]
        elif str(seed) in attempts:
            state = EndpointState.DISCONNECTED
        entry = _connection_entry(view, seed, connection, state, now)
        entry.setdefault("id", f"seed-{number}")
        if state is EndpointState.DISCONNECTED:
            entry["details"] = _why(attempts[str(seed)])
        entries.append(entry)
    return entries


def _connection_entry(
    view: HealthView,
    address: Address,
    connection: Connection | None,
    state: EndpointState,
    now: float,
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "remote": str(address),
        "state": state.value,
        "namespace": view.shared.settings.bucket,
    }
    if connection is not None:
        entry["id"] = connection.hello.connection_id
        if connection.local is not None:
            entry["local"] = connection.local
        if connection.state is not State.OPENING:
            entry["last_activity_us"] = max(0, round((now - connection.last_activity) * 1e6))
        if state is EndpointState.CONNECTED:
            # By this name the server's log knows it.
            entry["details"] = f"connection {connection.hello.connection_id}"
    return entry


def _why(error: BaseException) -> str:
    return error.message if isinstance(error, CouchbaseError) else str(error)


# Waiting


def _look_no_more(now: float) -> None:
    pass


class Waiter(Batch[Any]):
    """Something that waits for the nodes."""

    __slots__ = ("limit", "requests", "timeout", "view")

    def __init__(self, name: str, timeout: float) -> None:
        self.timeout = exact_seconds(timeout)
        self.limit = WaitLimit(name, self.timeout, self.look)
        super().__init__([])
        self.remaining = 1
        self.limit.batch = self
        self.requests: list[OwnRequest] = []
        """What it has asked of nodes."""
        self.view: HealthView
        """Set by the session that takes it."""

    def look(self, now: float) -> None:
        """See whether what is waited for has come."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complete: it has come."""
        if self.limit.queue is not None:
            self.view.dispatcher.finish(self.limit)

    def expired(self, standstill: float) -> None:
        """Take note that time is up: set `error`, or what there is.

        *standstill*: for how many seconds the loop stood still meanwhile.
        """
        raise NotImplementedError

    def member_done(self, op: Request) -> bool:
        """See `Batch`: it ends with its limit."""
        if op is not self.limit:
            return False
        if isinstance(op.error, UnambiguousTimeoutError):
            self.expired(blocked_for(op.error))
        elif op.error is not None:
            self.error = op.error
        op.error = None
        self.remaining = 0
        self.let_go()
        return True

    def let_go(self) -> None:
        """Forget what it has asked of the nodes: they point to each other."""
        self.limit.batch = None
        self.limit.look = _look_no_more
        self.requests = []

    def raise_error(self) -> None:
        """Raise its error, if there is one, and forget it: its frames would hold the Bucket."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error


class Readiness(Waiter):
    """Waits until as many nodes as wanted can be used."""

    __slots__ = ("desired",)

    def __init__(self, timeout: float, desired: ClusterState) -> None:
        super().__init__("wait_until_ready", timeout)
        self.desired = desired

    def look(self, now: float) -> None:  # noqa: ARG002 - see Waiter
        """See `Waiter`."""
        state = cluster_state(self.view)
        if state is ClusterState.ONLINE or state is self.desired:
            self.finish()

    def expired(self, standstill: float) -> None:
        """Return for each node what is wrong with it."""
        view = self.view
        waiting = [endpoint for endpoint in view.table.endpoints.values() if not endpoint.ready]
        attempts: list[tuple[str, BaseException]] = [
            (str(endpoint.address), endpoint.last_error or _nothing_yet()) for endpoint in waiting
        ]
        attempts += view.shared.attempts
        searching = view.shared.searching
        if searching is not None:
            attempts.append((str(searching.address), _nothing_yet()))
        state = cluster_state(view).value
        self.error = UnambiguousTimeoutError(
            f"the bucket was {state}, not {self.desired.value}, in the time given",
            context=ErrorContext(
                operation=self.limit.name,
                bucket=view.shared.settings.bucket,
                timeout=self.timeout,
                seeds=tuple(attempts),
            ),
        )
        if attempts:
            self.error.__cause__ = attempts[-1][1]
        blame(self.error, standstill)

    def result(self) -> None:  # type: ignore[override]  # not one of documents
        """Raise why it is not ready."""
        self.raise_error()


def _nothing_yet() -> NodeTimeoutError:
    return NodeTimeoutError("the node did not finish the handshake in the time given")


def wait_until_ready(
    defaults: Defaults,  # noqa: ARG001 - every builder has it
    timeout: float,
    desired_state: ClusterState = ClusterState.ONLINE,
) -> Readiness:
    """Wait until the data nodes can be used (RFC 0061).

    Args:
        timeout: seconds.
        desired_state: ONLINE: all of them; DEGRADED: at least one.

    Raises ArgumentError for OFFLINE, InvalidTimeoutError; UnambiguousTimeoutError, whose
    `context.seeds` names what each node met last; what opening the bucket met, once that has
    failed for good.
    """
    if desired_state not in {ClusterState.ONLINE, ClusterState.DEGRADED}:
        raise ArgumentError(
            f"wait for ClusterState.ONLINE or ClusterState.DEGRADED, not for {desired_state!r}"
        )
    return Readiness(timeout, desired_state)


# Ping


class PingReport(dict[str, list[dict[str, Any]]]):
    """What `ping` gives: lists of nodes by service, as SDK 2.5 does and with RFC 0061's names too.

    Each node has `server`, `status` (a PingStatus) and `latency` (nanoseconds); `id`, `remote`,
    `state`, `latency_us` and `namespace`; and `details` where something is wrong.
    """

    version: int = 2

    def __init__(
        self,
        services: dict[str, list[dict[str, Any]]],
        report_id: str,
        sdk: str,
        config_rev: int | None,
    ) -> None:
        super().__init__(services)
        self.id = report_id
        self.sdk = sdk
        self.config_rev = config_rev
        """Revision of the configuration that lists the nodes; None: there is none yet."""

    def as_json(self) -> str:
        """Return RFC 0061's JSON."""
        report: dict[str, Any] = {"version": self.version, "id": self.id, "sdk": self.sdk}
        if self.config_rev is not None:
            report["config_rev"] = self.config_rev
        report["services"] = {
            service: [{name: entry[name] for name in _RFC_PING if name in entry} for entry in nodes]
            for service, nodes in self.items()
        }
        return json.dumps(report)


class Ping(Waiter):
    """A NOOP (0x0a) to each data node. A node that is being connected is waited for."""

    __slots__ = ("_found", "_report", "_report_id", "_sent")

    def __init__(self, timeout: float, report_id: str | None) -> None:
        super().__init__("ping", timeout)
        self._report_id = report_id
        self._report: PingReport | None = None
        self._sent: dict[Address, OwnRequest] = {}
        self._found: dict[Address, dict[str, Any]] = {}

    def look(self, now: float) -> None:
        """Ask those nodes that can be asked now."""
        view = self.view
        if not view.shared.is_open:
            return
        for address, endpoint in view.table.endpoints.items():
            if address in self._sent or address in self._found:
                continue
            if endpoint.ready is not None:
                self._ask(endpoint, endpoint.ready, now)
            elif endpoint.connection is None and endpoint.last_error is not None:
                self._note(address, PingStatus.ERROR, 0.0, endpoint.last_error.message)
        self._check()

    def _ask(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        address = endpoint.address

        def answered(probe: OwnRequest) -> None:
            latency = max(0.0, connection.last_activity - now)
            if probe.answer is None:
                cause = endpoint.last_error or probe.error
                self._note(address, PingStatus.ERROR, latency, _why(cause) if cause else "")
            elif probe.answer.status:
                reason = f"the server answered status 0x{probe.answer.status:02x}"
                self._note(address, PingStatus.ERROR, latency, reason)
            else:
                self._note(address, PingStatus.OK, latency)
            self._check()

        # The limit of the ping is what ends it.
        probe = self.view.requests.send(
            connection, Opcode.NOOP, answered, now, timeout=self.timeout
        )
        self._sent[address] = probe
        self.requests.append(probe)

    def _note(
        self, address: Address, status: PingStatus, latency: float, details: str = ""
    ) -> None:
        view = self.view
        endpoint = view.table.endpoints.get(address)
        entry: dict[str, Any] = {
            "server": str(address),
            "status": status,
            "latency": round(latency * 1e9),
            "remote": str(address),
            "state": status.name.lower(),
            "latency_us": round(latency * 1e6),
            "namespace": view.shared.settings.bucket,
        }
        if endpoint is not None:
            entry["id"] = endpoint.id
        if details:
            entry["details"] = details
        self._found.setdefault(address, entry)

    def _check(self) -> None:
        if all(address in self._found for address in self.view.table.endpoints):
            self.finish()

    def member_done(self, op: Request) -> bool:
        """See `Waiter`."""
        is_over = super().member_done(op)
        if is_over and self.error is None:
            self._report = self._made()
        return is_over

    def let_go(self) -> None:
        """See `Waiter`."""
        super().let_go()
        self._sent.clear()

    def expired(self, standstill: float) -> None:
        """Note who has not answered."""
        view = self.view
        attempts = {} if view.shared.is_open else dict(view.shared.attempts)
        for address in view.table.endpoints if view.shared.is_open else view.shared.settings.seeds:
            if str(address) in attempts:
                self._note(address, PingStatus.ERROR, 0.0, _why(attempts[str(address)]))
            elif address not in self._found:
                details = "" if address in self._sent else "the node is not connected"
                if standstill:
                    details = "; ".join(filter(None, (details, STOOD_STILL)))
                self._note(address, PingStatus.TIMEOUT, self.timeout, details)
        for probe in self._sent.values():
            view.dispatcher.cancel(probe)

    def _made(self) -> PingReport:
        view = self.view
        config = view.table.config
        return PingReport(
            {"kv": list(self._found.values())},
            view.connections.nonce() if self._report_id is None else self._report_id,
            view.shared.settings.agent,
            None if config is None else config.revision.rev,
        )

    def result(self) -> PingReport:  # type: ignore[override]  # not one of documents
        """Return the report, or raise why the bucket is not open."""
        self.raise_error()
        assert self._report is not None
        return self._report


def ping(defaults: Defaults, *, timeout: float | None = None, report_id: str | None = None) -> Ping:
    """Send a NOOP to each data node of the configuration (RFC 0061).

    Args:
        timeout: seconds that each node has; None: as operations.
        report_id: goes into the report; None: one that nobody else has.

    Raises InvalidTimeoutError; what opening the bucket met, once that has failed. A node that does
    not answer, or is not connected, raises nothing: the report says so.
    """
    return Ping(defaults.timeout if timeout is None else timeout, report_id)
