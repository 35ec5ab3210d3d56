"""Cluster configurations: parse, compare, choose a network, find the node that owns a key.

A configuration is the JSON that a node gives for GET_CLUSTER_CONFIG (opcode 0xb5), in the body of
a not-my-vbucket answer, or in a push.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zlib import crc32

from couchloop.exceptions import ProtocolError
from couchloop.settings import AUTO_NETWORK, DEFAULT_NETWORK, EXTERNAL_NETWORK, Address

_MAX_VBUCKETS: Final = 0x10000
_MAX_NODES: Final = 4096
"""A connection is opened to each of them; the largest real clusters have a few hundred."""
_NO_NODE: Final = -1
_LONGEST_REASON: Final = 256
"""Characters: what is wrong may be a host name of megabytes."""


class Revision(NamedTuple):
    """Age of a configuration; the greater is the newer, the epoch counts first."""

    epoch: int
    rev: int


@dataclass(frozen=True, slots=True)
class Network:
    """One way to reach a node: a host name and the ports of its services."""

    host: str
    services: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster, by every network it can be reached on."""

    networks: Mapping[str, Network]
    this_node: bool = False

    def address(self, network: str, service: str) -> Address | None:
        """Where *service* (`kv`, `kvSSL`, `mgmt`, …) listens on *network*, if anywhere."""
        way = self.networks.get(network)
        if way is None or service not in way.services:
            return None
        return Address(way.host, way.services[service])


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What a node told about the cluster, and about one bucket if *bucket* is set.

    Only what routing needs is kept, vbucket maps as arrays of node indices (-1: no node).
    """

    revision: Revision
    nodes: tuple[Node, ...]
    bucket: str | None = None
    uuid: str | None = None
    cluster_uuid: str | None = None
    locator: str | None = None
    """How keys find their node: `vbucket`, or `ketama` in a bucket of type memcached."""
    data_nodes: int = 0
    """The first so many of `nodes` are those that vbucket maps point to."""
    replicas: int = 0
    active: array[int] = field(default_factory=lambda: array("h"))
    chains: tuple[array[int], ...] = ()
    """The replicas' nodes: one array for each replica, as long as `active`."""
    forward: array[int] | None = None
    """Where the active vbuckets are going while a rebalance runs."""

    @property
    def is_ready(self) -> bool:
        """Whether the bucket can be used: a bucket that is warming up has an empty map."""
        return len(self.active) > 0

    def is_same_bucket(self, other: ClusterConfig) -> bool:
        """Tell whether both are of one bucket of one cluster, whatever addresses led there.

        A bucket that was deleted and made anew has another UUID; the cluster keeps its own.
        """
        return (self.uuid is not None and self.uuid == other.uuid) or (
            self.cluster_uuid is not None
            and (self.cluster_uuid, self.bucket) == (other.cluster_uuid, other.bucket)
        )

    def vbucket(self, key: bytes) -> int:
        """Give the vbucket of *key* (without its collection prefix)."""
        return ((crc32(key) >> 16) & 0x7FFF) % len(self.active)


def parse_config(text: bytes, origin: str) -> ClusterConfig:
    """Parse a configuration that came from the host *origin*.

    *origin* stands in for host names that are missing or `$HOST`. Raises ProtocolError if it is
    not a configuration.
    """
    try:
        document = json.loads(text)
        return _config(document, origin)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as why:
        reason = f"{type(why).__name__}: {why}"[:_LONGEST_REASON]
        raise ProtocolError(f"not a cluster configuration: {reason}") from why


def _config(document: Any, origin: str) -> ClusterConfig:
    server_map = document.get("vBucketServerMap") or {}
    servers = server_map.get("serverList") or []
    plain = document.get("nodes") or []
    extended = document.get("nodesExt")
    listed = plain if extended is None else extended
    if len(listed) > _MAX_NODES:
        raise ValueError(f"{len(listed)} nodes: {_MAX_NODES} are the most")
    if extended is not None:
        nodes = tuple(_node(entry, origin) for entry in extended)
    else:
        nodes = tuple(_old_node(entry, origin) for entry in plain)
    data_nodes = min(len(plain) or len(servers) or len(nodes), len(nodes))
    rows = server_map.get("vBucketMap") or []
    if len(rows) > _MAX_VBUCKETS:
        raise ValueError(f"{len(rows)} vbuckets")
    replicas = int(server_map.get("numReplicas", 0))
    if not 0 <= replicas <= 3:
        raise ValueError(f"{replicas} replicas")
    forward = server_map.get("vBucketMapForward")
    if forward is not None and len(forward) != len(rows):
        raise ValueError("forward map of another length")
    return ClusterConfig(
        revision=Revision(_number(document.get("revEpoch", 0)), _number(document.get("rev", 0))),
        nodes=nodes,
        bucket=_text(document.get("name")),
        uuid=_text(document.get("uuid")),
        cluster_uuid=_text(document.get("clusterUUID")),
        locator=_text(document.get("nodeLocator")),
        data_nodes=data_nodes,
        replicas=replicas,
        active=_column(rows, 0, data_nodes),
        chains=tuple(_column(rows, index + 1, data_nodes) for index in range(replicas)),
        forward=None if forward is None else _column(forward, 0, data_nodes),
    )


def _number(value: Any) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("revision of more than 64 bits")
    return number


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _column(rows: list[list[int]], index: int, data_nodes: int) -> array[int]:
    # Rows may be shorter than numReplicas + 1.
    column = array("h", (row[index] if index < len(row) else _NO_NODE for row in rows))
    for node in column:
        if not _NO_NODE <= node < data_nodes:
            raise ValueError(f"vbucket map points to node {node} of {data_nodes}")
    return column


def _node(entry: Any, origin: str) -> Node:
    services = _ports(entry["services"])
    host = _host(entry.get("hostname"), origin)
    networks = {DEFAULT_NETWORK: Network(host, services)}
    for name, alternate in (entry.get("alternateAddresses") or {}).items():
        # Ports that are given are all that can be reached; none given means the internal ones.
        ports = alternate.get("ports")
        networks[name] = Network(
            _host(alternate["hostname"], origin), services if ports is None else _ports(ports)
        )
    return Node(networks, this_node=entry.get("thisNode") is True)


def _old_node(entry: Any, origin: str) -> Node:
    """Read an entry of `nodes`, all that servers before 3.0 have."""
    # Always with the port of the web console, which is of no use here.
    name = entry.get("hostname")
    host = _host(name.rpartition(":")[0] if name and ":" in name else name, origin)
    ports = {"kv": entry["ports"]["direct"]}
    return Node(
        {DEFAULT_NETWORK: Network(host, _ports(ports))}, this_node=entry.get("thisNode") is True
    )


def _ports(ports: Any) -> dict[str, int]:
    checked = {str(name): int(port) for name, port in ports.items()}
    for name, port in checked.items():
        if not 0 < port < 0x10000:
            raise ValueError(f"port {port} of {name}")
    return checked


def _host(name: Any, origin: str) -> str:
    if not name:
        return origin
    if not isinstance(name, str):
        raise TypeError(f"host name is {type(name).__name__}")
    text: str = name
    if "$HOST" in text:
        text = text.replace("$HOST", f"[{origin}]" if ":" in origin else origin)
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if not text or not text.isprintable() or " " in text:
        raise ValueError(f"host name {text!r}")
    return text


class NetworkChoice(NamedTuple):
    """The network on which the nodes are reached, and why that one."""

    name: str
    why: str


def _listed_on(config: ClusterConfig, address: Address, *, exactly: bool) -> str | None:
    """Name the network on which *address* is listed, *exactly* with its port; None: on none."""
    # `default` stands first in each node, and wins over alternates of every other node.
    for alternates in (False, True):
        for node in config.nodes:
            for name, way in node.networks.items():
                if (name != DEFAULT_NETWORK) is not alternates:
                    continue
                if way.host.lower() != address.host.lower():
                    continue
                if not exactly or address.port in way.services.values():
                    return name
    return None


def select_network(
    config: ClusterConfig,
    seed: Address,
    wanted: str = AUTO_NETWORK,
    others: Sequence[Address] = (),
) -> NetworkChoice:
    """Choose the network on which to reach the nodes, once per bootstrap.

    A name other than `auto` wins. Otherwise: the network on which *seed* (the address that gave
    the configuration) or one of *others* is listed, by host and port first, then by host; failing
    that `external` if every data node has it, else `default`.
    """
    if wanted != AUTO_NETWORK:
        return NetworkChoice(wanted, f"network={wanted} was given")
    if not any(node.networks.keys() - {DEFAULT_NETWORK} for node in config.nodes):
        return NetworkChoice(DEFAULT_NETWORK, "there is no other")
    for exactly in (True, False):
        for address in (seed, *others):
            name = _listed_on(config, address, exactly=exactly)
            if name is not None:
                return NetworkChoice(
                    name, f"{address if exactly else address.host} is listed there"
                )
    data_nodes = config.nodes[: config.data_nodes]
    if data_nodes and all(EXTERNAL_NETWORK in node.networks for node in data_nodes):
        return NetworkChoice(
            EXTERNAL_NETWORK,
            f"{seed} is not listed anywhere, and every data node has an external address",
        )
    return NetworkChoice(DEFAULT_NETWORK, f"{seed} is not listed anywhere")


def data_networks(config: ClusterConfig, service: str) -> list[str]:
    """Name the networks on which *service* of some data node can be reached, `default` first."""
    names = {
        name
        for node in config.nodes[: config.data_nodes]
        for name, way in node.networks.items()
        if service in way.services
    }
    return sorted(names, key=lambda name: (name != DEFAULT_NETWORK, name))
