"""Latencies of couchloop at 10, 50 and 80 percent of the rate that it reaches with 64 in flight.

    python -m benchmarks.client_latency LOOP OPERATION SHAPE PORT SECONDS

Each load lasts so many seconds (`benchmarks.arrivals`).
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.arrivals import Arrivals
from benchmarks.client_couchloop import connection_string
from benchmarks.measure import KEYS, run_and_leave, tell_latencies
from benchmarks.works import LOADS

WINDOW = 64
WARM_UP = 5_000
CLOSED = 30_000
"""Operations by which the maximum is found."""


def on_twisted(port: int, seconds: float) -> None:
    """Issue one operation for each arrival, in the reactor's turn that sees it."""
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import react

    from txcouchbase.cluster import Cluster, PasswordAuthenticator

    async def chain(bucket: Any, count: int) -> None:
        for number in range(count):
            await bucket.get(KEYS[number % 1000])

    async def closed(bucket: Any, count: int) -> float:
        began = time.perf_counter()
        chains = [chain(bucket, count // WINDOW) for _ in range(WINDOW)]
        await gatherResults([Deferred.fromCoroutine(each) for each in chains])
        return count / (time.perf_counter() - began)

    async def open_loop(reactor: Any, bucket: Any, rate: float) -> list[float]:
        arrivals = Arrivals(rate, seconds)
        over: Deferred[None] = Deferred()

        class Reader:
            fileno = arrivals.fileno

            def doRead(self) -> None:
                for moment in arrivals.due():
                    bucket.get(KEYS[0]).addCallbacks(done, over.errback, callbackArgs=(moment,))

            def logPrefix(self) -> str:
                return "arrivals"

            def connectionLost(self, reason: object) -> None:
                """Never happens."""

        def done(_: object, moment: float) -> None:
            if arrivals.done(moment):
                over.callback(None)

        reader: Any = Reader()
        reactor.addReader(reader)
        await over
        reactor.removeReader(reader)
        arrivals.close()
        return arrivals.latencies

    async def main(reactor: Any) -> None:
        cluster = Cluster(connection_string(port), reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        await bucket.connect()
        await closed(bucket, WARM_UP)
        maximum = await closed(bucket, CLOSED)
        found = [await open_loop(reactor, bucket, maximum * load / 100) for load in LOADS]
        tell_latencies(maximum, LOADS, found)

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


def on_gevent(port: int, seconds: float) -> None:
    """Let greenlets, as many as the synchronous client has threads, take arrivals from a queue."""
    import gevent
    from gevent.event import Event
    from gevent.queue import SimpleQueue

    from gcouchbase.cluster import Cluster, PasswordAuthenticator

    cluster = Cluster(connection_string(port))
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")

    def chain(count: int) -> None:
        for number in range(count):
            bucket.get(KEYS[number % 1000])

    def closed(count: int) -> float:
        began = time.perf_counter()
        chains = [gevent.spawn(chain, count // WINDOW) for _ in range(WINDOW)]
        gevent.joinall(chains, raise_error=True)
        return count / (time.perf_counter() - began)

    def open_loop(rate: float) -> list[float]:
        arrivals = Arrivals(rate, seconds)
        over = Event()
        arrived: Any = SimpleQueue()

        def worker() -> None:
            while True:
                moment = arrived.get()
                bucket.get(KEYS[0])
                if arrivals.done(moment):
                    over.set()

        def readable() -> None:
            for moment in arrivals.due():
                arrived.put(moment)

        workers = [gevent.spawn(worker) for _ in range(WINDOW)]

        watcher = gevent.get_hub().loop.io(arrivals.fileno(), 1)
        watcher.start(readable)
        over.wait()
        gevent.killall(workers)
        watcher.stop()
        watcher.close()
        arrivals.close()
        return arrivals.latencies

    closed(WARM_UP)
    maximum = closed(CLOSED)
    found = [open_loop(maximum * load / 100) for load in LOADS]
    tell_latencies(maximum, LOADS, found)


def main(loop: str, _operation: str, _shape: str, port: str, seconds: str) -> None:
    """Run one measurement and print it."""
    run_and_leave({"twisted": on_twisted, "gevent": on_gevent}[loop], int(port), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
