"""How many nodes can be used, and what waits for them: waiting until all is ready (RFC 0061).

A `Waiter` goes through an adapter like a batch. Its one member that the session counts down is
its time limit; the session has it look again whenever a connection or the configuration changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from couchloop.arguments.exact import exact_text
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    ErrorContext,
    InvalidSettingError,
    NodeTimeoutError,
    UnambiguousTimeoutError,
    caused,
    own_copy,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Defaults
from couchloop.hot.request import Request
from couchloop.http.service import Service
from couchloop.safety.printable import words_of
from couchloop.session.connections import Connections
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.requests import OwnRequest, OwnRequests, WaitLimit
from couchloop.session.route_table import RouteTable
from couchloop.session.services.pings import (
    PingStatus,
    ServicePings,
    ServiceType,
    chosen,
)
from couchloop.session.services.services import Services
from couchloop.session.shared import SessionState, Shared
from couchloop.session.standstill import blame, blocked_for
from couchloop.session.timers import Timer
from couchloop.settings.values import Address

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two rounds in which services are asked that were not well."""


class ClusterState(Enum):
    """How many data nodes can be used."""

    ONLINE = "online"
    """All of them."""
    DEGRADED = "degraded"
    """At least one."""
    OFFLINE = "offline"
    """None."""


class HealthView:
    """What is needed of a session for reports, and for what waits for nodes.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        connections: to them.
        requests: asks nodes for a sign of life.
        dispatcher: has what waits end in time.
        services: asks services for one.
    """

    __slots__ = (
        "_gathered",
        "connections",
        "dispatcher",
        "requests",
        "services",
        "shared",
        "table",
    )

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        connections: Connections,
        requests: OwnRequests,
        dispatcher: Dispatcher,
        services: Services,
    ) -> None:
        self.shared = shared
        self.table = table
        self.connections = connections
        self.requests = requests
        self.dispatcher = dispatcher
        self.services = services
        self._gathered: dict[Waiter, None] = {}
        """For whom every data node is connected, where one is enough for the rest."""

    def begin(self, waiter: Waiter, now: float) -> None:
        """Have *waiter* wait for what it waits for."""
        waiter.view = self
        if self.connections.needs_one and self.shared.state is SessionState.FAILED:
            # A Bucket that could not be opened stays so; a Cluster tries again.
            self.dispatcher.on_new(now)
        if self.dispatcher.wait(waiter.limit, self.table.waiters, now):
            waiter.look(now)

    def cancel(self, waiter: Waiter) -> None:
        """Forget *waiter*: its caller has gone."""
        for request in (waiter.limit, *waiter.requests):
            request.batch = None
            self.dispatcher.cancel(request)
        waiter.let_go()

    def connect_all(self, waiter: Waiter, now: float) -> None:
        """Have every data node connected, also without a bucket, when one is enough for the rest.

        But for those that were dialled for *waiter* already. It is until `release`.
        """
        if not self.connections.needs_one:
            return
        self._gathered[waiter] = None
        for address, endpoint in self.table.endpoints.items():
            if address in waiter.dialled:
                continue
            waiter.dialled.add(address)
            if endpoint.connection is None and endpoint.timer is None:
                self.connections.connect(endpoint, now)

    def release(self, waiter: Waiter) -> None:
        """Let *waiter* need the nodes no more: with the last one their connections go, but one."""
        if waiter in self._gathered:
            del self._gathered[waiter]
            if self.shared.is_open:
                self.shared.timers.call_at(0.0, self._released)

    def _released(self, now: float) -> None:
        if not self._gathered:
            self.connections.keep_one(now)


def cluster_state(view: HealthView) -> ClusterState:
    """Return whether all data nodes that are to be connected can be used, some or none."""
    endpoints = view.table.endpoints.values()
    ready = sum(endpoint.ready is not None for endpoint in endpoints)
    wanted = 1 if view.connections.needs_one else len(endpoints)
    return _state(ready, wanted) if view.shared.is_open else ClusterState.OFFLINE


def _state(ready: int, wanted: int) -> ClusterState:
    if not ready:
        return ClusterState.OFFLINE
    return ClusterState.ONLINE if ready >= wanted else ClusterState.DEGRADED


def why(error: BaseException) -> str:
    """Return what an entry of a report says of *error*."""
    return error.message if isinstance(error, CouchbaseError) else words_of(error)


# Waiting


def _look_no_more(now: float) -> None:
    pass


class Waiter(Batch[Any]):
    """Something that waits for the nodes.

    Args:
        name: of the method.
        timeout: seconds until it ends.
        services: whether the data service is looked at, and which others.
    """

    __slots__ = ("dialled", "limit", "pings", "requests", "timeout", "view", "with_data")

    def __init__(
        self, name: str, timeout: float, services: tuple[bool, tuple[Service, ...]]
    ) -> None:
        self.timeout = exact_seconds(timeout)
        self.with_data, others = services
        self.pings = ServicePings(others, self.timeout, self.look_closer)
        self.limit = WaitLimit(name, self.timeout, self.look)
        super().__init__([])
        self.remaining = 1
        self.limit.batch = self
        self.dialled: set[Address] = set()
        """Data nodes that it has had connected, if they were to be."""
        self.requests: list[OwnRequest] = []
        """What it has asked of nodes."""
        self.view: HealthView
        """Set by the session that takes it."""

    def look(self, now: float) -> None:
        """See whether what is waited for has come."""
        raise NotImplementedError

    def look_closer(self) -> None:
        """See whether it has come with what a service has answered."""
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
        self.pings.let_go(self.view.services)
        self.view.release(self)

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

    __slots__ = ("_again", "_pause", "desired")

    def __init__(
        self, timeout: float, desired: ClusterState, services: tuple[bool, tuple[Service, ...]]
    ) -> None:
        super().__init__("wait_until_ready", timeout, services)
        self.desired = desired
        self._pause = _FIRST_PAUSE
        self._again: Timer | None = None
        """Asks those services again that were not well."""

    def look(self, now: float) -> None:
        """See `Waiter`."""
        view = self.view
        if not view.shared.is_open:
            return
        if self.with_data:
            view.connect_all(self, now)
        if self.pings.kinds:
            # Who hangs is asked again, once this node's time is up.
            self.pings.ask(view.services, now, view.shared.settings.config_node_timeout)
        self.look_closer()
        is_over = self.limit.queue is None
        if self._again is None and not is_over and (self.pings.kinds or self.dialled):
            self._again = view.shared.timers.call_at(now + self._pause, self._ask_again)

    def _ask_again(self, now: float) -> None:
        self._again = None
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.dialled.clear()
        self.pings.ask_anew()
        self.look(now)

    def look_closer(self) -> None:
        """See `Waiter`."""
        for outcome in self.pings.outcomes.values():
            if outcome.status is PingStatus.NOT_ASKED:
                assert outcome.error is not None
                # It would never be.
                self.view.dispatcher.fail(self.limit, own_copy(outcome.error))
                return
        if not self._missing():
            self.finish()

    def _missing(self) -> list[tuple[str, ClusterState]]:
        """Return what is not as wanted, and how it is instead."""
        view = self.view
        found: list[tuple[str, ClusterState]] = []
        if self.with_data:
            endpoints = view.table.endpoints.values()
            ready = sum(endpoint.ready is not None for endpoint in endpoints)
            is_open = view.shared.is_open
            name = "bucket" if view.shared.settings.bucket else "data service"
            found.append((name, _state(ready, len(endpoints)) if is_open else ClusterState.OFFLINE))
        for service in self.pings.kinds:
            places = view.services.places((service,))
            well = sum(self.pings.is_well(place) for place in places)
            found.append((f"{service.name.lower()} service", _state(well, len(places))))
        return [
            (name, state)
            for name, state in found
            if state is not ClusterState.ONLINE and state is not self.desired
        ]

    def expired(self, standstill: float) -> None:
        """Return for each node what is wrong with it."""
        view = self.view
        self.pings.expire()
        attempts: list[tuple[str, BaseException]] = []
        if self.with_data or not view.shared.is_open:
            attempts += [
                (str(endpoint.address), endpoint.last_error or _nothing_yet())
                for endpoint in view.table.endpoints.values()
                if not endpoint.ready
            ]
            attempts += view.shared.attempts
        attempts += self.pings.failures(view.services)
        searching = view.shared.searching
        if searching is not None:
            attempts.append((str(searching.address), _nothing_yet()))
        missing = self._missing()
        states = " and ".join(f"the {name} was {state.value}" for name, state in missing)
        self.error = UnambiguousTimeoutError(
            f"{states}, not {self.desired.value}, in the time given",
            context=ErrorContext(
                operation=self.limit.name,
                bucket=view.shared.settings.bucket or None,
                timeout=self.timeout,
                seeds=tuple(attempts),
            ),
        )
        if attempts:
            caused(self.error, attempts[-1][1])
        blame(self.error, standstill)

    def let_go(self) -> None:
        """See `Waiter`."""
        super().let_go()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def result(self) -> None:  # type: ignore[override]  # not one of documents
        """Raise why it is not ready."""
        self.raise_error()


def _nothing_yet() -> NodeTimeoutError:
    return NodeTimeoutError("the node did not finish the handshake in the time given")


def report_name(given: object) -> str | None:
    """Return the id that a report is to have; None: none is given.

    Raises InvalidSettingError (a TypeError) for what is no text.
    """
    found = None if given is None else exact_text(given)
    if found is None and given is not None:
        raise InvalidSettingError("report_id is a text in Unicode", objextra=given)
    return found


def wait_until_ready(
    defaults: Defaults,  # noqa: ARG001 - every builder has it
    timeout: float,
    desired_state: ClusterState = ClusterState.ONLINE,
    *,
    services: Iterable[ServiceType | str] | None = None,
) -> Readiness:
    """Wait until nodes can be used (RFC 0061): the data nodes, or those of some services.

    Args:
        timeout: seconds.
        desired_state: ONLINE: all of them; DEGRADED: at least one, of each service.
        services: which, as ServiceType or by name ("kv", "query"); None: the data service.

    A service can be used that answers as it does when it is well. One that no node has is waited
    for: it may be added.

    Raises ArgumentError for OFFLINE, or a service that does not exist; InvalidTimeoutError;
    UnambiguousTimeoutError, whose `context.seeds` names what each node met last;
    CleartextPasswordError at once if a service would be told the password without TLS; what
    opening the bucket met, once that has failed for good.
    """
    if desired_state is not ClusterState.ONLINE and desired_state is not ClusterState.DEGRADED:
        raise ArgumentError(
            "wait for ClusterState.ONLINE or ClusterState.DEGRADED", objextra=desired_state
        )
    return Readiness(timeout, desired_state, (True, ()) if services is None else chosen(services))
