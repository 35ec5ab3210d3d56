"""Functions of arrays as sets: by value, in the order in which values are found first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from couchloop.embedded.sqlpp.functions.table import Table
from couchloop.embedded.sqlpp.values import Value, group_key

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add


def distinct(values: Iterable[Value]) -> list[Value]:
    """Return values without those that equal an earlier one; NULL equals NULL."""
    found: dict[Hashable, Value] = {}
    for value in values:
        found.setdefault(group_key(value), value)
    return list(found.values())


def _union(*arrays: list[Value]) -> list[Value]:
    return distinct(value for array in arrays for value in array)


def _counted(accept: Callable[[int, int], bool]) -> Callable[..., list[Value]]:
    """Return a choice of values by the number of arrays that have them."""

    def chosen(*arrays: list[Value]) -> list[Value]:
        counts = Counter(group_key(value) for array in arrays for value in distinct(array))
        return [value for value in _union(*arrays) if accept(counts[group_key(value)], len(arrays))]

    return chosen


def _intersect(*arrays: list[Value]) -> list[Value]:
    # NULL is in no intersection.
    return [value for value in _counted(int.__eq__)(*arrays) if value is not None]


def _except(array: list[Value], other: list[Value]) -> list[Value]:
    without = set(map(group_key, other))
    return [value for value in array if group_key(value) not in without]


_add("ARRAY_DISTINCT", "a", "array", distinct)
_add("ARRAY_UNION", "aa+", "array", _union)
_add("ARRAY_INTERSECT", "aa+", "array", _intersect)
_add("ARRAY_EXCEPT", "aa", "array", _except)
_add(
    "ARRAY_SYMDIFF ARRAY_SYMDIFF1",
    "aa+",
    "array",
    _counted(lambda count, arrays: count == 1),  # noqa: ARG005
)
_add("ARRAY_SYMDIFFN", "aa+", "array", _counted(lambda count, arrays: count % 2 == 1))  # noqa: ARG005
