"""How a session keeps its configuration fresh: pushes, polling, and the pause between requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    BucketNotFoundError,
    NodeNotAvailableError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as operations
from couchloop.retries import FailFast
from couchloop.session.configurations import ConfigReason
from couchloop.settings.values import Address
from couchloop.wire import Feature, Opcode
from tests.core.world import World


def config_requests(world: World) -> int:
    """Count the configurations that were asked for so far, handshakes included."""
    return world.cluster.operations["GET_CLUSTER_CONFIG"]


def revision(world: World) -> int:
    """Return the revision that counts for the client."""
    config = world.session.config
    assert config is not None
    return config.revision.rev


class TestPush:
    """A server that pushes is believed at once."""

    def test_brief(self) -> None:
        """An announced revision is fetched once, though every node announces it."""
        w = World()
        w.open()
        assert all(
            Feature.CLUSTERMAP_BRIEF in connection.features for connection in w.session.connections
        )
        asked = config_requests(w)
        w.advance(1.0)
        w.cluster.bump()
        w.settle()
        assert revision(w) == w.cluster.rev
        w.advance(1.0)
        assert config_requests(w) == asked + 1

    def test_full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A pushed configuration is applied without a question."""
        full = tuple(
            feature
            for feature in (Feature.XERROR, Feature.JSON, Feature.DUPLEX, Feature.CLUSTERMAP_CHANGE)
        )
        monkeypatch.setattr("couchloop.kv.handshake.wanted_features", lambda: full)
        w = World()
        w.open()
        asked = config_requests(w)
        w.cluster.bump()
        w.settle()
        assert revision(w) == w.cluster.rev
        assert config_requests(w) == asked

    def test_moved_vbucket(self) -> None:
        """After a push operations go straight to the new owner: nobody says not-my-vbucket."""
        w = World()
        w.open()
        key = w.keys_of(next(iter(w.nodes)))[0]
        w.do(operations.upsert(w.defaults, key, 1))
        config = w.session.config
        assert config is not None
        w.advance(1.0)
        w.cluster.move_vbucket("default", config.vbucket(key.encode()), w.cluster.nodes[2])
        w.settle()
        op = operations.get(w.defaults, key)
        assert w.do(op).value == 1
        assert op.attempts == 0

    def test_announced_while_asking(self) -> None:
        """A revision that is announced while a request is under way is not missed."""
        w = World()
        w.open()
        w.advance(1.0)
        w.cluster.bump()
        w.cluster.bump()
        w.settle()
        w.cluster.bump()
        w.advance(0.2)
        assert revision(w) == w.cluster.rev


class TestPoll:
    """Without pushes the configuration is asked for now and then."""

    @pytest.fixture(autouse=True)
    def _no_push(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features = (Feature.XERROR, Feature.JSON, Feature.CONFIG_KNOWN_VERSION)
        monkeypatch.setattr("couchloop.kv.handshake.wanted_features", lambda: features)

    def test_interval(self) -> None:
        """One request per interval, of one node after the other, and news are applied."""
        w = World(config_poll_interval=2.5)
        w.open()
        asked = config_requests(w)
        w.cluster.bump()
        w.advance(2.4)
        assert config_requests(w) == asked
        w.advance(0.2)
        assert config_requests(w) == asked + 1
        assert revision(w) == w.cluster.rev
        w.advance(25.0)
        assert config_requests(w) == asked + 11

    def test_hung_node(self) -> None:
        """A node that hangs does not keep a newer configuration from us."""
        w = World(config_poll_interval=2.5)
        w.open()
        w.cluster.hang(w.cluster.nodes[0])
        w.cluster.bump()
        w.advance(8.0)
        assert revision(w) == w.cluster.rev

    def test_closed(self) -> None:
        """A closed session polls no more."""
        w = World(config_poll_interval=2.5)
        w.open()
        w.session.close(w.now)
        w.settle()
        assert w.session.next_deadline() is None


def test_floor() -> None:
    """Hints that come close together make one request at once, and one when the pause is over."""
    w = World()
    w.open()
    w.advance(1.0)
    asked = config_requests(w)
    for _ in range(5):
        w.session.tracker.request_config(ConfigReason.POLL, w.now)
        w.settle()
    assert config_requests(w) == asked + 1
    w.advance(0.06)
    assert config_requests(w) == asked + 2
    w.advance(1.0)
    assert config_requests(w) == asked + 2


class TestDeadConnections:
    """A connection on which nothing comes any more is found out, and replaced."""

    def test_hung_node(self) -> None:
        """An operation that nobody answers makes the node prove that it lives; it does not."""
        w = World()
        w.open()
        first = next(iter(w.nodes))
        (key,) = w.keys_of(first)
        w.cluster.hang(w.nodes[first])
        before = {connection.id for connection in w.session.connections}
        op = w.submit(operations.get(w.defaults, key))
        w.advance(2.5)
        assert isinstance(op.error, UnambiguousTimeoutError)
        assert {connection.id for connection in w.session.connections} == before
        w.advance(2.1)
        assert {connection.id for connection in w.session.connections} != before
        assert any("did not even answer a NOOP" in line for line in w.logs)
        w.cluster.restart(w.nodes[first])
        w.advance(5.0)
        assert w.do(operations.get(w.defaults, key, quiet=True)).value is None

    def test_slow_operation(self) -> None:
        """A node that answers others is not dead, however long one answer takes."""
        w = World()
        w.open()
        first = next(iter(w.nodes))
        slow, quick = w.keys_of(first, 2)
        before = {connection.id for connection in w.session.connections}
        w.cluster.inject(key=slow.encode(), silent=True)
        lost = w.submit(operations.get(w.defaults, slow))
        w.advance(1.0)
        w.do(operations.get(w.defaults, quick, quiet=True))
        w.advance(10.0)
        assert lost.error is not None
        assert {connection.id for connection in w.session.connections} == before

    def test_silent_connection(self) -> None:
        """While it polls, a session notices a dead connection that nobody uses."""
        w = World(config_poll_interval=2.5)
        w.open()
        first = next(iter(w.nodes))
        w.cluster.hang(w.nodes[first])
        w.advance(20.0)
        assert any("did not even answer a NOOP" in line for line in w.logs)


class TestAllLost:
    """When every node is gone, the seeds are asked again."""

    def test_moved_cluster(self) -> None:
        """A cluster that comes back elsewhere is found through a seed that was no node of it."""
        w = World(EmbeddedCluster(nodes=2, replicas=0, clock=ManualClock()))
        seed = Address("127.0.0.1", 9999)
        session = w.session
        session.shared.settings = replace(session.settings, seeds=(*w.nodes, seed))
        w.open()
        (key,) = w.keys_of(next(iter(w.nodes)))
        old = dict(w.nodes)
        for index, node in enumerate(w.cluster.nodes):
            w.cluster.stop(node)
            w.cluster.restart(node)
            node.ports["kv"] = 20000 + index
        w.cluster.changed()
        w.nodes.clear()
        w.nodes.update({Address("127.0.0.1", n.ports["kv"]): n for n in w.cluster.nodes})
        w.unreachable.update(old)
        w.advance(0.5)
        op = w.submit(operations.upsert(w.defaults, key, 1))
        w.advance(1.0)
        assert not op.done
        w.nodes[seed] = w.cluster.nodes[0]
        w.advance(3.0)
        assert {address.port for address in session.addresses} == {20000, 20001}
        w.do(operations.upsert(w.defaults, key, 2))
        w.advance(5.0)
        assert len(w.cluster.connections()) == 2

    def test_nodes_come_back(self) -> None:
        """Nodes that come back where they were are connected again, once each."""
        w = World()
        w.open()
        for node in w.cluster.nodes:
            w.cluster.stop(node)
        w.advance(10.0)
        for node in w.cluster.nodes:
            w.cluster.restart(node)
        w.advance(5.0)
        assert len(w.cluster.connections(bucket="default")) == 3
        w.do(operations.upsert(w.defaults, "k", 1))


def test_announced_revision_is_hunted() -> None:
    """An announced revision is asked for elsewhere if the first node asked does not answer."""
    w = World()
    w.open()
    w.advance(1.0)
    silent = w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, silent=True, count=1)
    w.cluster.bump()
    w.settle()
    assert silent.hits == 1
    assert revision(w) == w.cluster.rev - 1
    w.advance(2.1)
    assert revision(w) == w.cluster.rev


def test_impatience_opens_no_circuit() -> None:
    """Many calls with less time than a round trip takes do not break the circuit of their node."""
    w = World()
    w.open()
    first = next(iter(w.nodes))
    keys = w.keys_of(first, 40)
    w.cluster.inject(delay=0.2)
    for key in keys:
        w.submit(operations.get(w.defaults, key, timeout=0.02))
    w.advance(0.1)
    assert not w.session.table.endpoints[first].is_open_circuit


def test_failing_fast_tells_why() -> None:
    """An operation that does not wait for its node says which reason kept it from being sent."""
    w = World()
    w.open()
    first = next(iter(w.nodes))
    (key,) = w.keys_of(first)
    w.cluster.stop(w.nodes[first])
    w.settle()
    op = w.submit(operations.get(w.defaults, key, retry_strategy=FailFast()))
    assert isinstance(op.error, NodeNotAvailableError)
    assert op.error.context is not None
    assert op.error.context.reasons == ("SOCKET_NOT_AVAILABLE",)


def test_recreated_bucket() -> None:
    """A bucket that is deleted is waited for, and one that is made anew is used, and told of."""
    w = World(config_poll_interval=2.5)
    session = w.open()
    w.do(operations.upsert(w.defaults, "k", 1))
    w.cluster.remove_bucket("default")
    w.advance(3.0)
    op = w.submit(operations.get(w.defaults, "k", quiet=True))
    w.advance(3.0)
    assert isinstance(op.error, UnambiguousTimeoutError)
    assert isinstance(op.error.__cause__, BucketNotFoundError)
    old = session.config
    w.cluster.add_bucket("default")
    w.advance(5.0)
    assert old is not None
    assert session.config is not None
    assert session.config.uuid != old.uuid
    assert w.do(operations.get(w.defaults, "k", quiet=True)).value is None
    assert sum("made anew" in line for line in w.logs) == 1
    assert len(w.cluster.connections(bucket="default")) == 3
