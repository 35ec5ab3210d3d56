"""The streaming form of a builder: one operation for each of any number of keys, as they come.

It takes what the `_multi` form takes. What it builds is in `couchloop.operations.key_stream`, and
where copies are to be watched in `couchloop.operations.watched_stream`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from couchloop.arguments.exact import exact_integer
from couchloop.arguments.times import exact_seconds
from couchloop.durability import Need
from couchloop.exceptions import ArgumentError
from couchloop.hot.result import Result
from couchloop.operations.key_stream import KeyStream, Progress
from couchloop.operations.multi import Multi
from couchloop.operations.watched_stream import WatchedStream

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults, Operation

R = TypeVar("R", bound=Result)

IN_FLIGHT: Final = 512
"""Operations that are under way at once, unless the call says otherwise."""
_DURABLES: Final = 96
"""Likewise of changes with a durability level, at most."""
BYTES: Final = 4 << 20
"""Bytes of their requests and answers."""


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
        timeout = named.get("timeout")
        if timeout is not None:
            exact_seconds(timeout)
        arguments, need = self.multi.durable_arguments(defaults, arguments)
        watched: dict[str, Any] = {}
        stream: Callable[..., KeyStream[R]] = KeyStream
        if isinstance(need, Need):
            stream = WatchedStream
            watched = {"need": need, "seconds": self._time_of(defaults, need, arguments)}
        elif need is None:
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
        return stream(
            self.single.__name__,
            kind,
            defaults,
            given,
            build,
            pairs=pairs,
            progress=progress,
            in_flight=in_flight,
            max_bytes=_bound(max_bytes, "max_bytes"),
            **watched,
        )

    def _time_of(self, defaults: Defaults, need: Need, arguments: tuple[Any, ...]) -> float:
        """Return the seconds that each change has to reach its copies."""
        timeout = arguments[self.multi.shared.index("timeout")]
        if timeout is not None:
            return exact_seconds(timeout)
        return need.timeout or defaults.durable.watch_timeout


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


_ONE_AT_A_TIME: Final = frozenset({"replica", "project", "with_expiry"})
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
