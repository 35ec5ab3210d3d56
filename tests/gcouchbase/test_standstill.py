"""A hub that stands still, for some greenlet blocks: answers count that came meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from couchloop.exceptions import (
    AmbiguousTimeoutError,
    CouchbaseError,
    NodeTimeoutError,
    UnambiguousTimeoutError,
)
from couchloop.pytest_plugin import CouchbaseCluster, run_cluster
from couchloop.transcoder import FMT_BYTES
from gcouchbase.bucket import Bucket
from tests.standstill import BLOCKED, TIMEOUT, assert_tells, block, stopped


@pytest.fixture(scope="module")
def process() -> Iterator[CouchbaseCluster]:
    """A cluster that runs while this process does not."""
    with run_cluster("--nodes", "1") as process:
        yield process


def opened(process: CouchbaseCluster, options: str = "") -> Bucket:
    """Open its bucket."""
    return Bucket(
        f"{process.connection_string}/default?{options}", username="user", password="password"
    )


def descriptors(bucket: Bucket) -> list[int]:
    """Return the numbers of the Bucket's sockets."""
    return [transport._sock.fileno() for transport in bucket._driver.transports.values()]  # type: ignore[attr-defined]


def spawned(
    call: Callable[..., Any], *arguments: Any, **keywords: Any
) -> gevent.Greenlet[..., Any]:
    """Begin a call, whose greenlet gives its result or its error; what it sends is written."""

    def outcome() -> Any:
        try:
            return call(*arguments, **keywords)
        except CouchbaseError as error:
            return error

    return gevent.spawn(outcome)


def written() -> None:
    """Let greenlets begin, and what they send be written."""
    for _ in range(2):
        gevent.sleep(0)


def test_answers_are_read_first(process: CouchbaseCluster) -> None:
    """What is in the socket when the hub goes on is an answer, though its time is over."""
    with opened(process) as bucket:
        bucket.upsert("k", 1)
        calls = [spawned(bucket.get, "k", timeout=TIMEOUT) for _ in range(100)]
        written()
        block(descriptors(bucket))
        assert [call.get().value for call in calls] == [1] * 100


def test_large_answers_are_read_first(process: CouchbaseCluster) -> None:
    """One of a megabyte, too, which takes many turns of the loop to read."""
    value = bytes(1_000_000)
    with opened(process, "compression=off") as bucket:
        bucket.upsert("large", value, format=FMT_BYTES)
        call = spawned(bucket.get, "large", timeout=TIMEOUT)
        written()
        block(descriptors(bucket))
        assert call.get().value == value


def test_no_answer(process: CouchbaseCluster) -> None:
    """What has no answer then ends, and its error tells of the hub, in equal words each time."""
    texts = set()
    with opened(process, "circuit_breaker=2") as bucket:
        for _ in range(2):
            with stopped(process.pid):
                stores = [spawned(bucket.upsert, "k", 1, timeout=TIMEOUT) for _ in range(5)]
                read = spawned(bucket.get, "k", timeout=TIMEOUT)
                written()
                block()
                for store in stores:
                    error = store.get()
                    assert isinstance(error, AmbiguousTimeoutError)
                    texts.add(assert_tells(error).partition(" (")[0])
                missed = read.get()
                assert isinstance(missed, UnambiguousTimeoutError)
                assert_tells(missed)
            # Nobody blames the node: its circuit breaker is closed.
            assert bucket.upsert("k", 1).success
    assert len(texts) == 1


def test_opening_while_the_hub_stands_still(process: CouchbaseCluster) -> None:
    """A node has its time while the hub runs, not while it stands still."""
    options = f"config_node_timeout={TIMEOUT}&config_total_timeout={TIMEOUT * 1.2}"
    opening = spawned(opened, process, options)
    for _ in range(3):
        written()
        block()
    with opening.get() as bucket:
        assert bucket.upsert("k", 1).success


def test_a_node_that_hangs_meanwhile(process: CouchbaseCluster) -> None:
    """Where a node does hang, the error tells of both."""
    options = f"config_node_timeout={TIMEOUT}&bootstrap_on=cccp"
    with stopped(process.pid):
        opening = spawned(opened, process, options)
        gevent.sleep(0.01)
        block()
        error = opening.get()
        assert isinstance(error, NodeTimeoutError)
        assert "answer the handshake" in str(error)
        assert "the event loop stood still meanwhile" in str(error)


def test_closing_while_the_hub_stands_still(process: CouchbaseCluster) -> None:
    """Answers count that came while the hub stood still, though the time to close is over."""
    bucket = opened(process)
    stored = spawned(bucket.upsert, "k", 1)
    written()
    closing = spawned(bucket.close, TIMEOUT)
    gevent.sleep(0)
    block(descriptors(bucket), BLOCKED)
    assert stored.get().success
    closing.get()
