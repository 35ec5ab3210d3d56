"""The functions of a view: a Python callable, JavaScript, or a built-in reduce by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from couchloop.embedded.views.javascript import compile_map, compile_reduce
from couchloop.embedded.views.protocols import (
    Emitted,
    MapFunction,
    ReduceFunction,
    Source,
    ViewFailedError,
)

Callables = Mapping[str, Callable[..., Any]]
"""Python callables by the text that stands for them in design documents."""


def map_function(text: str, callables: Callables) -> MapFunction:
    """Return the map function that *text* is. Raises ViewFailedError."""
    call = callables.get(text)
    return compile_map(text) if call is None else _PythonMap(call)


def reduce_function(text: str | None, callables: Callables) -> ReduceFunction | None:
    """Return the reduce function that *text* is, None for none. Raises ViewFailedError."""
    if text is None:
        return None
    built_in = _BUILT_IN.get(text)
    if built_in is not None:
        return built_in
    call = callables.get(text)
    return compile_reduce(text) if call is None else _PythonReduce(call)


def as_json(value: Any) -> Any:
    """Return *value* as the JSON value that it becomes. Raises TypeError or ValueError."""
    return json.loads(json.dumps(value, allow_nan=False))


def explained(error: Exception) -> str:
    """Return an exception of a user's callable as a text."""
    return f"{type(error).__name__}: {error}"


class _PythonMap:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, sources: Sequence[Source]) -> list[Emitted | str]:
        return [self._one(each) for each in sources]

    def _one(self, source: Source) -> Emitted | str:
        try:
            emitted = self._call(json.loads(source.text), dict(source.meta))
            return [(as_json(key), as_json(value)) for key, value in emitted or ()]
        except Exception as error:  # noqa: BLE001 - a user's code: the document has no rows
            return explained(error)


class _PythonReduce:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, keys: list[Any] | None, values: list[Any], rereduce: bool, /) -> Any:
        try:
            return as_json(self._call(keys, values, rereduce))
        except Exception as error:  # noqa: BLE001 - a user's code: the answer says so
            raise ViewFailedError(explained(error)) from None


def _numbers(name: str, values: Sequence[Any]) -> Sequence[Any]:
    for each in values:
        if not isinstance(each, int | float) or isinstance(each, bool):
            raise ViewFailedError(f"Builtin {name} function requires map values to be numbers")
    return values


def _count(keys: list[Any] | None, values: list[Any], rereduce: bool, /) -> Any:  # noqa: ARG001
    return sum(values) if rereduce else len(values)


def _sum(keys: list[Any] | None, values: list[Any], rereduce: bool, /) -> Any:  # noqa: ARG001
    return sum(_numbers("_sum", values))


def _stats(keys: list[Any] | None, values: list[Any], rereduce: bool, /) -> Any:  # noqa: ARG001
    if not rereduce:
        _numbers("_stats", values)
        values = [
            {"sum": each, "count": 1, "min": each, "max": each, "sumsqr": each * each}
            for each in values
        ]
    return {
        "sum": sum(each["sum"] for each in values),
        "count": sum(each["count"] for each in values),
        "min": min(each["min"] for each in values),
        "max": max(each["max"] for each in values),
        "sumsqr": sum(each["sumsqr"] for each in values),
    }


_BUILT_IN: Final[Mapping[str, ReduceFunction]] = {
    "_count": _count,
    "_sum": _sum,
    "_stats": _stats,
}
