"""Numbers as terms: text whose order is that of the numbers, at several precisions.

A number is indexed 16 times, each time with four bits less, so that a range is a few terms.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

_STEP: Final = 4
_MASK: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63
_DIGITS: Final = [chr(code) for code in range(128)]
_FIRST: Final = 0x20
"""First character of a term of full precision."""

LEAST: Final = -_SIGN
MOST: Final = _SIGN - 1


def float_to_int(number: float) -> int:
    """Return a number of 64 bits, in the order of the floats."""
    bits: int = struct.unpack(">q", struct.pack(">d", number))[0]
    return bits ^ MOST if bits < 0 else bits


def int_to_float(number: int) -> float:
    """Undo `float_to_int`."""
    bits = number ^ MOST if number < 0 else number
    result: float = struct.unpack(">d", struct.pack(">q", bits))[0]
    return result


def encode(number: int, shift: int = 0) -> str:
    """Return the term of a number (of 64 bits, signed), less *shift* bits."""
    bits = ((number & _MASK) ^ _SIGN) >> shift
    count = (63 - shift) // 7 + 1
    digits = [_DIGITS[bits >> 7 * index & 0x7F] for index in range(count - 1, -1, -1)]
    return _DIGITS[_FIRST + shift] + "".join(digits)


def decode(term: str) -> int | None:
    """Return the number of a term of full precision, None if it is none."""
    if len(term) != 11 or ord(term[0]) != _FIRST:
        return None
    bits = 0
    for character in term[1:]:
        code = ord(character)
        if code > 0x7F:
            return None
        bits = bits << 7 | code
    value = (bits & _MASK) ^ _SIGN
    return value - (1 << 64) if value & _SIGN else value


def terms(number: int) -> Sequence[str]:
    """Return all terms of a number, the most precise one first."""
    return tuple(encode(number, shift) for shift in range(0, 64, _STEP))


def ranges(least: int, most: int) -> Iterator[tuple[str, str]]:
    """Yield ranges of terms, both ends included, that together are a range of numbers."""
    if least > most:
        return
    shift = 0
    while True:
        low, width = 0xF << shift, 1 << (shift + _STEP)
        has_lower, has_upper = least & low != 0, most & low != low
        next_least = (least + width if has_lower else least) & ~low
        next_most = (most - width if has_upper else most) & ~low
        wrapped = next_least > MOST or next_most < LEAST
        if shift + _STEP >= 64 or next_least > next_most or wrapped:
            yield encode(least, shift), encode(most, shift)
            return
        if has_lower:
            yield encode(least, shift), encode(least | low, shift)
        if has_upper:
            yield encode(most & ~low, shift), encode(most, shift)
        least, most, shift = next_least, next_most, shift + _STEP
