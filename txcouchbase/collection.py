"""Scopes and collections, whose methods return Deferreds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from couchloop.client.collections import CollectionBase, ScopeBase
from couchloop.later import Module
from txcouchbase.driver import TwistedDriver
from txcouchbase.methods import (
    AnalyticsMethods,
    DocumentMethods,
    N1qlMethods,
    QueryMethods,
    SearchMethods,
)

if TYPE_CHECKING:
    from txcouchbase import management
    from txcouchbase.management import (
        CollectionQueryIndexManager,
        EventingFunctionManager,
        SearchIndexManager,
    )
else:
    # Who manages nothing need not load the managers.
    management = Module("txcouchbase.management", globals())

__all__ = ["Collection", "Scope"]


class Collection(DocumentMethods, N1qlMethods, SearchMethods, CollectionBase):
    """A collection of a bucket: `bucket.collection(name)`, `bucket.scope(name).collection(name)`.

    Its methods are the Bucket's own, which are those of the default collection. It keeps its Bucket
    open as long as it lives.
    """

    __slots__ = ()
    _driver: TwistedDriver

    def query_indexes(self) -> CollectionQueryIndexManager:
        """Return what makes, drops, builds and watches its indexes for queries, without any I/O."""
        return management.CollectionQueryIndexManager(self, self._index_defaults())


class Scope(QueryMethods, AnalyticsMethods, SearchMethods, ScopeBase[Collection]):
    """A scope of a bucket: `bucket.scope(name)`."""

    __slots__ = ()

    def search_indexes(self) -> SearchIndexManager:
        """Return what makes, changes and drops the scope's search indexes, without any I/O."""
        return management.SearchIndexManager(self, self._services_defaults())

    def eventing_functions(self) -> EventingFunctionManager:
        """Return what makes, deploys and drops the scope's functions, without any I/O."""
        return management.EventingFunctionManager(self, self._services_defaults())
