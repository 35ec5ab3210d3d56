"""Results with rows on Twisted: awaited whole, iterated, or handed to a function."""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, succeed
from twisted.python.failure import Failure

from couchloop.analytics.query import DeferredAnalyticsQuery
from couchloop.client.requests_by_hand import (
    AnalyticsRequestByHand,
    N1QLRequestByHand,
    SearchResultByHand,
    ViewByHand,
)
from couchloop.client.rows import RowsBase
from couchloop.exceptions import (
    CouchbaseError,
    ValueFormatError,
    without_frames,
)
from couchloop.operations.stream import END, Look
from txcouchbase.stream import ReactorStream

if TYPE_CHECKING:
    from couchloop.operations.rows import RowStream

__all__ = [
    "AnalyticsRequest",
    "BatchedRows",
    "DeferredAnalyticsRequest",
    "N1QLRequest",
    "RowsHandler",
    "RowsRequest",
    "SearchRequest",
    "SearchResult",
    "View",
]

T = TypeVar("T")


async def _awaited(taken: Any) -> None:
    await taken


class _Handing(Generic[T]):
    """Hands the rows of a request to a function, which may want to be waited for.

    It is no coroutine: one that fails is kept by its own frame, which Twisted keeps.

    Args:
        request: that one.
        take: the function.
    """

    def __init__(self, request: RowsRequest[T], take: Callable[[list[T]], Any]) -> None:
        self.done: Deferred[Any] = Deferred(self._cancelled)
        self._take: Callable[[list[T]], Any] = take
        self._request: RowsRequest[T] | None = request
        self._waiting: Deferred[Any] | None = None
        self._failure: Failure | None = None
        """Of a row that cannot be read: what came before it is taken first."""

    def start(self) -> Deferred[Any]:
        """Begin; return what fires with the request."""
        done = self.done
        try:
            if self._request is not None:
                self._request._take_once()  # noqa: SLF001 - the two are one
        except CouchbaseError:
            self._end(Failure())  # type: ignore[no-untyped-call]
        else:
            self._go_on()
        return done

    def _cancelled(self, _: Deferred[Any]) -> None:
        request, self._request = self._request, None
        waiting, self._waiting = self._waiting, None
        if request is not None:
            request._let_go()  # noqa: SLF001 - the two are one
        if waiting is not None:
            waiting.cancel()

    def _end(self, outcome: Any) -> None:
        """Tell how it went: with a Failure, or the request."""
        request, self._request = self._request, None
        self._waiting = self._failure = None
        if request is None:
            return
        if outcome is not request:
            request._let_go()  # noqa: SLF001 - the two are one
        done = self.done
        del self.done
        done.callback(outcome)

    def _wait(self, waiting: Deferred[Any]) -> None:
        self._waiting = waiting
        waiting.addCallbacks(self._go_on, self._end)

    def _go_on(self, _: Any = None) -> None:
        self._waiting = None
        request = self._request
        if request is None:
            return
        stream = request._stream  # noqa: SLF001 - the two are one
        try:
            rows = [] if self._failure is not None else self._rows(stream)
            if rows:
                taken: Any = self._take(rows)
                if isawaitable(taken):
                    if not isinstance(taken, Deferred):
                        taken = ensureDeferred(_awaited(taken))
                    self._wait(taken)
                    return
            elif self._failure is not None:
                self._end(self._failure)
                return
            elif stream.can_take:
                # What ends it before its time is raised.
                stream.take()
                self._end(request)
                return
            if stream.can_take or self._failure is not None:
                self._go_on()
            else:
                self._wait(request._driver.run(Look(stream), request))  # noqa: SLF001
        except BaseException:  # noqa: BLE001 - as Deferreds do
            self._end(Failure())  # type: ignore[no-untyped-call]

    def _rows(self, stream: RowStream[T]) -> list[T]:
        """Return the rows that are there; what cannot be read comes behind them."""
        rows: list[T] = []
        ready, row = stream.ready, stream.row
        try:
            while ready:
                rows.append(row(ready.popleft()))  # type: ignore[arg-type]  # as above
        except BaseException:  # noqa: BLE001 - as Deferreds do
            self._failure = Failure()  # type: ignore[no-untyped-call]
        return rows


class RowsRequest(RowsBase[T], ReactorStream[T]):
    """One request to a service, and the rows of its answer.

    `await request` gives a list of all rows (and `all()` a Deferred of it), `async for row in
    request` one after the other, `on_rows` hands them to a function. Nothing is sent before that.
    Rows come as the service sends them; who takes no more of them pauses the service, and who stops
    closes the connection: by leaving the loop, by `close`, by the end of the `async with`, or by
    forgetting it.
    """

    def __await__(self) -> Generator[Any, Any, list[T]]:
        """Wait for all rows; see `all`."""
        return self.all().__await__()

    def all(self) -> Deferred[list[T]]:
        """Return a new Deferred: a list of all rows.

        It fails with what the service says behind the rows that it failed with, and with
        AlreadyQueriedError if the rows were asked for before. Cancelling it closes the connection.
        """
        rows: list[T] = []
        return self.on_rows(rows.extend).addCallback(lambda _: rows)

    def __aiter__(self) -> AsyncIterator[T]:
        """Return an async iterator over the rows.

        What the service says behind the rows that it failed with is raised there. Raises
        AlreadyQueriedError if the rows were asked for before, WrongLoopError in another thread than
        the reactor's.
        """
        self._driver.check_thread()
        self._take_once()
        return self._iterate()

    rows = __aiter__

    async def _iterate(self) -> AsyncIterator[T]:
        stream = self._stream
        ready, row = stream.ready, stream.row
        driver, thread = self._driver, self._driver._thread  # noqa: SLF001 - ours
        try:
            while True:
                while ready:
                    if get_ident() != thread:
                        driver.check_thread()
                    item: Any = ready.popleft()
                    # As `row` says, without the call.
                    yield row(item) if type(item) is bytes else item
                if stream.is_over:
                    return
                item = await driver.run(stream.pull(), self)
                if item is END:
                    return
                yield item
        except BaseException:
            # Left before the end, or with a row that cannot be read: no more is wanted.
            self._let_go()
            raise

    def next(self, end: Any = None) -> Deferred[T | Any]:
        """Return a new Deferred: the next row, or *end* when there is no more.

        It fails as `all` does, and with a row that cannot be read the rows end. Cancelling it ends
        the wait alone: the next call gives that row. Raises WrongLoopError in another thread than
        the reactor's.
        """
        stream = self._stream
        self._driver.check_thread()
        self._is_taken = True
        if stream.ready or stream.is_over:
            try:
                item: Any = stream.take()
            except CouchbaseError as error:
                self._let_go()
                return fail(without_frames(error))
            return succeed(end if item is END else item)
        pulled: Deferred[Any] = self._driver.run(stream.pull(), self)
        return pulled.addCallbacks(lambda item: end if item is END else item, self._broken)

    def _broken(self, failure: Failure) -> Failure:
        """Ask for no more rows, unless it was the wait alone that has ended."""
        if not failure.check(CancelledError):  # type: ignore[no-untyped-call]
            self._let_go()
        return failure

    def on_rows(self, take: Callable[[list[T]], Any]) -> Deferred[Self]:
        """Have *take* called with the rows, as many at once as have come together.

        While a Deferred (or a coroutine) that it has returned waits, no more rows are read. Returns
        a new Deferred: the request, when *take* has had the last row. It fails as `all` does, and
        with what *take* raises. Cancelling it closes the connection. Raises WrongLoopError in
        another thread than the reactor's.
        """
        self._driver.check_thread()
        return self._handed(take)

    def _handed(self, take: Callable[[list[T]], Any]) -> Deferred[Self]:
        return _Handing(self, take).start()

    def execute(self) -> Deferred[Self]:
        """Run it to its end without a look at its rows.

        Returns a new Deferred: the request. It fails as `all` does.
        """
        return self.on_rows(lambda _: None)

    def get_single_result(self) -> Deferred[T | None]:
        """Return a new Deferred: the first row, or None if there is none.

        The others are passed over. It fails as `all` does.
        """
        first: list[T] = []

        def take(rows: list[T]) -> None:
            first.extend(rows[: 1 - len(first)])

        return self.on_rows(take).addCallback(lambda _: first[0] if first else None)

    def batched(self) -> Deferred[BatchedRows[T]]:
        """Return a new Deferred: all rows, with what stands beside them. It fails as `all` does."""
        return self.all().addCallback(lambda rows: BatchedRows(rows, self))


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

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._documented: deque[T] = deque()
        """Rows with documents that `next` has not given yet."""

    def _iterate(self) -> AsyncIterator[T]:
        return self._with_documents() if self._stream.has_documents else super()._iterate()

    async def _with_documents(self) -> AsyncIterator[T]:
        try:
            while page := await self._page():
                for row in page:
                    self._driver.check_thread()
                    yield row
        except BaseException:
            # Left before the end, or with what cannot be read: no more is wanted.
            self._let_go()
            raise

    async def _page(self) -> list[T]:
        """Wait for rows, and fetch their documents; none: there are no more."""
        stream = self._stream
        if not stream.can_take:
            await self._driver.run(Look(stream), self)
        page = stream.page()
        if not page:
            # What ends it before its time.
            stream.take()
            return []
        keys = stream.keys_of(page)
        try:
            documents = await self._owner.get_multi(keys, **stream.of_documents) if keys else {}
        except ValueFormatError as error:
            documents = stream.without(error)
        rows: list[T] = stream.with_documents(page, documents)
        return rows

    def next(self, end: Any = None) -> Deferred[T | Any]:
        """See `RowsRequest`."""
        if not self._stream.has_documents:
            return super().next(end)
        self._driver.check_thread()
        self._is_taken = True
        return ensureDeferred(self._next_of_page(end)).addErrback(self._broken)

    async def _next_of_page(self, end: Any) -> Any:
        if not self._documented:
            self._documented.extend(await self._page())
        return self._documented.popleft() if self._documented else end

    def _handed(self, take: Callable[[list[T]], Any]) -> Deferred[Self]:
        if not self._stream.has_documents:
            return super()._handed(take)
        return ensureDeferred(self._hand_to(take))

    async def _hand_to(self, take: Callable[[list[T]], Any]) -> Self:
        self._take_once()
        try:
            while page := await self._page():
                taken = take(page)
                if hasattr(taken, "__await__"):
                    await taken
        except BaseException:
            self._let_go()
            raise
        return self


class BatchedRows(Generic[T]):
    """All rows of a request, and what stands beside them: what SDK 2.5's `…QueryAll` give.

    Args:
        rows: those.
        request: theirs.
    """

    def __init__(self, rows: list[T], request: RowsRequest[T]) -> None:
        self.rows = rows
        self.request = request

    def __iter__(self) -> Iterator[T]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> T:
        return self.rows[index]

    def __getattr__(self, name: str) -> Any:
        # What the request knows: meta, metrics, errors, and what its kind has.
        return getattr(self.request, name)


class RowsHandler(Generic[T]):
    """Takes rows as they come: what SDK 2.5's `…QueryEx` make of a class of the user's.

    A subclass has `on_rows`, and what else it wants to hear of.

    Args:
        request: the rows' own.
    """

    def __init__(self, request: RowsRequest[T]) -> None:
        self.request = request

    def start(self) -> Self:
        """Begin; the query methods have done that already."""
        self.request.on_rows(lambda rows: self.on_rows(iter(rows))).addCallbacks(
            lambda _: self.on_done(), lambda failure: self._failed(failure.value)
        )
        return self

    def _failed(self, error: Exception) -> None:
        self.on_error(error)
        self.on_done()

    def on_rows(self, rows: Iterator[T]) -> Any:
        """Take some rows. While a Deferred that it returns waits, no more are read."""
        raise NotImplementedError

    def on_error(self, error: Exception) -> None:
        """Hear that the request has failed; `on_done` is called after that."""

    def on_done(self) -> None:
        """Hear that no more rows come."""

    def __getattr__(self, name: str) -> Any:
        # What the request knows: meta, metrics, errors, close(), and what its kind has.
        return getattr(self.request, name)
