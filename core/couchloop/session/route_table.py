"""Which connection leads to which key: the data nodes as a session sees them, and their routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couchloop.hot.submit import Routes
from couchloop.kv.connection import Connection, State
from couchloop.session.shared import nobody

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.exceptions import CouchbaseError
    from couchloop.hot.operation import Operation
    from couchloop.hot.request import Request
    from couchloop.session.requests import WaitLimit
    from couchloop.session.shared import Shared
    from couchloop.session.timers import Timer
    from couchloop.settings.values import Address
    from couchloop.topology.configuration import ClusterConfig


class Endpoint:
    """A data node as this session sees it: its connection, and what waits for one."""

    __slots__ = (
        "address",
        "connection",
        "failures",
        "id",
        "is_open_circuit",
        "is_paused",
        "last_error",
        "parked",
        "ready_since",
        "timeouts",
        "timer",
    )

    def __init__(self, address: Address, endpoint_id: str) -> None:
        self.address = address
        self.id = endpoint_id
        """Its name in reports, whatever its connection (RFC 0034)."""
        self.connection: Connection | None = None
        self.failures = 0
        """How often in a row its connection was lost soon, or could not be made."""
        self.ready_since = 0.0
        self.last_error: CouchbaseError | None = None
        """Why it is not connected, or its circuit breaker is open."""
        self.timeouts = 0
        """Operations in a row that it left without an answer."""
        self.is_open_circuit = False
        """Whether its circuit breaker is open: nothing is sent until it shows a sign of life."""
        self.is_paused = False
        """Whether what is new waits until what was issued before is written."""
        self.parked: dict[Operation[Any], None] = {}
        self.timer: Timer | None = None

    @property
    def is_slow(self) -> bool:
        """Whether its connection is fine but takes no more for now."""
        return self.is_paused and not self.is_open_circuit and self.ready is not None

    @property
    def open_to_all(self) -> Connection | None:
        """The connection, if whatever is issued goes out on it at once."""
        return None if self.is_open_circuit or self.is_paused else self.ready

    @property
    def ready(self) -> Connection | None:
        """The connection, if operations can be sent on it."""
        connection = self.connection
        if connection is not None and connection.state is State.READY:
            return connection
        return None


class RouteTable(Routes):
    """Where the keys are, and how to get there.

    Args:
        shared: with all parts of the session.
    """

    __slots__ = (
        "_has_lost_some",
        "_shared",
        "awaiting_config",
        "by_node",
        "config",
        "endpoints",
        "network",
        "network_works",
        "on_all_lost",
        "on_routed",
        "on_some_lost",
        "timer",
        "waiters",
    )

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self.config: ClusterConfig | None = None
        """The configuration that counts; None before the bucket is open."""
        self.network = ""
        """The network on which the nodes are reached; empty before the bucket is open."""
        self.network_works = False
        """Whether a node was reached on it."""
        self.endpoints: dict[Address, Endpoint] = {}
        self.by_node: list[Endpoint | None] = []
        """The endpoint of each data node, by its index in the configuration."""
        self.awaiting_config: dict[Operation[Any], None] = {}
        """What waits for a configuration that gives its key a node."""
        self.waiters: dict[WaitLimit, None] = {}
        """What looks at the nodes whenever something has changed."""
        self._has_lost_some = False
        """Whether a connection was lost since `route` was made last."""
        self.timer: Timer | None = None
        """Makes `route` anew."""
        self.on_routed: Callable[[], None] = nobody
        """Called when other nodes can be reached."""
        self.on_some_lost: Callable[[float], None] = nobody
        """Called with the time when a connection was lost, and another is ready."""
        self.on_all_lost: Callable[[float], None] = nobody
        """Called with the time when no data node is connected any more."""

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended."""
        self.on_routed = self.on_some_lost = self.on_all_lost = nobody

    @property
    def service(self) -> str:
        """The data service, as configurations call it."""
        return "kvSSL" if self._shared.settings.tls else "kv"

    def topology(self) -> tuple[ClusterConfig, str] | None:
        """Return the configuration that counts, and the network; None before the bucket is open."""
        return None if self.config is None else (self.config, self.network)

    def data_addresses(self, config: ClusterConfig, network: str) -> list[Address | None]:
        """Return where each data node of *config* is reached on *network*; None: it is not."""
        service = self.service
        return [node.address(network, service) for node in config.nodes[: config.data_nodes]]

    def target(self, op: Request) -> tuple[Endpoint | None, int]:
        """Return the node that *op* is for, None if there is none now, and its vbucket.

        The bucket is ready; the node is that of the present configuration. Where there are no
        vbuckets, requests name the first.
        """
        config = self.config
        assert config is not None
        index, vbucket = op.target(config)
        if not config.has_vbuckets:
            vbucket = 0
        return self.by_node[index] if 0 <= index < len(self.by_node) else None, vbucket

    def endpoint_of(self, op: Request) -> Endpoint | None:
        """Return the node that *op* is for; None: there is none now."""
        return self.target(op)[0]

    def endpoint_with(self, connection: Connection) -> Endpoint | None:
        """Return the node whose connection that is; None: of none (any more)."""
        endpoint = self.endpoints.get(connection.address)
        return None if endpoint is None or endpoint.connection is not connection else endpoint

    @property
    def ready(self) -> list[Connection]:
        """The connections of nodes that can be asked something."""
        return [c for each in self.endpoints.values() if (c := each.ready) is not None]

    def clear(self) -> None:
        """Forget the nodes."""
        for endpoint in self.endpoints.values():
            if endpoint.timer is not None:
                endpoint.timer.cancel()
        self.endpoints.clear()
        self.by_node.clear()
        self.route.clear()
        if self.timer is not None:
            self.timer.cancel()

    def lost(self) -> None:
        """Take note that a node's connection is gone."""
        self._has_lost_some = True
        self.change()

    def change(self) -> None:
        """Make `route` anew, once for all that changes in this turn.

        Until then it is empty, and `target` tells.
        """
        self.route = []
        if self.config is None:
            return
        if self.timer is None or not self.timer.live:
            self.timer = self._shared.timers.call_at(0.0, self._make)

    def _make(self, now: float) -> None:
        if self.config is None:
            return
        self._build(self.config)
        lost, self._has_lost_some = self._has_lost_some, False
        if lost and self.ready:
            self.on_some_lost(now)
        elif lost:
            self.on_all_lost(now)
        for waiter in list(self.waiters):
            waiter.look(now)

    def _build(self, config: ClusterConfig) -> None:
        if config.has_vbuckets:
            by_node = self.by_node
            ready = [None if endpoint is None else endpoint.open_to_all for endpoint in by_node]
            # Index -1 stands for no node.
            ready.append(None)
            self.route = [ready[index] for index in config.active]
        # Else `target` tells, for each key.
        self.on_routed()

    def _bend(self) -> None:
        """Change `route` at once, if it is made: one node takes no more for now, or takes more."""
        config = self.config
        if config is not None and (self.route or not config.has_vbuckets):
            self._build(config)

    def pause(self, connection: Connection) -> None:
        """Route nothing to *connection* before `go_on`: what is issued waits, in order."""
        endpoint = self.endpoint_with(connection)
        if endpoint is not None and not endpoint.is_paused:
            endpoint.is_paused = True
            self._bend()

    def go_on(self, endpoint: Endpoint) -> None:
        """Route to a node again: all that waited for it is sent."""
        if endpoint.is_paused:
            endpoint.is_paused = False
            self._bend()
