"""Streams for plain threads: an iterator that blocks its thread, while the loop does the work.

The iterable is read, values are encoded and *progress* is called in the thread that asks for the
next result; the loop gets no more of it than may be under way. So a thread that asks for no more
pauses the stream, as any consumer does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from couchloop.client.crossing import Crossing
from couchloop.client.stream import StreamBase, end
from couchloop.exceptions import ArgumentError
from couchloop.hot.operation import Operation
from couchloop.operations.key_stream import WAIT, KeyStream, Progress, Summary
from couchloop.operations.stream import END, SLICE, Look, Stream

if TYPE_CHECKING:
    from couchloop.client.driver import Driver

__all__ = ["ResultStream", "ThreadStream"]

T = TypeVar("T")

_AHEAD = 256 << 10
"""Bytes of values that are handed to the loop at once."""


class _Handed:
    """What a thread has read for the loop; see `couchloop.operations.key_stream.Source`."""

    __slots__ = ("items", "last")

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.last: Exception | object | None = WAIT
        """What comes behind them: END, or what the iterable has raised; WAIT: more of them."""

    def take(self) -> Any:
        """See `Source`."""
        try:
            return self.items.popleft()
        except IndexError:
            last = self.last
        if isinstance(last, Exception):
            self.last = END
            try:
                raise last
            finally:
                del last
        return last

    def let_go(self) -> None:
        """See `Source`."""
        self.last = END
        self.items.clear()


class ThreadStream(StreamBase[T]):
    """What streams of plain threads have in common: how they wait, and how they are closed."""

    def __init__(self, owner: Any, stream: Stream[T], crossing: Crossing) -> None:
        super().__init__(owner, stream)
        self._crossing = crossing.plain
        self._mutex = crossing.make_lock()
        self._is_closed = False

    def _soon(self, driver: Driver, call: Callable[[], None]) -> None:  # noqa: ARG002 - its own way
        self._crossing.soon(call)

    @property
    def closed(self) -> bool:
        """Whether it gives no more."""
        return self._is_closed or super().closed

    def _take(self) -> Any:
        """Wait for the next result; END: there is none."""
        self._crossing.check_here()
        self._mutex.acquire()
        try:
            item = self._next()
        finally:
            self._mutex.release()
        if item is not END:
            self._count += 1
        return item

    def _next(self) -> Any:
        stream = self._stream
        while not self._is_closed:
            if not stream.can_take:
                self._wait()
            try:
                return stream.take()
            except IndexError:
                # It was closed at this very moment.
                continue
        return END

    def _wait(self) -> None:
        """Have the loop go on until there is something to take."""
        pending = Look(self._stream)
        pending.owner = self._owner
        self._crossing.run(pending)

    def close(self) -> None:
        """Stop: nothing more is issued, and what is under way is forgotten. Harmless if it is over.

        A change that was on its way may have happened, or not. Any thread may call it.
        """
        if self.closed:
            return
        self._is_closed = True
        driver, stream = self._driver, self._stream
        # The loop may have stopped.
        with suppress(Exception):
            self._crossing.soon(lambda: end(driver, stream))

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class ResultStream(ThreadStream[T]):
    """Results that come one after the other: an iterator, and a context that closes it.

    Nothing is sent before the first is asked for. Only as much is under way as its bounds say; a
    thread that asks for no more pauses it, and one that stops closes it: by `close`, by the end of
    the `with`, or by forgetting it. Several threads may share one: they take turns.
    """

    def __init__(self, owner: Any, stream: Stream[T], crossing: Crossing) -> None:
        if isinstance(stream, KeyStream) and isinstance(stream.given, AsyncIterable):
            raise ArgumentError("in a thread a stream takes an iterable, not an async one")
        super().__init__(owner, stream, crossing)
        self._progress: Progress | None = None
        self._told = -1
        self._given: Any = ()
        self._iterator: Iterator[Any] | None = None
        self._handed = _Handed()
        if isinstance(stream, KeyStream):
            self._given, stream.given = stream.given, None
            stream.source = self._handed
            self._progress = stream.take_progress()

    def __iter__(self) -> Self:
        """Return the stream itself."""
        return self

    def __next__(self) -> T:
        """Wait for the next result.

        Raises what ends the stream before its time: what the iterable has raised, or the progress
        function, or that the Bucket was closed; of a key that failed its result tells. In the
        loop's own thread it raises WrongLoopError.
        """
        item = self._take()
        if item is END:
            raise StopIteration
        return cast("T", item)

    def _wait(self) -> None:
        self._read()
        super()._wait()
        self._tell()

    def _read(self) -> None:
        """Read as much of the iterable as may be under way, too, and make operations of it."""
        stream, handed = self._stream, self._handed
        if not isinstance(stream, KeyStream) or handed.last is not WAIT:
            return
        room = min(SLICE, stream.room - len(handed.items))
        size = sum(len(op.value) for op in list(handed.items) if isinstance(op, Operation))
        iterator = self._iterator
        try:
            if iterator is None:
                iterator = self._iterator = iter(self._given)
                self._given = None
            while room > 0 and size < _AHEAD:
                item = next(iterator, END)
                if item is END:
                    handed.last = END
                    break
                made = stream.made(item)
                if isinstance(made, Operation):
                    size += len(made.value)
                    stream.patience = max(stream.patience, made.timeout + stream.grace)
                handed.items.append(made)
                room -= 1
        except Exception as error:  # noqa: BLE001 - of the user's own code: it is what he is to see
            handed.last = error.with_traceback(None)
        if handed.last is not WAIT:
            self._iterator = None

    def _tell(self) -> None:
        if self._progress is None or self.done == self._told:
            return
        self._told = self.done
        try:
            self._progress(self.done, self.failed, self.total)
        except Exception as error:  # noqa: BLE001 - as above
            self._progress = self._iterator = None
            self._handed.last = error.with_traceback(None)

    def run(self) -> Summary:
        """Take all results; return how many there were, how many failed, the first of these.

        Raises what iterating raises.
        """
        with self:
            for result in self:
                self._note(result)
        return self._summary()

    def close(self) -> None:
        """See `ThreadStream`."""
        super().close()
        self._iterator = self._progress = None
