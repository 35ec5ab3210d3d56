"""Options over sockets, on Twisted; `tests/core/settings/test_effects.py` has them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ServedCluster, serve

PASSWORD = "password"
LONG = "a" * 10_000


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Give what is logged, from a process on that has said nothing yet."""
    seen: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        seen.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("couchloop.client.notices._said", set())
        yield seen
    globalLogPublisher.removeObserver(observe)


@asynccontextmanager
async def opened(served: ServedCluster, options: str) -> AsyncIterator[Bucket]:
    """Open the bucket; close it in a turn of the reactor that is not its own."""
    text = f"{served.connection_string}/default?{options}"
    bucket = Bucket(text, username="user", password=PASSWORD)
    try:
        await bucket.connect()
        yield bucket
    finally:
        await turn(served.reactor, lambda: True)
        await bucket.close()


async def test_without_effect(lines: list[str]) -> None:
    """Options without effect are accepted; the log names each once, whatever opens with it."""
    served = serve()
    for _ in range(2):
        async with opened(served, "views_timeout=5&select_bucket=0&operation_timeout=3") as bucket:
            assert bucket.timeout == 3.0
            assert (await bucket.upsert("key", 1)).success
    await served.stop()
    assert [line.partition(":")[0] for line in lines if "has no effect" in line] == [
        "the option views_timeout has no effect",
        "the option select_bucket has no effect",
    ]


@pytest.mark.parametrize(
    ("options", "shrinks"),
    [
        ("compression=on", True),
        ("compression=force", True),
        ("compression=inflate_only", False),
        ("enable_compression=false", False),
        ("compression_min_size=20000", False),
        ("compression_min_ratio=0.001", False),
    ],
)
async def test_compression(options: str, shrinks: bool) -> None:
    """What is stored arrives compressed, or not; it is read as it was."""
    served = serve()
    async with opened(served, options) as bucket:
        assert (await bucket.upsert("key", LONG)).success
        assert (served.cluster.buckets["default"].used() < len(LONG) / 2) is shrinks
        assert (await bucket.get("key")).value == LONG
    async with opened(served, "compression=off") as bucket:
        assert (await bucket.get("key")).value == LONG
    await served.stop()
