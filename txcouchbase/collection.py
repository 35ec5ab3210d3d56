"""Scopes and collections, whose methods return Deferreds."""

from __future__ import annotations

from couchloop.client.collections import CollectionBase, ScopeBase
from txcouchbase.driver import TwistedDriver
from txcouchbase.methods import DocumentMethods

__all__ = ["Collection", "Scope"]


class Collection(DocumentMethods, CollectionBase):
    """A collection of a bucket: `bucket.collection(name)`, `bucket.scope(name).collection(name)`.

    Its methods are the Bucket's own, which are those of the default collection. It keeps its Bucket
    open as long as it lives.
    """

    __slots__ = ()
    _driver: TwistedDriver


class Scope(ScopeBase[Collection]):
    """A scope of a bucket: `bucket.scope(name)`."""

    __slots__ = ()
