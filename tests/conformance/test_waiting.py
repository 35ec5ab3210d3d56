"""Who waits for a node that is slow, silent or gone stops nobody but himself."""

from __future__ import annotations

from collections.abc import Iterator
from threading import get_native_id
from typing import Any

import pytest

from couchloop.exceptions import AmbiguousConnectionLostError, UnambiguousTimeoutError
from couchloop.result import ValueResult
from couchloop.wire import Opcode
from tests.conformance.loops import LIMIT, Loop, Started, Ticks, cluster_of, key_of_node, opened


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


def goes_on(loop: Loop, ticker: Ticks) -> None:
    """Wait for ten more ticks."""
    seen = ticker.ticks
    loop.until(lambda: ticker.ticks >= seen + 10, "the ticker stands still")


def test_hung_server(loop: Loop, served: Any, bucket: Any) -> None:
    """Others go on between the call and its timeout, and between timeout and recovery."""
    for node in served.cluster.nodes:
        served.cluster.hang(node)
    with loop.ticking() as ticker:
        reader = loop.start(bucket.get, "a", timeout=0.2)
        goes_on(loop, ticker)
        assert not reader.done
        assert isinstance(reader.outcome(), UnambiguousTimeoutError)
        goes_on(loop, ticker)
        for node in served.cluster.nodes:
            served.cluster.restart(node)
        loop.wait(bucket.upsert("a", 1))
        goes_on(loop, ticker)


def test_slow_server(loop: Loop, served: Any, bucket: Any) -> None:
    """A slow answer delays its caller alone; a quick one overtakes it."""
    slow, quick = (key_of_node(served, bucket, node) for node in (0, 1))
    loop.wait(bucket.upsert_multi({slow: "slow", quick: "quick"}))
    injection = served.cluster.inject(opcode=Opcode.GET, key=slow, delay=0.1)
    with loop.ticking() as ticker:
        reader = loop.start(bucket.get, slow)
        loop.until(lambda: injection.hits)
        assert loop.wait(bucket.get(quick)).value == "quick"
        assert not reader.done
        goes_on(loop, ticker)
        assert reader.outcome().value == "slow"


def test_stopped_server_while_opening(loop: Loop, served: Any) -> None:
    """An opening that gets no answer stops nobody."""
    for node in served.cluster.nodes:
        served.cluster.hang(node)
    text = f"{served.connection_string}/default"
    with loop.ticking() as ticker:
        opener = loop.opening(text, username="user", password="password")
        loop.until(served.cluster.connections)
        goes_on(loop, ticker)
        assert not opener.done
        opener.cancel()
        goes_on(loop, ticker)
    loop.until(lambda: not served.cluster.connections())


def test_stopped_node(loop: Loop, served: Any, bucket: Any) -> None:
    """Operations for a node that is down wait until it is back, others are served."""
    down, up = (key_of_node(served, bucket, node) for node in (2, 0))
    served.cluster.stop(served.cluster.nodes[2])
    loop.until(lambda: bucket._driver.session.table.route.count(None))
    with loop.ticking() as ticker:
        writer = loop.start(bucket.upsert, down, 1, timeout=LIMIT)
        loop.wait(bucket.upsert(up, 2))
        goes_on(loop, ticker)
        assert not writer.done
        served.cluster.restart(served.cluster.nodes[2])
        assert writer.outcome().success


def test_late_answers(loop: Loop, served: Any, bucket: Any) -> None:
    """The answer to a request whose caller has gone is counted, and reaches nobody else."""
    key = key_of_node(served, bucket, 0)
    loop.wait(bucket.upsert(key, "old"))
    injection = served.cluster.inject(opcode=Opcode.GET, key=key, delay=0.05, count=1)
    gone = loop.start(bucket.get, key)
    loop.until(lambda: injection.hits)
    gone.cancel()
    loop.wait(bucket.upsert(key, "new"))
    assert loop.wait(bucket.get(key)).value == "new"
    loop.until(lambda: bucket._driver.session.orphans == 1)
    assert served.cluster.accepted == 3


def test_restarts_under_load(loop: Loop, served: Any, bucket: Any) -> None:
    """Nodes die and come back: every call ends with its own value or a clear error."""
    keys = [f"key-{number}" for number in range(60)]
    loop.wait(bucket.upsert_multi({key: key for key in keys}))
    cluster = served.cluster

    def begin() -> list[tuple[str, Started]]:
        return [
            (key, loop.start(call, *arguments, timeout=LIMIT))
            for key in keys
            for call, arguments in ((bucket.get, (key,)), (bucket.upsert, (key, key)))
        ]

    for node in cluster.nodes:
        # It dies amid some operations; others come while it is away.
        begun = begin()
        loop.turn()
        cluster.stop(node)
        loop.until(lambda node=node: not cluster.connections(node))  # type: ignore[misc]
        begun += begin()
        loop.turn()
        cluster.restart(node)
        for key, each in begun:
            outcome = each.outcome()
            if isinstance(outcome, ValueResult):
                assert outcome.value == key
            else:
                assert isinstance(outcome, AmbiguousConnectionLostError) or outcome.success
    loop.wait(bucket.wait_until_ready(LIMIT))
    assert [result.value for result in loop.wait(bucket.get_multi(keys)).values()] == keys
    session = bucket._driver.session
    loop.until(lambda: not session.in_flight)
    assert len(cluster.connections()) == 3


def test_beside_the_loop(loop: Loop, bucket: Any) -> None:
    """What may block runs in another thread; the loop's is told what it gave, or raised."""
    ours = get_native_id()
    where: list[int] = []
    told: list[Any] = []

    def work() -> int:
        where.append(get_native_id())
        return 7

    def fail() -> int:
        raise OSError("no such thing")

    def done(outcome: int | BaseException) -> None:
        told.append((get_native_id() == ours, outcome))

    bucket._driver.in_thread(work, done)
    loop.until(lambda: told)
    bucket._driver.in_thread(fail, done)
    loop.until(lambda: len(told) == 2)
    assert where != [ours]
    assert told[0] == (True, 7)
    assert told[1][0]
    assert isinstance(told[1][1], OSError)
