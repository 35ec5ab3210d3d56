"""The values of SQL++: what JSON has, MISSING and binaries; their order, equality and truth.

None, bool, int, float, str, list and dict are what JSON has. A float is never integral within 64
bits, and an int is never wider than 64 bits: whoever makes a number says `number`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING


class Binary(NamedTuple):
    """A document that is no JSON, or what was decoded to bytes that are none."""

    data: bytes


class Ordered(dict[str, Any]):
    """An object whose members are written in their order; of others the names are sorted.

    Rows are such, and so are documents as they were stored.
    """

    __slots__ = ()


class Stored(Ordered):
    """A document as it was stored: while nobody changes it, it is written byte for byte."""

    __slots__ = ("text",)

    def __init__(self, members: Mapping[str, Any], text: str) -> None:
        super().__init__(members)
        self.text = text


Value: TypeAlias = Any
"""Missing | None | bool | int | float | str | list | dict | Binary."""

RANK_MISSING: Final = 0
RANK_NULL: Final = 1
RANK_BOOLEAN: Final = 2
RANK_NUMBER: Final = 3
RANK_STRING: Final = 4
RANK_ARRAY: Final = 5
RANK_OBJECT: Final = 6
RANK_BINARY: Final = 7

TYPE_NAMES: Final = (
    "missing",
    "null",
    "boolean",
    "number",
    "string",
    "array",
    "object",
    "binary",
)

_RANKS: Final[dict[type, int]] = {
    Missing: RANK_MISSING,
    type(None): RANK_NULL,
    bool: RANK_BOOLEAN,
    int: RANK_NUMBER,
    float: RANK_NUMBER,
    str: RANK_STRING,
    list: RANK_ARRAY,
    dict: RANK_OBJECT,
    Ordered: RANK_OBJECT,
    Stored: RANK_OBJECT,
    Binary: RANK_BINARY,
}

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 63) - 1


def rank(value: Value) -> int:
    """Return the place of a value's type in the collation order."""
    return _RANKS[type(value)]


def type_name(value: Value) -> str:
    """Return what TYPE() says."""
    return TYPE_NAMES[_RANKS[type(value)]]


def is_number(value: Value) -> bool:
    """Whether it is a number; booleans are none."""
    return type(value) is int or type(value) is float


def number(value: float) -> int | float:
    """Return the normal form of a number: int if integral within 64 bits, else float."""
    if type(value) is int:
        return value if _LOWEST <= value <= _HIGHEST else wide(value)
    # Neither bound is inside: -2**63 stays a float too (recorded).
    if -9.223372036854775808e18 < value < 9.223372036854775808e18 and value == math.floor(value):
        return int(value)
    return float(value)


def wide(value: int) -> float:
    """Return an integer beyond 64 bits as a float, infinite where even that is too small."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def integral(value: Value) -> int | None:
    """Return a number without fraction as an int, None for every other value."""
    if type(value) is int:
        return value
    if type(value) is float and math.isfinite(value) and value == math.floor(value):
        return int(value)
    return None


def truth(value: Value) -> bool:
    """Whether a value passes WHERE: not MISSING, NULL, false, 0, NaN or empty."""
    if type(value) is float:
        return not math.isnan(value) and value != 0
    if type(value) is Binary:
        return bool(value.data)
    return bool(value)


# --- order --------------------------------------------------------------------------------------


def collate(left: Value, right: Value) -> int:
    """Return -1, 0 or 1: the total order of ORDER BY, in which equal NULLs are equal."""
    left_rank, right_rank = _RANKS[type(left)], _RANKS[type(right)]
    if left_rank != right_rank:
        return -1 if left_rank < right_rank else 1
    if left_rank <= RANK_NULL:
        return 0
    if left_rank == RANK_NUMBER:
        return compare_numbers(left, right)
    if left_rank == RANK_STRING:
        # Code points are in the order of their UTF-8 bytes.
        return int(left > right) - int(left < right)
    if left_rank == RANK_ARRAY:
        return _collate_arrays(left, right)
    if left_rank == RANK_OBJECT:
        return _collate_objects(left, right)
    if left_rank == RANK_BINARY:
        return int(left.data > right.data) - int(left.data < right.data)
    return int(left) - int(right)


def _collate_arrays(left: Sequence[Value], right: Sequence[Value]) -> int:
    for one, other in zip(left, right, strict=False):
        order = collate(one, other)
        if order:
            return order
    return (len(left) > len(right)) - (len(left) < len(right))


def _collate_objects(left: Mapping[str, Value], right: Mapping[str, Value]) -> int:
    if len(left) != len(right):
        return -1 if len(left) < len(right) else 1
    for name in sorted(left.keys() | right.keys()):
        if name not in left:
            return 1
        if name not in right:
            return -1
        order = collate(left[name], right[name])
        if order:
            return order
    return 0


def compare_numbers(left: float, right: float) -> int:
    """Return -1, 0 or 1; NaN is below all other numbers and equal to itself."""
    if type(left) is int and type(right) is int:
        return (left > right) - (left < right)
    one, other = float(left), float(right)
    if one != one or other != other:  # noqa: PLR0124 - that is what NaN is
        return (one == one) - (other == other)  # noqa: PLR0124
    return (one > other) - (one < other)


class SortKey:
    """A value as a key for `sorted`, and for merging what is sorted: that asks for equality too."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment] # what is equal need not be hashable

    def __init__(self, value: Value) -> None:
        self.value = value

    def __lt__(self, other: SortKey) -> bool:
        return collate(self.value, other.value) < 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SortKey) and collate(self.value, other.value) == 0


def compare(left: Value, right: Value) -> int | Missing | None:
    """Return how `<` sees two values: -1, 0, 1, or MISSING or NULL where that decides."""
    if left is MISSING or right is MISSING:
        return Missing.MISSING
    if left is None or right is None:
        return None
    left_rank, right_rank = _RANKS[type(left)], _RANKS[type(right)]
    if left_rank == right_rank == RANK_ARRAY:
        return _compare_arrays(left, right)
    if left_rank == right_rank == RANK_OBJECT:
        return _compare_objects(left, right)
    return collate(left, right)


def _compare_arrays(left: Sequence[Value], right: Sequence[Value]) -> int | Missing | None:
    for one, other in zip(left, right, strict=False):
        order = compare(one, other)
        if order != 0:
            return order
    return (len(left) > len(right)) - (len(left) < len(right))


def _compare_objects(left: Mapping[str, Value], right: Mapping[str, Value]) -> int | Missing | None:
    if len(left) != len(right):
        return -1 if len(left) < len(right) else 1
    for name in sorted(left.keys() | right.keys()):
        if name not in left:
            return 1
        if name not in right:
            return -1
        order = compare(left[name], right[name])
        if order != 0:
            return order
    return 0


def less(left: Value, right: Value, *, or_equal: bool = False) -> Value:
    """Return `left < right` (or `<=`): true, false, NULL or MISSING."""
    order = compare(left, right)
    if type(order) is not int:
        return order
    return order <= 0 if or_equal else order < 0


# --- equality -----------------------------------------------------------------------------------


def equal(left: Value, right: Value) -> Value:
    """Return `left = right`: true, false, NULL or MISSING."""
    if left is MISSING or right is MISSING:
        return MISSING
    if left is None or right is None:
        return None
    left_rank = _RANKS[type(left)]
    if left_rank != _RANKS[type(right)]:
        return False
    if left_rank == RANK_ARRAY:
        if len(left) != len(right):
            return False
        return _all_equal(zip(left, right, strict=True))
    if left_rank == RANK_OBJECT:
        if left.keys() != right.keys():
            return False
        return _all_equal((value, right[name]) for name, value in left.items())
    if left_rank == RANK_NUMBER and type(left) is not type(right):
        return float(left) == float(right)
    return bool(left == right)


def _all_equal(pairs: Any) -> Value:
    result: Value = True
    for left, right in pairs:
        same = equal(left, right)
        if same is False:
            return False
        if same is MISSING or (same is None and result is True):
            result = same
    return result


def group_key(value: Value) -> Hashable:
    """Return what is equal for values that DISTINCT and GROUP BY take as one."""
    kind = _RANKS[type(value)]
    if kind == RANK_NUMBER:
        # NaN is equal to nothing, itself included.
        return (kind, value if value == value else None)  # noqa: PLR0124
    if kind == RANK_ARRAY:
        return (kind, tuple(group_key(each) for each in value))
    if kind == RANK_OBJECT:
        return (kind, frozenset((name, group_key(each)) for name, each in value.items()))
    return (kind, value)


def equivalent(left: Value, right: Value) -> bool:
    """Whether DISTINCT takes two values as one: NULL is the same as NULL there."""
    return group_key(left) == group_key(right)


def descendants(value: Value) -> list[Value]:
    """Return the values within an array or object, parents before children, as WITHIN sees them.

    Members come in the order of their names; the value itself is not among them.
    """
    found: list[Value] = []
    rest = [value]
    while rest:
        each = rest.pop()
        if each is not value:
            found.append(each)
        if isinstance(each, list):
            rest.extend(reversed(each))
        elif isinstance(each, dict):
            rest.extend(each[name] for name in sorted(each, reverse=True))
    return found


def plain(value: Value) -> Value:
    """Return a value whose objects are written with their names sorted, however they were stored.

    What was not stored comes back as it is.
    """
    if isinstance(value, Ordered):
        return {name: plain(each) for name, each in value.items()}
    if type(value) is list and any(isinstance(each, dict | list) for each in value):
        return [plain(each) for each in value]
    return value
