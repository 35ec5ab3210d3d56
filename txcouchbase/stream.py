"""Streams on Twisted: async iterators, and Deferreds for those who have no coroutine."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads

from couchloop.client.stream import StreamBase, end
from couchloop.operations.key_stream import WAIT, KeyStream, Summary
from couchloop.operations.stream import END, Stream

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from couchloop.client.services import ClusterServices
    from txcouchbase.driver import TwistedDriver

__all__ = ["ReactorStream", "ResultStream"]

T = TypeVar("T")


class AsyncSource:
    """An async iterable, asked for one after the other; see `couchloop.operations.key_stream`.

    Args:
        iterable: that one.
        poke: is called when there is something new.
    """

    def __init__(self, iterable: AsyncIterable[Any], poke: Callable[[], None]) -> None:
        self._iterator: AsyncIterator[Any] | None = aiter(iterable)
        self._poke: Callable[[], None] | None = poke
        self._asked: Deferred[Any] | None = None
        self._there: list[Any] = []
        self._failure: BaseException | None = None
        self._is_asking = False

    def take(self) -> Any:
        """See `Source`."""
        if not self._there and self._failure is None and self._asked is None:
            self._ask()
        if self._there:
            return self._there.pop()
        failure, self._failure = self._failure, None
        if failure is None:
            return WAIT
        try:
            raise failure
        finally:
            del failure

    def _ask(self) -> None:
        iterator = self._iterator
        if iterator is None:
            self._there.append(END)
            return
        self._is_asking = True
        asked = self._asked = ensureDeferred(_next(iterator))
        asked.addCallbacks(self._came, self._failed)
        self._is_asking = False

    def _came(self, item: Any) -> None:
        self._asked = None
        self._there.append(item)
        self._tell()

    def _failed(self, failure: Failure) -> None:
        self._asked = None
        if self._iterator is not None:
            assert failure.value is not None
            self._failure = failure.value.with_traceback(None)
            self._tell()

    def _tell(self) -> None:
        if not self._is_asking and self._poke is not None:
            self._poke()

    def let_go(self) -> None:
        """See `Source`: what is awaited is cancelled."""
        self._iterator = self._poke = None
        asked = self._asked
        if asked is not None:
            asked.cancel()


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator, END)


class ReactorStream(StreamBase[T]):
    """What streams have in common: how they are closed, and by whom."""

    def __init__(
        self, owner: Any, stream: Stream[T], services: ClusterServices | None = None
    ) -> None:
        super().__init__(owner, stream, services)
        if isinstance(stream, KeyStream) and isinstance(stream.given, AsyncIterable):
            driver = self._driver

            def poke() -> None:
                stream.poke()
                driver.schedule()

            stream.source = AsyncSource(stream.given, poke)
            stream.given = None

    def _soon(self, driver: TwistedDriver, call: Callable[[], None]) -> None:
        if IReactorFromThreads.providedBy(driver.reactor):
            driver.reactor.callFromThread(call)
        else:
            # A reactor for tests.
            driver.reactor.callLater(0, call)

    def close(self) -> None:
        """Stop: nothing more is issued, and what is under way is forgotten. Harmless if it is over.

        A change that was on its way may have happened, or not.
        """
        if not self._stream.is_over:
            self._driver.check_thread()
            end(self._driver, self._stream)

    async def __aenter__(self) -> Self:
        """Return the stream."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class ResultStream(ReactorStream[T]):
    """Results that come one after the other: an async iterator, and a context that closes it.

    Nothing is sent before the first is asked for. Only as much is under way as its bounds say; who
    asks for no more pauses it, and who stops closes it: by `close`, by the end of the `async with`,
    or by forgetting it. Without coroutines there are `next` and `run`.
    """

    def next(self) -> Deferred[T | None]:
        """Return a new Deferred: the next result, or None when there is no more.

        It fails with what ends the stream before its time: what the iterable has raised, or the
        progress function, or that the Bucket was closed; of a key that failed its result tells.
        Cancelling it ends the wait alone: the next call gives that result.

        Raises WrongLoopError in another thread than the reactor's.
        """
        return self._next().addCallback(lambda item: None if item is END else item)

    def _next(self) -> Deferred[Any]:
        stream = self._stream
        self._driver.check_thread()
        if stream.ready or stream.is_over:
            return succeed(self._taken(stream.take()))
        deferred: Deferred[Any] = self._driver.run(stream.pull(), self)
        return deferred.addCallback(self._taken)

    def _taken(self, item: Any) -> Any:
        if item is not END:
            self._count += 1
        return item

    def __aiter__(self) -> Self:
        """Return the stream itself."""
        return self

    async def __anext__(self) -> T:
        """Wait for the next result; see `next`."""
        item = await self._next()
        if item is END:
            raise StopAsyncIteration
        return cast("T", item)

    def run(self) -> Deferred[Summary]:
        """Return a new Deferred: how many results there were, how many failed, and which.

        It takes all results, and fails as `next` does. Cancelling it closes the stream. Raises
        WrongLoopError in another thread than the reactor's.
        """
        self._driver.check_thread()
        return ensureDeferred(self._run())

    async def _run(self) -> Summary:
        try:
            async for result in self:
                self._note(result)
        finally:
            self.close()
        return self._summary()
