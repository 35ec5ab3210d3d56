"""What plain threads do with a Bucket whose loop runs in another: `bucket.threadsafe()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from couchloop.client.blocks import DurabilityBlocks
from couchloop.client.bucket import BucketBase
from couchloop.client.collections import DEFAULT, CollectionBase, ScopeBase, check_name
from couchloop.client.crossing import Crossing
from couchloop.client.sdk25 import LaterOfCollections
from couchloop.client.thread_methods import (
    DocumentMethods,
    HealthMethods,
    ManifestMethods,
    N1qlMethods,
    OldNames,
    QueryMethods,
)
from couchloop.client.thread_pipeline import ThreadPipeline, Ways


class ThreadSafeBucket(OldNames, N1qlMethods, HealthMethods, DurabilityBlocks):
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
        self._cross: Callable[[Any], Any] = Ways(cross)

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
        return ThreadSafeScope(self._target, check_name(name, "scope"), self._cross)

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
        """Return what tells which scopes and collections there are."""
        return ThreadSafeCollectionManager(self._target, self._cross)

    @property
    def connected(self) -> bool:
        """Whether the bucket is open."""
        return self._target.connected

    @property
    def closed(self) -> bool:
        """Whether the Bucket was closed."""
        return self._target.closed


class ThreadSafeCollection(DocumentMethods, N1qlMethods):
    """A collection for any number of plain threads, as `ThreadSafeBucket` is a Bucket."""

    def __init__(self, collection: CollectionBase, cross: Callable[[Any], Crossing]) -> None:
        self._target: CollectionBase = collection
        self._cross = cross

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


class ThreadSafeScope(QueryMethods):
    """A scope for any number of plain threads."""

    def __init__(self, bucket: BucketBase, name: str, cross: Callable[[Any], Crossing]) -> None:
        self._bucket = bucket
        self._target: Any = ScopeBase(bucket, name)
        self._cross = cross
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
        return ThreadSafeCollection(collection, self._cross)


class ThreadSafeCollectionManager(ManifestMethods, LaterOfCollections):
    """Tells plain threads which scopes and collections a bucket has."""

    def __init__(self, bucket: BucketBase, cross: Callable[[Any], Crossing]) -> None:
        self._target: BucketBase = bucket
        self._cross = cross

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"
