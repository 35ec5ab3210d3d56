"""Queries by the names that SDK 2.5 has for them on Twisted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from txcouchbase.rows import BatchedRows, RowsHandler

__all__ = ["QueriesOfBucket"]

H = TypeVar("H", bound="RowsHandler[Any]")


class QueriesOfBucket:
    """What a Bucket has: `…All` gives a Deferred of all rows, `…Ex` hands them to an object."""

    n1ql_query: Any
    search: Any
    query: Any

    def n1qlQueryAll(self, *args: Any, **kwargs: Any) -> Deferred[BatchedRows[Any]]:
        """Return a new Deferred: all rows of a query, and what stands beside them.

        The arguments are those of `n1ql_query`, and so are the errors that it fails with.
        """
        found: Deferred[BatchedRows[Any]] = self.n1ql_query(*args, **kwargs).batched()
        return found

    def n1qlQueryEx(self, cls: type[H], *args: Any, **kwargs: Any) -> H:
        """Run a query, and hand its rows to an object that is returned.

        Args:
            cls: its class, of the kind RowsHandler (`txcouchbase.rows`); it is given the request.
            args: as `n1ql_query` takes them.
            kwargs: likewise.

        Raises what `n1ql_query` raises; what it fails with `on_error` is told.
        """
        return cls(self.n1ql_query(*args, **kwargs)).start()

    def searchQueryAll(self, *args: Any, **kwargs: Any) -> Deferred[BatchedRows[Any]]:
        """Return a new Deferred: all hits of a search, and what stands beside them.

        The arguments are those of `search`, and so are the errors that it fails with.
        """
        found: Deferred[BatchedRows[Any]] = self.search(*args, **kwargs).batched()
        return found

    def searchQueryEx(self, cls: type[H], *args: Any, **kwargs: Any) -> H:
        """Search, and hand the hits to an object that is returned.

        Args:
            cls: its class, of the kind RowsHandler (`txcouchbase.rows`); it is given the request.
            args: as `search` takes them.
            kwargs: likewise.

        Raises what `search` raises; what it fails with `on_error` is told.
        """
        return cls(self.search(*args, **kwargs)).start()

    def queryAll(self, *args: Any, **kwargs: Any) -> Deferred[BatchedRows[Any]]:
        """Return a new Deferred: all rows of a view, and what stands beside them.

        The arguments are those of `query`, and so are the errors that it fails with.
        """
        found: Deferred[BatchedRows[Any]] = self.query(*args, **kwargs).batched()
        return found

    def queryEx(self, viewcls: type[H], *args: Any, **kwargs: Any) -> H:
        """Query a view, and hand its rows to an object that is returned.

        Args:
            viewcls: its class, of the kind RowsHandler (`txcouchbase.rows`); it is given the view.
            args: as `query` takes them.
            kwargs: likewise.

        Raises what `query` raises; what it fails with `on_error` is told.
        """
        return viewcls(self.query(*args, **kwargs)).start()
