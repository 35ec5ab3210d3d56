"""One operation for each of any number of keys, as they come: the streaming form of a builder.

It takes iterables of any length, which are read no faster than results are taken. Results come in
the order of the answers; a key that fails is a result that says so, and fails nothing else. Every
operation is one of the ordinary kind: it is tried again, and times out, by itself.

Bounded are the operations under way, and the bytes of their requests and of the answers that are
there or expected. Of what was taken nothing is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from couchloop.exceptions import ArgumentError, CouchbaseError, ValueFormatError
from couchloop.hot.operation import Operation, placed
from couchloop.hot.result import Result
from couchloop.operations.stream import END, SLICE, Stream, failed

if TYPE_CHECKING:
    from couchloop.hot.batch import Build
    from couchloop.hot.operation import Defaults
    from couchloop.operations.procedure import Performer

R = TypeVar("R", bound=Result)

Progress = Callable[[int, int, int | None], object]
"""Is told how many keys are done, how many of these failed, and how many there are, if known."""

_FIRST: Final = 16
"""Reads that are under way before any answer has shown how long they are."""
_SLICE_BYTES: Final = 256 << 10
"""Bytes of values that are encoded in one turn."""
_SHOWN: Final = 100
"""Failures that a summary has."""
_PAIR: Final = 2


class Wait:
    """What a source gives that has nothing yet."""

    def __repr__(self) -> str:
        return "WAIT"


WAIT: Final = Wait()


class Source(Protocol):
    """Where a stream takes its keys from."""

    def take(self) -> Any:
        """Return the next, or END; WAIT: it is not there yet, and the stream is poked for it."""

    def let_go(self) -> None:
        """Forget it: no more is taken."""


class IterableSource:
    """An iterable that says at once what is next.

    Args:
        iterable: that one.
    """

    __slots__ = ("_iterator",)

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterator: Iterator[Any] | None = iter(iterable)

    def take(self) -> Any:
        """See `Source`."""
        if self._iterator is None:
            return END
        return next(self._iterator, END)

    def let_go(self) -> None:
        """See `Source`: a generator that nobody else holds ends with that."""
        self._iterator = None


class Summary(NamedTuple):
    """What became of a stream that ran to its end."""

    done: int
    """Keys that were dealt with."""
    failed: int
    """Of these, how many failed."""
    failures: tuple[Result, ...]
    """The first of them, 100 at most, each with its `key` and its `error`."""


class Refused(NamedTuple):
    """An item of which no operation is made."""

    key: Any
    error: CouchbaseError


class KeyStream(Stream[R]):
    """One operation for each key of an iterable.

    Args:
        name: of the single form, for errors.
        kind: of the operations.
        defaults: the Bucket's.
        given: the keys, or pairs of a key and what is said of it.
        build: makes the operation of a pair.
        pairs: whether each is a pair: True, False, or None: those that are tuples.
        progress: see `Progress`.
        in_flight: operations that are under way at once.
        max_bytes: bytes of their requests and answers.

    Attributes:
        total: how many keys there are, if that is known.
        done: keys whose results were read.
        failed: of these, how many failed.
        source: where keys come from; an adapter may set it, for an iterable of its loop's own.

    """

    def __init__(
        self,
        name: str,
        kind: type[Operation[Any]],
        defaults: Defaults,
        given: Iterable[Any] | AsyncIterable[Any],
        build: Build,
        *,
        pairs: bool | None,
        progress: Progress | None,
        in_flight: int,
        max_bytes: int,
    ) -> None:
        super().__init__(name, defaults)
        self.total = len(given) if isinstance(given, Sized) else None
        self.done = self.failed = 0
        self.given: Any = given
        self.source: Source | None = None
        self._kind = kind
        self._build = build
        self._pairs = pairs
        self._progress = progress
        self._told = -1
        self._most = in_flight
        self._most_bytes = max_bytes
        self._bytes = 0
        """Of requests under way, and of answers that were not read yet."""
        self._answers = self._answer_bytes = 0
        self._is_exhausted_ = False

    @property
    def _is_exhausted(self) -> bool:
        return self._is_exhausted_

    def member_done(self, op: Operation[Any]) -> bool:
        """See `Stream`."""
        self._bytes -= len(op.value)
        answer = op.answer
        if op.error is None and answer is not None:
            self._bytes += len(answer.value)
            self._answers += 1
            self._answer_bytes += len(answer.value)
        return super().member_done(op)

    def _settle(self, op: Operation[Any]) -> None:
        if op.error is None and op.answer is not None:
            self._bytes -= len(op.answer.value)
        try:
            result = op.result()
        except CouchbaseError as error:
            self._add_failure(op.key, op.failed(error), error)
        else:
            self._succeed(op, result)

    def _succeed(self, op: Operation[Any], result: Any) -> None:  # noqa: ARG002 - others look at it
        self.done += 1
        self.ready.append(result)

    def _add_failure(self, key: Any, result: Result, error: CouchbaseError) -> None:
        self.done += 1
        self.failed += 1
        own = failed(error, self.name, key)
        if own.context is None or own.context.collection is None:
            placed(own, self.defaults)
        result.fail(own)
        self.ready.append(result)  # type: ignore[arg-type]  # of the same kind

    def _feed(self, performer: Performer, now: float) -> None:
        source = self.source
        if source is None:
            source = self.source = IterableSource(self.given)
            self.given = None
        left, bytes_left = SLICE, _SLICE_BYTES
        while left > 0 and bytes_left > 0 and self._has_room and not self._is_over:
            try:
                item = source.take()
            except BaseException:
                self._end_source()
                raise
            if item is WAIT:
                return
            if item is END:
                self._end_source()
                return
            left -= 1
            op = self._operation(item)
            if op is not None:
                size = len(op.value)
                bytes_left -= size
                self._bytes += size
                self._begin(op, performer, now)
        if self._has_room and not self._is_over:
            self._has_more = True

    def _begin(self, op: Operation[Any], performer: Performer, now: float) -> None:
        """Begin with *op*: issue it."""
        self._issue(op, performer, now)

    def _end_source(self) -> None:
        self._is_exhausted_ = True
        if self.source is not None:
            self.source.let_go()

    @property
    def _held(self) -> int:
        """How many keys are under way."""
        return len(self._flying) + len(self._finished)

    @property
    def _has_room(self) -> bool:
        held = self._held
        if held >= self._most:
            return False
        expected = 0
        if self._kind.gives_value:
            if not self._answers:
                return held < _FIRST
            expected = len(self._flying) * self._answer_bytes // self._answers
        return not held or self._bytes + expected < self._most_bytes

    def _operation(self, item: Any) -> Operation[Any] | None:
        """Build an operation; None: it is refused, and the result says so."""
        made = item if isinstance(item, Operation | Refused) else self.made(item)
        if isinstance(made, Operation):
            return made
        key, failure = made
        self._add_failure(key, self._kind.missed(key, failure.rc or -1), failure)
        return None

    def made(self, item: Any) -> Operation[Any] | Refused:
        """Return the operation that an item means, or why there is none; in any thread.

        What it gives may take the place of the item.
        """
        key, said = item, None
        try:
            if self._pairs or (self._pairs is None and type(item) is tuple):
                if not isinstance(item, tuple | list) or len(item) != _PAIR:
                    kind = type(item).__name__
                    raise ArgumentError(f"the stream takes pairs of key and value, not a {kind}")  # noqa: TRY301
                key, said = item
            return self._build(key, said)
        except CouchbaseError as error:
            return Refused(key, error)
        except Exception as why:  # noqa: BLE001 - of a key or an argument with methods of its own
            text = f"the key and what goes with it cannot be sent: {type(why).__name__}"
            inner = why.with_traceback(None)
            return Refused(key, ValueFormatError(text, key=key, inner_cause=inner))

    @property
    def room(self) -> int:
        """How many more operations may be under way."""
        return self._most - self._held

    def take_progress(self) -> Progress | None:
        """Return what is to be told of progress: from now on somebody else tells it."""
        progress, self._progress = self._progress, None
        return progress

    def _stop(self) -> list[Operation[Any]]:
        self._end_source()
        self.source = self.given = None
        return []

    def _tell(self) -> None:
        if self._progress is not None and self.done != self._told:
            self._told = self.done
            self._progress(self.done, self.failed, self.total)
