"""What every loop does to serve an embedded cluster: listeners per node, bytes per connection.

An adapter brings listeners (`Hosting`) and transports with a timer (`Peer`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol

from couchloop.embedded.cluster import EmbeddedCluster, Node, NodeState

SERVICES: Final = ("kv",)


class Listener(Protocol):
    """A port that is listened on."""

    port: int

    def close(self) -> None:
        """Stop listening; connections that were accepted stay."""


class Peer(ABC):
    """One accepted connection: carries bytes between a transport and the cluster."""

    def __init__(self, node: Node, peer: str, *, tls: bool) -> None:
        self.connection = node.accept(peer, tls=tls)
        self.connection.wakeup = self.wakeup
        self._clock = node.cluster.clock

    @abstractmethod
    def wakeup(self) -> None:
        """Have the loop call `flush` soon: the cluster has something to say unasked."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send *data*."""

    @abstractmethod
    def finish(self) -> None:
        """Send what was written, then close."""

    @abstractmethod
    def arm(self, delay: float | None) -> None:
        """Have the loop call `timer_fired` after *delay* seconds; None: not at all."""

    def received(self, data: bytes) -> None:
        """Take bytes from the client."""
        self.connection.receive_data(data)
        self.flush()

    def timer_fired(self) -> None:
        """Let the cluster go on with what it delayed."""
        self.connection.handle_deadline()
        self.flush()

    def flush(self) -> None:
        """Write what there is, close if that was all, arm the timer."""
        data = self.connection.data_to_send()
        if data:
            self.write(data)
        if self.connection.closed:
            self.finish()
            return
        when = self.connection.next_deadline()
        self.arm(None if when is None else max(0.0, when - self._clock.now()))


class Hosting(ABC):
    """A cluster whose nodes listen.

    Args:
        cluster: what to serve.
        host: the address to listen on.
        first_port: the first node's data port, the others follow; 0: whatever is free.
    """

    def __init__(self, cluster: EmbeddedCluster, host: str, first_port: int) -> None:
        self.cluster = cluster
        self.host = host
        self._listeners: dict[Node, list[Listener]] = {}
        port = first_port
        for node in cluster.nodes:
            self._open(node, port)
            if first_port:
                port += 1
        cluster.changed()
        cluster.on_node_change = self._node_changed

    @property
    def connection_string(self) -> str:
        """What clients are to be given."""
        return self.cluster.connection_string()

    @abstractmethod
    def listen(self, node: Node, service: str, port: int) -> Listener:
        """Listen on *port* (0: any) and serve *service* of *node* there."""

    def _open(self, node: Node, port: int = 0) -> None:
        listeners = self._listeners[node] = []
        for service in SERVICES:
            listener = self.listen(node, service, node.ports.get(service, port))
            node.ports[service] = listener.port
            listeners.append(listener)

    def _node_changed(self, node: Node) -> None:
        if node.state is NodeState.STOPPED or node not in self.cluster.nodes:
            self._shut(node)
        elif node not in self._listeners:
            self._open(node)

    def _shut(self, node: Node) -> None:
        for listener in self._listeners.pop(node, []):
            listener.close()

    def shut_down(self) -> None:
        """Stop listening, and close every connection."""
        self.cluster.on_node_change = None
        self.cluster.on_connections_change = None
        for node in list(self._listeners):
            self._shut(node)
        self.cluster.drop_connections()
