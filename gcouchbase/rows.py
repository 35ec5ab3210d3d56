"""Results with rows on gevent: iterables that block the calling greenlet alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, TypeVar

from couchloop.analytics.query import DeferredAnalyticsQuery
from couchloop.client.requests_by_hand import (
    AnalyticsRequestByHand,
    N1QLRequestByHand,
    SearchResultByHand,
    ViewByHand,
)
from couchloop.client.rows import RowsBase
from couchloop.exceptions import ValueFormatError
from couchloop.operations.stream import END, Look
from gcouchbase.internals import thread_ident
from gcouchbase.stream import HubStream

__all__ = [
    "AnalyticsRequest",
    "DeferredAnalyticsRequest",
    "N1QLRequest",
    "RowsRequest",
    "SearchRequest",
    "SearchResult",
    "View",
]

T = TypeVar("T")


class RowsRequest(RowsBase[T], HubStream[T]):
    """One request to a service, and the rows of its answer: an iterable, once.

    Nothing is sent before the first row is asked for. Rows come as the service sends them; a
    greenlet that takes no more of them pauses the service, and one that stops closes the
    connection: by leaving the loop, by `close`, by the end of the `with`, or by forgetting it.
    """

    def __iter__(self) -> Iterator[T]:
        """Return an iterator over the rows, which waits for them.

        What the service says behind the rows that it failed with is raised there. Raises
        AlreadyQueriedError if the rows were asked for before, WrongLoopError in another thread than
        the hub's.
        """
        self._driver.check_thread()
        self._take_once()
        return self._iterate()

    rows = __iter__

    def _iterate(self) -> Iterator[T]:
        stream = self._stream
        ready, row = stream.ready, stream.row
        driver, thread = self._driver, self._driver._thread  # noqa: SLF001 - ours
        try:
            while True:
                while ready:
                    if thread_ident() != thread:
                        driver.check_thread()
                    item: Any = ready.popleft()
                    # As `row` says, without the call.
                    yield row(item) if type(item) is bytes else item
                if stream.is_over:
                    return
                item = driver.run(stream.pull())
                if item is END:
                    return
                yield item
        except BaseException:
            # Left before the end, or with a row that cannot be read: no more is wanted.
            self._let_go()
            raise

    def execute(self) -> Self:
        """Run it to its end without a look at its rows; return the request.

        Raises what the iteration raises.
        """
        for _ in self:
            pass
        return self

    def get_single_result(self) -> T | None:
        """Return the first row, or None if there is none; the others are passed over.

        Raises what the iteration raises.
        """
        rows = iter(self)
        first = next(rows, None)
        for _ in rows:
            pass
        return first

    def _read_on(self) -> None:
        """Read the rest of the answer; its rows are kept for who still takes them."""
        stream = self._stream
        if stream.is_read:
            return
        self._driver.check_thread()
        kept: list[Any] = []
        try:
            while not stream.is_read:
                kept += stream.ready
                stream.ready.clear()
                self._driver.run(Look(stream))
        finally:
            # Also for who was killed meanwhile, or had no time.
            stream.ready.extendleft(reversed(kept))


class N1QLRequest(N1QLRequestByHand[T], RowsRequest[T]):
    """A query, and its rows: what `n1ql_query` and `query` give."""


class AnalyticsRequest(AnalyticsRequestByHand[T], RowsRequest[T]):
    """An analytics query, and its rows: what `analytics_query` gives."""


class DeferredAnalyticsRequest(AnalyticsRequest[T]):
    """A query whose rows are fetched later, made by hand (SDK 2.5); `analytics_query` does as well.

    Args:
        params: the query.
        host: of the node that is asked. None: any that has the service.
        parent: the Bucket.
        timeout: seconds for all of it. None: as *params* say.
        interval: seconds between two questions whether it is ready. None: as *params* say.

    Raises InvalidSettingError (a TypeError) for a query that is not deferred, and what
    `Bucket.analytics_query` raises.
    """

    def __init__(
        self,
        params: DeferredAnalyticsQuery,
        host: str | None,
        parent: Any,
        timeout: float | None = None,
        interval: float | None = None,
    ) -> None:
        self._defer(params, host, parent, timeout, interval)


class SearchResult(SearchResultByHand[T], RowsRequest[T]):
    """A search, and its hits: what `search` and `search_query` give."""


SearchRequest = SearchResult
"""What SDK 2.5 calls it."""


class View(ViewByHand[T], RowsRequest[T]):
    """A query of a view, and its rows: what `query` and `view_query` give."""

    def _iterate(self) -> Iterator[T]:
        return self._with_documents() if self._stream.has_documents else super()._iterate()

    def _with_documents(self) -> Iterator[T]:
        try:
            while page := self._page():
                for row in page:
                    self._driver.check_thread()
                    yield row
        except BaseException:
            # Left before the end, or with what cannot be read: no more is wanted.
            self._let_go()
            raise

    def _page(self) -> list[T]:
        """Wait for rows, and fetch their documents; none: there are no more."""
        self._driver.check_thread()
        stream = self._stream
        if not stream.can_take:
            self._driver.run(Look(stream))
        page = stream.page()
        if not page:
            # What ends it before its time.
            stream.take()
            return []
        keys = stream.keys_of(page)
        try:
            documents = self._owner.get_multi(keys, **stream.of_documents) if keys else {}
        except ValueFormatError as error:
            documents = stream.without(error)
        rows: list[T] = stream.with_documents(page, documents)
        return rows
