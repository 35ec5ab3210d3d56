"""`BucketManager` by the constructor of SDK 2.5: each call returns a Deferred."""

from __future__ import annotations

from couchloop.client.managers import defaults_of_bucket
from txcouchbase.bucket import Bucket
from txcouchbase.management import DesignManager

__all__ = ["BucketManager"]


class BucketManager(DesignManager):
    """Design documents and indexes of a Bucket; `bucket.bucket_manager()` gives the same.

    Args:
        cb: the Bucket.
    """

    __slots__ = ()

    def __init__(self, cb: Bucket) -> None:
        super().__init__(cb, defaults_of_bucket(cb))
