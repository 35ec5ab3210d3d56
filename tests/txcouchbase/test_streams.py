"""Streams on Twisted: async iterables, coroutines, and callers without them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import deferLater

from tests.txcouchbase.support import outcome
from txcouchbase.bucket import Bucket
from txcouchbase.testing import serve


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Open a bucket of an embedded cluster."""
    served = serve()
    made = Bucket(f"{served.connection_string}/default", username="user", password="password")
    yield made
    pytest_twisted.blockon(made.close())
    pytest_twisted.blockon(served.stop())


async def slowly(count: int, seen: list[str] | None = None) -> AsyncIterator[tuple[str, int]]:
    """Yield so many pairs, some of them later."""
    try:
        for number in range(count):
            if not number % 50:
                await deferLater(reactor, 0)
            yield f"k{number}", number
    finally:
        if seen is not None:
            seen.append("closed")


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_async_iterable(bucket: Bucket) -> None:
    """An async iterable is awaited; each of its keys has a result."""
    async with bucket.upsert_stream(slowly(500)) as stream:
        keys = [result.key async for result in stream]
    assert sorted(keys) == sorted(f"k{number}" for number in range(500))
    assert (stream.done, stream.failed, stream.total) == (500, 0, None)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_async_iterable_that_fails(bucket: Bucket) -> None:
    """What it raises ends the stream, after the results of what it gave before."""

    async def broken() -> AsyncIterator[tuple[str, int]]:
        yield "a", 1
        await deferLater(reactor, 0)
        raise KeyError("the source is at fault")

    stream = bucket.upsert_stream(broken())
    first = await stream.next()
    assert first is not None
    assert first.key == "a"
    with pytest.raises(KeyError, match="the source is at fault"):
        await stream.next()
    assert await stream.next() is None


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_closed_while_it_waits(bucket: Bucket) -> None:
    """A stream that is closed cancels what its source waits for."""
    asked: Deferred[None] = Deferred()
    seen: list[str] = []

    async def stuck() -> AsyncIterator[tuple[str, int]]:
        try:
            await asked
            yield "a", 1
        finally:
            seen.append("closed")

    stream = bucket.upsert_stream(stuck())
    waiting = outcome(stream.next())
    await bucket.upsert("k", 1)
    assert not waiting
    stream.close()
    await bucket.upsert("k", 1)
    assert seen == ["closed"]
    assert waiting == [None]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_without_coroutines(bucket: Bucket) -> None:
    """`next` gives a Deferred for inlineCallbacks, and `run` one for the whole."""

    @inlineCallbacks
    def taken() -> Generator[Deferred[Any], Any, list[str]]:
        stream = bucket.upsert_stream((f"k{number}", number) for number in range(300))
        keys = []
        while (result := (yield stream.next())) is not None:
            keys.append(result.key)
        return keys

    assert len(await taken()) == 300
    told: list[int] = []
    running = bucket.get_stream(
        (f"k{number}" for number in range(300)), progress=lambda done, *_: told.append(done)
    ).run()
    summary = await running
    assert (summary.done, summary.failed, summary.failures) == (300, 0, ())
    assert told[-1] == 300


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_run_is_cancelled(bucket: Bucket) -> None:
    """Cancelling the Deferred of the whole closes the stream: nothing more is issued."""
    given = iter([(f"k{number}", number) for number in range(5000)])
    stream = bucket.upsert_stream(given)
    running = stream.run()
    await bucket.upsert("k", 1)
    running.cancel()
    failed = outcome(running)
    assert isinstance(failed[0], CancelledError)
    assert stream.closed
    # The poll of the configuration may be under way.
    assert bucket._driver.session.in_flight <= 1
    assert next(given, None) is not None
