"""Several Buckets of one bucket on one loop, for those who want more than one."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from couchloop.client.bucket import BucketBase
from couchloop.client.cluster import ClusterBase
from couchloop.exceptions import ArgumentError
from couchloop.safety.secret import sealed

B = TypeVar("B", bound=BucketBase)

_in_flight: Final = attrgetter("_driver.session.in_flight")


class PoolBase(Generic[B]):
    """What `BucketPool` is on either loop; the adapters add waiting and closing.

    One Bucket is usually enough, and better. SDK 2.5 advised pools where threads waited for each
    other's lock on a Bucket; here nothing waits for a lock: one Bucket sends as many operations
    at once as the program issues. Each Bucket more is a connection more to every data node,
    whose number is limited, and operations on one key that go through different Buckets keep no
    order. What a pool can still do: keep small operations from queueing behind large values.

    Args:
        cluster: opens the Buckets.
        bucket_name: the bucket's name.
        size: how many.
        bucket_arguments: handed to `Cluster.open_bucket`.

    Raises ArgumentError for a size below 1; what `Cluster.open_bucket` raises.
    """

    @sealed
    def __init__(
        self, cluster: ClusterBase[B], bucket_name: str, size: int, **bucket_arguments: Any
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError("the size of a pool is an integer from 1", objextra=size)
        self._turn = 0
        self._buckets: tuple[B, ...] = tuple(
            cluster.open_bucket(bucket_name, shared=False, **bucket_arguments) for _ in range(size)
        )

    def pick(self) -> B:
        """Return the Bucket with the fewest operations in flight; equally busy ones in turn."""
        buckets = self._buckets
        self._turn = turn = (self._turn + 1) % len(buckets)
        return min(buckets[turn:] + buckets[:turn], key=_in_flight)

    def __iter__(self) -> Iterator[B]:
        return iter(self._buckets)

    def __len__(self) -> int:
        return len(self._buckets)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} of {len(self)}: {self._buckets[0]}>"
