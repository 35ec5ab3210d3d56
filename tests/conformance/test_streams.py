"""Streams over real sockets, on either loop."""

from __future__ import annotations

import gc
from _thread import get_ident
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.durability import ClientDurability, Durability
from couchloop.exceptions import (
    ArgumentError,
    InvalidDurabilityError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    TooFewReplicasError,
    ValueFormatError,
)
from couchloop.kv_range_scan import RangeScan
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode
from tests.conformance.loops import Loop, cluster_of, open_bucket, opened
from tests.conformance.test_rows import refused
from tests.threads import Threads

MANY = 5000


class Nothing:
    """An async iterable."""

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Yield an open Bucket."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


def pairs(count: int = MANY) -> Iterator[tuple[str, Any]]:
    """Yield so many documents, one after the other."""
    for number in range(count):
        yield f"k{number}", {"n": number}


def test_import_and_export(loop: Loop, bucket: Any) -> None:
    """What a generator gives is stored, and read again: each key once, with progress."""
    told: list[Any] = []
    stream = bucket.upsert_stream(pairs(), progress=lambda *numbers: told.append(numbers))
    results = loop.take(stream)
    assert sorted(result.key for result in results) == sorted(dict(pairs()))
    assert all(result.success and result.error is None for result in results)
    assert told[-1] == (MANY, 0, None)
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    keys = [key for key, _ in pairs()]
    found = loop.take(bucket.get_stream(keys, progress=lambda *numbers: told.append(numbers)))
    assert {result.key: result.value for result in found} == dict(pairs())
    assert told[-1] == (MANY, 0, MANY)
    loop.until(lambda: bucket._driver.session.in_flight == 0)


def test_all_forms(loop: Loop, bucket: Any) -> None:
    """All families have their stream, on Buckets and collections, with what a pair says."""
    keys = [f"k{number}" for number in range(20)]

    def ran(stream: Any) -> tuple[int, int]:
        summary = loop.wait(stream.run())
        return summary.done, summary.failed

    where = bucket.default_collection()
    assert ran(where.insert_stream(dict.fromkeys(keys, 1))) == (20, 0)
    assert ran(where.insert_stream(dict.fromkeys(keys, 1))) == (20, 20)
    assert ran(bucket.replace_stream((key, "a") for key in keys)) == (20, 0)
    assert ran(bucket.touch_stream(keys, ttl=100)) == (20, 0)
    assert ran(bucket.touch_stream([(key, 100) for key in keys])) == (20, 0)
    assert ran(bucket.touch_stream({"absent": 100})) == (1, 1)
    assert all(each.exists for each in loop.take(bucket.exists_stream(keys)))
    assert ran(bucket.upsert_stream(dict.fromkeys(keys, b"a"), format=FMT_BYTES)) == (20, 0)
    assert ran(bucket.append_stream(dict.fromkeys(keys, b"b"), format=FMT_BYTES)) == (20, 0)
    assert ran(bucket.prepend_stream(dict.fromkeys(keys, b"c"), format=FMT_BYTES)) == (20, 0)
    assert {each.value for each in loop.take(bucket.get_stream(keys, ttl=50))} == {b"cab"}
    assert ran(bucket.counter_stream([("n", 3), "m"], initial=1)) == (2, 0)
    cases = {each.key: each.cas for each in loop.take(bucket.get_stream(keys[:2]))}
    assert ran(bucket.remove_stream(cases)) == (2, 0)
    assert ran(bucket.remove_stream(keys)) == (20, 2)


def test_other_thread(loop: Loop, bucket: Any) -> None:
    """Results are the loop's: another thread is refused, whether any are there, or none to come."""
    loop.wait(bucket.upsert_multi(dict.fromkeys("abcd", 1)))
    stream = bucket.get_stream(list("abcd"))
    loop.wait(loop.next(stream))
    loop.until(lambda: bucket._driver.session.in_flight == 0)
    loop.wait(loop.next(stream))
    # All that was answered was read with that.
    assert len(stream._stream.ready) == 2
    assert refused(loop, lambda: loop.next(stream))
    assert refused(loop, stream.run)
    assert len(loop.take(stream)) == 2
    assert refused(loop, lambda: loop.next(stream))
    if loop.name == "gevent":
        assert refused(loop, bucket.pipeline().__enter__)


def test_failures_are_results(loop: Loop, bucket: Any) -> None:
    """A key that fails is a result that says why; the others are not concerned."""
    loop.wait(bucket.upsert("good", 1))
    found = {each.key: each for each in loop.take(bucket.get_stream(["good", "bad", ""]))}
    assert found["good"].value == 1
    assert isinstance(found["bad"].error, NotFoundError)
    assert found["bad"].error.key == "bad"
    assert not found["bad"].success
    assert isinstance(found[""].error, ArgumentError)
    stored = loop.take(bucket.upsert_stream([("a", 1), ("b", {1}), ["c"], ("d", 4)]))
    failed = [each for each in stored if not each.success]
    assert len(stored) == 4
    assert [type(each.error) for each in failed] == [ValueFormatError, ArgumentError]
    summary = loop.wait(bucket.upsert_stream([("a", 1), ("b", {1})]).run())
    assert (summary.done, summary.failed, summary.failures[0].key) == (2, 1, "b")


def test_iterable_that_raises(loop: Loop, bucket: Any) -> None:
    """What the iterable raises ends the stream, after the results of what it gave before."""

    def broken() -> Iterator[tuple[str, int]]:
        yield "a", 1
        yield "b", 2
        raise KeyError("the file is at fault")

    stream = bucket.upsert_stream(broken())
    assert {loop.wait(loop.next(stream)).key for _ in range(2)} == {"a", "b"}
    with pytest.raises(KeyError, match="the file is at fault"):
        loop.wait(loop.next(stream))
    assert loop.take(stream) == []
    assert stream.closed


def test_progress_that_raises(loop: Loop, bucket: Any) -> None:
    """What the progress function raises ends the stream, and nothing else."""

    def broken(*_: Any) -> None:
        raise KeyError("the bar is at fault")

    with pytest.raises(KeyError, match="the bar is at fault"):
        loop.wait(bucket.upsert_stream(pairs(3), progress=broken).run())
    assert loop.wait(bucket.get("k0", quiet=True)).key == "k0"


def test_consumer_that_pauses(loop: Loop, bucket: Any, served: Any) -> None:
    """Who takes nothing has nothing more issued, and little kept."""
    taken = 0

    def counted() -> Iterator[tuple[str, Any]]:
        nonlocal taken
        for pair in pairs():
            taken += 1
            yield pair

    stream = bucket.upsert_stream(counted(), in_flight=50)
    assert taken == 0
    loop.wait(loop.next(stream))
    for number in range(20):
        loop.wait(bucket.upsert(f"other{number}", number))
    assert taken <= 51 + 50
    assert len(loop.take(stream)) == MANY - 1


def test_consumer_that_stops(loop: Loop, bucket: Any, served: Any) -> None:
    """A stream that is closed, or forgotten, issues no more and leaves nothing."""
    for close in (True, False):
        stream = bucket.upsert_stream(pairs())
        loop.wait(loop.next(stream))
        assert bucket._driver.session.in_flight
        if close:
            stream.close()
            loop.until(lambda: bucket._driver.session.in_flight == 0)
            assert loop.take(stream) == []
        del stream
        gc.collect()
        loop.until(lambda: bucket._driver.session.in_flight == 0)
        loop.wait(bucket.get("k0", quiet=True))
        assert served.cluster.operations["SET"] < MANY / 2


def test_waiter_that_goes_away(loop: Loop, bucket: Any) -> None:
    """Who stops waiting for a result leaves it to the next who asks."""
    stream = bucket.upsert_stream(pairs(300))
    waiting = loop.start(lambda: loop.next(stream))
    waiting.cancel()
    assert {each.key for each in loop.take(stream)} == {key for key, _ in pairs(300)}


def test_shared_by_several(loop: Loop, bucket: Any) -> None:
    """Several may wait at the same stream: each result is given to one of them."""
    stream = bucket.upsert_stream(pairs(10))
    waiting = [loop.start(lambda: loop.next(stream)) for _ in range(12)]
    outcomes = [each.outcome() for each in waiting]
    assert sorted(each.key for each in outcomes if each is not None) == sorted(dict(pairs(10)))
    assert outcomes.count(None) == 2


def test_bucket_that_is_closed(loop: Loop, served: Any) -> None:
    """A Bucket that is closed ends its streams: first the results, then why there are no more."""
    bucket = open_bucket(loop, cluster_of(loop, served))
    stream = bucket.upsert_stream(pairs())
    loop.wait(loop.next(stream))
    bucket._close()
    results: list[Any] = []

    def take_all() -> None:
        while True:
            results.append(loop.wait(loop.next(stream)))

    with pytest.raises((ObjectDestroyedError, RequestCanceledError)):
        take_all()
    assert any(isinstance(each.error, RequestCanceledError) for each in results)
    assert loop.take(stream) == []
    loop.wait(bucket.close())


def test_bad_arguments(loop: Loop, bucket: Any) -> None:
    """What is no iterable, and bounds that are none, are refused at the call."""
    calls: list[Any] = [
        lambda: bucket.get_stream("key"),
        lambda: bucket.get_stream(5),
        lambda: bucket.get_stream([], in_flight=0),
        lambda: bucket.get_stream([], max_bytes=True),
        lambda: bucket.get_stream([], progress=1),
    ]
    for call in calls:
        with pytest.raises(ArgumentError):
            call()
    assert loop.take(bucket.get_stream([])) == []


def test_bounds(loop: Loop, bucket: Any) -> None:
    """No more operations, and no more bytes, are under way than was said."""
    most = 0
    session = bucket._driver.session

    def seen(size: int) -> Iterator[tuple[str, Any]]:
        nonlocal most
        for number in range(200):
            most = max(most, session.in_flight)
            yield f"k{number}", "x" * size

    assert loop.wait(bucket.upsert_stream(seen(1), in_flight=7).run()).done == 200
    assert 5 <= most <= 7
    most = 0
    assert loop.wait(bucket.upsert_stream(seen(10_000), max_bytes=50_000).run()).done == 200
    assert 3 <= most <= 6


class TestThreads:
    """Streams of plain threads, by `bucket.threadsafe()`."""

    def test_import_and_export(self, loop: Loop, bucket: Any) -> None:
        """What a generator gives is stored and read again; it, and progress, run in the thread."""
        handle = bucket.threadsafe()
        told: list[Any] = []
        places: set[int] = set()

        def given() -> Iterator[tuple[str, Any]]:
            for key, value in pairs():
                places.add(get_ident())
                if value["n"] == 100:
                    # The loop is free: this waits for it.
                    assert handle.exists("k0")
                yield key, value

        def progress(*numbers: Any) -> None:
            places.add(get_ident())
            told.append(numbers)

        def work() -> int:
            results = list(handle.upsert_stream(given(), progress=progress))
            assert sorted(each.key for each in results) == sorted(dict(pairs()))
            assert all(each.success for each in results)
            keys = [key for key, _ in pairs()]
            with handle.get_stream(keys) as found:
                assert {each.key: each.value for each in found} == dict(pairs())
            assert found.closed
            return get_ident()

        assert {loop.in_thread(work)} == places
        assert told[-1] == (MANY, 0, None)
        done = [each for each, _, _ in told]
        assert done == sorted({*done})
        loop.until(lambda: bucket._driver.session.in_flight == 0)

    def test_failures(self, loop: Loop, bucket: Any, served: Any) -> None:
        """A key that fails is a result; what the iterable or progress raises comes last."""
        served.cluster.create_collection("default", "a.b")
        handle = bucket.threadsafe().scope("a").collection("b")

        def broken() -> Iterator[Any]:
            yield from [("a", 1), ("b", {1}), "c", ("d", 2)]
            raise LookupError

        def slip(*_: Any) -> None:
            raise ZeroDivisionError

        def work() -> None:
            stream = handle.upsert_stream(broken())
            found: list[Any] = []
            with pytest.raises(LookupError):
                found.extend(stream)
            errors = {each.key: type(each.error) for each in found}
            assert errors == {
                "a": type(None),
                "b": ValueFormatError,
                "c": ArgumentError,
                "d": type(None),
            }
            assert list(stream) == []
            with pytest.raises(ZeroDivisionError):
                handle.get_stream(["a", "b", "d"], progress=slip).run()
            summary = handle.get_stream(["a", "no", "d"]).run()
            assert (summary.done, summary.failed) == (3, 1)
            error = summary.failures[0].error
            assert isinstance(error, NotFoundError)
            assert error.context is not None
            assert error.context.collection == "b"
            assert len(list(handle.scan(RangeScan()))) == 2
            with pytest.raises(ArgumentError):
                handle.get_stream(Nothing())
            with pytest.raises(ArgumentError):
                handle.get_stream(["a"], in_flight=0)

        loop.in_thread(work)

    def test_bounds(self, loop: Loop, bucket: Any) -> None:
        """No more is under way, and no more is read ahead, than was said; a pause is one."""
        handle = bucket.threadsafe()
        session = bucket._driver.session
        read = most = 0

        def given() -> Iterator[tuple[str, Any]]:
            nonlocal read, most
            for key, value in pairs(200):
                read += 1
                most = max(most, session.in_flight)
                yield key, value

        def work() -> None:
            stream = handle.upsert_stream(given(), in_flight=7)
            next(stream)
            assert read <= 8
            for got, _ in enumerate(stream, 2):
                assert read <= got + 7 + len(stream._stream.ready)
            assert stream.done == 200

        loop.in_thread(work)
        assert most <= 7

    def test_copies(self, loop: Loop, bucket: Any) -> None:
        """Streams of threads watch copies, by argument or by the block of their thread."""
        handle = bucket.threadsafe()

        def work() -> None:
            assert handle.upsert_stream(pairs(50), replicate_to=1).run().failed == 0
            with handle.durability(persist_to=1, replicate_to=3):
                summary = handle.upsert_stream(pairs(5)).run()
            assert [type(each.error) for each in summary.failures] == [TooFewReplicasError] * 5

        loop.in_thread(work)

    def test_stops(self, loop: Loop, bucket: Any, served: Any) -> None:
        """A thread that stops leaves nothing under way, by closing the stream or forgetting it."""
        handle = bucket.threadsafe()

        def work() -> Any:
            with handle.upsert_stream(pairs()) as stream:
                next(stream)
            next(handle.upsert_stream(pairs()))
            gc.collect()
            return stream.done

        assert loop.in_thread(work) < 2000
        loop.until(lambda: bucket._driver.session.in_flight == 0)
        assert served.cluster.operations["SET"] < 4000

    def test_shared(self, loop: Loop, bucket: Any) -> None:
        """Several threads share a stream: each result is one thread's."""
        handle = bucket.threadsafe()
        stream = loop.in_thread(lambda: handle.upsert_stream(pairs(2000)))
        threads = Threads(lambda _: [each.key for each in stream], 4)
        loop.until(lambda: threads.ended, "a thread hangs")
        keys = [key for found in threads.results.values() for key in found]
        assert sorted(keys) == sorted(dict(pairs(2000)))

    def test_closed_bucket(self, loop: Loop, served: Any) -> None:
        """A Bucket that is closed ends them: what is there comes first."""
        bucket = open_bucket(loop, cluster_of(loop, served))
        handle = bucket.threadsafe()
        served.cluster.inject(opcode=Opcode.GET, silent=True)

        def work(_: int) -> None:
            for each in handle.get_stream(map(str, range(10**6)), timeout=60.0):
                assert isinstance(each.error, RequestCanceledError | ObjectDestroyedError)

        threads = Threads(work, 2)
        loop.until(lambda: bucket._driver.session.in_flight >= 32)
        loop.wait(bucket.close(timeout=0))
        loop.until(lambda: threads.ended, "a thread hangs")
        for error in threads.results.values():
            assert isinstance(error, RequestCanceledError | ObjectDestroyedError)


def test_length_hint(loop: Loop, bucket: Any) -> None:
    """A stream of something with a length tells how much is still to come."""
    stream: Any = bucket.upsert_stream([("a", 1), ("b", 2)])
    assert stream.__length_hint__() == 2
    loop.wait(loop.next(stream))
    assert stream.__length_hint__() == 1
    assert bucket.upsert_stream(pairs()).__length_hint__() == 0


def test_durability(loop: Loop, bucket: Any, served: Any) -> None:
    """Streams have the server's levels, and that of the block in which they are made, for good."""
    majority = Durability.MAJORITY
    summary = loop.wait(bucket.upsert_stream(pairs(50), durability=majority).run())
    assert (summary.done, summary.failed) == (50, 0)
    copies = loop.take(bucket.upsert_stream(pairs(50), durability=ClientDurability(1, 1)))
    assert all(result.success and result.cas for result in copies)
    plain = bucket.upsert_stream(pairs(50))
    with bucket.durability(persist_to=1):
        assert loop.wait(plain.run()).done == 50
        in_block = bucket.upsert_stream(pairs(2), replicate_to=3)
    failures = loop.wait(in_block.run()).failures
    assert [type(each.error) for each in failures] == [TooFewReplicasError] * 2
    with pytest.raises(InvalidDurabilityError):
        bucket.upsert_stream(pairs(2), durability=majority, persist_to=1)
