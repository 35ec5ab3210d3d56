"""BucketPool: several Buckets of one bucket on one hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

import gevent

from couchloop.arguments.times import check_wait
from couchloop.client.pool import PoolBase
from gcouchbase.bucket import Bucket, BucketArguments
from gcouchbase.cluster import Cluster

__all__ = ["BucketPool"]


class BucketPool(PoolBase[Bucket]):
    """Several Buckets of one bucket side by side: `pool.pick()` gives the least busy one.

    One Bucket is usually enough, and better: `PoolBase` says why. It closes when nothing refers to
    it, nor to its Buckets, any more; by `close()`, and by `with`.

    Args:
        cluster: opens the Buckets.
        bucket_name: the bucket's name.
        size: how many.
        bucket_arguments: handed to `Cluster.open_bucket`.

    Raises ArgumentError for a size below 1; what `Cluster.open_bucket` raises.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            cluster: Cluster,
            bucket_name: str,
            size: int,
            **bucket_arguments: Unpack[BucketArguments],
        ) -> None: ...

    def close(self, timeout: float = 2.5) -> None:
        """Close every Bucket, as `Bucket.close` does; returns when the last connection is gone."""
        wait = check_wait(timeout)
        closing = [gevent.spawn(bucket.close, wait) for bucket in self]
        gevent.joinall(closing, raise_error=True)

    def __enter__(self) -> Self:
        """Return the pool: all are open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self.close()
