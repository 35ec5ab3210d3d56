"""What every gevent test must leave behind: no error that nobody saw, and nothing open."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import TracebackType

import gevent
import pytest

from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.testing import ServedCluster, serve
from tests.gcouchbase.support import cluster_of, open_sockets, until


@pytest.fixture(autouse=True)
def background_errors() -> Iterator[list[BaseException]]:
    """Errors of background greenlets and hub callbacks: each fails the test unless it is removed.

    gevent itself only prints them.
    """
    hub = gevent.get_hub()
    errors: list[BaseException] = []
    handle_error = hub.handle_error

    def collect(
        context: object,
        kind: type[BaseException] | None,
        value: BaseException | str | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and not issubclass(kind, hub.NOT_ERROR):
            errors.append(value if isinstance(value, BaseException) else kind(value))
        handle_error(context, kind, value, traceback)

    hub.handle_error = collect  # type: ignore[assignment, method-assign]  # called by position
    try:
        yield errors
    finally:
        hub.handle_error = handle_error  # type: ignore[method-assign]
    assert not errors, "an error in the background, printed above"


@pytest.fixture(autouse=True)
def nothing_left(background_errors: list[BaseException]) -> Iterator[None]:
    """Compare the sockets and the Buckets of this process before and after each test."""
    before = open_sockets()
    yield
    # An exception that the test has caught refers to the test's frame, which refers to it.
    gc.collect()
    until(lambda: not Bucket._registry.buckets(gevent.get_hub()), "the test has left a Bucket")
    until(lambda: open_sockets() == before, "the test has left a socket open")


@pytest.fixture
def served() -> Iterator[ServedCluster]:
    """Three nodes with the bucket `default`, served in this process."""
    with serve() as served:
        yield served


@pytest.fixture
def cluster(served: ServedCluster) -> Cluster:
    """Say where it is and who connects."""
    return cluster_of(served)


@pytest.fixture
def bucket(cluster: Cluster) -> Iterator[Bucket]:
    """Its bucket, open."""
    with cluster.open_bucket("default") as bucket:
        yield bucket
