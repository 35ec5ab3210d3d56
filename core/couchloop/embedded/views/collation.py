"""The order of view keys: null, false, true, numbers, strings, arrays, objects.

A server compares strings by ICU's root collation: letters before anything that tells equal ones
apart, then accents, then case, small letters first. This is the same rule without ICU's tables.
For ASCII, and for letters that Unicode composes of others, the order is ICU's; letters of other
scripts follow by their code points.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any, Final

SortKey = tuple[Any, ...]
"""What a key is compared by; two of them always can be."""

_NULL: Final = (0,)
_FALSE: Final = (1,)
_TRUE: Final = (2,)
_NUMBER: Final = 3
_STRING: Final = 4
_ARRAY: Final = 5
_OBJECT: Final = 6

_PUNCTUATION: Final = "_-,;:!?.'\"()[]{}@*/\\&#%"
_SYMBOLS: Final = "`^+<=>|~"
"""Both in ICU's order."""
_BLANKS: Final = "\t\n\v\f\r\u0085\u2028\u2029 "
_APART: Final = {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "ß": "ss"}
"""Letters that count as others, of which Unicode does not compose them."""

# The first of a character's weights.
_BLANK, _MARK, _SYMBOL, _CURRENCY, _DIGIT, _LETTER = range(6)
_PLAIN: Final = 0x20
"""The accent of what has none: less than any code point of an accent."""
_SMALL, _OTHER_FORM, _CAPITAL = range(3)

_Weight = tuple[tuple[int, float] | None, int | None, int]
"""Which character, which accent, which form; None: that does not count."""


def sort_key(value: Any) -> SortKey:
    """Return what a JSON value is compared by. Raises RecursionError if it is too deep."""
    if value is None:
        return _NULL
    if value is True:
        return _TRUE
    if value is False:
        return _FALSE
    if isinstance(value, int | float):
        return _NUMBER, value
    if isinstance(value, str):
        return _STRING, _text_key(value)
    if isinstance(value, list):
        return _ARRAY, tuple(map(sort_key, value))
    return _OBJECT, tuple((_text_key(name), sort_key(each)) for name, each in value.items())


def _text_key(text: str) -> SortKey:
    # As a whole: of several accents on a letter each has its place.
    apart = text if text.isascii() else unicodedata.normalize("NFD", text)
    weights = [weight for each in apart for weight in _weights(each)]
    return (
        tuple(first for first, _, _ in weights if first is not None),
        tuple(second for _, second, _ in weights if second is not None),
        tuple(third for _, _, third in weights),
    )


@lru_cache(maxsize=4096)
def _weights(character: str) -> tuple[_Weight, ...]:
    """Return the weights of one character: none if it does not count at all."""
    apart = unicodedata.normalize("NFD", character)
    if apart != character:
        return tuple(weight for each in apart for weight in _weights(each))
    if character in _BLANKS:
        return (((_BLANK, _BLANKS.index(character)), _PLAIN, _SMALL),)
    category = unicodedata.category(character)
    if category in {"Cc", "Cf"}:
        return ()
    if category.startswith("M"):
        return ((None, ord(character), _SMALL),)
    apart = unicodedata.normalize("NFKD", character)
    if apart != character:
        return tuple(
            (first, second, _OTHER_FORM) for each in apart for first, second, _ in _weights(each)
        )
    if category.startswith("L"):
        return _of_letter(character)
    return ((_of_sign(character, category), _PLAIN, _SMALL),)


def _of_letter(letter: str) -> tuple[_Weight, ...]:
    small = letter.lower()
    form = _SMALL if letter == small else _CAPITAL
    parts = _APART.get(small)
    if parts is None:
        return (((_LETTER, ord(small[0])), _PLAIN, form),)
    return tuple(((_LETTER, ord(each)), _PLAIN + 1, form) for each in parts)


def _of_sign(character: str, category: str) -> tuple[int, float]:
    if category.startswith("N"):
        return _DIGIT, unicodedata.numeric(character, 0.0)
    if category.startswith("Z"):
        return _BLANK, float(ord(character))
    if category == "Sc":
        return _CURRENCY, float(ord(character))
    known, weight = (_SYMBOLS, _SYMBOL) if category.startswith("S") else (_PUNCTUATION, _MARK)
    if character in _SYMBOLS:
        known, weight = _SYMBOLS, _SYMBOL
    elif character in _PUNCTUATION:
        known, weight = _PUNCTUATION, _MARK
    at = known.find(character)
    return weight, float(at if at >= 0 else ord(character))
