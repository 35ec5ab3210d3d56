"""What operators do with values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from couchloop.embedded.sqlpp.errors import FunctionError
from couchloop.embedded.sqlpp.values import (
    MISSING,
    Missing,
    Value,
    descendants,
    equal,
    integral,
    is_number,
    number,
)

Arithmetic = Callable[[Value, Value], Value]


def numbers(left: Value, right: Value) -> Missing | bool | None:
    """Return whether both are numbers; else MISSING or NULL, which is the result then."""
    if left is MISSING or right is MISSING:
        return Missing.MISSING
    return True if is_number(left) and is_number(right) else None


def add(left: float, right: float) -> Value:
    """Return the sum of two numbers."""
    return number(left + right)


def subtract(left: float, right: float) -> Value:
    """Return the difference of two numbers."""
    return number(left - right)


def multiply(left: float, right: float) -> Value:
    """Return the product of two numbers."""
    return number(left * right)


def modulo(left: float, right: float) -> Value:
    """Return the remainder, with the sign of the dividend; NULL for zero."""
    divisor = float(right)
    if divisor == 0:
        return None
    dividend = float(left)
    if math.isinf(dividend) or math.isnan(dividend) or math.isnan(divisor):
        return math.nan
    return number(math.fmod(dividend, divisor))


def power(left: float, right: float) -> Value:
    """Return left to the power of right, as IEEE 754 has it."""
    try:
        return number(math.pow(left, right))
    except OverflowError:
        negative = left < 0 and float(right).is_integer() and math.fmod(right, 2) != 0
        return -math.inf if negative else math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


def divide(left: float, right: float) -> Value:
    """Return the quotient; zero as the divisor is the caller's."""
    if math.isinf(left) and math.isinf(right):
        return math.nan
    return number(float(left) / float(right))


ARITHMETIC: Final[dict[str, Arithmetic]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "%": modulo,
    "^": power,
}


def negate(value: Value) -> Value:
    """Return `-value`."""
    if is_number(value):
        return number(-value)
    return MISSING if value is MISSING else None


def concatenate(left: Value, right: Value) -> Value:
    """Return `left || right`: strings only."""
    if left is MISSING or right is MISSING:
        return MISSING
    if type(left) is str and type(right) is str:
        return left + right
    return None


def is_in(value: Value, items: Iterable[Value]) -> Value:
    """Return whether *value* is among *items*; neither is MISSING."""
    result: Value = False
    for item in items:
        same = equal(value, item)
        if same is True:
            return True
        if same is MISSING or (same is None and result is False):
            result = same
    return result


def member_of(value: Value, collection: Value) -> Value:
    """Return `value IN collection`."""
    if value is MISSING or collection is MISSING:
        return MISSING
    return is_in(value, collection) if type(collection) is list else None


def within(value: Value, collection: Value) -> Value:
    """Return `value WITHIN collection`."""
    if value is MISSING or collection is MISSING:
        return MISSING
    if isinstance(collection, list | dict):
        return is_in(value, descendants(collection))
    return None


def exists(value: Value) -> Value:
    """Return `EXISTS value`."""
    if value is MISSING:
        return MISSING
    return len(value) > 0 if type(value) is list else None


def like(value: Value, pattern: Value, escape: Value, spend: Callable[[int], None]) -> Value:
    """Return `value LIKE pattern ESCAPE escape`. Raises FunctionError.

    *spend* is told of the steps that it takes.
    """
    if value is MISSING or pattern is MISSING or escape is MISSING:
        return MISSING
    if type(value) is not str or type(pattern) is not str:
        return None
    if type(escape) is not str or len(escape) != 1:
        raise FunctionError("ESCAPE clause must resolve to a single character")
    spend((len(value) + len(pattern)) // _QUICK)
    return _matches(value, _pattern(pattern, escape), spend)


_QUICK: Final = 256
"""Characters that a search goes over in the time of a step."""
_SLOW: Final = 32
"""Characters that are compared one by one in that time."""

_Piece = tuple[str, ...]
"""Characters between two `%`; the empty string stands for any one."""


@lru_cache(maxsize=64)
def _pattern(pattern: str, escape: str) -> tuple[_Piece, ...]:
    """Return the pieces of a pattern between its `%`. Raises FunctionError."""
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, None)
            if following is None:
                text = f"Trailing escape character ({escape}) in pattern"
                raise FunctionError(text)
            pieces[-1].append(following)
        elif character == "%":
            pieces.append([])
        else:
            pieces[-1].append("" if character == "_" else character)
    return tuple(map(tuple, pieces))


def _matches(text: str, pieces: tuple[_Piece, ...], spend: Callable[[int], None]) -> bool:
    """Whether the whole text is the pieces with any text between; in bounded time."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return len(text) == len(first) and _fits(text, 0, first)
    if len(text) < len(first) + len(last) or not _fits(text, 0, first):
        return False
    end = len(text) - len(last)
    if not _fits(text, end, last):
        return False
    position = len(first)
    for piece in pieces[1:-1]:
        found = _find(text, position, end, piece, spend)
        if found is None:
            return False
        position = found + len(piece)
    return True


def _find(
    text: str, start: int, end: int, piece: _Piece, spend: Callable[[int], None]
) -> int | None:
    if "" not in piece:
        found = text.find("".join(piece), start, end)
        return None if found < 0 else found
    for position in range(start, end - len(piece) + 1):
        spend(1 + len(piece) // _SLOW)
        if _fits(text, position, piece):
            return position
    return None


def _fits(text: str, position: int, piece: _Piece) -> bool:
    return all(not wanted or text[position + index] == wanted for index, wanted in enumerate(piece))


def field(value: Value, name: str) -> Value:
    """Return `value.name`."""
    return value.get(name, MISSING) if isinstance(value, dict) else MISSING


def field_in_any_case(value: Value, name: str) -> Value:
    """Return ``value.`name`i``: the exact name first, then the first that fits."""
    if not isinstance(value, dict):
        return MISSING
    if name in value:
        return value[name]
    folded = name.lower()
    return next((value[each] for each in sorted(value) if each.lower() == folded), MISSING)


def computed_field(value: Value, name: Value, *, insensitive: bool) -> Value:
    """Return `value.[name]`."""
    if value is MISSING or name is MISSING:
        return MISSING
    if type(name) is not str:
        return None
    return field_in_any_case(value, name) if insensitive else field(value, name)


def element(value: Value, index: Value) -> Value:
    """Return `value[index]`."""
    if value is MISSING or index is MISSING:
        return MISSING
    position = integral(index)
    if position is None:
        return None
    if type(value) is not list:
        return MISSING
    if -len(value) <= position < len(value):
        return value[position]
    return MISSING


def piece(value: Value, start: Value, end: Value, *, has_start: bool, has_end: bool) -> Value:
    """Return `value[start:end]`: not clamped, MISSING where a bound is outside."""
    if value is MISSING or start is MISSING or end is MISSING:
        return MISSING
    first = integral(start) if has_start else 0
    if type(value) is not list or first is None:
        return None
    length = len(value)
    last = integral(end) if has_end else length
    if last is None:
        return None
    first += length if first < 0 else 0
    last += length if last < 0 else 0
    if not 0 <= first <= last <= length or (has_start and not has_end and first == length):
        return MISSING
    return value[first:last]


def star(value: Value) -> Value:
    """Return `value[*]`: an object of arrays."""
    if value is MISSING:
        return MISSING
    if type(value) is not list:
        return None
    names = {name for each in value if isinstance(each, dict) for name in each}
    return {name: [_or_null(field(each, name)) for each in value] for name in sorted(names)}


def _or_null(value: Value) -> Value:
    return None if value is MISSING else value
