"""The official SDK under the same measurement; runs in its own environment (tools/peers.py).

    python client_official.py API OPERATION SHAPE PORT COUNT SETTING

API: sync (64 in flight: 64 threads) or twisted. SETTING: default, or lean (tracing and metrics
off, an orjson transcoder): its fastest. With OPERATION latency COUNT is in seconds, for each load.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import orjson
from arrivals import Arrivals
from measure import DOCUMENT, KEYS, Meter, tell_latencies

WARM_UP = 2000
BATCH = 1000
LATENCIES = 3000
FLAGS = 0x02000000
ROWS_WARM_UP = 20_000
SELECTS = 300
LOADS = (10, 50, 80)
"""Percent of the maximum rate."""
CLOSED = 10_000
"""Operations by which that is found."""
STATEMENT = "SELECT d.* FROM `default` AS d USE KEYS $1"


def make_options(setting):
    """Return the cluster options of a setting."""
    from couchbase.auth import PasswordAuthenticator
    from couchbase.options import ClusterOptions, ClusterTracingOptions
    from couchbase.transcoder import Transcoder

    class OrjsonTranscoder(Transcoder):
        def encode_value(self, value):
            return orjson.dumps(value), FLAGS

        def decode_value(self, value, flags):  # noqa: ARG002 - the SDK's interface
            return orjson.loads(value)

    more = {}
    if setting == "lean":
        more = {
            "enable_tracing": False,
            "enable_metrics": False,
            "transcoder": OrjsonTranscoder(),
            "tracing_options": ClusterTracingOptions(),
        }
    return ClusterOptions(PasswordAuthenticator("user", "password"), **more)


def query_options(setting):
    """Return the options of a query: the same settings for its rows."""
    from couchbase.options import QueryOptions
    from couchbase.serializer import Serializer

    class OrjsonSerializer(Serializer):
        def serialize(self, value):
            return orjson.dumps(value)

        def deserialize(self, value):
            return orjson.loads(value)

    more = {"serializer": OrjsonSerializer()} if setting == "lean" else {}
    return QueryOptions(timeout=timedelta(seconds=300), **more)


def take_rows(result, count):
    """Take all rows of a result."""
    found = 0
    for row in result.rows():
        found += row["paid"]
    assert found == count


def select_options(setting):
    """Return the options of a query of one document."""
    options = query_options(setting)
    options["positional_parameters"] = ["k"]
    return options


def sync(meter, operation, shape, port, count, setting):
    """The blocking API: one thread, 64 threads, or the multi calls."""
    from couchbase.cluster import Cluster

    cluster = Cluster(f"couchbase://127.0.0.1:{port}", make_options(setting))
    if operation == "rows":
        take_rows(cluster.query(f"ROWS {ROWS_WARM_UP}", query_options(setting)), ROWS_WARM_UP)
        meter.start()
        take_rows(cluster.query(f"ROWS {count}", query_options(setting)), count)
        meter.stop(count)
        return
    if operation == "select":

        def select(total):
            for _ in range(total):
                take_rows(cluster.query(STATEMENT, select_options(setting)), 1)

        select(SELECTS)
        meter.start()
        select(count)
        meter.stop(count)
        return
    collection = cluster.bucket("default").default_collection()
    if operation == "latency":
        sync_latencies(collection.get, count)
        return
    if operation == "get":
        call = collection.get
    else:

        def call(key):
            return collection.upsert(key, DOCUMENT)

    if shape == "batch":
        documents = dict.fromkeys(KEYS, DOCUMENT)

        def batch():
            if operation == "get":
                collection.get_multi(KEYS)
            else:
                collection.upsert_multi(documents)

        for _ in range(WARM_UP // BATCH):
            batch()
        meter.start()
        for _ in range(count // BATCH):
            batch()
        meter.stop(count // BATCH * BATCH)
        return
    window = int(shape)

    def chain(left):
        for number in range(left):
            call(KEYS[number % 1000])

    def timed_chain(left):
        for number in range(left):
            began = time.perf_counter()
            call(KEYS[number % 1000])
            meter.latencies.append(time.perf_counter() - began)

    def run(total, work):
        if window == 1:
            work(total)
            return
        threads = [threading.Thread(target=work, args=(total // window,)) for _ in range(window)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    run(WARM_UP, chain)
    meter.start()
    run(count, chain)
    meter.stop(count // window * window)
    run(LATENCIES, timed_chain)


def sync_latencies(get, seconds):
    """64 threads take what arrives, from a queue that one more fills."""

    def in_threads(work):
        threads = [threading.Thread(target=work) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def closed(total):
        def work():
            for number in range(total // 64):
                get(KEYS[number % 1000])

        began = time.perf_counter()
        in_threads(work)
        return total / (time.perf_counter() - began)

    def open_loop(rate):
        arrivals = Arrivals(rate, seconds, blocks=True)
        moments = queue.SimpleQueue()

        def fill():
            while arrivals.has_more:
                for moment in arrivals.due():
                    moments.put(moment)
            for _ in range(64):
                moments.put(None)

        def work():
            while (moment := moments.get()) is not None:
                get(KEYS[0])
                arrivals.done(moment)

        filler = threading.Thread(target=fill)
        filler.start()
        in_threads(work)
        filler.join()
        return arrivals.latencies

    closed(WARM_UP)
    maximum = closed(CLOSED)
    tell_latencies(maximum, LOADS, [open_loop(maximum * load / 100) for load in LOADS])


async def twisted_latencies(reactor, get, seconds):
    """One call for each arrival, in the reactor's turn that sees it."""
    from twisted.internet.defer import Deferred, gatherResults

    async def chain(total):
        for number in range(total):
            await get(KEYS[number % 1000])

    async def closed(total):
        began = time.perf_counter()
        chains = [chain(total // 64) for _ in range(64)]
        await gatherResults([Deferred.fromCoroutine(each) for each in chains])
        return total / (time.perf_counter() - began)

    async def open_loop(rate):
        arrivals = Arrivals(rate, seconds)
        over = Deferred()

        class Reader:
            fileno = arrivals.fileno

            def doRead(self):
                for moment in arrivals.due():
                    get(KEYS[0]).addCallbacks(done, over.errback, callbackArgs=(moment,))

            def logPrefix(self):
                return "arrivals"

            def connectionLost(self, reason):
                """Never happens."""

        def done(_, moment):
            if arrivals.done(moment):
                over.callback(None)

        reader = Reader()
        reactor.addReader(reader)
        await over
        reactor.removeReader(reader)
        return arrivals.latencies

    await closed(WARM_UP)
    maximum = await closed(CLOSED)
    found = [await open_loop(maximum * load / 100) for load in LOADS]
    tell_latencies(maximum, LOADS, found)


def on_twisted(meter, operation, shape, port, count, setting):
    """Its Twisted API: Deferreds, chained by callbacks as ours are."""
    import txcouchbase  # noqa: F401 - installs its reactor
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, gatherResults
    from txcouchbase.cluster import TxCluster

    window = int(shape) if shape.isdigit() else 1
    failures = []

    async def main():
        cluster = TxCluster(f"couchbase://127.0.0.1:{port}", make_options(setting))
        await cluster.on_connect()
        if operation == "rows":
            found = await cluster.query(f"ROWS {ROWS_WARM_UP}", query_options(setting))
            take_rows(found, ROWS_WARM_UP)
            meter.start()
            take_rows(await cluster.query(f"ROWS {count}", query_options(setting)), count)
            meter.stop(count)
            return
        if operation == "select":

            async def select(total):
                for _ in range(total):
                    take_rows(await cluster.query(STATEMENT, select_options(setting)), 1)

            await select(SELECTS)
            meter.start()
            await select(count)
            meter.stop(count)
            return
        bucket = cluster.bucket("default")
        await bucket.on_connect()
        collection = bucket.default_collection()
        if operation == "latency":
            await twisted_latencies(reactor, collection.get, count)
            return
        if operation == "get":
            call = collection.get
        else:

            def call(key):
                return collection.upsert(key, DOCUMENT)

        def run(total, latencies=None):
            return gatherResults([chain(total // window, latencies) for _ in range(window)])

        def chain(left, latencies):
            done = Deferred()
            began = 0.0

            def step(_):
                nonlocal left, began
                if latencies is not None:
                    ended = time.perf_counter()
                    if began:
                        latencies.append(ended - began)
                    began = ended
                if left == 0:
                    done.callback(None)
                    return
                left -= 1
                call(KEYS[left % 1000]).addCallbacks(step, done.errback)

            step(None)
            return done

        await run(WARM_UP)
        meter.start()
        await run(count)
        meter.stop(count // window * window)
        await run(LATENCIES, meter.latencies)

    def end(result):
        if result is not None:
            failures.append(result)
        reactor.stop()

    # Not callWhenRunning: its event loop must run already.
    reactor.callLater(0, lambda: Deferred.fromCoroutine(main()).addBoth(end))
    reactor.run()
    if failures:
        failures[0].raiseException()


def main(api, operation, shape, port, count, setting):
    """Run one measurement and print it."""
    meter = Meter()
    {"sync": sync, "twisted": on_twisted}[api](
        meter, operation, shape, int(port), int(count), setting
    )
    if operation != "latency":
        meter.tell()
    sys.stdout.flush()
    # Its destructors may hang: what was to be measured is measured.
    import os

    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
