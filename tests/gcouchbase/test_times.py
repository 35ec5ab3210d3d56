"""Times that users give to Buckets and pools: finite."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import InvalidTimeoutError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.pool import BucketPool


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e9, "1", True])
def test_no_time(bucket: Bucket, timeout: Any) -> None:
    """What is no time is refused, and the Bucket stays open."""
    for call in (
        lambda: bucket.close(timeout),
        lambda: bucket.upsert("k", 1, timeout=timeout),
        lambda: bucket.get_multi(["k"], timeout=timeout),
        lambda: bucket.ping(timeout=timeout),
        lambda: bucket.wait_until_ready(timeout),
        lambda: setattr(bucket, "timeout", timeout),
    ):
        with pytest.raises(InvalidTimeoutError):
            call()
    assert bucket.upsert("k", 1).success


def test_pool(cluster: Cluster) -> None:
    """A pool is not closed by halves."""
    pool = BucketPool(cluster, "default", 2)
    with pytest.raises(InvalidTimeoutError):
        pool.close(float("inf"))
    pool.close()
