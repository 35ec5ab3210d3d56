"""The number of connections that a program will open, and the servers' limits."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from couchloop.client.connection_limits import ConnectionBudget, check_budget, connection_budget
from couchloop.embedded import FULL_ACCESS, EmbeddedCluster, Grant, User
from couchloop.exceptions import ArgumentError, NotAuthorizedError
from couchloop.settings.values import Address
from couchloop.wire import Opcode, Status
from tests.core.world import FIRST_PORT, World

NODES = tuple(Address(f"10.0.0.{number}", 11210) for number in range(1, 5))


def budget(**changes: Any) -> ConnectionBudget:
    """Return the budget of a program on four nodes."""
    return ConnectionBudget(**{"nodes": NODES, "since_6_5": True, **changes})


def test_numbers() -> None:
    """One connection for each Bucket and data node, in every process."""
    found = budget(processes=10, buckets=3)
    assert (found.data_nodes, found.per_process, found.per_node, found.total) == (4, 12, 30, 120)


@pytest.mark.parametrize(
    ("since_6_5", "buckets", "most"),
    [(False, 1, 30_000), (False, 7, 4_285), (True, 1, 60_000), (True, 2, 30_000)],
)
def test_limits(*, since_6_5: bool, buckets: int, most: int) -> None:
    """Up to 6.0 a port takes 30,000; from 6.5 on a node takes 65,000, 5,000 of them reserved."""
    found = budget(since_6_5=since_6_5, buckets=buckets, processes=most)
    assert found.most_processes == most
    assert found.fits
    assert not budget(since_6_5=since_6_5, buckets=buckets, processes=most + 1).fits


def test_ports_are_counted_apart() -> None:
    """Up to 6.0 programs with TLS and without it have 30,000 each; from 6.5 on they share."""
    plain = budget(since_6_5=False)
    secure = budget(since_6_5=False, tls=True, nodes=(Address("10.0.0.1", 11207),))
    assert plain.limit + secure.limit == 60_000
    assert "port 11210" in str(plain)
    assert "port 11207" in str(secure)
    assert "all ports" in str(budget(tls=True))


def test_text() -> None:
    """Whoever prints it reads every number, what limits it, and whether it fits."""
    text = str(budget(processes=40_000, buckets=2))
    for line in (
        "data nodes: 4, processes: 40,000, without TLS",
        "Buckets in each process: 2",
        "connections of a process: 8",
        "connections of all: 320,000",
        "connections to each node: 80,000 of 60,000 (server 6.5 or newer: 65,000 but for 5,000",
        "it does not fit: the most are 30,000 processes",
    ):
        assert f"\n{line}" in f"\n{text}"
    assert "it fits" in str(budget())


def test_value() -> None:
    """It is a value: equal to its like, and never changed."""
    assert budget() == budget()
    assert budget(processes=2) != budget()
    with pytest.raises(FrozenInstanceError):
        budget().processes = 2  # type: ignore[misc]


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", None, True])
def test_arguments(number: Any) -> None:
    """Half a process or none is a slip that is named."""
    with pytest.raises(ArgumentError, match="processes"):
        check_budget(number, 1)
    with pytest.raises(ArgumentError, match="buckets"):
        check_budget(1, number)


@pytest.mark.parametrize("nodes", [1, 3])
def test_of_a_session(nodes: int) -> None:
    """The nodes are those that a session knows, and their age is read from their error maps."""
    w = World(EmbeddedCluster(nodes))
    found = connection_budget(w.open(), 2, 3)
    assert found == ConnectionBudget(
        nodes=tuple(w.nodes), processes=2, buckets=3, tls=False, since_6_5=True
    )
    assert found.per_process == 3 * len(w.opened)


@pytest.mark.parametrize("old", ["all", "one"])
def test_of_old_servers(old: str) -> None:
    """Where any node is older than 6.5, or does not tell, the smaller limit counts."""
    w = World()
    node = w.cluster.nodes[1] if old == "one" else None
    w.cluster.inject(opcode=Opcode.GET_ERROR_MAP, node=node, status=Status.UNKNOWN_COMMAND)
    found = connection_budget(w.open(), 1, 1)
    assert not found.since_6_5
    assert found.limit == 30_000


class TestClusterLevel:
    """A session without a bucket: what asks when no Bucket is open."""

    def test_no_bucket(self) -> None:
        """It knows the data nodes from the cluster's own configuration, and selects no bucket."""
        w = World(EmbeddedCluster(3, buckets=()), bucket="")
        query = w.cluster.add_node(serves_data=False)
        query.ports["kv"] = FIRST_PORT + 3
        w.cluster.changed()
        session = w.open()
        assert w.cluster.operations["SELECT_BUCKET"] == 0
        assert any(line.startswith("cluster: 3 data nodes, network default") for line in w.logs)
        found = connection_budget(session, 1, 2)
        assert found.nodes == tuple(w.nodes)
        assert found.since_6_5
        w.session.close(w.now)
        w.settle()
        assert not w.opened

    def test_without_the_right(self) -> None:
        """Who may not read that configuration is told so, and by what it can be had."""
        rights = (Grant(FULL_ACCESS),)
        users = [User("user", "password", rights, frozenset())]
        w = World(
            EmbeddedCluster(users=users), bucket="", seeds=(Address("127.0.0.1", FIRST_PORT),)
        )
        w.session.start(w.now)
        w.settle()
        error = w.session.failure()
        assert type(error) is NotAuthorizedError
        assert "'user'" in str(error)
        assert "open a Bucket" in str(error)

    def test_follows_the_cluster(self) -> None:
        """A node that joins is known once the servers have pushed it."""
        w = World(EmbeddedCluster(2), bucket="")
        session = w.open()
        joining = w.cluster.add_node()
        joining.ports["kv"] = FIRST_PORT + 2
        w.nodes[Address("127.0.0.1", FIRST_PORT + 2)] = joining
        w.cluster.changed()
        w.advance(1.0)
        assert connection_budget(session, 1, 1).data_nodes == 3
