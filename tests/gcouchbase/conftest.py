"""What every gevent test must leave behind: no error that nobody saw, and nothing open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.testing import ServedCluster, serve
from tests.gcouchbase.support import cluster_of, no_background_errors, nothing_left


@pytest.fixture(autouse=True)
def background_errors() -> Iterator[list[BaseException]]:
    """See `no_background_errors`."""
    with no_background_errors() as errors:
        yield errors


@pytest.fixture(autouse=True)
def left(background_errors: list[BaseException]) -> Iterator[None]:
    """See `nothing_left`."""
    with nothing_left():
        yield


@pytest.fixture
def served() -> Iterator[ServedCluster]:
    """Three nodes with the bucket `default`, served in this process."""
    with serve() as served:
        yield served


@pytest.fixture
def cluster(served: ServedCluster) -> Cluster:
    """Return where it is and who connects."""
    return cluster_of(served)


@pytest.fixture
def bucket(cluster: Cluster) -> Iterator[Bucket]:
    """Its bucket, open."""
    with cluster.open_bucket("default") as bucket:
        yield bucket
