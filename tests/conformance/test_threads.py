"""Plain threads that share a Bucket, by `bucket.threadsafe()`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from couchloop import LOCKMODE_EXC, LOCKMODE_WAIT
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from couchloop.wire import Opcode
from tests.conformance.loops import Loop, cluster_of, open_bucket, opened
from tests.threads import Threads

THREADS: Final = 64


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Its bucket, open."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


def ended(loop: Loop, threads: Threads) -> dict[int, Any]:
    """Wait, with the loop running, until all have ended; give their results."""
    loop.until(lambda: threads.ended, "a thread hangs")
    return threads.results


def error_in_thread(loop: Loop, work: Any) -> BaseException:
    """Return what *work* raises in a plain thread."""
    (error,) = ended(loop, Threads(lambda _: work(), 1)).values()
    assert isinstance(error, BaseException)
    return error


def test_many_threads(loop: Loop, served: Any, bucket: Any) -> None:
    """Each of 64 threads gets what it has stored itself, over one connection per node."""
    handle = bucket.threadsafe()

    def work(number: int) -> list[Any]:
        keys = [f"{number}-{n}" for n in range(10)]
        for key in keys:
            handle.upsert(key, {"key": key})
        handle.counter("all", initial=1)
        results = handle.get_multi(keys)
        return [results[key].value["key"] == key for key in keys]

    expected = {number: [True] * 10 for number in range(THREADS)}
    assert ended(loop, Threads(work, THREADS)) == expected
    assert loop.wait(bucket.get("all")).value == THREADS
    assert served.cluster.accepted == 3


def test_threads_pipeline(loop: Loop, served: Any, bucket: Any) -> None:
    """The server has 64 threads' requests on one connection, and has answered none of them yet.

    When the Bucket is closed then, each thread gets an error of its own.
    """
    handle = bucket.threadsafe()
    swallowed = served.cluster.inject(opcode=Opcode.GET, silent=True)
    threads = Threads(lambda _: handle.get("same key", timeout=60), THREADS)
    loop.until(lambda: swallowed.hits == THREADS)
    pending = [len(connection.pending) for connection in bucket._driver.session.connections]
    assert max(pending) >= THREADS
    assert not threads.results
    loop.wait(bucket.close(0))
    results = ended(loop, threads)
    assert {type(error) for error in results.values()} == {RequestCanceledError}
    assert len({id(error) for error in results.values()}) == THREADS


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("get", {"key": "missing"}, NotFoundError),
        ("get", {"key": ""}, ArgumentError),
        ("get_multi", {"keys": ["missing"]}, NotFoundError),
        ("get", {"key": "silent", "timeout": 0.05}, UnambiguousTimeoutError),
    ],
)
def test_errors(
    loop: Loop,
    served: Any,
    bucket: Any,
    method: str,
    arguments: dict[str, Any],
    kind: type[CouchbaseError],
) -> None:
    """The thread's call raises what the operation met, its timeout too; nothing is left of it."""
    served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    handle = bucket.threadsafe()
    error = error_in_thread(loop, lambda: getattr(handle, method)(**arguments))
    assert isinstance(error, kind)
    assert type(error) is kind or kind is ArgumentError
    assert bucket._driver.session.in_flight == 0


def test_refused(loop: Loop, bucket: Any) -> None:
    """In the loop's thread a call would wait for itself; a handle is made there only."""
    handle = bucket.threadsafe()
    with pytest.raises(WrongLoopError, match="other threads"):
        handle.get("k")
    assert isinstance(error_in_thread(loop, bucket.threadsafe), WrongLoopError)


def test_a_closed_bucket(loop: Loop, bucket: Any) -> None:
    """A thread that comes after the Bucket was closed is told so."""
    handle = bucket.threadsafe()
    loop.wait(bucket.close())
    assert handle.closed
    assert isinstance(error_in_thread(loop, lambda: handle.get("k")), ObjectDestroyedError)


def test_the_handle_keeps_the_bucket(loop: Loop, served: Any) -> None:
    """A handle, and a call under way, keep a Bucket; when they are gone it closes."""
    handles = [open_bucket(loop, cluster_of(loop, served)).threadsafe()]
    (result,) = ended(loop, Threads(lambda _: handles[0].upsert("k", 1).success, 1)).values()
    assert result is True
    assert served.cluster.connections()
    handles[0].get  # noqa: B018 - a bound method that is dropped keeps nothing
    handles.clear()
    loop.until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("mode", [LOCKMODE_WAIT, LOCKMODE_EXC])
def test_lockmodes(loop: Loop, served: Any, mode: int) -> None:
    """SDK 2.5's arguments are taken and change nothing; other values are refused."""
    cluster = cluster_of(loop, served)
    with opened(loop, cluster, lockmode=mode, unlock_gil=True) as bucket:
        assert cluster.open_bucket("default") is bucket
        assert (bucket.lockmode, bucket.unlock_gil) == (0, False)
        with pytest.raises(ArgumentError, match="LOCKMODE_WAIT"):
            cluster.open_bucket("default", lockmode=7)


def test_pipeline(loop: Loop, served: Any, bucket: Any) -> None:
    """In a pipeline a thread's calls are all under way at once, in order; others wait as ever."""
    served.cluster.create_collection("default", "a.b")
    handle = bucket.threadsafe()
    birds = handle.scope("a").collection("b")

    def work() -> Any:
        with handle.pipeline() as pipeline:
            assert handle.upsert("k", 1) is None
            assert birds.upsert("k", {"legs": 2}) is None
            for _ in range(100):
                handle.counter("k", 1)
            handle.get_multi(["k"])
            birds.map_get("k", "legs")
            # A stream's results are waited for.
            assert [each.value for each in birds.get_stream(["k"])] == [{"legs": 2}]
        stored, _, *counted, many, legs = pipeline.results
        assert stored.success
        assert [result.value for result in counted] == list(range(2, 102))
        assert (many["k"].value, legs.value) == (101, 2)
        with pytest.raises(NotFoundError) as caught, handle.pipeline() as pipeline:  # noqa: PT012 - a block
            handle.get("no")
            handle.get("k")
        assert caught.value.key == "no"
        assert [result.value for result in pipeline.results] == [None, 101]
        return handle.get("k").value

    assert loop.in_thread(work) == 101
    swallowed = served.cluster.inject(opcode=Opcode.GET, silent=True)

    def waiting(_: int) -> None:
        with handle.pipeline():
            for _ in range(50):
                handle.get("k", timeout=60)

    threads = Threads(waiting, 2)
    loop.until(lambda: swallowed.hits == 100)
    loop.wait(bucket.close(timeout=0))
    for error in ended(loop, threads).values():
        assert isinstance(error, RequestCanceledError)
