"""A slow network: what waits is bounded, operations wait or fail, and all goes on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.client.backlog import HIGH
from couchloop.exceptions import (
    CouchbaseError,
    OverloadedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.hot.pipe import ROOM
from couchloop.transcoder import FMT_BYTES
from tests.certificates import Certificates
from tests.conformance.loops import LIMIT, Loop, Reading, Started, login, opened_at

NOISE = os.urandom(10_000)
"""A value that no compression makes smaller."""


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def reading(loop: Loop, served: Any) -> Iterator[Reading]:
    """Return what says whether they read."""
    with loop.reading(served) as reading:
        yield reading


def at(address: str, options: str = "") -> str:
    """Return the connection string of the bucket at *address*, with these options."""
    return f"{address}/default?operation_timeout=60&{options}"


def ready(loop: Loop, bucket: Any) -> Any:
    """Wait for all of its connections."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    return bucket


def store(loop: Loop, bucket: Any, start: int, count: int = 1000) -> Started:
    """Begin to store so many documents in one batch, which is built and issued whole."""
    documents = {f"k{start + number}": NOISE for number in range(count)}
    return loop.start(bucket.upsert_multi, documents, format=FMT_BYTES)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_memory_is_bounded(loop: Loop, is_secure: bool, tmp_path: Path) -> None:
    """20,000 upserts of 10 KB for nodes that read nothing: what waits stays within the limits.

    Those that were taken are done when the nodes read again; the others have failed at once.
    """
    certificates = Certificates(tmp_path)
    count, limit = 20_000, 4_000_000
    with loop.serving(loop.embedded(3), tls=certificates.server()) as served:
        string = at(served.connection_string, f"max_queued_bytes={limit}")
        if is_secure:
            options = f"max_queued_bytes={limit}&certpath={certificates.ca}"
            string = at(served.connection_string_tls, options)
        with opened_at(loop, string) as bucket, loop.reading(served) as reading:
            ready(loop, bucket)
            reading.stop()
            storing = []
            peak = 0
            for start in range(0, count, 1000):
                storing.append(store(loop, bucket, start))
                peak = max(peak, loop.kept(bucket))
                loop.turn()
                peak = max(peak, loop.kept(bucket))
            assert bucket.queued.bytes >= limit
            assert peak < limit + 3 * (HIGH + 3 * ROOM)
            reading.go_on()
            outcomes: Counter[bool] = Counter()
            for each in storing:
                results = each.outcome()
                if isinstance(results, OverloadedError):
                    results = results.all_results
                outcomes.update(result.success for result in results.values())
            assert outcomes.total() == count
            assert outcomes[True] > limit // len(NOISE)
            assert outcomes[False] > count // 2
            assert bucket.queued == (0, 0)
            assert loop.wait(bucket.get("k0")).value == NOISE


def test_refused(loop: Loop, served: Any, reading: Reading) -> None:
    """Each operation beyond the limits fails at once, with an OverloadedError of its own."""
    with opened_at(loop, at(served.connection_string, "max_queued_operations=8")) as bucket:
        ready(loop, bucket)
        reading.stop()
        storing = store(loop, bucket, 0)
        loop.turn()
        refused = [loop.start(bucket.upsert, "k", 1) for _ in range(2)]
        errors = [each.outcome() for each in refused]
        assert {type(error) for error in errors} == {OverloadedError}
        assert errors[0] is not errors[1]
        assert not storing.done
        reading.go_on()
        assert isinstance(storing.outcome(), OverloadedError)
        assert loop.wait(bucket.upsert("k", 1)).success


@pytest.mark.timeout(120)
def test_operations_wait(loop: Loop, served: Any, reading: Reading) -> None:
    """With when_overloaded=wait operations wait for the network, and each is done in the end."""
    string = at(served.connection_string, "max_queued_operations=50&when_overloaded=wait")
    with opened_at(loop, string) as bucket:
        ready(loop, bucket)
        reading.stop()
        storing = [
            loop.start(bucket.upsert, f"k{number}", NOISE, format=FMT_BYTES)
            for number in range(2000)
        ]
        loop.turn()
        assert bucket.queued.operations > 50
        reading.go_on()
        assert all(each.outcome().success for each in storing)


@pytest.mark.timeout(120)
def test_a_batch_beyond_the_limits(loop: Loop, served: Any, reading: Reading) -> None:
    """With when_overloaded=wait a batch of twenty times what may wait is done nevertheless."""
    string = at(served.connection_string, "max_queued_bytes=1000000&when_overloaded=wait")
    with opened_at(loop, string) as bucket:
        ready(loop, bucket)
        reading.stop()
        storing = store(loop, bucket, 0, 2000)
        for _ in range(10):
            loop.turn()
        assert bucket.queued.bytes > 1_000_000
        assert not storing.done
        reading.go_on()
        assert storing.outcome().all_ok


@pytest.mark.timeout(120)
def test_order_on_one_key(loop: Loop, served: Any, reading: Reading) -> None:
    """What waited for the network is written in the order in which it was issued."""
    with opened_at(loop, at(served.connection_string)) as bucket:
        ready(loop, bucket)
        loop.wait(bucket.upsert("k", b"", format=FMT_BYTES))
        reading.stop()
        pieces = [os.urandom(36_000) for _ in range(200)]
        appending = [loop.start(bucket.append, "k", piece, format=FMT_BYTES) for piece in pieces]
        loop.turn()
        assert bucket.queued.operations
        reading.go_on()
        assert all(each.outcome().success for each in appending)
        assert loop.wait(bucket.get("k")).value == b"".join(pieces)


@pytest.mark.timeout(120)
def test_given_up(loop: Loop, served: Any, reading: Reading) -> None:
    """An operation whose caller goes away, or whose time is over, is not sent any more."""
    with opened_at(loop, at(served.connection_string)) as bucket:
        ready(loop, bucket)
        reading.stop()
        storing = [store(loop, bucket, start) for start in range(0, 3000, 1000)]
        loop.turn()
        waiting = bucket.queued.operations
        assert waiting
        cancelled = loop.start(bucket.upsert, "cancelled", 1)
        loop.turn()
        cancelled.cancel()
        late = [loop.start(bucket.upsert, key, 1, timeout=0.01) for key in "abcdef"]
        errors: list[CouchbaseError] = [each.outcome() for each in late]
        assert {type(error) for error in errors} == {UnambiguousTimeoutError}
        assert "did not take the data" in str(errors[0])
        reading.go_on()
        assert all(each.outcome().all_ok for each in storing)
        for key in ("cancelled", *"abcdef"):
            assert not loop.wait(bucket.get(key, quiet=True)).success


@pytest.mark.timeout(120)
def test_closing_writes_what_was_issued(loop: Loop, served: Any, reading: Reading) -> None:
    """close() while the nodes read nothing: once they do, all is answered."""
    bucket = ready(loop, loop.bucket(at(served.connection_string), **login()))
    reading.stop()
    storing = [store(loop, bucket, start) for start in range(0, 2000, 1000)]
    loop.turn()
    closing = loop.start(bucket.close, 60)
    loop.turn()
    assert not closing.done
    reading.go_on()
    assert all(each.outcome().all_ok for each in storing)
    assert closing.outcome() is None


@pytest.mark.timeout(120)
def test_closing_on_a_peer_that_reads_nothing(loop: Loop, served: Any, reading: Reading) -> None:
    """What it does not take within its time is given up: the Bucket closes all the same."""
    bucket = ready(loop, loop.bucket(at(served.connection_string), **login()))
    reading.stop()
    storing = [store(loop, bucket, start) for start in range(0, 6000, 1000)]
    # Until the transports are full.
    loop.until(lambda: loop.kept(bucket) - bucket.queued.bytes > HIGH)
    loop.wait(bucket.close(0.01))
    assert all(isinstance(each.outcome(), RequestCanceledError) for each in storing)
    reading.go_on()
    loop.until(lambda: not served.cluster.connections())
