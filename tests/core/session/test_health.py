"""Waiting until the nodes of a session are ready, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    NodeUnreachableError,
    UnambiguousTimeoutError,
)
from couchloop.session import health
from couchloop.session.health import ClusterState
from couchloop.settings.values import Login
from tests.core.session.support import opened
from tests.core.world import World


class TestReadiness:
    """Waiting until nodes can be used."""

    def test_ready_already(self) -> None:
        """It is over at once where everything is connected."""
        w = opened()
        waiting = w.submit(health.wait_until_ready(w.defaults, 5.0))
        assert waiting.done
        waiting.result()
        w.assert_idle()

    def test_while_opening(self) -> None:
        """It ends with the last node, not with the first configuration."""
        w = World()
        last = list(w.nodes)[2]
        w.unanswering.add(last)
        w.session.start(w.now)
        everything = w.submit(health.wait_until_ready(w.defaults, 5.0))
        one = w.submit(health.wait_until_ready(w.defaults, 5.0, ClusterState.DEGRADED))
        w.advance(1.0)
        assert one.done
        assert not everything.done
        one.result()
        w.unanswering.clear()
        w.advance(3.9)
        everything.result()

    def test_time_is_up(self) -> None:
        """The error says what each node met that is not ready, and chains the last of it."""
        w = opened()
        w.cluster.stop(w.cluster.nodes[1])
        w.advance(1.0)
        waiting = w.submit(health.wait_until_ready(w.defaults, 1.0))
        w.advance(1.0)
        with pytest.raises(UnambiguousTimeoutError, match="degraded, not online") as caught:
            waiting.result()
        error = caught.value
        assert error.context is not None
        ((node, reason),) = error.context.seeds
        assert node == str(list(w.nodes)[1])
        assert isinstance(reason, NodeUnreachableError)
        assert error.__cause__ is reason
        assert "nothing at" in str(error)
        assert "key" not in str(error)

    def test_removed_node(self) -> None:
        """A dead node that leaves the configuration is waited for no longer."""
        w = opened()
        node = w.cluster.nodes[1]
        w.cluster.stop(node)
        w.advance(1.0)
        waiting = w.submit(health.wait_until_ready(w.defaults, 60.0))
        w.advance(1.0)
        assert not waiting.done
        w.cluster.failover(node)
        w.advance(5.0)
        waiting.result()

    def test_opening_fails(self) -> None:
        """What opening the bucket meets ends it at once, also if that was before."""
        w = World(login=Login("user", "wrong"))
        w.session.start(w.now)
        waiting = w.submit(health.wait_until_ready(w.defaults, 60.0))
        w.settle()
        with pytest.raises(AuthError) as caught:
            waiting.result()
        assert "key" not in str(caught.value)
        with pytest.raises(AuthError):
            w.do(health.wait_until_ready(w.defaults, 60.0))

    def test_time_is_up_while_opening(self) -> None:
        """The error says what each seed met so far."""
        w = World()
        first, second, _ = w.nodes
        w.unreachable.add(first)
        w.unanswering.add(second)
        w.session.start(w.now)
        waiting = w.submit(health.wait_until_ready(w.defaults, 0.5))
        w.advance(0.5)
        with pytest.raises(UnambiguousTimeoutError, match="offline") as caught:
            waiting.result()
        assert caught.value.context is not None
        assert [node for node, _ in caught.value.context.seeds] == [str(first), str(second)]

    @pytest.mark.parametrize("state", [ClusterState.OFFLINE, "online", None, [], {}])
    def test_bad_state(self, state: Any) -> None:
        """Nobody waits for a cluster to be offline."""
        with pytest.raises(ArgumentError):
            health.wait_until_ready(opened().defaults, 1.0, state)
