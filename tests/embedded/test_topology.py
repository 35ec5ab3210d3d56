"""Nodes, their connections, and the cluster map: what a test does, and what clients then see."""

from __future__ import annotations

import json

import pytest

from couchloop.embedded import (
    EmbeddedCluster,
    Node,
    NodeState,
    State,
)
from couchloop.topology.configuration import parse_config
from couchloop.wire import Opcode, Status
from tests.embedded.client import STORE, Client, configuration, on_node, vbucket_of


class TestTopology:
    """Nodes that come, go, stop and hang."""

    def test_our_own_parser_reads_everyconfiguration(self, cluster: EmbeddedCluster) -> None:
        """The client's half of the library understands what the server's half writes."""
        node = cluster.nodes[1]
        text = node.configurations["default"].text(node.node_id)
        config = parse_config(text, "10.0.0.1")
        assert config.bucket == "default"
        assert len(config.nodes) == 3
        assert [each.this_node for each in config.nodes] == [False, True, False]

    def test_ports_filled_in_later_do_not_use_up_a_revision(self, cluster: EmbeddedCluster) -> None:
        """A revision that no client has seen is rewritten."""
        assert cluster.rev == 1
        document = configuration(Client.ready(cluster.nodes[0]))
        assert document["rev"] == 1
        cluster.changed()
        assert cluster.rev == 2

    def test_a_moved_vbucket_answers_on_its_new_node(self, cluster: EmbeddedCluster) -> None:
        """The old owner sends the new configuration, the new one has the document."""
        key = on_node(0)
        old, new = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        old.set(key, b"1")
        cluster.move_vbucket("default", vbucket_of(key.encode()), cluster.nodes[1])
        refused = old.get(key)
        assert refused.status == Status.NOT_MY_VBUCKET
        assert json.loads(refused.value)["rev"] == cluster.rev
        assert new.get(key).value == b"1"

    def test_a_stopped_node_closes_and_refuses(self, cluster: EmbeddedCluster) -> None:
        """Connections are closed, the next one comes back closed, until the node runs again."""
        changes: list[tuple[int, NodeState]] = []
        cluster.on_node_change = lambda node: changes.append((node.node_id, node.state))
        node = cluster.nodes[0]
        client = Client.ready(node)
        cluster.stop(node)
        assert client.connection.closed
        assert client.woken
        assert node.accept().closed
        cluster.restart(node)
        assert not node.accept().closed
        assert changes == [(0, NodeState.STOPPED), (0, NodeState.RUNNING)]

    def test_a_node_that_was_stopped_learns_what_it_missed(self, cluster: EmbeddedCluster) -> None:
        """After a restart a node gives the present configuration."""
        node = cluster.nodes[0]
        cluster.stop(node)
        cluster.bump()
        cluster.restart(node)
        assert configuration(Client.ready(node))["rev"] == cluster.rev

    def test_a_hung_node_answers_when_it_runs_again(self, cluster: EmbeddedCluster) -> None:
        """Requests are kept, and answered in order afterwards."""
        node = cluster.nodes[0]
        client = Client.ready(node)
        key = on_node(0)
        cluster.hang(node)
        first = client.send(Opcode.SET, **client.parts(key, value=b"1", extras=STORE))
        second = client.send(Opcode.GET, **client.parts(key))
        assert client.frames == []
        assert client.connection.next_deadline() is None
        cluster.restart(node)
        assert client.woken
        assert [frame.opaque for frame in client.read()] == [first, second]

    def test_a_failover_promotes_the_replicas(self, cluster: EmbeddedCluster) -> None:
        """Documents survive, the vbucket's history gets a new branch."""
        key = on_node(0)
        token = Client.ready(cluster.nodes[0]).set(key, b"1").extras
        cluster.stop(cluster.nodes[0])
        cluster.failover(cluster.nodes[0])
        client = Client.ready(cluster.nodes[1])
        assert client.get(key).value == b"1"
        assert client.set(key, b"2").extras[:8] != token[:8]
        observed = client.ask(
            Opcode.OBSERVE_SEQNO, vbucket=vbucket_of(key.encode()), value=token[:8]
        )
        assert observed.value[0] == 1

    def test_a_new_node_gets_vbuckets_by_a_rebalance(self, cluster: EmbeddedCluster) -> None:
        """It stands in the configuration at once, and owns nothing before."""
        node = cluster.add_node()
        node.ports = {"kv": 11213}
        cluster.changed()
        client = Client.ready(node)
        key = next(key for key in map(str, range(99)) if vbucket_of(key.encode()) % 4 == 3)
        assert client.set(key, b"1").status == Status.NOT_MY_VBUCKET
        cluster.rebalance()
        assert client.set(key, b"1").status == Status.SUCCESS

    def test_a_node_without_data_stands_behind_the_data_nodes(
        self, cluster: EmbeddedCluster
    ) -> None:
        """It has no place in the vbucket map, where positions count."""
        cluster.add_node("query.example", serves_data=False)
        data_node = cluster.add_node("data.example")
        cluster.rebalance()
        document = configuration(Client.ready(cluster.nodes[0]))
        nodes = document["nodesExt"]
        assert isinstance(nodes, list)
        assert [each["hostname"] for each in nodes][3:] == ["data.example", "query.example"]
        assert data_node in cluster.nodes

    def test_a_node_that_leaves_hands_its_vbuckets_over(self, cluster: EmbeddedCluster) -> None:
        """Its documents are on the others, its connections are closed."""
        key = on_node(2)
        leaving = cluster.nodes[2]
        client = Client.ready(leaving)
        client.set(key, b"1")
        cluster.remove_node(leaving)
        assert client.connection.closed
        owner = cluster.nodes[vbucket_of(key.encode()) % 2]
        assert Client.ready(owner).get(key).value == b"1"

    def test_the_last_node_cannot_leave(self) -> None:
        """A cluster without nodes is none."""
        cluster = EmbeddedCluster(nodes=1)
        with pytest.raises(ValueError, match="last node"):
            cluster.remove_node(cluster.nodes[0])

    def test_a_pending_vbucket_holds_requests(self, cluster: EmbeddedCluster) -> None:
        """They are answered when it becomes active."""
        key, node = on_node(0), cluster.nodes[0]
        client = Client.ready(node)
        number = vbucket_of(key.encode())
        cluster.set_vbucket_state("default", number, node, State.PENDING)
        opaque = client.send(Opcode.GET, **client.parts(key))
        assert client.frames == []
        cluster.set_vbucket_state("default", number, node, State.ACTIVE)
        assert client.answer(opaque).status == Status.KEY_ENOENT

    def test_subscribers_hear_of_each_revision(self, cluster: EmbeddedCluster) -> None:
        """As a streaming configuration endpoint needs it."""
        heard: list[int] = []

        def hear(node: Node) -> None:
            heard.append(node.configurations["default"].rev)

        cluster.nodes[0].subscribe(hear)
        cluster.bump()
        cluster.bump()
        cluster.nodes[0].unsubscribe(hear)
        cluster.bump()
        assert heard == [2, 3]


class TestCounting:
    """What a demonstration asks."""

    def test_open_connections_by_node_and_bucket(self, cluster: EmbeddedCluster) -> None:
        """Connections that ended are not counted, but they were accepted."""
        one = Client.ready(cluster.nodes[0])
        Client(cluster.nodes[1])
        assert len(cluster.connections()) == 2
        assert cluster.connections(cluster.nodes[0]) == [one.connection]
        assert cluster.connections(bucket="default") == [one.connection]
        one.connection.connection_lost()
        assert len(cluster.connections()) == 1
        assert cluster.accepted == 2
        assert cluster.operations["SELECT_BUCKET"] == 1

    def test_dropping_connections(self, cluster: EmbeddedCluster) -> None:
        """Only those that were named are dropped, and their servers are told."""
        one, other = Client.ready(cluster.nodes[0]), Client(cluster.nodes[1])
        assert cluster.drop_connections(bucket="default") == 1
        assert one.connection.closed
        assert one.woken == 1
        assert not other.connection.closed


class TestLimits:
    """A node keeps only so many connections, as kv_engine does."""

    def test_of_a_node(self) -> None:
        """Connections beyond the limit are accepted and closed; one that ends makes room."""
        cluster = EmbeddedCluster(1, max_connections=2)
        node = cluster.nodes[0]
        first, _ = Client.ready(node), Client.ready(node)
        assert node.accept().closed
        assert len(node.connections) == 2
        first.connection.connection_lost()
        assert not node.accept().closed
        assert node.accepted == 4
        node.max_connections = None
        assert not node.accept().closed

    def test_of_a_bucket(self) -> None:
        """SELECT_BUCKET is answered with 0x32 (0x03 to old clients); another bucket has room."""
        cluster = EmbeddedCluster(1, ("default", "other"), max_bucket_connections=1)
        node = cluster.nodes[0]
        first = Client.ready(node)
        assert first.ask(Opcode.SELECT_BUCKET, key=b"default").status == Status.SUCCESS
        second = Client.ready(node, bucket="other")
        refused = second.ask(Opcode.SELECT_BUCKET, key=b"default")
        assert refused.status == Status.RATE_LIMITED_MAX_CONNECTIONS
        old = Client(node)
        old.log_in()
        assert old.ask(Opcode.SELECT_BUCKET, key=b"default").status == Status.E2BIG

    def test_of_nodes_to_come(self) -> None:
        """A node that joins has the cluster's limits."""
        cluster = EmbeddedCluster(1, max_connections=1, max_bucket_connections=1)
        node = cluster.add_node()
        assert (node.max_connections, node.max_bucket_connections) == (1, 1)


def test_two_clusters_of_one_seed_are_alike() -> None:
    """Whatever seems random follows from the seed: a failing run can be run again."""

    def run(seed: int) -> list[bytes]:
        cluster = EmbeddedCluster(seed=seed)
        client = Client.ready(cluster.nodes[0])
        return [
            client.ask(Opcode.GET_CLUSTER_CONFIG).value,
            client.set(on_node(0), b"1").extras,
            client.ask(Opcode.SASL_AUTH, key=b"SCRAM-SHA1", value=b"n,,n=user,r=abc").value,
        ]

    assert run(1) == run(1)
    assert run(1) != run(2)
