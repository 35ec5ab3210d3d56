"""Cluster configurations: parse, compare, find the node that owns a key.

A configuration is the JSON that a node gives for GET_CLUSTER_CONFIG (opcode 0xb5), in the body of
a not-my-vbucket answer, or in a push.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from typing import Any, Final, NamedTuple, cast
from zlib import crc32

from couchloop.exceptions import ProtocolError
from couchloop.later import pattern
from couchloop.records import record
from couchloop.settings.hosts import host_to_dial, one_form
from couchloop.settings.values import DEFAULT_NETWORK, Address
from couchloop.topology.ketama import KETAMA, circle, point_of
from couchloop.topology.text import read_json

_MAX_VBUCKETS: Final = 0x10000
_MAX_NODES: Final = 1024
"""A connection is opened to each of them; the largest real clusters have a few hundred."""
_NO_NODE: Final = -1
_MAX_REPLICAS: Final = 3
_LONGEST_HOST: Final = 255
"""Characters (RFC 1035)."""
_LONGEST_ENTRY: Final = _LONGEST_HOST + 15
"""Characters of a host name with brackets and a port."""
_LONGEST_SHOWN: Final = 40
_MOST_REMARKS: Final = 5
_INTEGER: Final = pattern(r"-?[0-9]{1,18}", re.ASCII)
_LONGEST_REASON: Final = 256
"""Characters: what is wrong may be a host name of megabytes."""


class Revision(NamedTuple):
    """Age of a configuration; the greater is the newer, the epoch counts first."""

    epoch: int
    rev: int


@record(frozen=True, slots=True)
class Network:
    """One way to reach a node: a host name and the ports of its services."""

    host: str
    services: Mapping[str, int]


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
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
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """What was passed over, for it is of no use and not needed for routing."""
    has_vbuckets: bool = True
    """Whether nodes have numbered parts of the keys, and want the number with each key."""
    capabilities: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    """What services of the cluster can do, by the names of both."""

    @property
    def is_ready(self) -> bool:
        """Whether the bucket can be used: a bucket that is warming up has an empty map."""
        return len(self.active) > 0

    def is_same_bucket(self, other: ClusterConfig) -> bool:
        """Whether both are of one bucket of one cluster, whatever addresses led there.

        A bucket that was deleted and made anew has another UUID; the cluster keeps its own.
        """
        return (self.uuid is not None and self.uuid == other.uuid) or (
            self.cluster_uuid is not None
            and (self.cluster_uuid, self.bucket) == (other.cluster_uuid, other.bucket)
        )

    def vbucket(self, key: bytes) -> int:
        """Return the vbucket of *key* (without its collection prefix)."""
        return ((crc32(key) >> 16) & 0x7FFF) % len(self.active)


@record(frozen=True, slots=True)
class KetamaConfig(ClusterConfig):
    """That of a bucket of type memcached: points of ketama are in the place of vbuckets."""

    points: array[int] = field(default_factory=lambda: array("L"))
    """Sorted; `active` has the node of each."""
    has_vbuckets: bool = False

    def vbucket(self, key: bytes) -> int:
        """Return the point of *key*, by its index."""
        return point_of(key, self.points)


def parse_config(text: bytes, origin: str) -> ClusterConfig:
    """Parse a configuration that came from the host *origin*.

    *origin* stands in for host names that are missing or `$HOST`. Parts that are of no use, and
    that routing can do without, are passed over; `remarks` names them. Raises ProtocolError if it
    is not a configuration, or routing needs what is wrong.
    """
    try:
        document = read_json(text)
    except ValueError as why:
        raise _refused(str(why)) from why
    try:
        return _Reader(origin).config(document)
    except _WrongError as why:
        raise _refused(str(why)) from None


def _refused(why: str) -> ProtocolError:
    return ProtocolError(f"not a cluster configuration: {why}"[:_LONGEST_REASON])


class _WrongError(ValueError):
    """Why a configuration, or a part of it, is of no use."""


class _Reader:
    """Reads one configuration, and keeps in mind what it has passed over.

    What routing needs is the revision, the hosts of the data nodes, and the map of active vbuckets.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._remarks: list[str] = []

    def config(self, document: Any) -> ClusterConfig:
        """Read it; raises _WrongError."""
        document = _object(document, "it")
        server_map = _object(_given(document, "vBucketServerMap", {}), "vBucketServerMap")
        plain = self._list(document, "nodes")
        extended = self._list(document, "nodesExt")
        locator = _text(document, "nodeLocator")
        servers = self._list(server_map, "serverList")
        if locator == KETAMA:
            servers = [server for entry in plain if (server := _server(entry))]
        rows = _list(_given(server_map, "vBucketMap", []), "vBucketMap")
        if len(rows) > _MAX_VBUCKETS:
            raise _WrongError(f"{len(rows)} vbuckets: {_MAX_VBUCKETS} are the most")
        listed = extended or plain
        if max(len(listed), len(servers)) > _MAX_NODES:
            raise _WrongError(f"{max(len(listed), len(servers))} nodes: {_MAX_NODES} are the most")
        read = self._node if extended else self._old_node
        nodes = [_attempt(read, entry, f"node {index}") for index, entry in enumerate(listed)]
        in_order = self._in_order(nodes, servers)
        self._fill_in_ports(in_order, servers)
        # Where nothing says which nodes have data, the map may point to any.
        told = servers if locator == KETAMA else plain
        data_nodes = max(len(told), len(servers)) or len(nodes)
        needed = data_nodes if told or servers or rows else 0
        usable: list[Node] = []
        for index, node in enumerate(in_order):
            if isinstance(node, Node):
                usable.append(node)
            elif index < needed or len(nodes) == 1:
                raise node
            else:
                self._pass_over(str(node))
        data_nodes = min(data_nodes, len(usable))
        common: dict[str, Any] = {
            "revision": Revision(_number(document, "revEpoch"), _number(document, "rev")),
            "nodes": tuple(usable),
            "bucket": _text(document, "name"),
            "uuid": self._text(document, "uuid"),
            "cluster_uuid": self._text(document, "clusterUUID"),
            "locator": locator,
            "data_nodes": data_nodes,
            "capabilities": self._capabilities(document),
        }
        if locator == KETAMA:
            points, owners = circle(_ketama_names(usable[:data_nodes]))
            remarks = self._all_remarks()
            return KetamaConfig(**common, active=owners, points=points, remarks=remarks)
        replicas = self._replicas(server_map.get("numReplicas"))
        return ClusterConfig(
            **common,
            replicas=replicas,
            active=_active(rows, data_nodes),
            chains=tuple(self._chain(rows, index + 1, data_nodes) for index in range(replicas)),
            forward=self._forward(server_map.get("vBucketMapForward"), len(rows), data_nodes),
            remarks=self._all_remarks(),
        )

    def _pass_over(self, what: str) -> None:
        self._remarks.append(what)

    def _capabilities(self, document: dict[str, Any]) -> dict[str, frozenset[str]]:
        """Return what services can do; what cannot be read is as if it was not there."""
        told = _given(document, "clusterCapabilities", {})
        if not isinstance(told, dict):
            self._pass_over(f"clusterCapabilities is {_shown(told)}, not an object")
            return {}
        return {
            service: frozenset(each for each in names if isinstance(each, str))
            for service, names in told.items()
            if isinstance(names, list)
        }

    def _all_remarks(self) -> tuple[str, ...]:
        told = self._remarks[:_MOST_REMARKS]
        if len(self._remarks) > len(told):
            told.append(f"and {len(self._remarks) - len(told)} more")
        return tuple(told)

    def _list(self, members: dict[str, Any], name: str) -> list[Any]:
        """Return a list that is optional as long as another tells the nodes."""
        value = _given(members, name, [])
        if isinstance(value, list):
            return value
        self._pass_over(f"{name} is {_shown(value)}, not a list")
        return []

    def _text(self, document: dict[str, Any], name: str) -> str | None:
        try:
            return _text(document, name)
        except _WrongError as why:
            self._pass_over(str(why))
            return None

    # Nodes

    def _node(self, entry: Any, where: str) -> Node:
        """Read an entry of `nodesExt`."""
        entry = _object(entry, where)
        host = self._host(entry.get("hostname"), where)
        where = f"{where} ({_shown(host)})"
        services = self._ports(entry.get("services"), where)
        networks = {DEFAULT_NETWORK: Network(host, services)}
        alternates = _given(entry, "alternateAddresses", {})
        if not isinstance(alternates, dict):
            self._pass_over(f"{where}: alternateAddresses is {_shown(alternates)}, not an object")
            alternates = {}
        for name, alternate in alternates.items():
            try:
                networks.setdefault(name, self._alternate(alternate, services, name))
            except _WrongError as why:
                self._pass_over(f"{where}: {why}")
        return Node(networks, this_node=entry.get("thisNode") is True)

    def _alternate(self, entry: Any, services: dict[str, int], name: str) -> Network:
        where = f"the alternate address {_shown(name)}"
        if name == DEFAULT_NETWORK or not name.isprintable() or len(name) > _LONGEST_HOST:
            # It goes into messages and into the log.
            raise _WrongError(f"{where} has a name that no network of alternate addresses has")
        entry = _object(entry, where)
        if _given(entry, "hostname", "") == "":
            raise _WrongError(f"{where} has no host name")
        host = self._host(entry["hostname"], where)
        # Ports that are given are all that can be reached; none given means the internal ones.
        ports = entry.get("ports")
        if ports is None:
            return Network(host, services)
        return Network(host, self._ports(ports, where))

    def _old_node(self, entry: Any, where: str) -> Node:
        """Read an entry of `nodes`, all that servers before 3.0 have."""
        entry = _object(entry, where)
        name = entry.get("hostname")
        if isinstance(name, str) and ":" in name:
            # Always with the port of the web console, which is of no use here.
            name = name.rpartition(":")[0]
        host = self._host(name, where)
        ports = _object(_given(entry, "ports", {}), f"{where}: ports")
        services = self._ports({"kv": ports.get("direct")}, f"{where} ({_shown(host)})")
        return Node({DEFAULT_NETWORK: Network(host, services)}, entry.get("thisNode") is True)

    def _ports(self, ports: Any, where: str) -> dict[str, int]:
        if not isinstance(ports, dict):
            raise _WrongError(f"{where} has {_shown(ports)} for its services and their ports")
        usable = {}
        for name, value in ports.items():
            port = _integer(value)
            if port is not None and 0 < port < 0x10000:
                usable[name] = port
            else:
                self._pass_over(f"{where} has {_shown(value)} for the port of {_shown(name)}")
        return usable

    def _host(self, name: Any, where: str) -> str:
        if name is None or name == "":
            return self._origin
        if not isinstance(name, str):
            raise _WrongError(f"{where} has {_shown(name)} for a host name")
        if len(name) > _LONGEST_ENTRY:
            raise _WrongError(f"{where} has a host name of {len(name)} characters")
        try:
            host = host_to_dial(_without_brackets(self._filled_in(name)))
        except ValueError as why:
            raise _WrongError(f"{where} has the host name {_shown(name)}: {why}") from None
        if len(host) > _LONGEST_HOST:
            raise _WrongError(f"{where} has a host name of {len(host)} characters")
        return host

    def _filled_in(self, name: str) -> str:
        origin = self._origin
        return name.replace("$HOST", f"[{origin}]" if ":" in origin else origin)

    def _in_order(
        self, nodes: list[Node | _WrongError], servers: list[Any]
    ) -> list[Node | _WrongError]:
        """Put those first that the vbucket maps point to: what `serverList` names, in its order.

        That is the order of the nodes, as far as is known; where it is not, names tell.
        """
        wanted = [self._place(server) for server in servers[: len(nodes)]]
        if all(map(_is_at, nodes, wanted)):
            return nodes
        # From the end, so that the first is taken first.
        free = dict.fromkeys(range(len(nodes)))
        at: dict[Place, list[int]] = {}
        for index in reversed(free):
            node = nodes[index]
            if isinstance(node, Node):
                own = node.networks[DEFAULT_NETWORK]
                at.setdefault((one_form(own.host), own.services.get("kv", 0)), []).append(index)
        order: list[int | None] = []
        for place in wanted:
            # Where only TLS is spoken the port is not told.
            same = place and (at.get(place) or at.get((place[0], 0)))
            found = same.pop() if same else None
            free.pop(found, None)  # type: ignore[arg-type]
            order.append(found)
        if not any(found is not None for found in order):
            return nodes
        # Whoever has another name there stays in place, if that is free.
        for index, found in enumerate(order):
            if found is None:
                order[index] = index if index in free else next(iter(free))
                del free[order[index]]  # type: ignore[arg-type]
        numbers = [index for index in (*order, *free) if index is not None]
        if numbers != list(range(len(nodes))):
            self._pass_over("the order of the nodes, which is not that of serverList: names tell")
        return [nodes[index] for index in numbers]

    def _fill_in_ports(self, nodes: list[Node | _WrongError], servers: list[Any]) -> None:
        """Read from `serverList` the ports of data services that nothing else tells."""
        taken = {
            (one_form(own.host), port)
            for node in nodes
            if isinstance(node, Node)
            for own in [node.networks[DEFAULT_NETWORK]]
            for port in own.services.values()
        }
        for node, server in zip(nodes, servers, strict=False):
            if isinstance(node, _WrongError):
                continue
            own, place = node.networks[DEFAULT_NETWORK], None
            # Where only TLS is spoken the port without it is not told on purpose.
            if own.services.keys().isdisjoint({"kv", "kvSSL"}):
                place = self._place(server)
            if place is None or place in taken or place[0] != one_form(own.host):
                continue
            if 0 < place[1] < 0x10000:
                taken.add(place)
                # Alternate addresses without ports of their own have the same dict.
                cast("dict[str, int]", own.services)["kv"] = place[1]

    def _place(self, server: Any) -> Place | None:
        """Return what an entry of `serverList` names; None if it cannot be read."""
        if not isinstance(server, str) or len(server) > _LONGEST_ENTRY:
            return None
        host, _, port = self._filled_in(server).rpartition(":")
        return one_form(host), _integer(port) or 0

    # Vbuckets

    def _replicas(self, value: Any) -> int:
        number = 0 if value is None else _integer(value)
        if number is not None and 0 <= number <= _MAX_REPLICAS:
            return number
        self._pass_over(f"numReplicas is {_shown(value)}")
        return 0 if number is None or number < 0 else _MAX_REPLICAS

    def _chain(self, rows: list[list[int]], replica: int, data_nodes: int) -> array[int]:
        try:
            return _column(rows, replica, data_nodes)
        except _UNSOUND:
            pass
        wrong = 0
        column = array("h")
        for row in rows:
            node = row[replica] if replica < len(row) else _NO_NODE
            if type(node) is not int or not _NO_NODE <= node < data_nodes:
                wrong += 1
                node = _NO_NODE
            column.append(node)
        self._pass_over(f"replica {replica} of {wrong} vbuckets is on a node that is not listed")
        return column

    def _forward(self, rows: Any, size: int, data_nodes: int) -> array[int] | None:
        """Read where vbuckets are going, which is good to know, and no more."""
        if rows is None or rows == []:
            return None
        try:
            forward = _active(_list(rows, "it"), data_nodes)
        except _WrongError as why:
            self._pass_over(f"vBucketMapForward: {why}")
            return None
        if len(forward) == size:
            return forward
        self._pass_over(f"vBucketMapForward has {len(forward)} vbuckets, not {size}")
        return None


Place = tuple[str, int]
"""A host in the one form of its spellings, and the port of its data service without TLS."""


def _server(entry: Any) -> str | None:
    """Return what `serverList` would have for an entry of `nodes`, where it is missing."""
    match entry:
        case {"hostname": str(name), "ports": {"direct": int(port)}} if 0 < port < 0x10000:
            # The port there is that of the web console.
            return f"{name.rpartition(':')[0] if ':' in name else name}:{port}"
    return None


def _ketama_names(nodes: list[Node]) -> Iterator[tuple[int, str]]:
    """Return by which names keys are spread: the own ones of nodes, whatever ways lead there."""
    for index, node in enumerate(nodes):
        own = node.networks[DEFAULT_NETWORK]
        port = own.services.get("kv") or own.services.get("kvSSL")
        if port is not None:
            yield index, str(Address(own.host, port))


def _attempt(read: Callable[[Any, str], Node], entry: Any, where: str) -> Node | _WrongError:
    try:
        return read(entry, where)
    except _WrongError as why:
        return why


def _is_at(node: Node | _WrongError, place: Place | None) -> bool:
    """Whether *node* is what an entry of `serverList` names, or could well be."""
    if isinstance(node, _WrongError) or place is None:
        return False
    own = node.networks[DEFAULT_NETWORK]
    # Where only TLS is spoken the port is not told.
    return own.services.get("kv", place[1]) == place[1] and one_form(own.host) == place[0]


_UNSOUND: Final = (TypeError, OverflowError, KeyError, ValueError)
"""What `_column` raises for what is no map."""


def _column(rows: list[Any], index: int, data_nodes: int) -> array[int]:
    """Read a column of a map that is sound, which costs least."""
    # Rows may be shorter than numReplicas + 1, and whoever has no node yet may have none at all.
    column = array("h", [row[index] if index < len(row) else _NO_NODE for row in rows])
    if column and not _NO_NODE <= min(column) <= max(column) < data_nodes:
        raise ValueError
    return column


def _active(rows: list[Any], data_nodes: int) -> array[int]:
    """Read the first column of a map, which is what routing is about."""
    with suppress(*_UNSOUND):
        return _column(rows, 0, data_nodes)
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            raise _WrongError(f"vbucket {index} has {_shown(row)} in place of its nodes")
        node = row[0] if row else _NO_NODE
        if type(node) is not int or not _NO_NODE <= node < data_nodes:
            raise _WrongError(f"vbucket {index} is on node {_shown(node)} of {data_nodes}")
    raise _WrongError("the vbuckets are on nodes of no number")


def _given(members: dict[str, Any], name: str, otherwise: Any) -> Any:
    value = members.get(name)
    return otherwise if value is None else value


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(f"{what} is {_shown(value)}, not an object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _WrongError(f"{what} is {_shown(value)}, not a list")
    return value


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise _WrongError(f"{name} is {_shown(value)}, not a text")
    return value


def _number(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    number = 0 if value is None else _integer(value)
    if number is None or not -(2**63) <= number < 2**63:
        raise _WrongError(f"{name} is {_shown(value)}, not a number of 64 bits")
    return number


def _integer(value: Any) -> int | None:
    """Return the integer that *value* is, or that it says; None: it is none."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _shown(value: Any) -> str:
    """Return what a peer has said, briefly, and without a character that could do something."""
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "an object"
        case str():
            return ascii(value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}...")
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    return str(value) if abs(value) < 2**64 else "a number of more than 64 bits"


def _without_brackets(name: str) -> str:
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name
