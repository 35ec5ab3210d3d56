"""Results with rows for plain threads: iterables that block their thread, while the loop works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar

from couchloop.analytics.results import OfAnalytics
from couchloop.client.crossing import Crossing
from couchloop.client.rows import RowsBase
from couchloop.client.thread_stream import ThreadStream
from couchloop.exceptions import ValueFormatError
from couchloop.fulltext.results import OfSearches
from couchloop.n1ql.results import OfQueries
from couchloop.operations.retrieve import get_multi
from couchloop.operations.rows import RowStream
from couchloop.operations.stream import END
from couchloop.views.results import OfViews

__all__ = ["AnalyticsRequest", "N1QLRequest", "RowsRequest", "SearchResult", "View"]

T = TypeVar("T")


class RowsRequest(RowsBase[T], ThreadStream[T]):
    """One request to a service, and the rows of its answer: an iterable, once.

    Nothing is sent before the first row is asked for. Rows come as the service sends them, and are
    decoded in the thread that takes them; a thread that takes no more of them pauses the service,
    and one that stops closes the connection: by leaving the loop, by `close`, by the end of the
    `with`, or by forgetting it.
    """

    def __init__(self, owner: Any, stream: RowStream[T], crossing: Crossing) -> None:
        super().__init__(owner, stream, crossing)
        self._way = crossing.plain
        """To the Bucket's own loop, which is the services', too."""

    @property
    def closed(self) -> bool:
        """Whether it gives no more rows."""
        return self._is_closed or super().closed

    def __iter__(self) -> Iterator[T]:
        """Return an iterator over the rows, which waits for them.

        What the service says behind the rows that it failed with is raised there. Raises
        AlreadyQueriedError if the rows were asked for before, WrongLoopError in the loop's thread.
        """
        self._take_once()
        return self._iterate()

    rows = __iter__

    def _iterate(self) -> Iterator[T]:
        try:
            while True:
                item = self._take()
                if item is END:
                    return
                yield item
        except BaseException:
            # Left before the end, or with a row that cannot be read: no more is wanted.
            self.close()
            raise

    def _wait(self) -> None:
        if self._services is None:
            self._join()
        super()._wait()

    def _join(self) -> None:
        """Find the session that asks services: on the loop, where all others do."""
        owner = self._owner
        services = self._way.ask(self._stream, owner._ask_services)  # noqa: SLF001 - ours
        self._services = services
        self._driver = services._driver  # noqa: SLF001
        self._crossing = self._way.to(self._driver)

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
        self._crossing.check_here()
        self._mutex.acquire()
        kept: list[Any] = []
        try:
            while not stream.is_read:
                kept += stream.ready
                stream.ready.clear()
                self._wait()
        finally:
            # Also where the wait was interrupted.
            stream.ready.extendleft(reversed(kept))
            self._mutex.release()


class N1QLRequest(OfQueries, RowsRequest[T]):
    """A query, and its rows: what `n1ql_query` and `query` give."""


class AnalyticsRequest(OfAnalytics, RowsRequest[T]):
    """An analytics query, and its rows: what `analytics_query` gives."""


class SearchResult(OfSearches, RowsRequest[T]):
    """A search, and its hits: what `search` and `search_query` give."""


class View(OfViews, RowsRequest[T]):
    """A query of a view, and its rows: what `query` and `view_query` give."""

    def _iterate(self) -> Iterator[T]:
        return self._with_documents() if self._stream.has_documents else super()._iterate()

    def _with_documents(self) -> Iterator[T]:
        try:
            while page := self._page():
                yield from page
        except BaseException:
            # Left before the end, or with what cannot be read: no more is wanted.
            self.close()
            raise

    def _page(self) -> list[T]:
        """Wait for rows, and fetch their documents; none: there are no more."""
        stream = self._stream
        self._crossing.check_here()
        self._mutex.acquire()
        try:
            if not self._is_closed and not stream.can_take:
                self._wait()
            page = stream.page()
            if not page:
                # What ends it before its time.
                stream.take()
                return []
        except IndexError:
            # It was closed at this very moment.
            return []
        finally:
            self._mutex.release()
        documents = self._documents(stream.keys_of(page))
        rows: list[T] = stream.with_documents(page, documents)
        return rows

    def _documents(self, keys: list[str]) -> Mapping[Any, Any]:
        if not keys:
            return {}
        owner = self._owner
        stream = self._stream
        pending: Any = get_multi(owner._defaults, keys, **stream.of_documents)  # noqa: SLF001 - ours
        pending.owner = owner
        found: Mapping[Any, Any]
        try:
            found = self._way.run(pending)
        except ValueFormatError as error:
            found = stream.without(error)
        return found
