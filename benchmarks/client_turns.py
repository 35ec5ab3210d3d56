"""How long others wait for their turn while much is done on their loop.

    python -m benchmarks.client_turns LOOP OPERATION KEYS PORT TIMES

KEYS: of the batch; 1: no batch. BENCH_SIZE: bytes of each document. What is told is the CPU of the
longest turn of the loop, in milliseconds (other programs do not make it longer), how much of that
the garbage collector took, how many turns there were, and what the transcoder takes for one
document: no turn can be shorter than that.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.client_couchloop import connection_string, document
from benchmarks.measure import document_of, run_and_leave


class Turns:
    """Notes the CPU between one call and the next."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = self.collected = 0.0
        """Of the longest turn, all of it and what the collector took."""
        self._collected = self._began = 0.0
        self._last = time.thread_time()
        gc.callbacks.append(self._collecting)

    def _collecting(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collected += time.thread_time() - self._began

    def start(self) -> None:
        """Begin anew."""
        self.count, self.longest, self._collected = 0, 0.0, 0.0
        self._last = time.thread_time()

    def turn(self) -> None:
        """Take note of a turn."""
        now = time.thread_time()
        if now - self._last > self.longest:
            self.longest, self.collected = now - self._last, self._collected
        self._collected = 0.0
        self.count += 1
        self._last = now

    def tell(self, operation: str) -> None:
        """Print the figures."""
        self.turn()
        gc.callbacks.clear()
        figures = {
            "longest_ms": self.longest * 1e3,
            "collector_ms": self.collected * 1e3,
            "turns": self.count,
            "call_ms": transcoding(operation) * 1e3,
        }
        print(json.dumps(figures), flush=True)


def transcoding(operation: str) -> float:
    """Return the CPU seconds of one call of the transcoder: the least of three."""
    from couchloop.transcoder import FMT_JSON, Transcoder

    transcoder, value = Transcoder(), document()
    data = document_of(int(os.environ["BENCH_SIZE"]))

    def once() -> float:
        began = time.thread_time()
        if operation == "get":
            transcoder.decode_value(data, FMT_JSON)
        else:
            transcoder.encode_value(value, FMT_JSON)
        return time.thread_time() - began

    return min(once() for _ in range(3))


def work_of(bucket: Any, operation: str, count: int) -> Callable[[], Any]:
    """Return what makes the call."""
    keys = [f"key::{number}" for number in range(count)]
    value = document() if operation == "upsert" else None
    if count == 1 and operation == "get":
        return lambda: bucket.get(keys[0])
    if count == 1:
        return lambda: bucket.upsert(keys[0], value)
    if operation == "get":
        return lambda: bucket.get_multi(keys)
    documents = dict.fromkeys(keys, value)
    return lambda: bucket.upsert_multi(documents)


def on_twisted(operation: str, count: int, port: int) -> None:
    """Have a call that the reactor makes in each of its turns."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    from txcouchbase.cluster import Cluster, PasswordAuthenticator

    async def main(reactor: Any) -> None:
        cluster = Cluster(connection_string(port), reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        await bucket.connect()
        work = work_of(bucket, operation, count)
        await bucket.get("warm")
        turns = Turns()

        def turn() -> None:
            turns.turn()
            reactor.callLater(0, turn)

        turn()
        turns.start()
        await work()
        turns.tell(operation)

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


def on_gevent(operation: str, count: int, port: int) -> None:
    """Have a greenlet that runs in each turn of the hub."""
    import gevent

    from gcouchbase.cluster import Cluster, PasswordAuthenticator

    cluster = Cluster(connection_string(port))
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")
    work = work_of(bucket, operation, count)
    bucket.get("warm")
    turns = Turns()

    def others() -> None:
        while True:
            turns.turn()
            gevent.sleep(0)

    gevent.spawn(others)
    gevent.sleep(0)
    turns.start()
    work()
    turns.tell(operation)


def main(loop: str, operation: str, keys: str, port: str, _times: str) -> None:
    """Run one measurement and print it."""
    run_and_leave(
        {"twisted": on_twisted, "gevent": on_gevent}[loop], operation, int(keys), int(port)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
