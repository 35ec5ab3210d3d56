"""What every loop does to serve an embedded cluster: listeners per node, bytes per connection.

An adapter brings listeners (`Hosting`) and transports with a timer (`Peer`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from couchloop.embedded.clock import Clock
from couchloop.embedded.cluster import EmbeddedCluster
from couchloop.embedded.topology.cluster_map import AlternateAddress
from couchloop.embedded.topology.connections import Connection
from couchloop.embedded.topology.node import Node, NodeState
from couchloop.settings.values import DATA_PORT, Address

PLAIN_SERVICES = ("kv", "mgmt", "capi", "n1ql", "fts", "cbas", "eventingAdminPort")
TLS_SERVICES = ("kvSSL", "mgmtSSL", "capiSSL", "n1qlSSL", "ftsSSL", "cbasSSL", "eventingSSL")
_LASTING: Final = frozenset({"kv", "kvSSL", "mgmt", "mgmtSSL"})
"""Services whose ports clients are given, so that a node that starts again must have the same."""
_BEHIND_TLS: Final = dict(zip(TLS_SERVICES, PLAIN_SERVICES, strict=True))
"""What answers on a port that speaks TLS."""


@dataclass(frozen=True)
class ServerCertificate:
    """What nodes show to clients that speak TLS, and whose certificates they accept.

    All are paths of PEM files: the certificate (with the chain behind it, if any), its private
    key, and the CA certificates that sign clients' certificates. A client with such a certificate
    is logged in as its common name (CN); without *client_ca* no client is asked for one.
    """

    certificate: str | os.PathLike[str]
    key: str | os.PathLike[str]
    client_ca: str | os.PathLike[str] | None = None


FirstPort = int | Mapping[str, int]
"""The port that the first node has for `kv`, or for each service; the other nodes' follow.

Services that are not named, or have 0, are wherever is free.
"""

Outside = Callable[[int], Address]
"""Gives, for a port that a node listens on, the address that leads there from another network."""


def is_tls(service: str) -> bool:
    """Whether connections for *service* speak TLS."""
    return service.endswith("SSL")


def ports_of(services: Iterable[str] | None, tls: ServerCertificate | None) -> tuple[str, ...]:
    """Return what nodes listen for that run these *services* (None: all), also with TLS.

    Raises ValueError for a service that there is not, or without `kv`.
    """
    wanted = PLAIN_SERVICES if services is None else tuple(dict.fromkeys(services))
    if unknown := set(wanted) - set(PLAIN_SERVICES):
        there = ", ".join(PLAIN_SERVICES)
        raise ValueError(f"there is no service {', '.join(sorted(unknown))}: there are {there}")
    if "kv" not in wanted:
        raise ValueError("nodes without kv are no data nodes: see EmbeddedCluster.add_node")
    behind_tls = (
        [] if tls is None else [name for name, behind in _BEHIND_TLS.items() if behind in wanted]
    )
    return (*wanted, *behind_tls)


class Listener(Protocol):
    """A port that is listened on."""

    port: int

    def close(self) -> None:
        """Stop listening; connections that were accepted stay."""


class Peer(ABC):
    """One accepted connection: carries bytes between a transport and the cluster.

    Args:
        node: the node that accepts.
        service: what it accepted for, as `Hosting.listen` was told.
        peer: the client's address.
        client_user: common name in the client's verified certificate.
    """

    def __init__(self, node: Node, service: str, peer: str, client_user: str | None = None) -> None:
        self.connection: Connection
        behind = _BEHIND_TLS.get(service, service)
        if behind == "kv":
            self.connection = node.accept(peer, tls=is_tls(service), client_user=client_user)
        else:
            self.connection = node.accept_http(behind, client_user=client_user)
        self.connection.wakeup = self.wakeup
        self._clock: Clock = node.cluster.clock

    @abstractmethod
    def wakeup(self) -> None:
        """Make the loop call `flush` soon: the cluster has something to say unasked."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send *data*."""

    @abstractmethod
    def finish(self) -> None:
        """Send what was written, then close."""

    @abstractmethod
    def arm(self, delay: float | None) -> None:
        """Make the loop call `timer_fired` after *delay* seconds; None: not at all."""

    def received(self, data: bytes) -> None:
        """Receive bytes from the client."""
        self.connection.receive_data(data)
        self.flush()

    def timer_fired(self) -> None:
        """Make the cluster go on with what it delayed."""
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
        first_port: see `FirstPort`.
        services: what every node listens for.
        alternates: other networks by name. Each is asked once for every port of every node; what
            it gives is listed in configurations, the first host as that of the node.

    Raises ValueError for a port of a service that nodes do not have, OSError if a port is taken.
    """

    def __init__(
        self,
        cluster: EmbeddedCluster,
        host: str,
        first_port: FirstPort,
        services: tuple[str, ...] = ("kv",),
        alternates: Mapping[str, Outside] | None = None,
    ) -> None:
        self.cluster = cluster
        self.host = host
        self._services = services
        self._alternates = alternates or {}
        self._listeners: dict[Node, list[Listener]] = {}
        self._reserved: list[Listener] = []
        ports = {"kv": first_port} if isinstance(first_port, int) else first_port
        if unknown := ports.keys() - set(services):
            names = ", ".join(sorted(unknown))
            raise ValueError(f"ports for {names}: the nodes listen for {', '.join(services)} alone")
        try:
            for index, node in enumerate(cluster.nodes):
                self._open(node, {name: port + index for name, port in ports.items() if port})
        except BaseException:
            self._stop_all()
            raise
        cluster.changed()
        cluster.on_node_change = self._node_changed

    @property
    def connection_string(self) -> str:
        """What clients are to be given."""
        return self.cluster.connection_string()

    @property
    def connection_string_tls(self) -> str:
        """What clients that want TLS are to be given.

        Raises LookupError if the cluster is served without a certificate.
        """
        if "kvSSL" not in self._services:
            raise LookupError("the cluster is served without a certificate: give serve() tls=")
        return self.cluster.connection_string("kvSSL")

    @abstractmethod
    def reserve(self) -> Listener:
        """Take a port that is free, and keep it from others until this is closed.

        Nobody is served there until `listen` is called with it. So a node that was stopped finds
        its ports again, whatever else runs on this machine. Raises OSError if there is none.
        """

    @abstractmethod
    def listen(self, node: Node, service: str, port: int) -> Listener:
        """Listen on *port* and serve *service* of *node* there.

        The services are named as in cluster configurations: `kv`, `mgmt`, `n1ql`, …, and with TLS
        `kvSSL`, `mgmtSSL`, …. Raises OSError if that is not possible.
        """

    def _open(self, node: Node, ports: Mapping[str, int]) -> None:
        listeners = self._listeners[node] = []
        has_moved = False
        for service in self._services:
            if not node.runs(_BEHIND_TLS.get(service, service)):
                continue
            # One that starts again keeps its ports.
            wanted = node.ports.get(service) or ports.get(service) or self._reserve()
            try:
                listener = self.listen(node, service, wanted)
            except OSError:
                if service in _LASTING or service not in node.ports:
                    raise
                # Somebody else has it meanwhile: configurations tell of another.
                listener = self.listen(node, service, self._reserve())
                has_moved = True
            node.ports[service] = listener.port
            listeners.append(listener)
        for network, outside in self._alternates.items():
            # One that starts again keeps its addresses.
            if network not in node.alternates:
                there = {service: outside(port) for service, port in node.ports.items()}
                ports = {service: address.port for service, address in there.items()}
                host = next(iter(there.values())).host
                node.alternates[network] = AlternateAddress(host, ports)
        if has_moved:
            self.cluster.changed()

    def _reserve(self) -> int:
        reserved = self.reserve()
        self._reserved.append(reserved)
        return reserved.port

    def _node_changed(self, node: Node) -> None:
        if node.state is NodeState.STOPPED or node not in self.cluster.nodes:
            self._stop_listening(node)
        elif node not in self._listeners:
            self._open(node, {})

    def _stop_listening(self, node: Node) -> None:
        for listener in self._listeners.pop(node, []):
            listener.close()

    def _stop_all(self) -> None:
        for node in list(self._listeners):
            self._stop_listening(node)
        while self._reserved:
            self._reserved.pop().close()

    def shut_down(self) -> None:
        """Stop listening, and close every connection."""
        self.cluster.on_node_change = None
        self.cluster.on_connections_change = None
        self._stop_all()
        self.cluster.drop_connections()
        for node in self.cluster.nodes:
            for connection in list(node.http_connections):
                connection.close()


class _MemoryPort:
    def __init__(self, port: int) -> None:
        self.port = port

    def close(self) -> None:
        """Do nothing: no port is given out twice."""


class _MemoryListener:
    def __init__(
        self, listening: dict[Address, tuple[Node, str]], node: Node, service: str, port: int
    ) -> None:
        self._listening = listening
        self._address = Address(node.host, port)
        self.port = port
        listening[self._address] = node, service

    def close(self) -> None:
        del self._listening[self._address]


class MemoryHosting(Hosting):
    """A cluster whose nodes are reached without ports of the system: for their data alone.

    Args:
        cluster: None: three nodes, one bucket `default`, one user `user` with password `password`.
        clock: the time of that one.
    """

    def __init__(self, cluster: EmbeddedCluster | None, clock: Clock) -> None:
        self.listening: dict[Address, tuple[Node, str]] = {}
        """Who listens where, and for what."""
        self._ports = count(DATA_PORT)
        super().__init__(cluster or EmbeddedCluster(clock=clock), "127.0.0.1", 0)

    def reserve(self) -> Listener:
        """See `Hosting`."""
        return _MemoryPort(next(self._ports))

    def listen(self, node: Node, service: str, port: int) -> Listener:
        """See `Hosting`."""
        return _MemoryListener(self.listening, node, service, port)
