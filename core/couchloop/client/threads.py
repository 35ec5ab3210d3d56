"""What plain threads do with a Bucket or Cluster whose loop runs in another: `threadsafe()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from couchloop.client.blocks import DurabilityBlocks
from couchloop.client.bucket import BucketBase
from couchloop.client.collections import DEFAULT, CollectionBase, ScopeBase, check_name
from couchloop.client.crossing import Crossing
from couchloop.client.managers import defaults_of_bucket, defaults_of_scope
from couchloop.client.sdk25 import OfBucketManager
from couchloop.client.thread_methods import (
    AnalyticsMethods,
    BucketAnalyticsMethods,
    DocumentMethods,
    HealthMethods,
    HttpMethods,
    N1qlMethods,
    OldNames,
    QueryMethods,
    SearchMethods,
    ViewMethods,
)
from couchloop.client.thread_pipeline import ThreadPipeline, Ways
from couchloop.later import Module

if TYPE_CHECKING:
    from couchloop.client import thread_managers as managers
    from couchloop.client.thread_managers import (
        OfBucket,
        ThreadSafeAdmin,
        ThreadSafeAnalyticsIndexManager,
        ThreadSafeBucketManager,
        ThreadSafeCollectionManager,
        ThreadSafeCollectionQueryIndexManager,
        ThreadSafeDesignManager,
        ThreadSafeEventingFunctionManager,
        ThreadSafeQueryIndexManager,
        ThreadSafeSearchIndexManager,
        ThreadSafeUserManager,
        ThreadSafeViewIndexManager,
    )
else:
    # Who manages nothing need not load the managers.
    managers = Module("couchloop.client.thread_managers", globals())

__all__ = [
    "ThreadSafeBucket",
    "ThreadSafeCluster",
    "ThreadSafeCollection",
    "ThreadSafeScope",
]

Cross = Callable[[Any], Crossing]
"""Gives the way to the loop of a driver."""


class ThreadSafeBucket(
    OldNames,
    N1qlMethods,
    BucketAnalyticsMethods,
    SearchMethods,
    ViewMethods,
    HealthMethods,
    OfBucketManager,
    DurabilityBlocks,
):
    """The operations of a Bucket for any number of plain threads; each call blocks its thread.

    `bucket.threadsafe()` makes it, in the loop's thread; it may be used in all others, and keeps
    the Bucket open. Values are encoded in the calling thread and decoded in the loop's: a
    transcoder of your own must bear that.

    A call takes the Bucket's arguments, gives its results and raises its errors. It never hangs:
    where the loop stops, RequestCanceledError tells so, and where it stands still for five seconds
    longer than the operation had, TimeoutError. A thread that is interrupted cancels its operation.

    In the thread of the loop itself every call raises WrongLoopError: it would wait for itself.

    Args:
        bucket: the Bucket.
        cross: gives the way to the loop of a driver.
        ask: likewise, for what is asked of services.
    """

    def __init__(self, bucket: BucketBase, cross: Cross, ask: Cross) -> None:
        self._target: BucketBase = bucket
        self._cross: Callable[[Any], Any] = Ways(cross)
        self._ask = ask

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._target.bucket

    def pipeline(self) -> ThreadPipeline:
        """Return a context in which this thread's operations do not wait for each other.

        Within it they return None; `results` of the context has what they gave, when it has ended.
        """
        ways, target = self._cross, self._target
        assert isinstance(ways, Ways)
        return ThreadPipeline(ways, lambda: target._driver)  # noqa: SLF001 - ours

    def scope(self, name: str) -> ThreadSafeScope:
        """Return a scope, as the Bucket's own method does, for threads."""
        return ThreadSafeScope(self._target, check_name(name, "scope"), self._cross, self._ask)

    def default_scope(self) -> ThreadSafeScope:
        """Return the scope that every bucket has: `_default`."""
        return self.scope(DEFAULT)

    def collection(self, name: str) -> ThreadSafeCollection:
        """Return a collection of the default scope, for threads."""
        return self.default_scope().collection(name)

    def default_collection(self) -> ThreadSafeCollection:
        """Return the collection that the methods of this handle are for."""
        return self.collection(DEFAULT)

    def _durable_target(self) -> BucketBase:
        return self._target

    def collections(self) -> ThreadSafeCollectionManager:
        """Return what tells which scopes and collections there are, makes and drops them."""
        return managers.ThreadSafeCollectionManager(
            self._target, self._cross, self._asked(), self._ask
        )

    def view_indexes(self) -> ThreadSafeViewIndexManager:
        """Return what makes, publishes and drops design documents."""
        return managers.ThreadSafeViewIndexManager(self._asked(), self._ask)

    def bucket_manager(self) -> ThreadSafeDesignManager:
        """Return what SDK 2.5 has for design documents."""
        return managers.ThreadSafeDesignManager(self._asked(), self._ask)

    def flush(self) -> None:
        """Delete all documents of the bucket, as `cluster.buckets().flush_bucket` does.

        Raises BucketNotFlushableError unless the bucket's setting allows it, NotAuthorizedError.
        """
        managers.ThreadSafeBucketManager(self._asked(), self._ask).flush_bucket(self.bucket)

    def _asked(self) -> OfBucket:
        bucket = self._target
        return managers.OfBucket(bucket, defaults_of_bucket(bucket))

    @property
    def connected(self) -> bool:
        """Whether the bucket is open."""
        return self._target.connected

    @property
    def closed(self) -> bool:
        """Whether the Bucket was closed."""
        return self._target.closed


class ThreadSafeCollection(DocumentMethods, N1qlMethods, SearchMethods):
    """A collection for any number of plain threads, as `ThreadSafeBucket` is a Bucket."""

    def __init__(self, collection: CollectionBase, cross: Cross, ask: Cross) -> None:
        self._target: CollectionBase = collection
        self._cross = cross
        self._ask = ask

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"

    def __eq__(self, other: object) -> bool:
        """Whether it is for the same collection of the same Bucket."""
        if type(other) is not type(self):
            return NotImplemented
        return self._target == other._target

    def __hash__(self) -> int:
        return hash(self._target)

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._target.bucket

    @property
    def scope(self) -> str:
        """The name of its scope."""
        return self._target.scope

    @property
    def name(self) -> str:
        """Its own name."""
        return self._target.name

    def query_indexes(self) -> ThreadSafeCollectionQueryIndexManager:
        """Return what makes, drops, builds and watches its indexes for queries."""
        collection = self._target
        target = managers.OfBucket(collection._bucket, collection._index_defaults())  # noqa: SLF001 - ours
        return managers.ThreadSafeCollectionQueryIndexManager(target, self._ask)


class ThreadSafeScope(QueryMethods, AnalyticsMethods, SearchMethods):
    """A scope for any number of plain threads."""

    def __init__(self, bucket: BucketBase, name: str, cross: Cross, ask: Cross) -> None:
        self._bucket = bucket
        self._target: Any = ScopeBase(bucket, name)
        self._cross = cross
        self._ask = ask
        self._name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} of {self._bucket!r}>"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same scope of the same Bucket."""
        if type(other) is not type(self):
            return NotImplemented
        return self._bucket is other._bucket and self._name == other._name

    def __hash__(self) -> int:
        return hash((id(self._bucket), self._name))

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket.bucket

    @property
    def name(self) -> str:
        """Its own name."""
        return self._name

    def collection(self, name: str) -> ThreadSafeCollection:
        """Return a collection of this scope, as the Scope's own method does, for threads.

        Raises InvalidNameError (a ValueError) if no collection may be called so.
        """
        collection = self._bucket._collection(self._name, name)  # noqa: SLF001 - ours
        return ThreadSafeCollection(collection, self._cross, self._ask)

    def search_indexes(self) -> ThreadSafeSearchIndexManager:
        """Return what makes, changes and drops the scope's search indexes."""
        return managers.ThreadSafeSearchIndexManager(self._asked(), self._ask)

    def eventing_functions(self) -> ThreadSafeEventingFunctionManager:
        """Return what makes, deploys and drops the scope's functions."""
        return managers.ThreadSafeEventingFunctionManager(self._asked(), self._ask)

    def _asked(self) -> OfBucket:
        bucket = self._bucket
        return managers.OfBucket(bucket, defaults_of_scope(bucket, self._name))


class ThreadSafeCluster(
    QueryMethods, N1qlMethods, AnalyticsMethods, SearchMethods, HealthMethods, HttpMethods
):
    """What a Cluster asks of services, for any number of plain threads; each call blocks its own.

    `cluster.threadsafe()` makes it, in the loop's thread. It is for the loop that runs there, and
    keeps the Cluster, and what it asks services through. Calls are as those of `ThreadSafeBucket`.

    Args:
        cluster: the Cluster.
        ask: gives the way to the loop of a driver, for what is asked of services.

    Raises ArgumentError if nobody was authenticated.
    """

    def __init__(self, cluster: Any, ask: Cross) -> None:
        self._target: managers.OfCluster = managers.OfCluster(cluster)
        self._cross = ask

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target._owner!r}>"  # noqa: SLF001 - ours

    def buckets(self) -> ThreadSafeBucketManager:
        """Return what makes, changes, flushes and drops buckets."""
        return managers.ThreadSafeBucketManager(self._target, self._cross)

    def users(self) -> ThreadSafeUserManager:
        """Return what makes, changes and drops users and groups."""
        return managers.ThreadSafeUserManager(self._target, self._cross)

    def query_indexes(self) -> ThreadSafeQueryIndexManager:
        """Return what makes, drops, builds and watches indexes for queries."""
        return managers.ThreadSafeQueryIndexManager(self._target, self._cross)

    def analytics_indexes(self) -> ThreadSafeAnalyticsIndexManager:
        """Return what makes and drops datasets, their indexes and links."""
        return managers.ThreadSafeAnalyticsIndexManager(self._target, self._cross)

    def search_indexes(self) -> ThreadSafeSearchIndexManager:
        """Return what makes, changes and drops search indexes."""
        return managers.ThreadSafeSearchIndexManager(self._target, self._cross)

    def eventing_functions(self) -> ThreadSafeEventingFunctionManager:
        """Return what makes, deploys and drops eventing functions."""
        return managers.ThreadSafeEventingFunctionManager(self._target, self._cross)

    def cluster_manager(self) -> ThreadSafeAdmin:
        """Return what SDK 2.5 has for buckets and users."""
        return managers.ThreadSafeAdmin(self._target, self._cross)
