"""Range scans, prefix scans and sampling scans over real sockets, on either loop."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couchloop.embedded import BucketSettings
from couchloop.exceptions import (
    ArgumentError,
    CollectionNotFoundError,
    FeatureNotAvailableError,
    MutationTokenOutdatedError,
    TemporaryFailError,
    ValueFormatError,
)
from couchloop.kv_range_scan import PrefixScan, RangeScan, SamplingScan, ScanTerm
from couchloop.mutation_state import MutationState
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode, Status
from tests.conformance.loops import Loop, cluster_of, opened, opened_at

KEYS = [f"{first}{number:03}" for first in ("air", "sea") for number in range(200)]


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Yield an open Bucket with documents."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert_multi({key: {"id": key} for key in KEYS}))
        yield bucket


def vbuckets_of(bucket: Any, keys: list[Any]) -> dict[int, list[Any]]:
    """Return the keys of each vbucket, in the order in which they are."""
    found: dict[int, list[Any]] = {}
    for key in keys:
        number = bucket._driver.session.config.vbucket(key.encode())
        found.setdefault(number, []).append(key)
    return found


@pytest.mark.parametrize("concurrency", [1, 7, 2000])
def test_everything(loop: Loop, bucket: Any, served: Any, concurrency: int) -> None:
    """Each document is given once, with all that belongs to it, in order within a vbucket."""
    found = loop.take(bucket.scan(RangeScan(), concurrency=concurrency))
    assert sorted(each.id for each in found) == KEYS
    assert all(each.value == {"id": each.key} for each in found)
    stored = loop.wait(bucket.get(KEYS[0]))
    first = next(each for each in found if each.key == KEYS[0])
    assert (first.cas, first.flags, first.expiry) == (stored.cas, stored.flags, None)
    assert first.content_as[dict] == {"id": KEYS[0]}
    for keys in vbuckets_of(bucket, [each.key for each in found]).values():
        assert keys == sorted(keys)


def test_ranges(loop: Loop, bucket: Any) -> None:
    """Bounds belong to a range unless they are said not to; a prefix is a range, too."""

    def keys(what: Any) -> list[str]:
        found = loop.take(bucket.scan(what, ids_only=True, concurrency=100))
        assert all((each.value, each.cas) == (None, 0) for each in found)
        return sorted(each.key for each in found)

    assert keys(RangeScan("air010", "air012")) == ["air010", "air011", "air012"]
    assert keys(RangeScan(ScanTerm("air010", exclusive=True), ScanTerm(b"air012", True))) == [
        "air011"
    ]
    assert keys(RangeScan(start="sea198")) == ["sea198", "sea199"]
    assert keys(RangeScan(end="air001")) == ["air000", "air001"]
    assert keys(PrefixScan("air")) == KEYS[:200]
    assert keys(PrefixScan("sea00")) == [f"sea00{number}" for number in range(10)]
    assert keys(PrefixScan("")) == KEYS
    assert keys(PrefixScan("none")) == []
    assert keys(RangeScan("b", "a")) == []


def test_small_steps(loop: Loop, bucket: Any, served: Any) -> None:
    """However few items come at once, all come."""
    for limits in ({"batch_item_limit": 1}, {"batch_byte_limit": 1}, {"batch_byte_limit": 0}):
        found = loop.take(bucket.scan(PrefixScan("air"), concurrency=20, **limits))
        assert sorted(each.key for each in found) == KEYS[:200]


def test_samples(loop: Loop, bucket: Any) -> None:
    """A sample has so many documents at most; the same seed gives the same."""
    found = loop.take(bucket.scan(SamplingScan(5, seed=3)))
    again = loop.take(bucket.scan(SamplingScan(5, seed=3)))
    other = loop.take(bucket.scan(SamplingScan(5, seed=4)))
    assert len({each.key for each in found}) == 5
    assert [each.key for each in found] == [each.key for each in again]
    assert {each.key for each in other} <= set(KEYS)
    everything = loop.take(bucket.scan(SamplingScan(10_000), ids_only=True, concurrency=50))
    assert sorted(each.key for each in everything) == KEYS


def test_values(loop: Loop, bucket: Any) -> None:
    """Expiry, formats and compression are seen; what cannot be decoded fails by itself."""
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    loop.wait(bucket.upsert("v1", b"raw", format=FMT_BYTES))
    loop.wait(bucket.upsert("v2", "x" * 10_000, expiry=later))
    loop.wait(bucket.upsert("v3", b"{", format=FMT_BYTES))

    class Broken(type(bucket.transcoder)):  # type: ignore[misc]
        def decode_value(self, value: Any, flags: int) -> Any:
            if bytes(value) == b"{":
                raise KeyError("no")
            return super().decode_value(value, flags)

    stream = bucket.scan(PrefixScan("v"), concurrency=100, transcoder=Broken())
    found = {each.key: each for each in loop.take(stream)}
    assert found["v1"].value == b"raw"
    assert found["v2"].value == "x" * 10_000
    assert found["v2"].expiry == later
    assert isinstance(found["v3"].error, ValueFormatError)
    assert not found["v3"].success
    raw = loop.take(bucket.scan(PrefixScan("v3"), concurrency=100, no_format=True))
    assert [each.value for each in raw] == [b"{"]


def test_collections(loop: Loop, bucket: Any, served: Any) -> None:
    """A scan is of its collection alone; one that there is not ends it."""
    served.cluster.create_collection("default", "_default.birds")
    birds = bucket.collection("birds")
    loop.wait(birds.upsert_multi(dict.fromkeys(["owl", "tit"], 1)))
    found = loop.take(birds.scan(RangeScan(), concurrency=100))
    assert sorted(each.key for each in found) == ["owl", "tit"]
    fresh = bucket.scope("_default").collection("fish")
    with pytest.raises(CollectionNotFoundError) as caught:
        loop.take(fresh.scan(RangeScan(), timeout=0.5))
    assert caught.value.context is not None
    assert caught.value.context.collection == "fish"


def test_consumer_that_stops(loop: Loop, bucket: Any, served: Any) -> None:
    """A scan that is closed, or forgotten, is cancelled at the nodes: none goes on there."""

    def running() -> int:
        return sum(
            len(copy.scans)
            for partition in served.cluster.buckets["default"].partitions
            for copy in partition.copies.values()
        )

    for close in (True, False):
        stream = bucket.scan(RangeScan(), batch_item_limit=1, concurrency=10)
        loop.wait(loop.next(stream))
        assert running()
        if close:
            stream.close()
            assert loop.take(stream) == []
        del stream
        gc.collect()
        loop.until(lambda: not running() and not bucket._driver.session.in_flight)


def test_consumer_that_pauses(loop: Loop, bucket: Any, served: Any) -> None:
    """Nothing is asked of a node that the consumer does not take."""
    stream = bucket.scan(RangeScan(), batch_item_limit=1, concurrency=1)
    first = loop.wait(loop.next(stream))
    for number in range(10):
        loop.wait(bucket.upsert(f"other{number}", number))
    assert served.cluster.operations["RANGE_SCAN_CONTINUE"] <= 2
    rest = loop.take(stream)
    assert {first.key, *(each.key for each in rest)} >= set(KEYS)


def test_consistency(loop: Loop, bucket: Any) -> None:
    """A scan that is to be consistent with a change that is of another history says so."""

    class State:
        def __init__(self, number: int, seqno: int, uuid: int) -> None:
            self.said = {"default": {str(number): [seqno, str(uuid)]}, "other": {"0": [1, "1"]}}

        def as_dict(self) -> Any:
            return self.said

    number = bucket._driver.session.config.vbucket(KEYS[0].encode())
    with pytest.raises(MutationTokenOutdatedError):
        loop.take(bucket.scan(RangeScan(), consistent_with=State(number, 1, 5)))
    with pytest.raises(ArgumentError):
        bucket.scan(RangeScan(), consistent_with=5)


def test_consistent_with_changes(loop: Loop, served: Any) -> None:
    """A scan waits for the changes that it is to see, which are not on disk yet."""
    served.cluster.delay_persistence("default", math.inf)
    string = f"{served.connection_string}/default?fetch_mutation_tokens=true"
    with opened_at(loop, string) as bucket:
        state = MutationState(loop.wait(bucket.upsert("late", 1)))
        assert loop.take(bucket.scan(PrefixScan("late"), concurrency=2000)) == []
        stream = bucket.scan(PrefixScan("late"), concurrency=2000, consistent_with=state)
        running = loop.start(stream.run)
        loop.wait(bucket.get("late"))
        served.cluster.delay_persistence("default", 0.0)
        assert running.outcome().done == 1


def test_ephemeral(loop: Loop, bucket: Any, served: Any) -> None:
    """A bucket without range scans says so."""
    served.cluster.add_bucket(BucketSettings("memory", ephemeral=True))
    with (
        opened(loop, cluster_of(loop, served), "memory") as memory,
        pytest.raises(FeatureNotAvailableError, match="servers from 7"),
    ):
        loop.take(memory.scan(RangeScan()))


def test_bad_arguments(loop: Loop, bucket: Any) -> None:
    """What is no scan is refused at the call."""
    bad: Any = 5
    calls: list[Any] = [
        lambda: bucket.scan("all"),
        lambda: bucket.scan(RangeScan(bad)),
        lambda: bucket.scan(RangeScan("x" * 251)),
        lambda: bucket.scan(PrefixScan("\ud800")),
        lambda: bucket.scan(SamplingScan(0)),
        lambda: bucket.scan(SamplingScan(1, seed=-1)),
        lambda: bucket.scan(RangeScan(), concurrency=0),
        lambda: bucket.scan(RangeScan(), batch_item_limit=0),
        lambda: bucket.scan(RangeScan(), batch_byte_limit=-1),
        lambda: bucket.scan(RangeScan(), ids_only="yes"),
    ]
    for call in calls:
        with pytest.raises(ArgumentError):
            call()


def test_busy(loop: Loop, bucket: Any, served: Any) -> None:
    """What a node has no room for now is begun later; for ever is too long."""
    create = Opcode.RANGE_SCAN_CREATE
    served.cluster.inject(opcode=create, status=Status.ETMPFAIL, count=5)
    served.cluster.inject(opcode=create, status=Status.EBUSY, count=5)
    found = loop.take(bucket.scan(PrefixScan("air"), concurrency=20))
    assert sorted(each.key for each in found) == KEYS[:200]
    served.cluster.inject(opcode=create, status=Status.ETMPFAIL)
    with pytest.raises(TemporaryFailError):
        loop.take(bucket.scan(PrefixScan("air"), timeout=0.05))
