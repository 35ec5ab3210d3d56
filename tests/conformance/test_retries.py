"""What becomes of an operation that a node refuses, or never answers, over real sockets.

Which statuses are tried again, and how a strategy is asked, is in tests/core/test_retries.py; of
collections: test_collections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    ArgumentError,
    BucketAlreadyOpenError,
    ConnectionLostError,
    DocumentLockedError,
    NodeNotAvailableError,
    RateLimitedError,
    StoreLockedError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.retries import BestEffort, FailFast, RetryReason, RetryRequest
from couchloop.session.liveness import _BREAKER_SILENCE
from couchloop.wire import Opcode, Status
from tests.conformance.loops import LIMIT, Loop, cluster_of, key_of_node, opened, opened_at

KEYS = [f"key-{number}" for number in range(60)]
"""On every node there are some of these."""

thread_number = threading.get_native_id
"""The number of the thread that calls, whatever was patched."""


class Asked:
    """A strategy of a user's: it notes what it is asked, and does what the test wants."""

    def __init__(self, answer: Callable[[RetryReason], Any]) -> None:
        self.asked: list[tuple[RetryRequest, RetryReason]] = []
        self.threads: set[int] = set()
        self._answer = answer

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        self.asked.append((request, reason))
        self.threads.add(thread_number())
        answer: float | None = self._answer(reason)
        return answer


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Its bucket, with all of its connections made."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.wait_until_ready(LIMIT))
        yield bucket


def connections(bucket: Any) -> list[Any]:
    """Return our ends of the connections of a Bucket that are made."""
    found = bucket.diagnostics()["services"]["kv"]
    return sorted(each["local"] for each in found if "local" in each)


class TestRefused:
    """A node answers that it has not done it."""

    def test_a_key_that_has_moved(self, loop: Loop, served: Any, bucket: Any) -> None:
        """The node that had it tells who has it now: everything is done there, at once."""
        cluster = served.cluster
        key = key_of_node(served, bucket, 0)
        number = bucket._driver.session.config.vbucket(key.encode())
        loop.wait(bucket.upsert(key, "before"))
        # Nobody says so unasked.
        cluster.move_vbucket("default", number, cluster.nodes[1], push=False)
        strategy = Asked(lambda _: None)
        storing = [
            loop.start(bucket.upsert, key, value, retry_strategy=strategy) for value in range(10)
        ]
        assert all(each.outcome().success for each in storing)
        assert loop.wait(bucket.get(key, retry_strategy=strategy)).value == 9
        assert strategy.asked == [], "where a key is is no question of strategy"
        assert len(cluster.connections()) == 3

    def test_nodes_that_come_and_go(self, loop: Loop, served: Any, bucket: Any) -> None:
        """While vbuckets move, each operation has its own value: none fails, none is mixed up."""
        cluster = served.cluster
        loop.wait(bucket.upsert_multi({key: key for key in KEYS}))

        def work() -> None:
            storing = loop.start(bucket.upsert_multi, {key: key for key in KEYS})
            reading = [(key, loop.start(bucket.get, key)) for key in KEYS]
            assert storing.outcome().all_ok
            read()
            assert [each.outcome().value for _, each in reading] == KEYS

        def read() -> None:
            batch = loop.start(bucket.get_multi, KEYS)
            assert [result.value for result in batch.outcome().values()] == KEYS

        for _ in range(3):
            cluster.add_node()
            work()
            cluster.rebalance()
            work()
            cluster.remove_node(cluster.nodes[0])
            # Changes that were on their way to it would be ambiguous.
            read()
            loop.until(lambda: len(cluster.connections()) == 3)
            work()
        assert len(cluster.connections()) == 3

    @pytest.mark.parametrize(
        "status", [Status.ETMPFAIL, Status.EBUSY, Status.ENOMEM, Status.WOULD_THROTTLE]
    )
    def test_for_a_while(self, loop: Loop, served: Any, bucket: Any, status: Status) -> None:
        """What passes by itself is tried again until it has passed, batches too."""
        before = connections(bucket)
        fault = served.cluster.inject(key="k", status=status, count=3)
        assert loop.wait(bucket.upsert("k", 1)).success
        assert fault.hits == 3
        fault.count = 6
        results = loop.wait(bucket.get_multi(["k", *KEYS], quiet=True))
        assert results["k"].value == 1
        assert fault.hits == 6
        assert connections(bucket) == before

    def test_for_too_long(self, loop: Loop, served: Any, bucket: Any) -> None:
        """At its deadline it says what it has met: refused is not done, so nothing is ambiguous."""
        served.cluster.inject(key="k", status=Status.ETMPFAIL)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            loop.wait(bucket.upsert("k", 1, timeout=0.2))
        error = caught.value
        assert isinstance(error.__cause__, TemporaryFailError)
        assert error.context is not None
        assert error.context.reasons == ("KV_TEMPORARY_FAILURE",)
        assert error.context.attempts > 1

    def test_what_does_not_pass(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Any other refusal is its caller's, at once, and concerns nobody else."""
        fault = served.cluster.inject(key="k", status=Status.RATE_LIMITED_MAX_COMMANDS)
        failing = loop.start(bucket.upsert, "k", 1)
        assert loop.wait(bucket.upsert("other", 1)).success
        assert type(failing.outcome()) is RateLimitedError
        assert fault.hits == 1

    @pytest.mark.parametrize(
        "status", [Status.AUTH_STALE, Status.NO_BUCKET, Status.NOT_INITIALIZED]
    )
    def test_forgotten(self, loop: Loop, served: Any, bucket: Any, status: Status) -> None:
        """A node that has forgotten who we are gets a new connection; then it is done there.

        Who does not want to wait is told that the node was the reason, not the password.
        """
        before = connections(bucket)
        served.cluster.inject(opcode=Opcode.SET, key="k", status=status, count=1)
        assert loop.wait(bucket.upsert("k", 1)).success
        loop.wait(bucket.wait_until_ready(LIMIT))
        after = connections(bucket)
        assert len(set(after) - set(before)) == 1
        served.cluster.inject(opcode=Opcode.SET, key="k", status=status, count=1)
        with pytest.raises(NodeNotAvailableError) as caught:
            loop.wait(bucket.upsert("k", 2, retry_strategy=FailFast()))
        assert caught.value.is_transient
        loop.until(lambda: len(set(connections(bucket)) - set(after)) == 1)
        assert loop.wait(bucket.get("k")).value == 1

    def test_locked(self, loop: Loop, bucket: Any) -> None:
        """A locked document is its owner's: others fail at once, or wait if they want to."""
        loop.wait(bucket.upsert("k", 1))
        locked = loop.wait(bucket.lock("k", 15))
        with pytest.raises(StoreLockedError) as caught:
            loop.wait(bucket.upsert("k", 2))
        assert isinstance(caught.value, DocumentLockedError)
        strategy = Asked(lambda _: 0.01)
        waiting = loop.start(bucket.upsert, "k", 3, retry_strategy=strategy)
        loop.until(lambda: len(strategy.asked) >= 3)
        assert not waiting.done
        loop.wait(bucket.unlock("k", locked.cas))
        assert waiting.outcome().success
        assert loop.wait(bucket.get("k")).value == 3
        assert {reason for _, reason in strategy.asked} == {RetryReason.KV_LOCKED}


class TestLost:
    """A connection ends with operations under way."""

    @pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
    def test_changes(self, loop: Loop, served: Any, bucket: Any, is_done: bool) -> None:
        """What changes something is ambiguous, whether it was done or not, and not sent again."""
        loop.wait(bucket.upsert("k", "old"))
        strategy = Asked(lambda _: 0.0)
        fault = served.cluster.inject(
            opcode=Opcode.SET, key="k", lose_answer=is_done, close=not is_done
        )
        with pytest.raises(AmbiguousConnectionLostError) as caught:
            loop.wait(bucket.upsert("k", "new", retry_strategy=strategy))
        assert caught.value.is_network
        assert fault.hits == 1
        assert strategy.asked == [], "nobody is asked whether to do it twice"
        value = "new" if is_done else "old"
        assert loop.wait(bucket.get("k")).value == value

    def test_batches(self, loop: Loop, served: Any, bucket: Any) -> None:
        """A batch tells of each key what became of it; other nodes are not concerned."""
        loop.wait(bucket.upsert_multi(dict.fromkeys(KEYS, "old")))
        lost, other = (key_of_node(served, bucket, node) for node in (0, 1))
        served.cluster.inject(opcode=Opcode.SET, key=lost, close=True)
        with pytest.raises(AmbiguousConnectionLostError) as caught:
            loop.wait(bucket.upsert_multi(dict.fromkeys(KEYS, "new")))
        good, bad = caught.value.split_results()
        assert lost in bad
        assert other in good
        assert len(good) + len(bad) == len(KEYS)
        found = loop.wait(bucket.get_multi(KEYS))
        assert all(found[key].value == "new" for key in good)

    def test_reads(self, loop: Loop, served: Any, bucket: Any) -> None:
        """What changes nothing is sent again, and gets its own value."""
        loop.wait(bucket.upsert_multi({key: key for key in KEYS}))
        fault = served.cluster.inject(opcode=Opcode.GET, close=True, count=3)
        reading = [loop.start(bucket.get, key) for key in KEYS]
        assert [each.outcome().value for each in reading] == KEYS
        assert fault.hits == 3
        loop.until(lambda: len(served.cluster.connections()) == 3)

    def test_reads_that_do_not_wait(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Fail fast says that the connection was lost; nothing about it is ambiguous."""
        loop.wait(bucket.upsert("k", 1))
        served.cluster.inject(opcode=Opcode.GET, key="k", close=True, count=1)
        with pytest.raises(ConnectionLostError) as caught:
            loop.wait(bucket.get("k", retry_strategy=FailFast()))
        assert type(caught.value) is ConnectionLostError
        assert loop.wait(bucket.get("k")).value == 1


class TestStrategies:
    """Strategies, of which users may write their own."""

    def test_of_a_bucket_and_of_a_call(self, loop: Loop, served: Any) -> None:
        """A Bucket's strategy holds where a call names none; only equal ones share a Bucket."""
        cluster = cluster_of(loop, served)
        with opened(loop, cluster, retry_strategy=FailFast()) as bucket:
            assert cluster.open_bucket("default", retry_strategy=FailFast()) is bucket
            with pytest.raises(BucketAlreadyOpenError, match="retry_strategy"):
                cluster.open_bucket("default")
            # Fail fast would not wait for the node that is still being connected.
            loop.wait(bucket.get("k", quiet=True, retry_strategy=BestEffort()))
            fault = served.cluster.inject(key="k", status=Status.ETMPFAIL)
            with pytest.raises(TemporaryFailError):
                loop.wait(bucket.upsert("k", 1))
            assert fault.hits == 1
            fault.count = 3
            loop.wait(bucket.upsert("k", 1, retry_strategy=BestEffort()))
            fault.count = 6
            loop.wait(bucket.get_multi(["k"], retry_strategy=BestEffort()))
            assert fault.hits == 6

    def test_what_it_is_told(self, loop: Loop, served: Any, bucket: Any) -> None:
        """It sees a value, in the loop's thread, also where another has made the call."""
        served.cluster.inject(key="k", status=Status.ETMPFAIL, count=2)
        strategy = Asked(lambda _: 0.001)
        handle = bucket.threadsafe()
        loop.in_thread(lambda: handle.upsert("k", 1, retry_strategy=strategy))
        reason = RetryReason.KV_TEMPORARY_FAILURE
        assert strategy.asked == [
            (RetryRequest("upsert", "k", False, 1, ()), reason),
            (RetryRequest("upsert", "k", False, 2, ("KV_TEMPORARY_FAILURE",)), reason),
        ]
        assert strategy.threads == {thread_number()}

    @pytest.mark.parametrize("answer", [ZeroDivisionError, -1, "soon"], ids=str)
    def test_one_that_is_broken(self, loop: Loop, served: Any, bucket: Any, answer: Any) -> None:
        """Its operation fails with the refusal, caused by that; others and the Bucket go on."""

        def answered(_: RetryReason) -> Any:
            if answer is ZeroDivisionError:
                raise ZeroDivisionError
            return answer

        before = connections(bucket)
        served.cluster.inject(key="k", status=Status.ETMPFAIL, count=1)
        failing = loop.start(bucket.upsert, "k", 1, retry_strategy=Asked(answered))
        others = [loop.start(bucket.upsert, key, 1) for key in KEYS]
        error = failing.outcome()
        assert type(error) is TemporaryFailError
        assert isinstance(error.__cause__, ZeroDivisionError | ArgumentError)
        assert all(each.outcome().success for each in others)
        assert loop.wait(bucket.upsert("k", 1)).success
        assert connections(bucket) == before

    def test_one_that_ends_the_bucket(self, loop: Loop, served: Any) -> None:
        """It must not, but if it does the operation ends as the Bucket does, and nothing stays."""
        with opened(loop, cluster_of(loop, served)) as bucket:
            loop.wait(bucket.wait_until_ready(LIMIT))
            served.cluster.inject(key="k", status=Status.ETMPFAIL)
            closing = Asked(lambda _: bucket._close() or 0.001)
            outcome = loop.start(bucket.upsert, "k", 1, retry_strategy=closing).outcome()
            assert isinstance(outcome, Exception)
            assert bucket.closed
            assert len(closing.asked) == 1


class TestNodeAway:
    """The node of a key cannot be reached."""

    def test_it_comes_back(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Operations wait for it, those that do not want to fail at once, and then all goes on."""
        node = served.cluster.nodes[2]
        key, other = (key_of_node(served, bucket, number) for number in (2, 0))
        served.cluster.stop(node)
        loop.until(lambda: bucket._driver.session.table.route.count(None))
        waiting = loop.start(bucket.upsert, key, 1, timeout=LIMIT)
        assert loop.wait(bucket.upsert(other, 1)).success
        for call in (bucket.upsert, bucket.get):
            arguments = (1,) if call == bucket.upsert else ()
            with pytest.raises(NodeNotAvailableError) as caught:
                loop.wait(call(key, *arguments, retry_strategy=FailFast()))
            assert f"127.0.0.1:{node.ports['kv']}" in str(caught.value)
        assert not waiting.done
        served.cluster.restart(node)
        assert waiting.outcome().success
        assert loop.wait(bucket.get(key)).value == 1

    def test_it_fails_over(self, loop: Loop, served: Any, bucket: Any) -> None:
        """What waits for it is done by the node that takes its place."""
        node = served.cluster.nodes[2]
        key = key_of_node(served, bucket, 2)
        loop.wait(bucket.upsert(key, "old"))
        served.cluster.stop(node)
        loop.until(lambda: bucket._driver.session.table.route.count(None))
        reading = loop.start(bucket.get, key, timeout=LIMIT)
        storing = loop.start(bucket.upsert, key, "new", timeout=LIMIT)
        loop.turn()
        assert [reading.done, storing.done] == [False, False]
        served.cluster.failover(node)
        assert reading.outcome().value == "old"
        assert storing.outcome().success
        assert loop.wait(bucket.get(key)).value == "new"

    def test_circuit_breaker(self, loop: Loop, served: Any) -> None:
        """A node that answers nothing is asked no more; what waits for it has not been sent."""
        with opened_at(loop, f"{served.connection_string}/default?circuit_breaker=3") as bucket:
            loop.wait(bucket.wait_until_ready(LIMIT))
            self.silence(loop, served, bucket)

    @staticmethod
    def silence(loop: Loop, served: Any, bucket: Any) -> None:
        node = served.cluster.nodes[0]
        key, other = (key_of_node(served, bucket, number) for number in (0, 1))
        served.cluster.hang(node)
        # The time in which it has to be silent.
        lost = [loop.start(bucket.get, key, timeout=_BREAKER_SILENCE + 0.1) for _ in range(3)]
        assert {type(each.outcome()) for each in lost} == {UnambiguousTimeoutError}
        waiting = loop.start(bucket.upsert, key, 1, timeout=LIMIT)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            loop.wait(bucket.upsert(key, 2, timeout=0.05))
        assert caught.value.context is not None
        assert caught.value.context.reasons == ("CIRCUIT_BREAKER_OPEN",)
        assert loop.wait(bucket.upsert(other, 1)).success
        served.cluster.restart(node)
        assert waiting.outcome().success
