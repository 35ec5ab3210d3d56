"""How a session keeps its configuration fresh: pushes, polling, and the pause between requests."""

from __future__ import annotations

import pytest

from couchloop import operations
from couchloop.wire import Feature
from tests.core.world import World


def config_requests(world: World) -> int:
    """Count the configurations that were asked for so far, handshakes included."""
    return world.cluster.operations["GET_CLUSTER_CONFIG"]


def revision(world: World) -> int:
    """Give the revision that counts for the client."""
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
        w.session._nodes.ask_for_config(w.now)
        w.settle()
    assert config_requests(w) == asked + 1
    w.advance(0.06)
    assert config_requests(w) == asked + 2
    w.advance(1.0)
    assert config_requests(w) == asked + 2
