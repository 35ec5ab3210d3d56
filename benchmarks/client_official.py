"""The official SDK under the same measurement; runs in its own environment (tools/peers.py).

    python client_official.py API OPERATION SHAPE PORT COUNT SETTING

API: sync (64 in flight: 64 threads) or twisted. SETTING: default, or lean (tracing and metrics
off, an orjson transcoder): its fastest.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import orjson
from measure import DOCUMENT, KEYS, Meter

WARM_UP = 2000
BATCH = 1000
LATENCIES = 3000
FLAGS = 0x02000000
ROWS_WARM_UP = 20_000
SELECTS = 300
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
    meter.tell()
    sys.stdout.flush()
    # Its destructors may hang: what was to be measured is measured.
    import os

    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
