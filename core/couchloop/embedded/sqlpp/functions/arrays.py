"""Functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import (
    Table,
    bounded_array,
    valued,
)
from couchloop.embedded.sqlpp.values import (
    MISSING,
    SortKey,
    Value,
    collate,
    equal,
    equivalent,
    integral,
    is_number,
    number,
)

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add
_plain = FUNCTIONS.add_plain


def total(values: Iterable[Value]) -> int | float:
    """Return the sum of the numbers among values: of ints exactly, while it fits into 64 bits."""
    found: int | float = 0
    for value in values:
        if is_number(value):
            found = number(found + value)
    return found


def _elements(*values: Value) -> list[Value]:
    """Return values as elements of an array, in which MISSING is NULL."""
    return [None if value is MISSING else value for value in values]


# --- facts --------------------------------------------------------------------------------------


def _average(array: list[Value]) -> float | None:
    numbers = [value for value in array if is_number(value)]
    return number(total(numbers) / len(numbers)) if numbers else None


def _extreme(choose: Callable[..., Value]) -> Callable[[list[Value]], Value]:
    return lambda array: choose(filter(valued, array), key=SortKey, default=None)


def _first_valued(array: list[Value]) -> Value:
    return next(filter(valued, array), None)


def _position(array: list[Value], wanted: Value) -> int:
    return next((at for at, each in enumerate(array) if equal(each, wanted) is True), -1)


def _contains(array: list[Value], wanted: Value) -> bool:
    return _position(array, wanted) >= 0


def _wanted(values: Value) -> list[Value]:
    return values if type(values) is list else [values]


def _contains_all(array: list[Value], values: Value) -> bool:
    return all(_contains(array, each) for each in _wanted(values))


def _contains_any(array: list[Value], values: Value) -> bool:
    return any(_contains(array, each) for each in _wanted(values))


def _binary_search(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    array, wanted = arguments
    if array is MISSING:
        return MISSING
    if type(array) is not list:
        return None
    low, high = 0, len(array) - 1
    while low < high:
        middle = (low + high) // 2
        if collate(array[middle], wanted) < 0:
            low = middle + 1
        else:
            high = middle
    return low if array and equivalent(array[low], wanted) else -1


# --- elements put in and taken out --------------------------------------------------------------


def _append(array: Value, *values: Value) -> list[Value] | None:
    return [*array, *values] if type(array) is list else None


def _prepend(*values: Value) -> list[Value] | None:
    *added, array = values
    return [*added, *array] if type(array) is list else None


def _concat(*arrays: list[Value]) -> list[Value]:
    bounded_array("ARRAY_CONCAT", sum(map(len, arrays)))
    return [each for array in arrays for each in array]


def _insert(array: list[Value], place: int, *values: Value) -> list[Value] | None:
    if place < 0:
        place += len(array)
    if not 0 <= place <= len(array):
        return None
    return [*array[:place], *values, *array[place:]]


def _put(array: list[Value], *values: Value) -> list[Value]:
    return [*array, *(each for each in values if not _contains(array, each))]


def _remove(array: list[Value], *values: Value) -> list[Value]:
    return [each for each in array if not _contains(list(values), each)]


def _replacer(same: Callable[[Value, Value], bool]) -> Callable[..., list[Value]]:
    def replaced(
        array: list[Value], old: Value, new: Value, count: int | None = None
    ) -> list[Value]:
        left = len(array) if count is None else count
        result = []
        for each in array:
            if left > 0 and same(old, each):
                result.append(new)
                left -= 1
            else:
                result.append(each)
        return result

    return replaced


def _is_equal(left: Value, right: Value) -> bool:
    return equal(left, right) is True


# --- order --------------------------------------------------------------------------------------


def _place(array: list[Value], place: int) -> int | None:
    if place < 0:
        place += len(array)
    return place if 0 <= place < len(array) else None


def _swap(array: list[Value], one: int, other: int) -> list[Value] | None:
    left, right = _place(array, one), _place(array, other)
    if left is None or right is None:
        return None
    result = list(array)
    result[left], result[right] = result[right], result[left]
    return result


def _move(array: list[Value], source: int, target: int) -> list[Value] | None:
    start, end = _place(array, source), _place(array, target)
    if start is None or end is None:
        return None
    result = list(array)
    result.insert(end, result.pop(start))
    return result


def _flatten(array: list[Value], depth: int) -> list[Value]:
    result: list[Value] = []
    rest: list[tuple[Value, int]] = [(each, depth) for each in reversed(array)]
    while rest:
        each, left = rest.pop()
        if type(each) is list and left != 0:
            rest.extend((inner, left - 1) for inner in reversed(each))
        else:
            result.append(each)
    return result


# --- arrays made --------------------------------------------------------------------------------


def _range(start: float, end: float, step: float = 1) -> list[Value] | None:
    if any(map(math.isnan, (start, end, step))):
        return []
    if step == 0 or start == end or (start < end) != (step > 0):
        return []
    bounded_array("ARRAY_RANGE", abs((float(end) - float(start)) / float(step)))
    result = []
    value = number(start)
    while (value < end) if step > 0 else (value > end):
        result.append(value)
        following = number(value + step)
        if following == value:
            # The step is lost in what a float can say: it would go on for ever.
            bounded_array("ARRAY_RANGE", math.inf)
        value = following
    return result


def _repeat(value: Value, count: int) -> list[Value] | None:
    if count < 0:
        return None
    bounded_array("ARRAY_REPEAT", count)
    return [value] * count


def _star(array: list[Value]) -> dict[str, Value]:
    names = {name for each in array if isinstance(each, dict) for name in each}
    bounded_array("ARRAY_STAR", len(names) * len(array))
    return {name: _elements(*(_member(each, name) for each in array)) for name in sorted(names)}


def _member(value: Value, name: str) -> Value:
    return value.get(name, MISSING) if isinstance(value, dict) else MISSING


def _random_element(arguments: Sequence[Value], context: Context) -> Value:
    (array,) = arguments
    if array is MISSING:
        return MISSING
    if type(array) is not list or not array:
        return None
    return array[int.from_bytes(context.randbytes(8)) % len(array)]


def _slice(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return sliced(arguments[0], *arguments[1:])


def sliced(array: Value, start: Value = 0, end: Any = ...) -> Value:
    """Return `array[start:end]`: MISSING where it would reach outside.

    Args:
        array: which.
        start: of it; negative: counted from the end.
        end: behind the last; left out: all to the end.
    """
    bounds = [start] if end is ... else [start, end]
    if array is MISSING or any(each is MISSING for each in bounds):
        return MISSING
    places = [integral(each) for each in bounds]
    if None in places or type(array) is not list:
        return None
    first, *last = (
        place + len(array) if place < 0 else place for place in places if place is not None
    )
    if not last:
        return array[first:] if 0 <= first < len(array) else MISSING
    return array[first : last[0]] if 0 <= first <= last[0] <= len(array) else MISSING


_add("ARRAY_LENGTH", "a", "number", len)
_add("ARRAY_COUNT", "a", "number", lambda array: sum(map(valued, array)))
_add("ARRAY_SUM", "a", "number", total)
_add("ARRAY_AVG", "a", "number", _average)
_add("ARRAY_MIN", "a", "json", _extreme(min))
_add("ARRAY_MAX", "a", "json", _extreme(max))
_add("ARRAY_IFNULL", "a", "json", _first_valued)
_add("ARRAY_CONTAINS", "av", "boolean", _contains)
_add("ARRAY_CONTAINS_ALL", "av", "boolean", _contains_all)
_add("ARRAY_CONTAINS_ANY", "av", "boolean", _contains_any)
_add("ARRAY_POSITION ARRAY_POS", "av", "number", _position)
_plain("ARRAY_BINARY_SEARCH", 2, 2, "number", _binary_search)
_add("ARRAY_APPEND", "ax+", "array", _append)
_add("ARRAY_PREPEND", "xx+", "array", _prepend)
_add("ARRAY_CONCAT", "aa+", "array", _concat)
_add("ARRAY_INSERT", "aix+", "array", _insert)
_add("ARRAY_PUT ARRAY_ADD ARRAY_UPSERT", "av+", "array", _put)
_add("ARRAY_REMOVE", "av+", "array", _remove)
_add("ARRAY_REPLACE", "avx?i", "array", _replacer(_is_equal))
_add("ARRAY_REPLACE_EQUIVALENT", "axx?i", "array", _replacer(equivalent))
_add("ARRAY_REVERSE", "a", "array", lambda array: array[::-1])
_add("ARRAY_SORT", "a", "array", lambda array: sorted(array, key=SortKey))
_add("ARRAY_SWAP", "aii", "array", _swap)
_add("ARRAY_MOVE", "aii", "array", _move)
_add("ARRAY_FLATTEN", "ai", "array", _flatten)
_add("ARRAY_RANGE", "nn?n", "array", _range)
_add("ARRAY_REPEAT", "xi", "array", _repeat)
_add("ARRAY_STAR", "a", "object", _star)
_plain("RANDOM_ELEMENT", 1, 1, "json", _random_element)
_plain("SLICE", 1, 3, "array", _slice)
