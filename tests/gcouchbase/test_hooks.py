"""What raises where nobody expects it is printed, as gevent does, and spoils nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gcouchbase.bucket import Bucket
from gcouchbase.driver import GeventDriver
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import cluster_of, until


def test_a_connection_that_cannot_be_begun(
    served: ServedCluster,
    bucket: Bucket,
    background_errors: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What keeps one node's connection from being begun is told once, and it is tried again."""
    bucket.wait_until_ready(10.0)
    make, failures = GeventDriver.make_transport, [RuntimeError("no transport")]

    def fail(driver: GeventDriver, event: Any) -> Any:
        if failures:
            raise failures[0]
        return make(driver, event)

    monkeypatch.setattr(GeventDriver, "make_transport", fail)
    served.cluster.stop(served.cluster.nodes[0])
    until(lambda: background_errors)
    failures.clear()
    served.cluster.restart(served.cluster.nodes[0])
    bucket.wait_until_ready(10.0)
    assert bucket.upsert_multi({f"k{n}": n for n in range(50)}).all_ok
    assert {str(error) for error in background_errors} == {"no transport"}
    background_errors.clear()


def test_a_thread_that_cannot_be_begun(
    served: ServedCluster, background_errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening fails at once, with that for a cause, where no login can be derived."""

    def fail(*_: object) -> None:
        raise RuntimeError("no thread")

    monkeypatch.setattr("couchloop.client.derivations._salted_passwords", {})
    monkeypatch.setattr(GeventDriver, "in_thread", fail)
    with pytest.raises(Exception, match=r"seeds|connection") as raised:
        cluster_of(served).open_bucket("default")
    assert raised.value.__cause__ is not None
    assert {str(error) for error in background_errors} == {"no thread"}
    background_errors.clear()
