"""On which network the nodes are reached: the choice, why, what is said when it was wrong."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    NetworkNotFoundError,
    NodeUnreachableError,
    UnambiguousTimeoutError,
    WrongProtocolError,
)
from couchloop.operations import document as ops
from couchloop.session.events import LogRecord
from couchloop.session.session import SessionState
from couchloop.settings.values import Address
from couchloop.topology.configuration import parse_config
from couchloop.topology.networks import NetworkChoice, data_networks, select_network
from couchloop.wire import Opcode
from tests.core.world import FIRST_PORT, ScriptedNode, World

OUTSIDE = 30000


def outside(number: int) -> Address:
    """Where node *number* is reached from outside."""
    return Address("gateway.example", OUTSIDE + number)


def mapped_world(name: str = "external", *, inside: bool = False, **settings: Any) -> World:
    """Return a client of nodes behind port mapping; *inside*: the inner addresses work too."""
    cluster = EmbeddedCluster(clock=ManualClock())
    world = World(cluster, **{"seeds": (outside(0),), **settings})
    for number, node in enumerate(cluster.nodes):
        cluster.set_alternate(node, outside(number).host, {"kv": OUTSIDE + number}, name)
        world.nodes[outside(number)] = node
        if not inside:
            world.unreachable.add(Address("127.0.0.1", FIRST_PORT + number))
    return world


def lines(world: World, word: str) -> list[str]:
    """Return what was logged at level INFO with *word* in it."""
    return [
        event.text.format(**event.fields)
        for event in world.events
        if isinstance(event, LogRecord) and event.level == "info" and word in str(event)
    ]


class TestChoice:
    """The reason is told with the choice."""

    @pytest.mark.parametrize("network", ["external", "tunnel"])
    def test_dialled_address(self, network: str) -> None:
        """The network on which the dialled address is listed is used for every node, and named."""
        world = mapped_world(network)
        session = world.open()
        assert session.network == network
        assert session.addresses == [outside(number) for number in range(3)]
        (line,) = lines(world, "network")
        assert f"network {network} (gateway.example:30000 is listed there)" in line

    def test_option(self) -> None:
        """A name that is given wins over the dialled address."""
        world = mapped_world(inside=True, network="default")
        session = world.open()
        assert session.network == "default"
        assert session.addresses == [Address("127.0.0.1", FIRST_PORT + n) for n in range(3)]
        (line,) = lines(world, "network")
        assert "network default (network=default was given)" in line

    def test_no_other(self) -> None:
        """Where the nodes have one address each, that is the reason."""
        world = World()
        assert world.open().network == "default"
        (line,) = lines(world, "network")
        assert "network default (there is no other)" in line

    def test_unlisted_address(self) -> None:
        """An address that is listed nowhere leads to `external` if all data nodes have it."""
        world = mapped_world()
        text = world.cluster.nodes[0].configurations["default"].text(None)
        config = parse_config(text, "lb.example")
        choice = select_network(config, Address("lb.example", 11210))
        assert choice == NetworkChoice(
            "external",
            "lb.example:11210 is not listed anywhere, and every data node has an external address",
        )

    def test_later_configurations(self) -> None:
        """A later configuration is read on the same network, nodes that join included."""
        world = mapped_world()
        session = world.open()
        node = world.cluster.add_node()
        node.ports["kv"] = FIRST_PORT + 3
        world.nodes[outside(3)] = node
        world.cluster.set_alternate(node, outside(3).host, {"kv": OUTSIDE + 3})
        world.cluster.rebalance()
        world.settle()
        assert session.addresses == [outside(number) for number in range(4)]
        assert all(connection.address.host == outside(0).host for connection in session.connections)
        (key,) = world.keys_of(outside(3))
        assert world.do(ops.upsert(world.defaults, key, 1)).success
        assert len(lines(world, "network")) == 1

    def test_listed_ports_are_all(self) -> None:
        """A node whose alternate address lists no data port is not reached on that network."""
        world = mapped_world()
        world.cluster.set_alternate(world.cluster.nodes[1], outside(1).host, {"mgmt": 8091})
        session = world.open()
        assert session.addresses == [outside(0), outside(2)]

    def test_no_ports_listed(self) -> None:
        """An alternate address without ports has those inside."""
        world = mapped_world(seeds=(Address("gateway.example", FIRST_PORT),))
        for number, node in enumerate(world.cluster.nodes):
            world.cluster.set_alternate(node, "gateway.example")
            world.nodes[Address("gateway.example", FIRST_PORT + number)] = node
        session = world.open()
        assert session.addresses == [Address("gateway.example", FIRST_PORT + n) for n in range(3)]


class TestErrors:
    """What is said when the network was the wrong one."""

    def test_unknown_network(self) -> None:
        """A name that no node has ends the opening, with the names that there are."""
        world = mapped_world(network="internal")
        world.session.start(world.now)
        world.settle()
        error = world.session.error
        assert isinstance(error, NetworkNotFoundError)
        assert "'internal'" in str(error)
        assert "try network=default or network=external" in str(error)

    def test_unreachable_network(self) -> None:
        """Operations whose node cannot be reached on this network say which other there is."""
        world = mapped_world(network="default")
        world.open()
        (key,) = world.keys_of(Address("127.0.0.1", FIRST_PORT + 1))
        op = world.submit(ops.get(world.defaults, key))
        world.advance(3.0)
        assert isinstance(op.error, UnambiguousTimeoutError)
        cause = op.error.__cause__
        assert isinstance(cause, NodeUnreachableError)
        hint = "no node was reached on network 'default': try network=external"
        assert hint in str(cause)
        assert any(hint in line for line in world.logs if line.startswith("lost"))

    def test_another_network_of_the_same_addresses(self) -> None:
        """Where somebody else has a node's address, the error says which other network there is."""
        world = mapped_world(network="default")
        for number in range(3):
            address = Address("127.0.0.1", FIRST_PORT + number)
            world.unreachable.discard(address)
            world.nodes[address] = ScriptedNode(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n")
        world.open()
        (key,) = world.keys_of(Address("127.0.0.1", FIRST_PORT + 1))
        op = world.submit(ops.get(world.defaults, key))
        world.advance(3.0)
        cause = op.error.__cause__
        assert isinstance(cause, WrongProtocolError)
        assert "no node was reached on network 'default': try network=external" in str(cause)

    def test_no_hint_where_the_network_works(self) -> None:
        """Where nodes were reached on the network, one that is down brings no talk of others."""
        world = mapped_world()
        world.unreachable.add(outside(1))
        world.open()
        (key,) = world.keys_of(outside(1))
        op = world.submit(ops.get(world.defaults, key))
        world.advance(3.0)
        assert isinstance(op.error.__cause__, NodeUnreachableError)
        assert "network" not in str(op.error.__cause__)

    def test_no_data_port_on_the_network(self) -> None:
        """A network on which no node has a data port ends the opening, with one that has."""
        world = mapped_world(network="external")
        for node in world.cluster.nodes:
            world.cluster.set_alternate(node, "gateway.example", {"mgmt": 8091})
        world.session.start(world.now)
        world.settle()
        error = world.session.error
        assert isinstance(error, NodeUnreachableError)
        assert "has a data port on network 'external'" in str(error)
        assert "try network=default" in str(error)
        text = world.cluster.nodes[0].configurations["default"].text(None)
        assert data_networks(parse_config(text, "h"), "mgmt") == ["external"]


class TestLaterBootstrap:
    """All nodes lost: the seeds are asked anew, and the choice is made anew."""

    def test_another_network(self) -> None:
        """If a seed of another network answers then, that network is used, and logged."""
        inside = Address("127.0.0.1", FIRST_PORT)
        world = mapped_world(inside=True, seeds=(outside(0), inside))
        session = world.open()
        assert session.network == "external"
        world.unreachable.update(outside(number) for number in range(3))
        for number in list(world.links):
            world.lose(number)
        world.advance(5.0)
        assert session.state is SessionState.OPEN
        assert session.network == "default"
        assert session.addresses == [Address("127.0.0.1", FIRST_PORT + n) for n in range(3)]
        first, second = lines(world, "network")
        assert "network external (" in first
        assert "network default (127.0.0.1:10000 is listed there), no longer external" in second
        assert world.do(ops.upsert(world.defaults, "key", 1)).success

    def test_same_network(self) -> None:
        """If it is the same network nothing is logged again."""
        world = mapped_world(seeds=(outside(0), Address("gateway.example", 11210)))
        session = world.open()
        world.unreachable.update(outside(number) for number in range(3))
        for number in list(world.links):
            world.lose(number)
        world.advance(5.0)
        world.nodes[Address("gateway.example", 11210)] = world.cluster.nodes[1]
        world.advance(5.0)
        assert session.network == "external"
        assert len(lines(world, "network")) == 1

    def test_hint_on_another_network(self) -> None:
        """Where nodes are not reached on the network that came into use, errors name the other."""
        balancer = Address("lb.example", 1)
        world = mapped_world(inside=True, seeds=(Address("127.0.0.1", FIRST_PORT), balancer))
        session = world.open()
        assert session.network == "default"
        world.unreachable.update(world.nodes)
        world.nodes[balancer] = world.cluster.nodes[0]
        for number in list(world.links):
            world.lose(number)
        world.advance(5.0)
        assert session.network == "external"
        hint = "no node was reached on network 'external': try network=default"
        assert any(hint in line for line in world.logs)

    def test_a_network_that_works_stays(self) -> None:
        """If a node comes back before the seed has answered, the network stays as it was."""
        inside = Address("127.0.0.1", FIRST_PORT)
        world = mapped_world(inside=True, seeds=(outside(0), inside))
        session = world.open()
        world.unreachable.update(outside(number) for number in range(3))
        world.cluster.inject(opcode=Opcode.HELLO, node=world.cluster.nodes[0], delay=1.0)
        for number in list(world.links):
            world.lose(number)
        while inside not in world.opened.values():
            world.advance(0.1)
        world.unreachable.discard(outside(1))
        world.advance(0.9)
        assert any(connection.address == outside(1) for connection in session.connections)
        world.advance(3.0)
        assert session.network == "external"
        assert len(lines(world, "network")) == 1
