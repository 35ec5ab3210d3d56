"""Pipelines: one greenlet's operations that do not wait for each other."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import gevent
import pytest

from couchloop.exceptions import (
    ArgumentError,
    NotFoundError,
    ObjectDestroyedError,
    PipelineError,
)
from gcouchbase.bucket import Bucket
from gcouchbase.driver import GeventDriver
from gcouchbase.testing import serve


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Open a bucket of an embedded cluster."""
    with serve() as served:
        string = f"{served.connection_string}/default"
        with Bucket(string, username="user", password="password") as bucket:
            yield bucket


def test_results(bucket: Bucket) -> None:
    """Within it operations give None; afterwards all results are there, in order."""
    with bucket.pipeline() as pipeline:
        given: object = bucket.upsert("k", 1)
        assert given is None
        bucket.counter("n", initial=5)
        bucket.upsert("k", 2)
        bucket.get("k")
        bucket.get_multi(["k", "n"])
    stored, counted, _, read, many = pipeline.results
    assert (stored.key, counted.value, read.value) == ("k", 5, 2)
    assert many["n"].value == 5
    assert isinstance(bucket._driver, GeventDriver)
    assert bucket.get("k").value == 2


def test_collections(bucket: Bucket) -> None:
    """The collections of the Bucket take part, those made within, too."""
    before = bucket.default_collection()
    with bucket.pipeline() as pipeline:
        given: object = before.upsert("k", 1)
        within = bucket.scope("_default").collection("_default")
        assert within.get("k") is given is None
    assert [result.success for result in pipeline.results] == [True, True]
    assert before.get("k").value == 1
    assert isinstance(before._driver, GeventDriver)


def test_errors(bucket: Bucket) -> None:
    """What failed first is raised at the end, after all were waited for."""
    pipeline = bucket.pipeline()

    def issue() -> None:
        with pipeline:
            bucket.upsert("k", 1)
            bucket.get("no")
            bucket.get("neither")
            bucket.get("k")

    with pytest.raises(NotFoundError) as caught:
        issue()
    assert caught.value.key == "no"
    assert [result.success for result in pipeline.results] == [True, False, False, True]


def test_a_body_that_fails(bucket: Bucket) -> None:
    """What the body raises is what is raised, and what was issued is done nevertheless."""
    pipeline = bucket.pipeline()

    def issue() -> None:
        with pipeline:
            bucket.upsert("k", 1)
            bucket.get("no")
            bucket.get("")

    with pytest.raises(ArgumentError, match="1 to 250 bytes"):
        issue()
    assert len(pipeline.results) == 2
    assert bucket.get("k").value == 1


def test_other_greenlets(bucket: Bucket) -> None:
    """Another greenlet is not concerned, and may have a pipeline of its own."""
    bucket.upsert("k", 1)

    def other() -> list[object]:
        with bucket.pipeline() as own:
            bucket.get("k")
        return [own.results[0].value, bucket.get("k").value]

    with bucket.pipeline() as pipeline:
        bucket.upsert("l", 1)
        assert gevent.spawn(bucket.get, "k").get().value == 1
        assert gevent.spawn(other).get() == [1, 1]
        bucket.get("l")
    assert [result.success for result in pipeline.results] == [True, True]
    assert isinstance(bucket._driver, GeventDriver)


def test_nested(bucket: Bucket) -> None:
    """One greenlet has one pipeline at a time, and each is used once."""
    with bucket.pipeline() as pipeline:
        with pytest.raises(PipelineError), bucket.pipeline():
            pass
        bucket.upsert("k", 1)
    with pytest.raises(PipelineError, match="once"), pipeline:
        pass
    assert pipeline.results[0].success


def test_left_wrongly(bucket: Bucket) -> None:
    """What is not open cannot be left, and one that is open is not ended with that."""
    used = bucket.pipeline()
    with used:
        pass
    with bucket.pipeline() as pipeline:
        for each in (used, bucket.pipeline()):
            with pytest.raises(PipelineError, match="not open"):
                each.__exit__(None, None, None)
        given: object = bucket.upsert("k", 1)
        assert given is None
    assert pipeline.results[0].success


def test_left_elsewhere(bucket: Bucket) -> None:
    """A pipeline that another greenlet ends is over for the one that has begun it."""
    pipeline = bucket.pipeline()
    pipeline.__enter__()
    bucket.upsert("k", 1)
    gevent.spawn(pipeline.__exit__, None, None, None).get()
    assert pipeline.results[0].success
    assert bucket.get("k").value == 1
    assert isinstance(bucket._driver, GeventDriver)


def test_never_left(bucket: Bucket) -> None:
    """A greenlet that ends without leaving its pipeline is kept by nobody; others are as ever."""
    pipelines = [bucket.pipeline()]

    def enter() -> None:
        pipelines.pop().__enter__()

    greenlet = gevent.spawn(enter)
    greenlet.join()
    known = ref(greenlet)
    del greenlet
    # The hub has it for one more turn.
    gevent.sleep(0)
    gc.collect()
    assert known() is None
    assert bucket.upsert("k", 1).success
    with bucket.pipeline() as pipeline:
        bucket.get("k")
    assert pipeline.results[0].value == 1
    assert isinstance(bucket._driver, GeventDriver)


def test_closed(bucket: Bucket) -> None:
    """Neither a Bucket that is closed nor a pipeline of it is entered: its cause is told there."""
    pipeline = bucket.pipeline()
    bucket.close()
    for context in (pipeline, bucket):
        with pytest.raises(ObjectDestroyedError, match="is closed"), context:
            pass
    assert isinstance(bucket._driver, GeventDriver)


def test_the_bucket_is_itself(bucket: Bucket) -> None:
    """Within a pipeline the Bucket is what it is: open, with its nodes."""
    with bucket.pipeline():
        assert bucket.connected
        assert bucket.server_nodes
        assert bucket.diagnostics()
