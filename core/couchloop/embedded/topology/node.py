"""One node: where it is, who is connected to it, and which configurations it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from couchloop.embedded.clock import Clock
from couchloop.embedded.topology.cluster_map import AlternateAddress, Configuration, NodeAddress
from couchloop.embedded.topology.connections import Connection, ServerConnection


class NodeState(Enum):
    """What a node does with its connections."""

    RUNNING = 1
    STOPPED = 2
    """Connections are closed and new ones refused."""
    HUNG = 3
    """Connections are accepted and kept, requests wait until the node runs again."""


class NodeOwner(Protocol):
    """What a node asks of its cluster."""

    clock: Clock

    def new_connection(
        self, node: Node, peer: str, *, tls: bool, client_user: str | None
    ) -> ServerConnection:
        """Make what answers on a new connection to the data port."""

    def new_http_connection(
        self, node: Node, service: str, *, client_user: str | None
    ) -> Connection:
        """Make what answers on a new connection to the port of an HTTP service."""

    def connections_changed(self) -> None:
        """Handle a connection that came or went."""

    def configuration_seen(self) -> None:
        """Record that a client was told the present revision."""


class Node:
    """One node. Whoever serves it fills in `ports` and calls `EmbeddedCluster.changed`."""

    def __init__(self, cluster: NodeOwner, node_id: int, host: str) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.host = host
        self.ports: dict[str, int] = {}
        """Port by service: `kv`, `kvSSL`, `mgmt`, `mgmtSSL`, `n1ql`, …"""
        self.alternates: dict[str, AlternateAddress] = {}
        """Where it is on other networks, by their names."""
        self.serves_data = True
        self.services: frozenset[str] | None = None
        """What it runs, by the keys of ports without TLS; None: all that its cluster has."""
        self.state = NodeState.RUNNING
        self.connections: list[ServerConnection] = []
        self.http_connections: list[Connection] = []
        self.accepted = 0
        self.max_connections: int | None = None
        """The most that are kept: those that come then are accepted and closed. None: no limit."""
        self.max_bucket_connections: int | None = None
        """The most on one bucket: SELECT_BUCKET answers RATE_LIMITED_MAX_CONNECTIONS to others."""
        self.configurations: dict[str | None, Configuration] = {}
        """What this node knows, by bucket (None: the global configuration)."""
        self._subscribers: list[Callable[[Node], None]] = []

    def __repr__(self) -> str:
        return f"<Node {self.node_id} {self.host} {self.ports} {self.state.name.lower()}>"

    def runs(self, service: str) -> bool:
        """Whether it has a service, by the key of its port without TLS."""
        return self.services is None or service in self.services

    def accept(
        self, peer: str = "", *, tls: bool = False, client_user: str | None = None
    ) -> ServerConnection:
        """Accept a new connection.

        Args:
            peer: the client's address, for whoever looks at `connections`.
            tls: whether the bytes come out of TLS.
            client_user: user name in a verified client certificate, which logs that user in.

        On a stopped node the connection comes back closed, and so it does on one that has as many
        connections as it may: a real server too can only accept and close.
        """
        connection = self.cluster.new_connection(self, peer, tls=tls, client_user=client_user)
        self.accepted += 1
        limit = self.max_connections
        is_full = limit is not None and len(self.connections) >= limit
        if self.state is NodeState.STOPPED or is_full:
            connection.close()
        else:
            self.connections.append(connection)
            self.cluster.connections_changed()
        return connection

    def accept_http(self, service: str = "mgmt", *, client_user: str | None = None) -> Connection:
        """Accept a new connection to the port of an HTTP service; *client_user* as in `accept`."""
        return self.cluster.new_http_connection(self, service, client_user=client_user)

    def forget(self, connection: ServerConnection) -> None:
        """Remove a connection that has ended."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.cluster.connections_changed()

    def subscribe(self, callback: Callable[[Node], None]) -> None:
        """Call *callback* with this node at each new revision (as a streaming endpoint needs)."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[Node], None]) -> None:
        """End a subscription."""
        self._subscribers.remove(callback)

    def address(self) -> NodeAddress:
        """How configurations name this node."""
        return NodeAddress(
            self.host,
            tuple(self.ports.items()),
            self.serves_data,
            tuple(self.alternates.items()),
        )

    def receive_configurations(
        self, configurations: Mapping[str | None, Configuration], *, push: bool
    ) -> None:
        """Install a new revision, and notify who asked to be told."""
        self.configurations = dict(configurations)
        for subscriber in list(self._subscribers):
            subscriber(self)
        if push:
            for connection in list(self.connections):
                connection.push_configurations()
