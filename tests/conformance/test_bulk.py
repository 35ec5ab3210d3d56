"""Large batches over real sockets, on either loop."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from couchloop.exceptions import ObjectDestroyedError, RequestCanceledError, ValueFormatError
from couchloop.transcoder import FMT_JSON, Transcoder
from tests.conformance.loops import (
    Loop,
    cluster_at,
    cluster_of,
    key_of_node,
    open_bucket,
    opened,
)

MANY = 5000
thread_number = threading.get_native_id
"""The number of the thread that calls, whatever was patched."""


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


def documents(count: int = MANY) -> dict[Any, Any]:
    """Return so many documents."""
    return {f"k{number}": {"n": number} for number in range(count)}


def test_many(loop: Loop, served: Any) -> None:
    """Thousands of documents are stored on a fresh Bucket, and read, in their order."""
    cluster = cluster_of(loop, served)
    bucket = cluster.open_bucket("default")
    results = loop.wait(bucket.upsert_multi(documents()))
    assert results.all_ok
    assert list(results) == list(documents())
    found = loop.wait(bucket.get_multi(list(documents())))
    assert {key: result.value for key, result in found.items()} == documents()
    loop.wait(bucket.close())


def test_others_go_on(loop: Loop, served: Any) -> None:
    """While a large batch is under way, what others issue is answered long before its end."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        storing = loop.start(bucket.upsert_multi, documents())
        for number in range(5):
            loop.wait(bucket.upsert(f"other{number}", 1))
            assert not storing.done
        changed = loop.wait(bucket.upsert(f"k{MANY - 1}", "later"))
        assert storing.outcome().all_ok
        assert loop.wait(bucket.get(f"k{MANY - 1}")).value == "later"
        assert changed.cas == loop.wait(bucket.get(f"k{MANY - 1}")).cas


class Noting(Transcoder):
    """Notes in which turn of the loop each value is decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.turn: Callable[[], int] = int
        self.seen: list[int] = []

    def decode_value(self, value: Any, flags: int) -> Any:
        """Take note, and read it."""
        self.seen.append(self.turn())
        return super().decode_value(value, flags)


def test_long_answers(loop: Loop, served: Any) -> None:
    """A batch of long documents is read in turns of the loop, and others have theirs between."""
    noting = Noting()
    long = {f"k{number}": "v" * 60_000 for number in range(100)}
    with opened(loop, cluster_of(loop, served), transcoder=noting) as bucket:
        loop.wait(bucket.upsert("other", 1))
        assert loop.wait(bucket.upsert_multi(long)).all_ok
        with loop.ticking() as ticks:
            noting.turn = lambda: ticks.ticks
            reading = loop.start(bucket.get_multi, list(long))
            loop.until(lambda: noting.seen)
            assert loop.wait(bucket.get("other")).value == 1
            assert not reading.done
            results = reading.outcome()
        assert {key: result.value for key, result in results.items()} == long
        # The core's tests say how much one slice may be. Between two ticks, which are a millisecond
        # apart, there may be some slices of each node; without slices it would be all of them.
        assert max(Counter(noting.seen).values()) <= len(long) // 2


def test_a_long_document(loop: Loop, served: Any) -> None:
    """While a document of 10 MB comes from one node, operations on others are answered."""
    cluster = cluster_at(loop, f"{served.connection_string}?compression=off")
    with opened(loop, cluster) as bucket:
        here, elsewhere = (key_of_node(served, bucket, node) for node in (0, 1))
        text = "v" * 10_000_000
        loop.wait(bucket.upsert(here, text))
        loop.wait(bucket.upsert(elsewhere, 1))
        reading, others = loop.start(bucket.get, here), 0
        while not reading.done:
            loop.wait(bucket.get(elsewhere))
            others += 1
        assert others > 3
        assert reading.outcome().value == text


def test_failures(loop: Loop, served: Any) -> None:
    """What cannot be encoded is its own key's failure."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        values = documents()
        values["k3"] = values[f"k{MANY - 3}"] = {1}
        with pytest.raises(ValueFormatError) as caught:
            loop.wait(bucket.upsert_multi(values))
        good, bad = caught.value.split_results()
        assert set(bad) == {"k3", f"k{MANY - 3}"}
        assert len(good) == MANY - 2


def test_cancelled(loop: Loop, served: Any) -> None:
    """A batch whose caller goes away is not sent further, and leaves nothing."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        storing = loop.start(bucket.upsert_multi, documents())
        loop.wait(bucket.upsert("other", 1))
        assert bucket.queued.operations
        storing.cancel()
        loop.until(lambda: not bucket.queued.operations)
        loop.wait(bucket.get("other"))
        assert served.cluster.operations["SET"] < MANY
        assert bucket._driver.session.in_flight == 0


def test_closed(loop: Loop, served: Any) -> None:
    """A Bucket that is closed at once fails what was not sent; every key has its result."""
    bucket = open_bucket(loop, cluster_of(loop, served))
    storing = loop.start(bucket.upsert_multi, documents())
    loop.wait(bucket.upsert("other", 1))
    bucket._close()
    error = storing.outcome()
    assert isinstance(error, RequestCanceledError)
    assert len(error.all_results or ()) == MANY
    loop.wait(bucket.close())


def test_after_the_close(loop: Loop, served: Any) -> None:
    """A large batch of a Bucket that is closed fails, with a result for each key."""
    bucket = open_bucket(loop, cluster_of(loop, served))
    loop.wait(bucket.close())
    for call in (bucket.upsert_multi, bucket.get_multi):
        issued = loop.start(call, documents())
        error = issued.outcome()
        assert isinstance(error, ObjectDestroyedError)
        assert len(error.all_results or ()) == MANY


def test_from_a_thread(loop: Loop, served: Any) -> None:
    """A thread's batch is encoded in the thread, and sent in slices as well."""
    seen: set[int] = set()

    class Where(Transcoder):
        def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
            seen.add(thread_number())
            return super().encode_value(value, format)

    with opened(loop, cluster_of(loop, served), transcoder=Where()) as bucket:
        here = thread_number()
        handle = bucket.threadsafe()
        results = loop.in_thread(lambda: handle.upsert_multi(documents()))
        assert results.all_ok
        assert len(seen) == 1
        assert here not in seen
