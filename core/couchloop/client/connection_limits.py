"""How many connections a program opens to each node, and whether the servers allow so many."""

from __future__ import annotations

from typing import Final

from couchloop.exceptions import ArgumentError
from couchloop.kv.connection import State
from couchloop.records import record
from couchloop.session.session import Session
from couchloop.settings.values import Address
from couchloop.wire import Status

PORT_LIMIT: Final = 30_000
"""Connections that one data port of a server up to 6.0 takes; its TLS port takes as many more."""
NODE_LIMIT: Final = 65_000
"""Connections that a server from 6.5 on takes on all its data ports together."""
RESERVED: Final = 5_000
"""Of these, the ones that it keeps for the cluster's own use."""


@record(frozen=True, slots=True, kw_only=True)
class ConnectionBudget:
    """The connections of a program; `cluster.connection_budget()` gives it.

    A Bucket has one connection to each data node. What other programs open comes on top.
    """

    nodes: tuple[Address, ...]
    """The data nodes, by the ports that are connected to."""
    processes: int = 1
    """Processes (or threads with a loop of their own) that open Buckets."""
    buckets: int = 1
    """Buckets that each of them opens."""
    tls: bool = False
    """Whether their connections use TLS, and so the TLS data port."""
    since_6_5: bool = False
    """Whether every node that was asked is of server 6.5 or newer."""

    @property
    def data_nodes(self) -> int:
        """How many data nodes there are."""
        return len(self.nodes)

    @property
    def per_process(self) -> int:
        """Connections of one process, to all nodes."""
        return self.data_nodes * self.buckets

    @property
    def per_node(self) -> int:
        """Connections of all processes to one node: what its limit counts."""
        return self.processes * self.buckets

    @property
    def total(self) -> int:
        """Connections of all processes to all nodes."""
        return self.per_process * self.processes

    @property
    def limit(self) -> int:
        """Connections that one node takes from clients, on the port that is used."""
        return NODE_LIMIT - RESERVED if self.since_6_5 else PORT_LIMIT

    @property
    def fits(self) -> bool:
        """Whether each node takes that many connections, if nobody else has any."""
        return self.per_node <= self.limit

    @property
    def most_processes(self) -> int:
        """The largest number of processes, of so many Buckets each, that fits."""
        return self.limit // self.buckets

    def __str__(self) -> str:
        ports = {address.port for address in self.nodes}
        port = f"port {ports.pop()}" if len(ports) == 1 else "each data port"
        why = f"server 6.0 or older, or none that told, on {port}"
        if self.since_6_5:
            why = f"server 6.5 or newer: {NODE_LIMIT:,} but for {RESERVED:,} reserved, all ports"
        verdict = "it fits" if self.fits else "it does not fit"
        tls = "with TLS" if self.tls else "without TLS"
        lines = (
            f"data nodes: {self.data_nodes}, processes: {self.processes:,}, {tls}",
            f"Buckets in each process: {self.buckets:,}",
            f"connections of a process: {self.per_process:,}",
            f"connections of all: {self.total:,}",
            f"connections to each node: {self.per_node:,} of {self.limit:,} ({why})",
            f"{verdict}: the most are {self.most_processes:,} processes",
        )
        return "\n".join(lines)


def check_budget(processes: int, buckets: int) -> None:
    """Raise ArgumentError unless both are whole numbers from 1."""
    for name, number in (("processes", processes), ("buckets", buckets)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ArgumentError(f"{name} must be a whole number from 1", objextra=number)


def connection_budget(session: Session, processes: int, buckets: int) -> ConnectionBudget:
    """Count the connections of so many processes, by the nodes that an open session knows."""
    maps = [each.error_map for each in session.connections if each.state is State.READY]
    return ConnectionBudget(
        nodes=tuple(session.addresses),
        processes=processes,
        buckets=buckets,
        tls=session.settings.tls,
        # The version stands nowhere; but durable writes, and their errors, came with 6.5.
        since_6_5=bool(maps) and all(Status.DURABILITY_INVALID_LEVEL in each for each in maps),
    )
