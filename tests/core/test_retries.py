"""Retry strategies, what waiting operations tell, the circuit breaker, and the order of writes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousError,
    AmbiguousTimeoutError,
    ArgumentError,
    ConnectionLostError,
    CouchbaseError,
    DocumentLockedError,
    NodeNotAvailableError,
    NodeTimeoutError,
    NodeUnreachableError,
    RateLimitedError,
    ServerError,
    StoreLockedError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import FrameDecoder, RequestFrame
from couchloop.kv.handshake import ErrorMapEntry
from couchloop.operations import document as ops
from couchloop.retries import (
    BestEffort,
    FailFast,
    RetryReason,
    RetryRequest,
    RetryStrategy,
    check_strategy,
    controlled_backoff,
)
from couchloop.session.verdicts import Action, verdict
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Address
from couchloop.wire import Opcode, Status
from tests.core.world import FIRST_PORT, World

FIRST, SECOND = (Address("127.0.0.1", FIRST_PORT + number) for number in range(2))
UNKNOWN_STATUS = 0x7E


class Scripted:
    """A strategy that answers as a test wants, and remembers what it was asked.

    Args:
        answer: given the reason, gives what `retry_after` gives.
    """

    def __init__(self, answer: Callable[[RetryReason], Any] = lambda _: 0.001) -> None:
        self.asked: list[tuple[RetryRequest, RetryReason]] = []
        self._answer = answer

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> Any:
        """Remember, and answer."""
        self.asked.append((request, reason))
        return self._answer(reason)


def opened(cluster: EmbeddedCluster | None = None, **arguments: Any) -> World:
    """Return a world whose bucket is open on all nodes."""
    world = World(cluster, **arguments)
    world.open()
    return world


def error_of(op: Any) -> CouchbaseError:
    """Return the error that *op* completed with."""
    with pytest.raises(CouchbaseError) as caught:
        op.result()
    return caught.value


def context_of(error: BaseException | None) -> Any:
    """Return the context of *error*; there must be one."""
    assert isinstance(error, CouchbaseError)
    assert error.context is not None
    return error.context


def request(attempts: int = 1) -> RetryRequest:
    """Return what a strategy sees of an upsert."""
    return RetryRequest("upsert", "k", False, attempts, ())


class TestStrategies:
    """The strategies and reasons themselves."""

    def test_best_effort(self) -> None:
        """Pauses double from 1 ms to 500 ms, for as many attempts as there may be."""
        delays = [
            BestEffort().retry_after(request(attempts), RetryReason.KV_TEMPORARY_FAILURE)
            for attempts in (0, 1, 2, 3, 9, 10, 11, 100_000)
        ]
        assert delays == [0.001, 0.001, 0.002, 0.004, 0.256, 0.5, 0.5, 0.5]

    @pytest.mark.parametrize("reason", RetryReason)
    def test_best_effort_gives_up_on_locks_alone(self, reason: RetryReason) -> None:
        """A locked document is the one thing that best effort does not wait for."""
        gives_up = BestEffort().retry_after(request(), reason) is None
        assert gives_up == (reason is RetryReason.KV_LOCKED)
        assert FailFast().retry_after(request(), reason) is None

    def test_own_pauses(self) -> None:
        """First and longest pause can be chosen; nonsense is refused."""
        strategy = BestEffort(first=0.01, longest=0.03)
        reason = RetryReason.KV_TEMPORARY_FAILURE
        assert [strategy.retry_after(request(n), reason) for n in (1, 2, 3)] == [0.01, 0.02, 0.03]
        for first, longest in ((0, 1), (2, 1), (-1, 1), (nan, 1)):
            with pytest.raises(ArgumentError, match="seconds"):
                BestEffort(first, longest)

    def test_controlled_backoff(self) -> None:
        """What is always tried again pauses 1, 10, 50, 100, 500 and then 1000 ms (RFC 0049)."""
        delays = [controlled_backoff(attempts) for attempts in range(1, 9)]
        assert delays == [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 1.0, 1.0]

    def test_reasons(self) -> None:
        """Two reasons leave the outcome unknown, and two need no strategy (RFC 0049)."""
        assert {r for r in RetryReason if not r.allows_non_idempotent_retry} == {
            "UNKNOWN",
            "SOCKET_CLOSED_WHILE_IN_FLIGHT",
        }
        assert {r for r in RetryReason if r.always_retry} == {
            "KV_NOT_MY_VBUCKET",
            "KV_COLLECTION_OUTDATED",
        }

    @pytest.mark.parametrize("wrong", [1, "best effort", FailFast, object()])
    def test_no_strategy(self, wrong: Any) -> None:
        """What is no strategy is refused, for a Bucket and for a call; so is a bare class."""
        for make in (
            lambda: check_strategy(wrong),
            lambda: ops.get(World().defaults, "k", retry_strategy=wrong),
            lambda: make_settings(
                "couchbase://h/b", username="u", password="p", retry_strategy=wrong
            ),
        ):
            with pytest.raises(ArgumentError, match="retry_after"):
                make()

    def test_same_settings(self) -> None:
        """Equal strategies are the same settings, the default named or not; others are not."""

        def made(strategy: RetryStrategy | None) -> Any:
            return make_settings(
                "couchbase://h/b", username="u", password="p", retry_strategy=strategy
            )

        assert made(None) == made(BestEffort())
        assert made(FailFast()) == made(FailFast())
        assert made(None).differences(made(FailFast())) == ["retry_strategy"]

    def test_every_builder(self) -> None:
        """Each builder hands the strategy to its operation, or to each of the batch."""
        d, own = World().defaults, FailFast()
        single: tuple[tuple[Any, ...], ...] = (
            (ops.get, "k"),
            (ops.get, "k", 5),
            (ops.upsert, "k", 1),
            (ops.insert, "k", 1),
            (ops.replace, "k", 1),
            (ops.append, "k", "v"),
            (ops.prepend, "k", "v"),
            (ops.remove, "k"),
            (ops.touch, "k"),
            (ops.counter, "k"),
        )
        for build, *arguments in single:
            op = build(d, *arguments, retry_strategy=own)
            assert op.retry_strategy is own, op.name
            assert build(d, *arguments).retry_strategy is None
        multi: tuple[tuple[Any, Any], ...] = (
            (ops.get_multi, ["a", "b"]),
            (ops.upsert_multi, {"a": 1, "b": 2}),
            (ops.insert_multi, {"a": 1, "b": 2}),
            (ops.replace_multi, {"a": 1, "b": 2}),
            (ops.append_multi, {"a": "1", "b": "2"}),
            (ops.prepend_multi, {"a": "1", "b": "2"}),
            (ops.remove_multi, ["a", "b"]),
            (ops.touch_multi, ["a", "b"]),
            (ops.counter_multi, ["a", "b"]),
        )
        for build, what in multi:
            batch = build(d, what, retry_strategy=own)
            assert [op.retry_strategy for op in batch.operations] == [own, own]


class TestVerdicts:
    """What a status means."""

    @pytest.mark.parametrize(
        ("status", "action", "reason"),
        [
            (Status.NOT_MY_VBUCKET, Action.REROUTE, "KV_NOT_MY_VBUCKET"),
            (Status.CONFIG_ONLY, Action.RETRY, "KV_NOT_MY_VBUCKET"),
            (Status.UNKNOWN_COLLECTION, Action.RETRY, "KV_COLLECTION_OUTDATED"),
            (Status.LOCKED, Action.RETRY, "KV_LOCKED"),
            (Status.ETMPFAIL, Action.RETRY, "KV_TEMPORARY_FAILURE"),
            (Status.EBUSY, Action.RETRY, "KV_TEMPORARY_FAILURE"),
            (Status.ENOMEM, Action.RETRY, "KV_TEMPORARY_FAILURE"),
            (Status.SYNC_WRITE_IN_PROGRESS, Action.RETRY, "KV_SYNC_WRITE_IN_PROGRESS"),
            (
                Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS,
                Action.RETRY,
                "KV_SYNC_WRITE_RE_COMMIT_IN_PROGRESS",
            ),
            (Status.AUTH_STALE, Action.RECONNECT, "SOCKET_NOT_AVAILABLE"),
            (Status.NO_BUCKET, Action.RECONNECT, "SOCKET_NOT_AVAILABLE"),
        ],
    )
    def test_known(self, status: int, action: Action, reason: str) -> None:
        """The table of RFC 0049, which a server's error map cannot overrule."""
        overruling = {int(status): ErrorMapEntry("X", "", frozenset({"no-retry", "item-only"}))}
        assert verdict(status, {}) == verdict(status, overruling) == (action, reason)

    @pytest.mark.parametrize(
        "status",
        [
            *range(0x30, 0x39),
            Status.KEY_ENOENT,
            Status.SYNC_WRITE_AMBIGUOUS,
            Status.EACCESS,
            0xFFFF,
        ],
    )
    def test_final(self, status: int) -> None:
        """Rate limits, quotas, refusals and unknown numbers are not tried again."""
        advice = {status: ErrorMapEntry("X", "", frozenset({"item-only", "rate-limit"}))}
        assert verdict(status, {}).action is Action.FAIL
        assert verdict(status, advice).action is Action.FAIL

    @pytest.mark.parametrize(
        ("attributes", "action", "reason"),
        [
            ("retry-now temp", Action.RETRY_NOW, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("retry-later", Action.RETRY, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("auto-retry", Action.RETRY, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("conn-state-invalidated", Action.RECONNECT, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("item-locked item-only", Action.RETRY, "KV_LOCKED"),
            ("retry-now no-retry", Action.FAIL, "UNKNOWN"),
            ("temp", Action.FAIL, "UNKNOWN"),
            ("", Action.FAIL, "UNKNOWN"),
        ],
    )
    def test_error_map(self, attributes: str, action: Action, reason: str) -> None:
        """A number that only the error map knows is treated as its attributes say."""
        entry = ErrorMapEntry("X", "", frozenset(attributes.split()))
        assert verdict(UNKNOWN_STATUS, {UNKNOWN_STATUS: entry}) == (action, reason)


class TestRefused:
    """Operations that the server refuses, under different strategies."""

    @pytest.mark.parametrize("strategy", [None, FailFast()])
    def test_locked(self, strategy: RetryStrategy | None) -> None:
        """A locked document fails at once by default; the strategy was asked, none would wait."""
        w = opened(retry_strategy=strategy)
        w.cluster.inject(key="k", status=Status.LOCKED)
        write = w.submit(ops.upsert(w.defaults, "k", 1))
        read = w.submit(ops.get(w.defaults, "k"))
        w.settle()
        assert type(error_of(write)) is StoreLockedError
        assert type(error_of(read)) is DocumentLockedError

    def test_waiting_for_a_lock(self) -> None:
        """A strategy can wait for a lock to end; it sees what there is to see."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.LOCKED, count=2)
        strategy = Scripted(lambda _: 0.1)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
        w.advance(0.15)
        assert fault.hits == 2
        assert not op.done
        w.advance(0.1)
        op.result()
        locked = RetryReason.KV_LOCKED
        assert strategy.asked == [
            (RetryRequest("upsert", "k", False, 1, ()), locked),
            (RetryRequest("upsert", "k", False, 2, ("KV_LOCKED",)), locked),
        ]

    def test_fail_fast(self) -> None:
        """A temporary failure ends at once where the Bucket or the call says so."""
        for bucket, call in ((FailFast(), None), (None, FailFast()), (BestEffort(), FailFast())):
            w = opened(retry_strategy=bucket)
            fault = w.cluster.inject(key="k", status=Status.ETMPFAIL)
            op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=call))
            w.settle()
            error = error_of(op)
            assert type(error) is TemporaryFailError
            assert (fault.hits, context_of(error).attempts) == (1, 1)
            assert context_of(error).reasons == ()

    def test_call_overrides_bucket(self) -> None:
        """One call may be patient on a Bucket that is not."""
        w = opened(retry_strategy=FailFast())
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=3)
        batch = w.submit(ops.upsert_multi(w.defaults, {"k": 1}, retry_strategy=BestEffort()))
        w.advance(0.01)
        assert batch.result().all_ok

    def test_always(self) -> None:
        """No strategy is asked while the cluster rearranges itself."""
        w = opened()
        strategy = Scripted(lambda _: None)
        for status in (Status.NOT_MY_VBUCKET, Status.CONFIG_ONLY, Status.UNKNOWN_COLLECTION):
            w.cluster.inject(key="k", status=status, count=2)
            op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
            w.advance(0.012)
            op.result()
            assert op.attempts == 2
        assert strategy.asked == []

    @pytest.mark.parametrize("status", [Status.AUTH_STALE, Status.NO_BUCKET])
    def test_connection_is_forgotten(self, status: int) -> None:
        """Fail fast does not take a forgotten login for a wrong one: trying again may help."""
        w = opened()
        w.cluster.inject(key="k", status=status, count=1)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=FailFast()))
        w.advance(0.1)
        error = error_of(op)
        assert type(error) is NodeNotAvailableError
        assert not error.is_fatal
        assert context_of(error).status == status
        assert context_of(error.__cause__).status == status
        w.do(ops.upsert(w.defaults, "k", 1))

    @pytest.mark.parametrize("delay", [2.5, 7.0, inf])
    def test_retry_that_does_not_fit(self, delay: float) -> None:
        """A pause that is longer than the time left ends as a timeout, at the deadline."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.ETMPFAIL)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=Scripted(lambda _: delay)))
        w.advance(2.49)
        assert not op.done
        w.advance(0.01)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert fault.hits == 1
        w.assert_idle()

    def test_timeout_tells_the_last_try(self) -> None:
        """The error names the node and the status that the last try met, and is caused by it."""
        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(2.5)
        error = error_of(op)
        context = context_of(error)
        assert context.node == str(w.owner("k"))
        assert context.status == Status.ETMPFAIL
        assert context.reasons == ("KV_TEMPORARY_FAILURE",)
        assert context.attempts > 1
        assert type(error.__cause__) is TemporaryFailError

    def test_rate_limits(self) -> None:
        """Rate limits reach the caller."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.RATE_LIMITED_MAX_COMMANDS)
        op = w.submit(ops.get(w.defaults, "k"))
        w.settle()
        assert type(error_of(op)) is RateLimitedError
        assert fault.hits == 1

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

    @settings(max_examples=80, deadline=None)
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

        w = World(EmbeddedCluster(nodes=2, replicas=0, clock=ManualClock()))
        w.session.start(w.now)
        if not early:
            w.settle()
        strategy, node, key = Scripted(answer), w.cluster.nodes[0], "key0"
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


class TestErrorMap:
    """A status that only the node's error map knows."""

    @staticmethod
    def world(attributes: str, count: int | None = 1) -> tuple[World, Any]:
        """Return a world whose error maps know a status, and which key "k" meets it."""
        w = opened()
        entry = ErrorMapEntry("ODD", "an odd thing", frozenset(attributes.split()))
        for connection in w.session.connections:
            connection.error_map = {UNKNOWN_STATUS: entry}
        return w, w.cluster.inject(key="k", status=UNKNOWN_STATUS, count=count)

    def test_retry_now(self) -> None:
        """The first retry is immediate; a node that insists is not asked without pause."""
        w, fault = self.world("retry-now")
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        op.result()
        w, fault = self.world("retry-now", None)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        assert fault.hits == 2
        w.advance(2.5)
        assert type(error_of(op)) is UnambiguousTimeoutError
        assert fault.hits < 20

    @pytest.mark.parametrize("attributes", ["retry-now", "retry-later", "conn-state-invalidated"])
    def test_fail_fast(self, attributes: str) -> None:
        """A strategy may ignore the advice to try again."""
        w, fault = self.world(attributes, None)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=FailFast()))
        w.settle()
        assert type(error_of(op)) is ServerError
        assert fault.hits == 1

    @pytest.mark.parametrize("strategy", [BestEffort(), FailFast()])
    def test_connection_state_is_gone(self, strategy: RetryStrategy) -> None:
        """The connection is replaced, whatever becomes of the operation; others are not blamed."""
        w, _ = self.world("conn-state-invalidated")
        accepted = w.cluster.accepted
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
        w.advance(0.1)
        (line,) = [line for line in w.logs if line.startswith("lost")]
        assert "an odd thing" in line
        assert "upsert" not in line
        assert w.cluster.accepted == accepted + 1
        assert (op.error is None) == isinstance(strategy, BestEffort)

    def test_temporary(self) -> None:
        """What the map calls temporary, and nothing more, is a TemporaryFailError."""
        w, _ = self.world("temp")
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        error = error_of(op)
        assert type(error) is TemporaryFailError
        assert "an odd thing" in str(error)

    def test_fetch_config(self) -> None:
        """The attribute fetch-config makes the session look for a newer configuration."""
        w, _ = self.world("fetch-config retry-later")
        w.advance(1)
        asked = w.cluster.operations["GET_CLUSTER_CONFIG"]
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(0.1)
        op.result()
        assert w.cluster.operations["GET_CLUSTER_CONFIG"] == asked + 1


class TestLostConnection:
    """Operations whose connection is lost while they are in flight."""

    @pytest.mark.parametrize("strategy", [None, FailFast(), Scripted()])
    def test_changes(self, strategy: Any) -> None:
        """What changes something is never sent again, and no strategy is even asked."""
        w = opened()
        w.cluster.inject(opcode=Opcode.INCREMENT, lose_answer=True, count=1)
        op = w.submit(ops.counter(w.defaults, "k", 1, 1, retry_strategy=strategy))
        w.advance(1)
        error = error_of(op)
        assert type(error) is AmbiguousConnectionLostError
        assert isinstance(error.__cause__, ConnectionLostError)
        assert isinstance(strategy, FailFast | None) or strategy.asked == []
        assert w.do(ops.counter(w.defaults, "k")).value == 2

    def test_reads(self) -> None:
        """What changes nothing is up to the strategy; giving up is not ambiguous."""
        w = opened()
        fault = w.cluster.inject(opcode=Opcode.GET, silent=True, count=2)
        strategy = Scripted()
        patient = w.submit(ops.get(w.defaults, "k", quiet=True, retry_strategy=strategy))
        hasty = w.submit(ops.get(w.defaults, "k", retry_strategy=FailFast()))
        w.settle()
        assert fault.hits == 2
        w.lose(w.link_to(w.owner("k")))
        w.settle()
        assert type(error_of(hasty)) is ConnectionLostError
        w.advance(0.1)
        assert not patient.result().success
        assert strategy.asked == [
            (RetryRequest("get", "k", True, 1, ()), RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT)
        ]


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
        w = opened(EmbeddedCluster(nodes=2, replicas=0, clock=ManualClock()))
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


class TestCircuitBreaker:
    """A node that leaves operation after operation without an answer."""

    LIMIT = 20

    def silent(self, noop_delay: float = 1.0, **settings: Any) -> tuple[World, str, Any]:
        """Return a world, a key, and the endpoint of its node, which has answered nothing."""
        w = opened(**settings)
        (key,) = w.keys_of(FIRST)
        w.cluster.inject(opcode=Opcode.NOOP, delay=noop_delay)
        w.cluster.inject(opcode=Opcode.SET, silent=True, count=self.LIMIT)
        return w, key, w.session.table.endpoints[FIRST]

    def time_out(self, w: World, key: str, count: int) -> None:
        """Let *count* operations run out of time."""
        for _ in range(count):
            w.submit(ops.upsert(w.defaults, key, 0))
        w.advance(2.5)

    def test_opens_and_closes(self) -> None:
        """Open, it keeps operations back; one NOOP is sent, and its answer lets them go."""
        w, key, endpoint = self.silent()
        self.time_out(w, key, self.LIMIT)
        assert all(type(op.error) is AmbiguousTimeoutError for op in w.delivered)
        assert endpoint.is_open_circuit
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(0.9)
        assert not op.done
        assert op.reasons == ("CIRCUIT_BREAKER_OPEN",)
        w.advance(0.2)
        op.result()
        assert w.cluster.operations["NOOP"] == 1
        assert not endpoint.is_open_circuit
        assert any("20 operations in a row, or more, were not" in line for line in w.logs)

    def test_fail_fast(self) -> None:
        """Open, it fails what does not want to wait, with its own reason asked for."""
        w, key, _ = self.silent()
        self.time_out(w, key, self.LIMIT)
        strategy = Scripted(lambda _: None)
        op = w.submit(ops.upsert(w.defaults, key, 1, retry_strategy=strategy))
        error = error_of(op)
        assert type(error) is NodeNotAvailableError
        assert context_of(error).node == str(FIRST)
        assert isinstance(error.__cause__, NodeTimeoutError)
        assert [reason for _, reason in strategy.asked] == ["CIRCUIT_BREAKER_OPEN"]
        (other,) = w.keys_of(SECOND)
        w.do(ops.get(w.defaults, other, quiet=True))

    def test_unambiguous(self) -> None:
        """What was kept back has not been done, so its timeout is not ambiguous."""
        w, key, _ = self.silent()
        self.time_out(w, key, self.LIMIT)
        op = w.submit(ops.upsert(w.defaults, key, 1, timeout=0.5))
        w.advance(0.5)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "circuit breaker" in str(error)
        assert context_of(error).reasons == ("CIRCUIT_BREAKER_OPEN",)

    def test_not_before_its_limit(self) -> None:
        """One operation fewer does not open it, and an answer makes the others forgotten."""
        w, key, endpoint = self.silent(noop_delay=0.1)
        self.time_out(w, key, self.LIMIT - 1)
        assert not endpoint.is_open_circuit
        w.advance(0.2)
        assert endpoint.timeouts == 0
        self.time_out(w, key, 1)
        assert not endpoint.is_open_circuit

    def test_slow_operations(self) -> None:
        """A node that answers anything has its breaker closed, however many are slow."""
        w, key, endpoint = self.silent()
        for _ in range(self.LIMIT):
            w.submit(ops.upsert(w.defaults, key, 0))
        w.advance(1)
        w.do(ops.get(w.defaults, key, quiet=True))
        w.advance(1.5)
        assert sum(op.error is not None for op in w.delivered) == self.LIMIT
        assert not endpoint.is_open_circuit

    def test_canary_fails(self) -> None:
        """A canary without an answer ends the connection; the next one begins anew."""
        w, key, endpoint = self.silent(noop_delay=60.0)
        before = endpoint.connection
        self.time_out(w, key, self.LIMIT)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(1.9)
        assert endpoint.is_open_circuit
        w.advance(0.2)
        op.result()
        assert not endpoint.is_open_circuit
        assert endpoint.connection is not before

    def test_order(self) -> None:
        """A get that was in flight when the canary fails goes before what was kept back."""
        w, key, _ = self.silent(noop_delay=60.0)
        w.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
        for _ in range(self.LIMIT):
            w.submit(ops.upsert(w.defaults, key, 0))
        read = w.submit(ops.get(w.defaults, key, quiet=True, timeout=10.0))
        w.advance(2.5)
        store = w.submit(ops.upsert(w.defaults, key, 1))
        w.delivered.clear()
        w.advance(2.5)
        assert w.delivered == [read, store]
        assert not read.result().success

    def test_off(self) -> None:
        """With a limit of 0 there is no breaker."""
        w, key, endpoint = self.silent(circuit_breaker=0)
        self.time_out(w, key, self.LIMIT)
        assert not endpoint.is_open_circuit
        op = w.submit(ops.upsert(w.defaults, key, 1))
        assert op.connection is not None
        w.advance(1.5)
        op.result()


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


class TestOrder:
    """One caller's operations on one key are written in the order of their issue."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(MOVES), max_size=25))
    def test_any_weather(self, moves: list[str]) -> None:
        """Through parking, reconnects, failovers and batches: each once, none overtaken."""
        w = World(EmbeddedCluster(nodes=2, replicas=0, clock=ManualClock()))
        w.session.start(w.now)
        key, node, issued = "key0", w.cluster.nodes[0], 0
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
        assert order == sorted(set(order))

    def test_key_without_a_node(self) -> None:
        """What waits for its key to have a node again is not overtaken by what comes later."""
        w = opened(EmbeddedCluster(nodes=2, replicas=0, clock=ManualClock()))
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
