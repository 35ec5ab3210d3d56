"""Aggregates: what COUNT, SUM and the like make of the values of a group.

Whether a value counts twice (DISTINCT) and which rows count at all (FILTER) is decided before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from couchloop.embedded.sqlpp.values import (
    MISSING,
    Binary,
    SortKey,
    Value,
    collate,
    is_number,
    number,
)


class Aggregate(NamedTuple):
    """An aggregate: a state is begun, given the values one by one, and made the result."""

    start: Callable[[], Any]
    add: Callable[[Any, Value], None]
    end: Callable[[Any], Value]
    type: str
    """What signatures call the result."""


class _Count:
    def __init__(self) -> None:
        self.count = 0


class _Total(_Count):
    """Numbers that are added up: exactly, while these are integers within 64 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.total: int | float = 0


class _Extreme:
    def __init__(self) -> None:
        self.value: Value = None


def _known(value: Value) -> bool:
    return value is not MISSING and value is not None


# --- adding -------------------------------------------------------------------------------------


def _count(state: _Count, value: Value) -> None:
    state.count += _known(value)


def _count_numbers(state: _Count, value: Value) -> None:
    state.count += is_number(value)


def _add_up(state: _Total, value: Value) -> None:
    if is_number(value):
        state.count += 1
        state.total = number(state.total + value)


def _keep_numbers(state: list[float], value: Value) -> None:
    if is_number(value):
        state.append(float(value))


def _keep(state: list[Value], value: Value) -> None:
    if value is not MISSING and type(value) is not Binary:
        state.append(value)


def _lowest(state: _Extreme, value: Value) -> None:
    if _known(value) and (state.value is None or collate(value, state.value) < 0):
        state.value = value


def _highest(state: _Extreme, value: Value) -> None:
    if _known(value) and (state.value is None or collate(value, state.value) > 0):
        state.value = value


# --- ending -------------------------------------------------------------------------------------


def _sum(state: _Total) -> Value:
    return state.total if state.count else None


def _average(state: _Total) -> Value:
    return number(state.total / state.count) if state.count else None


def _median(state: list[float]) -> Value:
    if not state:
        return None
    values = sorted(state, key=SortKey)
    middle = len(values) // 2
    if len(values) % 2:
        return number(values[middle])
    return number((values[middle - 1] + values[middle]) / 2)


def _variance(values: list[float], *, less: int, alone: Value = None) -> Value:
    """Return the variance: the squares of distances to the mean by *less* than their number."""
    if not values:
        return None
    if len(values) <= less:
        return alone
    mean = sum(values) / len(values)
    if not math.isfinite(mean):
        return math.nan
    # Not `** 2`, which raises where a product is infinite.
    squares = sum((value - mean) * (value - mean) for value in values)
    return number(squares / (len(values) - less))


def _root(value: Value) -> Value:
    return value if value is None else number(math.sqrt(value))


def _sample(values: list[float]) -> Value:
    return _variance(values, less=1)


def _sample_or_zero(values: list[float]) -> Value:
    return _variance(values, less=1, alone=0)


def _population(values: list[float]) -> Value:
    return _variance(values, less=0)


def _numbers(end: Callable[[list[float]], Value]) -> Aggregate:
    return Aggregate(list, _keep_numbers, end, "number")


def _roots(end: Callable[[list[float]], Value]) -> Aggregate:
    return _numbers(lambda values: _root(end(values)))


AGGREGATES: Final[Mapping[str, Aggregate]] = {
    "COUNT": Aggregate(_Count, _count, lambda state: state.count, "number"),
    "COUNTN": Aggregate(_Count, _count_numbers, lambda state: state.count, "number"),
    "SUM": Aggregate(_Total, _add_up, _sum, "number"),
    "AVG": Aggregate(_Total, _add_up, _average, "number"),
    "MEAN": Aggregate(_Total, _add_up, _average, "number"),
    "MIN": Aggregate(_Extreme, _lowest, lambda state: state.value, "json"),
    "MAX": Aggregate(_Extreme, _highest, lambda state: state.value, "json"),
    "ARRAY_AGG": Aggregate(
        list, _keep, lambda values: sorted(values, key=SortKey) or None, "array"
    ),
    "MEDIAN": _numbers(_median),
    "STDDEV": _roots(_sample_or_zero),
    "STDDEV_SAMP": _roots(_sample),
    "STDDEV_POP": _roots(_population),
    "VARIANCE": _numbers(_sample_or_zero),
    "VAR_SAMP": _numbers(_sample),
    "VARIANCE_SAMP": _numbers(_sample),
    "VAR_POP": _numbers(_population),
    "VARIANCE_POP": _numbers(_population),
}
"""By name; COUNT(*) is COUNT of what is always there."""
