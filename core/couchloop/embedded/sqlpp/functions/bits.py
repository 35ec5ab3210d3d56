"""Functions of the bits of integers: 64 of them, the lowest is bit 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_, or_, xor
from typing import Final

from couchloop.embedded.sqlpp.functions.table import Table
from couchloop.embedded.sqlpp.values import Value, integral

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add

_ALL: Final = (1 << 64) - 1
_HIGHEST: Final = 64


def _signed(value: int) -> int:
    value &= _ALL
    return value - (1 << 64) if value >> 63 else value


def _inside(value: int) -> bool:
    return -(1 << 63) <= value < 1 << 63


def _folded(operator: Callable[[int, int], int]) -> Callable[..., int | None]:
    return lambda *values: reduce(operator, values) if all(map(_inside, values)) else None


def _not(value: int) -> int | None:
    return ~value if _inside(value) else None


def _shift(value: int, places: int, rotate: bool = False) -> int | None:
    if not _inside(value):
        return None
    unsigned = value & _ALL
    if rotate:
        places %= 64
        return _signed(unsigned << places | unsigned >> (64 - places))
    if places >= 64 or places <= -64:
        return 0
    return _signed(unsigned << places if places >= 0 else unsigned >> -places)


def _places(bits: Value) -> int | None:
    """Return the bits of a position, or of an array of positions, as a number; None: not these."""
    found = 0
    for each in bits if type(bits) is list else [bits]:
        place = integral(each)
        if place is None or not 1 <= place <= _HIGHEST:
            return None
        found |= 1 << place - 1
    return found


def _changed(change: Callable[[int, int], int]) -> Callable[[int, Value], int | None]:
    def changed(value: int, bits: Value) -> int | None:
        places = _places(bits)
        return None if places is None or not _inside(value) else _signed(change(value, places))

    return changed


def _test(value: int, bits: Value, every: bool = False) -> bool | None:
    places = _places(bits)
    if places is None or not _inside(value):
        return None
    found = value & _ALL & places
    return found == places if every else found != 0


def _cleared(value: int, places: int) -> int:
    return value & ~places


_OPERATORS: Final[Sequence[tuple[str, Callable[[int, int], int]]]] = (
    ("BITAND", and_),
    ("BITOR", or_),
    ("BITXOR", xor),
)
for _name, _operator in _OPERATORS:
    _add(_name, "ii+", "number", _folded(_operator))
_add("BITNOT", "i", "number", _not)
_add("BITSHIFT", "ii?b", "number", _shift)
_add("BITSET", "iv", "number", _changed(or_))
_add("BITCLEAR", "iv", "number", _changed(_cleared))
_add("BITTEST ISBITSET", "iv?b", "boolean", _test)
