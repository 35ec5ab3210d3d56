"""Streams on gevent: greenlets wait, and run all user code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import gevent
import gevent.event
import pytest

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    ObjectDestroyedError,
    RequestCanceledError,
)
from couchloop.formats import Value
from couchloop.transcoder import FMT_JSON, Transcoder
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from tests.gcouchbase.support import until


def test_user_code_is_not_run_in_the_hub(cluster: Cluster) -> None:
    """Iterables, transcoders and progress functions run in the greenlet that takes, and wait."""
    hub, here = gevent.get_hub(), gevent.getcurrent()
    seen: set[object] = set()

    class Waiting(Transcoder):
        def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
            seen.add(gevent.getcurrent())
            gevent.sleep(0)
            return super().encode_value(value, format)

        def decode_value(self, value: object, flags: int) -> Value:
            seen.add(gevent.getcurrent())
            gevent.sleep(0)
            return super().decode_value(value, flags)  # type: ignore[arg-type]

    def pairs() -> Iterator[tuple[str, int]]:
        for number in range(100):
            seen.add(gevent.getcurrent())
            gevent.sleep(0)
            yield f"k{number}", number

    def progress(*_: object) -> None:
        seen.add(gevent.getcurrent())

    with cluster.open_bucket("default", transcoder=Waiting()) as bucket:
        assert bucket.upsert_stream(pairs(), progress=progress).run().done == 100
        found = {each.value for each in bucket.get_stream(key for key, _ in pairs())}
    assert found == set(range(100))
    assert seen == {here}
    assert hub not in seen


def test_closed_within_user_code(cluster: Cluster) -> None:
    """Greenlets that share a stream all end when its Bucket is closed, whoever is at work then."""
    bucket = cluster.open_bucket("default")
    outcomes: list[object] = []
    reading = gevent.event.Event()

    def pairs() -> Iterator[tuple[str, int]]:
        yield "k", 1
        reading.set()
        gevent.sleep(0.05)
        yield "l", 2

    stream = bucket.upsert_stream(pairs(), in_flight=1)

    def take() -> None:
        try:
            while True:
                next(stream)
        except (StopIteration, CouchbaseError) as error:
            outcomes.append(type(error))

    greenlets = [gevent.spawn(take) for _ in range(3)]
    reading.wait()
    bucket.close(timeout=0)
    gevent.joinall(greenlets, timeout=10, raise_error=True)
    assert len(outcomes) == 3
    assert set(outcomes) <= {ObjectDestroyedError, RequestCanceledError, StopIteration}


def test_context(bucket: Bucket) -> None:
    """A stream is a context that closes it; a generator that nobody else holds ends with it."""
    ended = []

    def pairs() -> Iterator[tuple[str, int]]:
        try:
            for number in range(10_000):
                yield f"k{number}", number
        finally:
            ended.append(True)

    with bucket.upsert_stream(pairs()) as stream:
        for result in stream:
            assert result.success
            break
    assert stream.closed
    assert ended == [True]
    assert list(stream) == []
    until(lambda: bucket._driver.session.in_flight == 0)


def test_greenlet_that_is_killed(bucket: Bucket) -> None:
    """A greenlet that is killed while it loops over a stream ends it: nothing is left."""

    def run() -> None:
        bucket.upsert_stream((f"k{number}", number) for number in range(100_000)).run()

    greenlet = gevent.spawn(run)
    bucket.upsert("k", 1)
    greenlet.kill()
    until(lambda: bucket._driver.session.in_flight == 0)


def test_async_iterables_are_refused(bucket: Bucket) -> None:
    """What has to be awaited cannot be taken from here, and that is said at once."""

    async def pairs() -> AsyncIterator[tuple[str, int]]:
        yield "a", 1

    with pytest.raises(ArgumentError, match="async"):
        bucket.upsert_stream(pairs())


def test_in_a_pipeline(bucket: Bucket) -> None:
    """Within a pipeline a stream gives its results as ever."""
    with bucket.pipeline() as pipeline:
        assert bucket.upsert_stream({"a": 1, "b": 2}).run().done == 2
        bucket.get("a")
    assert [each.value for each in pipeline.results] == [1]
