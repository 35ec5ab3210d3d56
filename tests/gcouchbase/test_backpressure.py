"""A slow network on gevent: what waits is bounded, greenlets wait or fail, and all goes on."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Pool

from couchloop.client.backlog import HIGH
from couchloop.exceptions import (
    CouchbaseError,
    OverloadedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.hot.pipe import ROOM
from couchloop.transcoder import FMT_BYTES
from gcouchbase.bucket import Bucket
from gcouchbase.sockets import Socket
from gcouchbase.testing import ServedCluster, _GeventPeer, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import until

NOISE = os.urandom(10_000)
"""A value that no compression makes smaller."""


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Return an event; as long as it is cleared, nodes read nothing of what clients send."""
    reading = Event()
    reading.set()
    received = _GeventPeer.received

    def receive(self: _GeventPeer, data: bytes) -> None:
        reading.wait()
        received(self, data)

    monkeypatch.setattr(_GeventPeer, "received", receive)
    return reading


def open_bucket(served: ServedCluster, options: str, tls: str = "") -> Bucket:
    """Open the bucket with these options, and wait for its connections."""
    at = served.connection_string_tls if tls else served.connection_string
    text = f"{at}/default?operation_timeout=60&{options}{tls}"
    bucket = Bucket(text, username="user", password="password")
    bucket.wait_until_ready(10)
    return bucket


def kept(bucket: Bucket) -> int:
    """Count the bytes that wait to be sent, wherever: in queues, connections and transports."""
    count = bucket.queued.bytes
    for connection in bucket._driver.session.connections:
        count += sum(map(len, connection._out))
    for transport in bucket._driver.transports.values():
        assert isinstance(transport, Socket)
        count += transport._backlog.size
    return count


def fill(bucket: Bucket, count: int, ends: type[CouchbaseError] | None = None) -> list[Any]:
    """Issue so many upserts of 10 KB, in batches that are sent whole."""

    def store(start: int) -> Any:
        documents: dict[str | bytes, Any] = {f"k{start + n}": NOISE for n in range(1000)}
        try:
            return bucket.upsert_multi(documents, format=FMT_BYTES)
        except CouchbaseError as error:
            if ends is None or not isinstance(error, ends):
                raise
            return ends

    return [gevent.spawn(store, start) for start in range(0, count, 1000)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("is_secure", [False, True])
def test_memory_is_bounded(reading: Event, is_secure: bool, tmp_path: Path) -> None:
    """100,000 upserts of 10 KB for nodes that read nothing: what waits stays within the limits.

    Those that were taken are done when the nodes read again; the others have failed at once.
    """
    certificates = Certificates(tmp_path)
    limit = 4_000_000
    outcomes: Counter[str] = Counter()
    peak = 0

    def store(bucket: Bucket, start: int) -> None:
        documents: dict[str | bytes, Any] = {f"k{start + n}": NOISE for n in range(1000)}
        results: Any
        try:
            results = bucket.upsert_multi(documents, format=FMT_BYTES)
        except OverloadedError as error:
            results = error.all_results
        outcomes.update("done" if result.success else "refused" for result in results.values())

    with serve(tls=certificates.server()) as served:
        tls = f"&certpath={certificates.ca}" if is_secure else ""
        with open_bucket(served, f"max_queued_bytes={limit}", tls) as bucket:
            reading.clear()
            storing = []
            for start in range(0, 100_000, 1000):
                storing.append(gevent.spawn(store, bucket, start))
                gevent.sleep(0)
                peak = max(peak, kept(bucket))
            assert bucket.queued.bytes >= limit
            assert peak < limit + 3 * (HIGH + 3 * ROOM)
            assert not outcomes["done"]
            reading.set()
            gevent.joinall(storing, raise_error=True)
            assert outcomes.total() == 100_000
            assert outcomes["done"] > limit // len(NOISE)
            assert outcomes["refused"] > 90_000
            assert bucket.queued == (0, 0)
            assert bucket.get("k0").value == NOISE


@pytest.mark.timeout(120)
def test_greenlets_wait(served: ServedCluster, reading: Event) -> None:
    """With when_overloaded=wait greenlets wait for the network, and each is served in the end."""
    with open_bucket(served, "max_queued_operations=50&when_overloaded=wait") as bucket:
        reading.clear()
        pool = Pool(2000)

        def store(number: int) -> bool:
            return bucket.upsert(f"k{number}", NOISE, format=FMT_BYTES).success

        storing = [pool.spawn(store, number) for number in range(2000)]
        gevent.sleep(0)
        assert bucket.queued.operations > 50
        reading.set()
        gevent.joinall(storing, raise_error=True)
        assert all(greenlet.value for greenlet in storing)


@pytest.mark.timeout(120)
def test_a_batch_beyond_the_limits(served: ServedCluster, reading: Event) -> None:
    """With when_overloaded=wait a batch of twenty times what may wait is done nevertheless."""
    with open_bucket(served, "max_queued_bytes=1000000&when_overloaded=wait") as bucket:
        reading.clear()
        documents: dict[str | bytes, Any] = {f"k{number}": NOISE for number in range(2000)}
        storing = gevent.spawn(bucket.upsert_multi, documents, format=FMT_BYTES)
        gevent.sleep(0)
        assert bucket.queued.bytes > 1_000_000
        reading.set()
        assert storing.get().all_ok


@pytest.mark.timeout(120)
def test_order_on_one_key(served: ServedCluster, reading: Event) -> None:
    """What waited for the network is written in the order in which it was issued."""
    with open_bucket(served, "") as bucket:
        bucket.upsert("k", b"", format=FMT_BYTES)
        reading.clear()
        pieces = [os.urandom(9_000) for _ in range(800)]
        appending = [gevent.spawn(bucket.append, "k", piece, format=FMT_BYTES) for piece in pieces]
        gevent.sleep(0)
        assert bucket.queued.operations
        reading.set()
        gevent.joinall(appending, raise_error=True)
        assert bucket.get("k").value == b"".join(pieces)


@pytest.mark.timeout(120)
def test_killed_and_timed_out(served: ServedCluster, reading: Event) -> None:
    """A greenlet that is killed, or whose time is over, waits no more, and nothing is sent."""
    with open_bucket(served, "") as bucket:
        reading.clear()
        storing = fill(bucket, 3000)
        gevent.sleep(0)
        waiting = bucket.queued.operations
        assert waiting
        killed = gevent.spawn(bucket.upsert, "killed", 1)
        gevent.sleep(0)
        killed.kill()
        errors: list[CouchbaseError] = []
        for key in ("a", "b", "c", "d", "e", "f"):
            try:
                bucket.upsert(key, 1, timeout=0.01)
            except CouchbaseError as error:
                errors.append(error)
        assert {type(error) for error in errors} == {UnambiguousTimeoutError}
        assert "did not take the data" in str(errors[0])
        reading.set()
        gevent.joinall(storing, raise_error=True)
        assert all(greenlet.value.all_ok for greenlet in storing)
        assert not bucket.get("killed", quiet=True).success
        assert not bucket.get("a", quiet=True).success


@pytest.mark.timeout(120)
def test_closing(served: ServedCluster, reading: Event) -> None:
    """close() gives what waits its time; what is still not written then is given up."""
    bucket = open_bucket(served, "")
    reading.clear()
    storing = fill(bucket, 2000)
    gevent.sleep(0)
    closing = gevent.spawn(bucket.close, 60)
    gevent.sleep(0)
    reading.set()
    gevent.joinall(storing, raise_error=True)
    assert all(greenlet.value.all_ok for greenlet in storing)
    closing.get()

    bucket = open_bucket(served, "")
    reading.clear()
    failing = fill(bucket, 6000, ends=RequestCanceledError)
    until(lambda: kept(bucket) - bucket.queued.bytes > HIGH)
    bucket.close(0.01)
    gevent.joinall(failing, raise_error=True)
    assert {greenlet.value for greenlet in failing} >= {RequestCanceledError}
    reading.set()
    until(lambda: not served.cluster.connections())
