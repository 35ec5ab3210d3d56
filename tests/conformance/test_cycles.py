"""Nothing that an operation or a batch made waits for the garbage collector, on either loop."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import ref

import pytest

from couchloop import subdocument as sd
from couchloop.durability import Durability
from couchloop.exceptions import CouchbaseError
from couchloop.kv_range_scan import RangeScan
from couchloop.retries import FailFast
from couchloop.session.session import SessionState
from couchloop.transcoder import FMT_JSON, Transcoder
from tests.conformance.loops import Loop, cluster_of, open_bucket, opened
from tests.garbage import circles, needs_counting

pytestmark = needs_counting

LARGE = 1500
"""Keys of a batch that is sent in slices."""


class Failing(Transcoder):
    """Fails for some values, with an exception of its own."""

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
        """Refuse "bad"."""
        if value == "bad":
            raise RuntimeError("bad value")
        return super().encode_value(value, format)

    def decode_value(self, value: Any, flags: int) -> Any:
        """Refuse "worse"."""
        if bytes(value) == b'"worse"':
            raise RuntimeError("worse value")
        return super().decode_value(value, flags)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if something of ours that was made within could only be freed by the collector."""
    gc.collect()
    gc.disable()
    try:
        yield
        # A reactor's connector and its transport point to each other, and keep our factory, which
        # holds nothing.
        assert {type(each).__qualname__ for each in circles()} <= {"CouchbaseFactory"}
    finally:
        gc.enable()


def keys(count: int) -> list[Any]:
    """Return so many keys."""
    return [f"k{number}" for number in range(count)]


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "get": lambda b: b.get("k1"),
    "upsert": lambda b: b.upsert("k1", {"a": 1}),
    "counter": lambda b: b.counter("n", initial=1),
    "get_multi": lambda b: b.get_multi(keys(3), quiet=True),
    "upsert_multi": lambda b: b.upsert_multi(dict.fromkeys(keys(3), 1)),
    "a large get_multi": lambda b: b.get_multi(keys(LARGE), quiet=True),
    "a large upsert_multi": lambda b: b.upsert_multi(dict.fromkeys(keys(LARGE), 1)),
    "a collection": lambda b: (
        b.scope("app").collection("c").upsert_multi(dict.fromkeys(keys(3), 1))
    ),
    "a level": lambda b: b.upsert("k1", 1, durability=Durability.MAJORITY, timeout=b.timeout),
    "copies": lambda b: b.upsert("k1", 1, persist_to=1, replicate_to=1),
    "copies of many": lambda b: b.upsert_multi(dict.fromkeys(keys(300), 1), replicate_to=1),
    "endure": lambda b: b.endure("k1", timeout=b.timeout),
    "ping": lambda b: b.ping(),
    "wait_until_ready": lambda b: b.wait_until_ready(10),
}
FAILURES: dict[str, Callable[[Any], Any]] = {
    "get": lambda b: b.get("missing"),
    "insert": lambda b: b.insert("k1", 1),
    "encoding": lambda b: b.upsert("k1", "bad"),
    "decoding": lambda b: b.get("worse"),
    "a bad key": lambda b: b.get(5),
    "a path that is malformed": lambda b: b.get("k1", project=["a..b"]),
    "a path of another type": lambda b: b.retrieve_in("k1", 5),
    "a path that is no text": lambda b: b.retrieve_in("k1", "\ud800"),
    "a path that is empty": lambda b: b.mutate_in("k1", sd.array_insert("", 1)),
    "a collection": lambda b: b.collection("no").get("k1", retry_strategy=FailFast()),
    "no such level": lambda b: b.upsert("k1", 1, durability=1),
    "no such copies": lambda b: b.upsert("k1", 1, replicate_to=2),
    "copies": lambda b: b.insert("k1", 1, replicate_to=1),
    "copies of many": lambda b: b.insert_multi({"k1": 1, "new": 1, 5: 1}, replicate_to=1),
    "endure": lambda b: b.endure("missing"),
    "endure_multi": lambda b: b.endure_multi(["missing", "k1"]),
    "endure, too late": lambda b: b.endure("k1", check_removed=True, timeout=0.05),
    "get_multi": lambda b: b.get_multi(["k1", "missing", "worse"]),
    "upsert_multi": lambda b: b.upsert_multi({"a": 1, "b": "bad", 5: 1}),
    "a large get_multi": lambda b: b.get_multi([*keys(LARGE), "missing", "worse"]),
    "a large upsert_multi": lambda b: b.upsert_multi(
        {**dict.fromkeys(keys(LARGE), 1), "bad": "bad", 5: 1}
    ),
}


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve two nodes."""
    with loop.serving(loop.embedded(2)) as served:
        served.cluster.create_collection("default", "app.c")
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Open a bucket that has some documents."""
    with opened(loop, cluster_of(loop, served), transcoder=Failing()) as bucket:
        loop.wait(bucket.upsert_multi(dict.fromkeys(keys(LARGE), 1)))
        loop.wait(bucket.upsert("worse", "worse"))
        loop.wait(bucket.wait_until_ready(10))
        yield bucket


def done(loop: Loop, call: Callable[[], Any]) -> None:
    """Wait for a call, and forget how it ended."""
    if loop.name == "twisted":
        # What waits for a Deferred may keep its outcome, and be kept by it.
        ended: list[bool] = []
        call().addBoth(lambda _: ended.append(True))
        loop.until(lambda: ended)
        return
    with suppress(CouchbaseError):
        loop.wait(call())


@pytest.mark.parametrize("what", OPERATIONS)
def test_success(loop: Loop, bucket: Any, what: str) -> None:
    """After a success."""
    done(loop, lambda: OPERATIONS[what](bucket))
    with nothing_left():
        for _ in range(2):
            done(loop, lambda: OPERATIONS[what](bucket))


@pytest.mark.parametrize("what", FAILURES)
def test_failure(loop: Loop, bucket: Any, what: str) -> None:
    """After a failure."""
    done(loop, lambda: FAILURES[what](bucket))
    with nothing_left():
        for _ in range(2):
            done(loop, lambda: FAILURES[what](bucket))


@pytest.mark.parametrize("what", OPERATIONS)
def test_cancellation(loop: Loop, bucket: Any, what: str) -> None:
    """After a cancellation."""
    call = OPERATIONS[what]

    def cancel() -> None:
        started = loop.start(call, bucket)
        loop.until(lambda: bucket._driver.session.in_flight or started.done)
        started.cancel()
        loop.wait(bucket.get("k1", quiet=True))

    cancel()
    with nothing_left():
        cancel()


@pytest.mark.parametrize("what", OPERATIONS)
def test_timeout(loop: Loop, served: Any, bucket: Any, what: str) -> None:
    """After a timeout."""
    for node in served.cluster.nodes:
        served.cluster.hang(node)
    bucket.timeout = 0.05
    done(loop, lambda: OPERATIONS[what](bucket))
    with nothing_left():
        done(loop, lambda: OPERATIONS[what](bucket))


def test_streams(loop: Loop) -> None:
    """Streams and scans that end, are closed, fail or are forgotten leave nothing."""
    with (
        loop.serving(loop.embedded(3)) as served,
        opened(loop, cluster_of(loop, served), transcoder=Failing()) as bucket,
    ):
        documents: dict[str, Any] = {f"k{number}": number for number in range(200)}
        stored = [key for key in documents if key != "k5"]
        with nothing_left():
            loop.wait(bucket.upsert_stream({**documents, "k5": "bad"}).run())
            loop.wait(bucket.get_stream([*documents, "absent"]).run())
            loop.wait(bucket.scan(RangeScan(), concurrency=20).run())
            for stream in (bucket.get_stream(stored), bucket.scan(RangeScan(), concurrency=20)):
                loop.wait(loop.next(stream))
                stream.close()
            del stream
            loop.wait(loop.next(bucket.get_stream(stored)))
            loop.wait(bucket.get("k1"))


def used(loop: Loop, cluster: Any) -> Any:
    """Return a Bucket that has done something, its connections made."""
    bucket = open_bucket(loop, cluster)
    loop.wait(bucket.wait_until_ready(10))
    loop.wait(bucket.upsert("k1", 1))
    loop.wait(bucket.get_multi(keys(LARGE), quiet=True))
    return bucket


def gone(bucket: Any) -> Callable[[], bool]:
    """Return what tells whether nothing of *bucket* but its end is there any more."""
    driver = bucket._driver
    there = [ref(bucket), ref(driver), ref(driver.session)]
    there += [ref(transport) for transport in driver.transports.values()]
    assert len(there) == 5
    return lambda: all(each() is None for each in there)


def test_closed(loop: Loop, served: Any) -> None:
    """A Bucket that was closed leaves no circle: neither session, driver nor connections."""
    cluster = cluster_of(loop, served)
    loop.wait(used(loop, cluster).close())
    with nothing_left():
        bucket = used(loop, cluster)
        is_gone = gone(bucket)
        loop.wait(bucket.close())
        del bucket
        loop.until(is_gone)


def test_dropped(loop: Loop, served: Any) -> None:
    """Nor does one whose last reference goes."""
    cluster = cluster_of(loop, served)
    loop.wait(used(loop, cluster).close())
    with nothing_left():
        is_gone = gone(used(loop, cluster))
        loop.until(is_gone)


def test_not_opened(loop: Loop, served: Any) -> None:
    """Nor does one that cannot be opened."""
    cluster = cluster_of(loop, served, password="wrong")

    def refused() -> None:
        if loop.name == "gevent":
            done(loop, lambda: cluster.open_bucket("default"))
            return
        bucket = cluster.open_bucket("default")
        there = ref(bucket._driver)
        done(loop, bucket.connect)
        assert bucket._driver.session.state is SessionState.FAILED
        del bucket
        loop.until(lambda: there() is None)

    refused()
    with nothing_left():
        refused()
