"""Buckets as guests of gevent's loops: several hubs at once, what iterates, what may end a hub."""

from __future__ import annotations

import threading
from functools import partial

import gevent
from gevent.pool import Group

from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import cluster_of, in_thread, key_of_node, until

HUBS = 8
CALLS = 200


def test_hubs_of_threads(served: ServedCluster) -> None:
    """Each of eight hubs in threads has its own Bucket; each gets its own values, all at once."""
    opened = 0

    def work(hub: int) -> list[int]:
        nonlocal opened
        with cluster_of(served).open_bucket("default") as bucket:
            bucket.wait_until_ready(10.0)
            opened += 1
            # Nobody closes before all are there.
            while opened < HUBS:
                gevent.sleep(0.001)

            def call(number: int) -> int:
                bucket.upsert(f"{hub}-{number}", hub * CALLS + number)
                return int(bucket.get(f"{hub}-{number}").value)

            values = Group().map(call, range(CALLS))
            assert len(connections_of(bucket)) == 3
        gevent.get_hub().destroy(destroy_loop=True)
        return list(values)

    threads = [gevent.spawn(in_thread, partial(work, hub)) for hub in range(HUBS)]
    gevent.joinall(threads, raise_error=True)
    assert [thread.get() for thread in threads] == [
        list(range(hub * CALLS, (hub + 1) * CALLS)) for hub in range(HUBS)
    ]
    assert served.cluster.accepted == HUBS * 3
    until(lambda: not served.cluster.connections())


def connections_of(bucket: Bucket) -> list[object]:
    """Return the connections of a Bucket's diagnostics that are made."""
    nodes = bucket.diagnostics()["services"]["kv"]
    return [node for node in nodes if node["state"] == "connected"]


def test_iwait(served: ServedCluster, bucket: Bucket) -> None:
    """gevent.iwait gives each call as soon as it is done, whatever the order of their issue."""
    # One node answers in the order of the requests.
    slow, quick = (key_of_node(served, bucket, node) for node in (0, 1))
    bucket.upsert_multi({slow: 1, quick: 2})
    served.cluster.inject(opcode=Opcode.GET, key=slow, delay=0.05, count=1)
    calls = {gevent.spawn(bucket.get, key): key for key in (slow, quick)}
    assert [calls[done] for done in gevent.iwait(calls)] == [quick, slow]


def test_no_loop_exit_while_something_waits(served: ServedCluster) -> None:
    """In a thread whose hub has nothing else to do: each kind of waiting goes on to its end."""
    cluster = served.cluster
    node = cluster.nodes[0]
    ready, stopped, waiting = threading.Event(), threading.Event(), threading.Event()

    def work() -> object:
        # It waits for the opening, an answer, a node that is away, the last answer, the end.
        bucket = cluster_of(served).open_bucket("default")
        bucket.upsert("k", 1)
        found = bucket.get("k").value
        bucket.wait_until_ready(10.0)
        ready.set()
        stopped.wait()
        waiting.set()
        bucket.wait_until_ready(10.0)
        last = gevent.spawn(bucket.upsert, "k", 2)
        gevent.sleep(0)
        bucket.close()
        last.get()
        gevent.get_hub().destroy(destroy_loop=True)
        return found

    for opcode in (Opcode.HELLO, Opcode.GET, Opcode.SET):
        cluster.inject(opcode=opcode, delay=0.05)
    outcome = gevent.spawn(in_thread, work)
    until(ready.is_set)
    cluster.stop(node)
    stopped.set()
    until(waiting.is_set)
    cluster.restart(node)
    assert outcome.get() == 1
