"""Operations for which there is no connection, and the order in which all are written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    NodeNotAvailableError,
    NodeTimeoutError,
    NodeUnreachableError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import FrameDecoder, RequestFrame
from couchloop.operations import document as ops
from couchloop.retries import (
    FailFast,
)
from couchloop.wire import Opcode, Status
from tests.core.session.support import FIRST, SECOND, Scripted, context_of, error_of, opened
from tests.core.world import World
from tests.share import share


class TestWaiting:
    """Operations for which there is no connection."""

    @staticmethod
    def away() -> tuple[World, str]:
        """Return a world one of whose nodes is away, and a key of that node."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        w.advance(5)
        w.cluster.stop(next(n for a, n in w.nodes.items() if a == SECOND))
        w.unreachable.add(SECOND)
        w.advance(0.5)
        return w, key

    def test_node_away(self) -> None:
        """At the deadline the error names the node, why it is away, and what was waited for."""
        w, key = self.away()
        two = [w.submit(ops.upsert(w.defaults, key, 1)) for _ in range(2)]
        w.advance(2.5)
        errors = [error_of(op) for op in two]
        for error in errors:
            assert type(error) is UnambiguousTimeoutError
            assert "the node was not connected in time" in str(error)
            assert context_of(error).node == str(SECOND)
            assert context_of(error).reasons == ("SOCKET_NOT_AVAILABLE",)
            assert context_of(error).attempts == 0
            assert isinstance(error.__cause__, NodeUnreachableError)
        assert errors[0].__cause__ is not errors[1].__cause__

    def test_node_away_fail_fast(self) -> None:
        """Fail fast does not wait: the error names the node and why it is away."""
        w, key = self.away()
        op = w.submit(ops.upsert(w.defaults, key, 1, retry_strategy=FailFast()))
        assert op.done
        error = error_of(op)
        assert type(error) is NodeNotAvailableError
        assert error.is_transient
        assert error.is_network
        assert context_of(error).node == str(SECOND)
        assert isinstance(error.__cause__, NodeUnreachableError)
        assert context_of(error.__cause__).node == str(SECOND)

    def test_strategy_is_asked_once(self) -> None:
        """Who has agreed to wait waits, whatever comes, and goes out when the node is back."""
        w, key = self.away()
        strategy = Scripted(lambda _: 60.0)
        op = w.submit(ops.upsert(w.defaults, key, 1, retry_strategy=strategy))
        w.cluster.bump()
        w.advance(1)
        w.unreachable.clear()
        w.cluster.restart(next(n for a, n in w.nodes.items() if a == SECOND))
        w.advance(1.4)
        op.result()
        assert [reason for _, reason in strategy.asked] == ["SOCKET_NOT_AVAILABLE"]

    def test_not_open_yet(self) -> None:
        """While the bucket is opened best effort waits, and fail fast says so at once."""
        w = World()
        w.unanswering.update(w.nodes)
        w.session.start(w.now)
        w.settle()
        hasty = w.submit(ops.get(w.defaults, "k", retry_strategy=FailFast()))
        error = error_of(hasty)
        assert type(error) is NodeNotAvailableError
        assert "the bucket was not open" in str(error)
        assert context_of(error).node == str(FIRST)
        patient = w.submit(ops.get(w.defaults, "k"))
        w.advance(2.5)
        error = error_of(patient)
        assert type(error) is UnambiguousTimeoutError
        assert context_of(error).node == str(SECOND)
        assert context_of(error).reasons == ("NODE_NOT_AVAILABLE",)
        assert [node for node, _ in context_of(error).seeds] == [str(FIRST)]
        assert isinstance(error.__cause__, NodeTimeoutError)
        assert error.__cause__ is not context_of(error).seeds[0][1]

    def test_key_without_a_node(self) -> None:
        """A key that no node owns waits for a configuration, and is asked for; or fails fast."""
        w = opened(EmbeddedCluster(nodes=2, replicas=0, vbuckets=16, clock=ManualClock()))
        (key,) = w.keys_of(SECOND)
        w.cluster.failover(w.cluster.nodes[1])
        w.settle()
        hasty = w.submit(ops.upsert(w.defaults, key, 0, retry_strategy=FailFast()))
        assert type(error_of(hasty)) is NodeNotAvailableError
        op = w.submit(ops.upsert(w.defaults, key, 0))
        w.advance(2.5)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert context_of(error).reasons == ("NODE_NOT_AVAILABLE",)
        first = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(0.05)
        w.cluster.rebalance()
        w.advance(0.1)
        first.result()
        w.advance(1)
        w.assert_idle()


def written(world: World, key: str) -> list[int]:
    """Return the values that were written for *key*, in the order of writing."""
    decoders: dict[int, FrameDecoder] = {}
    values = []
    for connection_id, data in world.writes:
        decoder = decoders.setdefault(connection_id, FrameDecoder(RequestFrame))
        values += [
            int(frame.value)
            for frame in decoder.receive(data)
            if frame.opcode == Opcode.SET and frame.key.endswith(key.encode())
        ]
    return values


MOVES = ("one", "batch", "lose", "stop", "restart", "fail over", "rebalance", "wait", "settle")


KEY = "key1"
"""Of a document on the first node, with which things happen."""


class TestOrder:
    """One caller's operations on one key are written in the order of their issue."""

    def test_its_node(self) -> None:
        """The first node, with which things happen below, has the document."""
        w = opened(EmbeddedCluster(nodes=2, replicas=0, vbuckets=16, clock=ManualClock()))
        config = w.session.config
        assert config is not None
        assert config.active[config.vbucket(KEY.encode())] == 0

    @settings(max_examples=share(60), deadline=None)
    @given(st.lists(st.sampled_from(MOVES), max_size=25))
    def test_any_weather(self, moves: list[str]) -> None:
        """Through parking, reconnects, failovers and batches: none is overtaken.

        Each is written once, but for those that a node refuses which has the document no more.
        """
        w = World(EmbeddedCluster(nodes=2, replicas=0, vbuckets=16, clock=ManualClock()))
        w.session.start(w.now)
        key, node, issued = KEY, w.cluster.nodes[0], 0
        target = next(iter(w.nodes))
        for move in ("one", *moves, "restart", "rebalance", "wait"):
            match move:
                case "one":
                    w.submit(ops.upsert(w.defaults, key, issued, timeout=60.0))
                    issued += 1
                case "batch":
                    kv: dict[str | bytes, int] = {"a": -1, key: issued, "b": -1}
                    w.submit(ops.upsert_multi(w.defaults, kv, timeout=60.0))
                    issued += 1
                case "lose" if target in w.opened.values():
                    number = next(n for n, where in w.opened.items() if where == target)
                    if number in w.links:
                        w.lose(number)
                case "stop":
                    w.cluster.stop(node)
                case "restart":
                    w.cluster.restart(node)
                case "fail over" if node in w.cluster.nodes and len(w.cluster.nodes) > 1:
                    w.cluster.failover(node)
                case "rebalance":
                    w.cluster.rebalance()
                case "wait":
                    w.advance(5.0)
                case "settle":
                    w.settle()
        order = written(w, key)
        first_time = list(dict.fromkeys(order))
        assert first_time == sorted(first_time)
        assert len(first_time) == len(order) or "fail over" in moves

    def test_key_without_a_node(self) -> None:
        """What waits for its key to have a node again is not overtaken by what comes later."""
        w = opened(EmbeddedCluster(nodes=2, replicas=0, vbuckets=16, clock=ManualClock()))
        (key,) = w.keys_of(SECOND)
        w.cluster.failover(w.cluster.nodes[1])
        w.settle()
        for value in range(5):
            w.submit(ops.upsert(w.defaults, key, value))
            w.advance(0.07)
        w.cluster.rebalance()
        w.settle()
        w.do(ops.upsert(w.defaults, key, 5))
        assert [op.error for op in w.delivered] == [None] * 6
        order = written(w, key)
        assert [value for number, value in enumerate(order) if value not in order[:number]] == [
            *range(6)
        ]

    def test_retried_may_be_overtaken(self) -> None:
        """What the server put off goes behind what was written meanwhile: the exception."""
        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=1)
        first = w.submit(ops.upsert(w.defaults, "k", 1))
        second = w.submit(ops.upsert(w.defaults, "k", 2))
        w.advance(0.01)
        assert w.delivered == [second, first]
        assert w.do(ops.get(w.defaults, "k")).value == 1
