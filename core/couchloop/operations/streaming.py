"""The streaming form of a builder: one operation for each of any number of keys, as they come.

It takes what the `_multi` form takes, and iterables of any length, which are read no faster than
results are taken. Results come in the order of the answers; a key that fails is a result that says
so, and fails nothing else. Every operation is one of the ordinary kind: it is tried again, and
times out, by itself.

Bounded are the operations under way, and the bytes of their requests and of the answers that are
there or expected. Of what was taken nothing is kept.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from couchloop.arguments.exact import exact_integer
from couchloop.durability import Need
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidDurabilityError,
    ValueFormatError,
)
from couchloop.hot.result import Result
from couchloop.operations.multi import Multi
from couchloop.operations.stream import END, SLICE, Stream, failed

if TYPE_CHECKING:
    from couchloop.hot.batch import Build
    from couchloop.hot.operation import Defaults, Operation
    from couchloop.operations.procedure import Performer

R = TypeVar("R", bound=Result)

Progress = Callable[[int, int, int | None], object]
"""Is told how many keys are done, how many of these failed, and how many there are, if known."""

IN_FLIGHT: Final = 512
"""Operations that are under way at once, unless the call says otherwise."""
_DURABLES: Final = 96
"""Likewise of changes with a durability level, at most."""
BYTES: Final = 4 << 20
"""Bytes of their requests and answers."""
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


class KeyStream(Stream[R]):
    """One operation for each key of an iterable.

    Args:
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
        super().__init__(kind.name, defaults)
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
            self._add_failure(op.key, op.missed(op.key, error.rc or -1), error)
        else:
            self.done += 1
            self.ready.append(result)

    def _add_failure(self, key: Any, result: Result, error: CouchbaseError) -> None:
        self.done += 1
        self.failed += 1
        result.fail(failed(error, self.name, key))
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
                self._issue(op, performer, now)
        if self._has_room and not self._is_over:
            self._has_more = True

    def _end_source(self) -> None:
        self._is_exhausted_ = True
        if self.source is not None:
            self.source.let_go()

    @property
    def _has_room(self) -> bool:
        held = len(self._flying) + len(self._finished)
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
        key, said = item, None
        try:
            if self._pairs or (self._pairs is None and type(item) is tuple):
                if not isinstance(item, tuple | list) or len(item) != _PAIR:
                    kind = type(item).__name__
                    raise ArgumentError(f"the stream takes pairs of key and value, not a {kind}")  # noqa: TRY301
                key, said = item
            return self._build(key, said)
        except CouchbaseError as error:
            failure = error
        except Exception as why:  # noqa: BLE001 - of a key or an argument with methods of its own
            text = f"the key and what goes with it cannot be sent: {type(why).__name__}"
            failure = ValueFormatError(text, key=key, inner_cause=why.with_traceback(None))
        self._add_failure(key, self._kind.missed(key, failure.rc or -1), failure)
        return None

    def _stop(self) -> list[Operation[Any]]:
        self._end_source()
        self.source = self.given = None
        return []

    def _tell(self) -> None:
        if self._progress is not None and self.done != self._told:
            self._told = self.done
            self._progress(self.done, self.failed, self.total)


class Streaming(Generic[R]):
    """A builder of streams: the form of *multi* for any number of keys.

    Args:
        multi: the `_multi` form.
        summary: what it does, for its docstring.
        module: where it is made.
    """

    def __init__(self, multi: Multi[R], summary: str, module: str) -> None:
        self.multi = multi
        self.single = multi.single
        self.__name__ = self.__qualname__ = f"{multi.single.__name__}_stream"
        self.__module__ = module
        self.__doc__ = summary
        own = multi.own
        signature = inspect.signature(multi.single)
        first, *_ = signature.parameters.values()
        known = {**signature.parameters}
        shared = [known[name] for name in multi.shared if name not in _ONE_AT_A_TIME]
        self.shared = tuple(each.name for each in shared)
        by_name = inspect.Parameter.KEYWORD_ONLY
        self.takes_pairs = own.is_needed and own.read is None
        self.keys = "pairs" if self.takes_pairs else "keys"
        self.meaning = "any iterable of keys, or an async one."
        if self.takes_pairs:
            self.meaning = "any iterable of (key, value), an async one, or a dict."
        elif own.is_said:
            self.meaning = (
                f"any iterable of keys, or of (key, {multi.argument}), an async one, or a dict."
            )
        keys = inspect.Parameter(
            self.keys,
            first.kind,
            annotation=_PAIRS if self.takes_pairs else (_KEYS_OR_PAIRS if own.is_said else _KEYS),
        )
        extra = [
            inspect.Parameter(name, by_name, annotation=kind, default=usual)
            for name, kind, usual in (
                ("progress", "Progress | None", None),
                ("in_flight", "int", IN_FLIGHT),
                ("max_bytes", "int", BYTES),
            )
        ]
        shared = [each.replace(kind=by_name) for each in shared]
        self.__signature__ = signature.replace(
            parameters=[first, keys, *shared, *extra], return_annotation="KeyStream"
        )

    def __call__(
        self,
        defaults: Defaults,
        given: Any,
        /,
        *,
        progress: Progress | None = None,
        in_flight: int = IN_FLIGHT,
        max_bytes: int = BYTES,
        **named: Any,
    ) -> KeyStream[R]:
        """Build a stream.

        Raises ArgumentError where *given* is no iterable, or a bound is none.
        """
        if isinstance(given, str | bytes):
            raise ArgumentError("a stream takes an iterable of keys or pairs, not one key")
        if not isinstance(given, Iterable | AsyncIterable):
            what = type(given).__name__
            raise ArgumentError(f"a stream takes an iterable, or an async one, not a {what}")
        if progress is not None and not callable(progress):
            raise ArgumentError("progress is called with the numbers of keys: give a function")
        in_flight = _bound(in_flight, "in_flight")
        own = self.multi.own
        kind: type[Operation[R]]
        if unknown := named.keys() - set(self.shared):
            raise TypeError(f"{self.__name__}() has no argument {min(unknown)}")
        arguments = self.multi.arguments_of(named)
        arguments, need = self.multi.durable_arguments(defaults, arguments)
        if isinstance(need, Need):
            text = (
                "a stream takes a durability level, and does not watch copies: give one, or store "
                "batches by the _multi form"
            )
            raise InvalidDurabilityError(text)
        if need is None:
            arguments = self.multi.without_block(arguments)
        else:
            # A node does them one after the other, and the time of each runs.
            in_flight = min(in_flight, _DURABLES)
        kind, build = self.multi.prepared(defaults, arguments, is_dict=own.is_said)
        pairs: bool | None = None
        if not own.is_said:
            pairs = False
        elif self.takes_pairs or own.is_needed:
            pairs = True
        if isinstance(given, Mapping) and own.is_said:
            given, pairs = _Items(given), True
        return KeyStream(
            kind,
            defaults,
            given,
            build,
            pairs=pairs,
            progress=progress,
            in_flight=in_flight,
            max_bytes=_bound(max_bytes, "max_bytes"),
        )


class _Items:
    """The pairs of a mapping, and how many there are; it is not copied."""

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self._mapping = mapping

    def __len__(self) -> int:
        return len(self._mapping)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._mapping.items())


def _bound(number: object, name: str) -> int:
    exact = exact_integer(number)
    if exact is None or exact < 1:
        raise ArgumentError(f"{name} is an integer from 1 on", objextra=number)
    return exact


_ONE_AT_A_TIME: Final = frozenset(
    {"replica", "project", "with_expiry", "persist_to", "replicate_to"}
)
"""Arguments that make several operations of one."""
_PAIRS: Final = "Mapping[Any, Any] | Iterable[tuple[Key, Any]] | AsyncIterable[tuple[Key, Any]]"
_KEYS: Final = "Iterable[Key] | AsyncIterable[Key]"
_KEYS_OR_PAIRS: Final = (
    "Mapping[Any, Any] | Iterable[Key | tuple[Key, Any]] | AsyncIterable[Key | tuple[Key, Any]]"
)

MEANINGS: Final = {
    "progress": "is called with three numbers, at most once in a turn of the loop: keys that are "
    "done, how many of these have failed, and how many there are in all, or None if the iterable "
    "does not tell.",
    "in_flight": "operations that are under way at once.",
    "max_bytes": "bytes of their requests, and of answers that are there or expected.",
}
"""What arguments of a stream mean."""
