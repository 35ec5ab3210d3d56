"""Buckets by the thousand on one reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.logger import LogPublisher, globalLogBeginner

from couchloop.exceptions import NotFoundError, RequestCanceledError
from tests.soak.left import PATIENCE, Holdings, holdings, more, sockets
from tests.soak.server import Server, serving
from txcouchbase.cluster import Cluster, PasswordAuthenticator

WARM_UP = 25


def _cluster(reactor: Any, server: Server) -> Cluster:
    cluster = Cluster(server.connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster


async def _until(reactor: Any, condition: Callable[[], object]) -> None:
    while not condition():
        await deferLater(reactor, 0.001)


async def _closed_by_hand(cluster: Cluster) -> None:
    bucket = cluster.open_bucket("default")
    await bucket.upsert("k", {"n": 1})
    await bucket.close()


async def _dropped(cluster: Cluster) -> None:
    await cluster.open_bucket("default").get("k", quiet=True)


async def _dropped_by_an_error(cluster: Cluster) -> None:
    with suppress(NotFoundError):
        async with cluster.open_bucket("default") as bucket:
            await bucket.replace("missing", 1)


async def _cut_off(cluster: Cluster) -> None:
    bucket = cluster.open_bucket("default")
    await bucket.connect()
    pending = bucket.get("k", quiet=True)
    bucket._close()
    with suppress(RequestCanceledError):
        await pending


async def _opener_cancelled(cluster: Cluster) -> None:
    opening = cluster.open_bucket("default").connect()
    opening.cancel()
    with suppress(CancelledError):
        await opening


WAYS: tuple[Callable[[Cluster], Coroutine[Any, Any, None]], ...] = (
    _closed_by_hand,
    _dropped,
    _dropped_by_an_error,
    _cut_off,
    _opener_cancelled,
)
"""How a Bucket comes to its end."""


async def _forget_cancelled_calls(reactor: Any) -> None:
    """Have a reactor drop the calls that were cancelled.

    It keeps them until they are more than fifty, and more than half of all, and drops them at the
    end of a turn: what is counted in a turn in which Buckets have ended would have all of theirs.
    """
    calls = [reactor.callLater(3600.0, int) for _ in range(200)]
    await deferLater(reactor, 0)
    # Now they stand among the others.
    for call in calls:
        call.cancel()
    await deferLater(reactor, 0)


async def _count(reactor: Any, server: Server) -> Holdings:
    await _until(reactor, lambda: not server.connections)
    # The server may not have told yet of the last that were made: there is our own end, too. One
    # that stays is counted.
    late = reactor.seconds() + PATIENCE
    await _until(reactor, lambda: sockets() <= server.sockets or reactor.seconds() > late)
    await _forget_cancelled_calls(reactor)
    calls = len(reactor.getDelayedCalls())
    return holdings(calls + len(reactor.getReaders()) + len(reactor.getWriters()))


async def _cycles(count: int, reactor: Any) -> list[str]:
    with serving(nodes=3) as server:
        cluster = _cluster(reactor, server)
        for number in range(WARM_UP * len(WAYS)):
            await WAYS[number % len(WAYS)](cluster)
        before = await _count(reactor, server)
        for number in range(count):
            await WAYS[number % len(WAYS)](cluster)
        return more(before, await _count(reactor, server), count)


async def _many(count: int, reactor: Any) -> list[str]:
    with serving(nodes=1) as server:
        cluster = _cluster(reactor, server)
        await _closed_by_hand(cluster)
        before = await _count(reactor, server)
        buckets = []
        for _ in range(count):
            bucket = cluster.open_bucket("default", shared=False)
            await bucket.connect()
            buckets.append(bucket)
        await _until(reactor, lambda: server.connections == count)
        await gatherResults([each.upsert("k", 1) for each in buckets[:: max(1, count // 100)]])
        await gatherResults([each.close() for each in buckets[::2]])
        # The other half closes with its last references.
        del bucket, buckets
        return more(before, await _count(reactor, server), count)


def _run(work: Callable[[Any], Coroutine[Any, Any, list[str]]]) -> list[str]:
    # Before its log begins, Twisted keeps what was said.
    nowhere = LogPublisher()
    globalLogBeginner.beginLoggingTo([nowhere], discardBuffer=True, redirectStandardIO=False)
    grown: list[str] = []

    def main(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(work(reactor)).addCallback(grown.extend)

    try:
        react(main)
    except SystemExit as end:
        if end.code:
            grown.append(f"the reactor ended with {end.code}")
    return grown


def cycles(count: int) -> list[str]:
    """Open and close a Bucket so many times; name what has become more."""
    return _run(partial(_cycles, count))


def many(count: int) -> list[str]:
    """Hold so many Buckets open at once, each with a connection; name what is left of them."""
    return _run(partial(_many, count))
