"""BucketPool: several Buckets of one bucket on one reactor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from twisted.internet.defer import Deferred, FirstError, gatherResults

from couchloop.arguments.times import check_wait
from couchloop.client.pool import PoolBase
from txcouchbase.bucket import Bucket, BucketArguments
from txcouchbase.cluster import Cluster

__all__ = ["BucketPool"]


class BucketPool(PoolBase[Bucket]):
    """Several Buckets of one bucket side by side: `pool.pick()` gives the least busy one.

    One Bucket is usually enough, and better: `PoolBase` says why. It closes when nothing refers to
    it, nor to its Buckets, any more; by `close()`, and by `async with`.

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

    def connect(self) -> Deferred[None]:
        """Return a new Deferred that fires with None once all are open, or with the first error."""
        return _all([bucket.connect() for bucket in self])

    def close(self, timeout: float = 2.5) -> Deferred[None]:
        """Close every Bucket, as `Bucket.close` does; fires when the last connection is gone."""
        wait = check_wait(timeout)
        return _all([bucket.close(wait) for bucket in self])

    def __aenter__(self) -> Deferred[Self]:
        """Wait until all are open."""
        return self.connect().addCallback(lambda _: self)

    def __aexit__(self, *_: object) -> Deferred[None]:
        """Close them."""
        return self.close()


def _all(deferreds: list[Deferred[None]]) -> Deferred[None]:
    done: Deferred[Any] = gatherResults(deferreds, consumeErrors=True)
    return done.addCallbacks(lambda _: None, _first)


def _first(failure: Any) -> Any:
    return failure.value.subFailure if isinstance(failure.value, FirstError) else failure
