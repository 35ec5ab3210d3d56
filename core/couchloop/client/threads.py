"""What plain threads do with a Bucket whose loop runs in another: `bucket.threadsafe()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from couchloop.client.cluster import BucketBase
from couchloop.client.crossing import Crossing
from couchloop.client.thread_methods import HealthMethods, OldNames


class ThreadSafeBucket(OldNames, HealthMethods):
    """The operations of a Bucket for any number of plain threads; each call blocks its thread.

    `bucket.threadsafe()` makes it, in the loop's thread; it may be used in all others, and keeps
    the Bucket open. Values are encoded in the calling thread and decoded in the loop's: a
    transcoder of your own must bear that.

    A call takes the Bucket's arguments, gives its results and raises its errors. It never hangs:
    where the loop stops, RequestCanceledError tells so, and where it stands still for five seconds
    longer than the operation had, TimeoutError. A thread that is interrupted cancels its operation.

    In the thread of the loop itself every call raises WrongLoopError: it would wait for itself.
    """

    def __init__(self, bucket: BucketBase, cross: Callable[[Any], Crossing]) -> None:
        self._target: BucketBase = bucket
        self._cross = cross

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._target.bucket

    @property
    def connected(self) -> bool:
        """Whether the bucket is open."""
        return self._target.connected

    @property
    def closed(self) -> bool:
        """Whether the Bucket was closed."""
        return self._target.closed
