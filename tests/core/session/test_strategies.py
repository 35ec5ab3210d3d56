"""Strategies are users' code: whatever one says or does, the session keeps its promises."""

from __future__ import annotations

import traceback
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    AmbiguousError,
    ArgumentError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.kv.handshake import ErrorMapEntry
from couchloop.operations import document as ops
from couchloop.retries import (
    RetryReason,
)
from couchloop.wire import Status
from tests.core.session.support import Scripted, error_of, opened
from tests.core.world import World
from tests.share import share

UNKNOWN_STATUS = 0x7E
KEY = "key1"
"""Of a document on the first node, with which things happen."""


class TestAnswers:
    """What one says, or does not say, is its own operation's alone."""

    def test_broken_strategy(self) -> None:
        """A strategy that raises fails its operation with the refusal, and no other."""

        def fail(_: RetryReason) -> None:
            raise ZeroDivisionError("a bug of the user's")

        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=1)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=Scripted(fail)))
        other = w.submit(ops.upsert(w.defaults, "other", 1))
        w.settle()
        error = error_of(op)
        assert type(error) is TemporaryFailError
        assert isinstance(error.__cause__, ZeroDivisionError)
        frames = [f.name for f in traceback.extract_tb(error.__cause__.__traceback__)]
        assert frames == ["retry_after", "fail"], "the session's frames would hold the Bucket"
        other.result()

    @pytest.mark.parametrize("delay", [Decimal("0.01"), Fraction(1, 100), True, inf])
    def test_any_kind_of_number(self, delay: Any) -> None:
        """Seconds may be of any kind of number, and harm nobody."""
        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=1)
        strategy = Scripted(lambda _: delay)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
        other = w.submit(ops.upsert(w.defaults, "other", 1))
        w.settle()
        other.result()
        w.advance(3.0)
        if delay is inf:
            assert isinstance(error_of(op), UnambiguousTimeoutError)
        else:
            op.result()

    @pytest.mark.parametrize(
        "nonsense", [-1, nan, "1", b"1", [], object(), 1j, pytest.param(10**400, id="too large")]
    )
    def test_nonsense(self, nonsense: Any) -> None:
        """A strategy that gives no number of seconds has given up."""
        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL)
        strategy = Scripted(lambda _: nonsense)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
        w.settle()
        error = error_of(op)
        assert type(error) is TemporaryFailError
        assert isinstance(error.__cause__, ArgumentError | TypeError | OverflowError)


class TestAnyStrategy:
    """Whatever a strategy says or does, the session keeps its promises."""

    ANSWERS = (None, 0, 0.001, 0.1, 1, inf, -1, nan, "soon", ZeroDivisionError)
    FAULTS = (
        "busy",
        "locked",
        "moved",
        "forgotten",
        "answer lost",
        "cut",
        "stop",
        "restart",
        "time",
    )

    def test_its_node(self) -> None:
        """The first node, with which things happen below, has the document."""
        w = opened(EmbeddedCluster(nodes=2, replicas=0, vbuckets=16, clock=ManualClock()))
        config = w.session.config
        assert config is not None
        assert config.active[config.vbucket(KEY.encode())] == 0

    @settings(max_examples=share(80), deadline=None)
    @given(
        st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=8),
        st.lists(st.sampled_from(FAULTS), max_size=15),
        st.booleans(),
    )
    def test_counters_are_exact(self, answers: list[Any], faults: list[str], early: bool) -> None:
        """A counter has what was acknowledged, and at most what is ambiguous besides."""
        turn = iter(range(10**9))

        def answer(_: RetryReason) -> Any:
            said = answers[next(turn) % len(answers)]
            if said is ZeroDivisionError:
                raise said
            return said

        w = World(EmbeddedCluster(nodes=2, replicas=0, vbuckets=16, clock=ManualClock()))
        w.session.start(w.now)
        if not early:
            w.settle()
        strategy, node, key = Scripted(answer), w.cluster.nodes[0], KEY
        address = next(iter(w.nodes))
        counts = []
        for fault in (*faults, "restart", "time"):
            op = ops.counter(w.defaults, key, 1, 0, retry_strategy=strategy)
            counts.append(w.submit(op))
            match fault:
                case "busy":
                    w.cluster.inject(key=key, status=Status.ETMPFAIL, count=2)
                case "locked":
                    w.cluster.inject(key=key, status=Status.LOCKED, count=2)
                case "moved":
                    w.cluster.inject(key=key, status=Status.NOT_MY_VBUCKET, count=2)
                case "forgotten":
                    w.cluster.inject(key=key, status=Status.NO_BUCKET, count=1)
                case "answer lost":
                    w.cluster.inject(key=key, lose_answer=True, count=1)
                case "cut":
                    for number in [n for n in w.links if w.opened[n] == address]:
                        w.lose(number)
                case "stop":
                    w.cluster.stop(node)
                case "restart":
                    w.cluster.restart(node)
                case "time":
                    w.advance(0.5)
            w.settle()
        w.cluster.injections.clear()
        w.advance(3.0)
        assert sorted(map(id, w.delivered)) == sorted(map(id, counts)), "each is answered once"
        # The first to succeed stores 0.
        done = sum(op.error is None for op in counts)
        unclear = sum(isinstance(op.error, AmbiguousError) for op in counts)
        w.cluster.restart(node)
        w.advance(3.0)
        read = w.do(ops.get(w.defaults, key, quiet=True))
        stored = 0 if read.value is None else read.value + 1
        assert done <= stored <= done + unclear
        w.advance(3.0)
        w.assert_idle()

    @pytest.mark.parametrize("end", ["cancel", "close"])
    @pytest.mark.parametrize("when", ["parked", "refused", "refused for now", "lost"])
    def test_ending_it_from_within(self, end: str, when: str) -> None:
        """A strategy that ends its own operation leaves nothing behind, and nothing is sent."""
        w = opened()
        entry = ErrorMapEntry("ODD", "", frozenset({"retry-now"}))
        for connection in w.session.connections:
            connection.error_map = {UNKNOWN_STATUS: entry}
        op: Any = None

        def answer(_: RetryReason) -> float:
            if end == "cancel":
                w.session.cancel(op)
            else:
                w.session.close(w.now)
            return 0.0

        op = ops.get(w.defaults, "k", retry_strategy=Scripted(answer))
        address = w.owner("k")
        if when == "parked":
            w.unreachable.add(address)
            w.lose(w.link_to(address))
            w.settle()
        elif when == "lost":
            w.cluster.inject(key="k", silent=True)
        else:
            status = Status.ETMPFAIL if when == "refused" else UNKNOWN_STATUS
            w.cluster.inject(key="k", status=status, count=1)
        w.submit(op)
        w.settle()
        if when == "lost":
            w.lose(w.link_to(address))
        w.unreachable.clear()
        w.advance(0.1)
        before = w.cluster.operations["GET"]
        w.advance(5.0)
        assert w.cluster.operations["GET"] == before
        assert len(w.delivered) == (end == "close")
        w.assert_idle()


class TestGranted:
    """How often something was tried again, and why, is counted; what is given up is not."""

    def test_counted(self) -> None:
        """Each try more counts, by its reason."""
        w = opened()
        assert w.session.dispatcher.strategies.granted == {}
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=3)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(2.0)
        op.result()
        assert w.session.dispatcher.strategies.granted == {RetryReason.KV_TEMPORARY_FAILURE: 3}

    def test_given_up(self) -> None:
        """A strategy that says no has nothing counted."""
        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=1)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=Scripted(lambda _: None)))
        w.settle()
        assert type(error_of(op)) is TemporaryFailError
        assert w.session.dispatcher.strategies.granted == {}
