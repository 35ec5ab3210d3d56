"""Streams on gevent: iterators that block the calling greenlet alone."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from couchloop.client.stream import StreamBase, end
from couchloop.exceptions import ArgumentError
from couchloop.operations.key_stream import KeyStream, Summary
from couchloop.operations.stream import END, Stream
from gcouchbase.internals import guarded
from gcouchbase.pipeline import PipelinedDriver

if TYPE_CHECKING:
    from couchloop.client.services import ClusterServices
    from gcouchbase.driver import GeventDriver

__all__ = ["HubStream", "ResultStream"]

T = TypeVar("T")


class HubStream(StreamBase[T]):
    """What streams have in common: how they are closed, and by whom."""

    def __init__(
        self, owner: Any, stream: Stream[T], services: ClusterServices | None = None
    ) -> None:
        if isinstance(stream, KeyStream) and isinstance(stream.given, AsyncIterable):
            raise ArgumentError("on gevent a stream takes an iterable, not an async one")
        super().__init__(owner, stream, services)
        if isinstance(self._driver, PipelinedDriver):
            # A result that is asked for is waited for.
            self._driver = self._driver.behind

    def _soon(self, driver: GeventDriver, call: Callable[[], None]) -> None:
        if driver.hub_is_there():
            hub = driver.hub
            hub.loop.run_callback_threadsafe(guarded, hub, driver, call)

    def close(self) -> None:
        """Stop: nothing more is issued, and what is under way is forgotten. Harmless if it is over.

        A change that was on its way may have happened, or not.
        """
        if not self._stream.is_over:
            self._driver.check_thread()
            end(self._driver, self._stream)

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class ResultStream(HubStream[T]):
    """Results that come one after the other: an iterator, and a context that closes it.

    Nothing is sent before the first is asked for. Only as much is under way as its bounds say; a
    greenlet that asks for no more pauses it, and one that stops closes it: by `close`, by the end
    of the `with`, or by forgetting it. Several greenlets may share one.
    """

    def __iter__(self) -> Self:
        """Return the stream itself."""
        return self

    def __next__(self) -> T:
        """Wait for the next result.

        Raises what ends the stream before its time: what the iterable has raised, or the progress
        function, or that the Bucket was closed; of a key that failed its result tells.
        WrongLoopError in another thread than the hub's.
        """
        stream = self._stream
        self._driver.check_thread()
        if stream.ready:
            item = stream.take()
        elif stream.is_over:
            raise StopIteration
        else:
            item = self._driver.run(stream.pull())
        if item is END:
            raise StopIteration
        self._count += 1
        return cast("T", item)

    def run(self) -> Summary:
        """Take all results; return how many there were, how many failed, the first of these.

        Raises what iterating raises.
        """
        with self:
            for result in self:
                self._note(result)
        return self._summary()
