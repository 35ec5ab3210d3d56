"""Where words begin and end: Unicode's word boundaries (UAX 29), as far as tokens need them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple


class Kind(Enum):
    """What a token is made of, as the service numbers it."""

    LETTERS = 0
    IDEOGRAPH = 1
    NUMBER = 2


class Span(NamedTuple):
    """A piece of a text, in characters."""

    start: int
    end: int
    kind: Kind


_LETTER, _NUMBER, _KATAKANA, _IDEOGRAPH, _CONNECTOR, _OTHER, _EXTEND = range(7)
_MID_LETTER: Final = frozenset(":\u00b7\u0387\u05f4\u2027\ufe13\ufe55\uff1a")
_MID_BOTH: Final = frozenset(".'\u2018\u2019\u2024\ufe52\uff07\uff0e")
_MID_NUMBER: Final = frozenset(
    ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b"
)
_KATAKANA_RANGES: Final = (
    (0x3031, 0x3035),
    (0x309B, 0x309C),
    (0x30A0, 0x30FF),
    (0x31F0, 0x31FF),
    (0x32D0, 0x32FE),
    (0x3300, 0x3357),
    (0xFF66, 0xFF9D),
)
_IDEOGRAPH_RANGES: Final = (
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3038, 0x303B),
    (0x3041, 0x309F),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_COMPLEX_RANGES: Final = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1950, 0x19DF),
    (0x1A20, 0x1AAF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAADF),
)
"""Thai, Lao, Khmer and the like: their words cannot be told without a dictionary."""


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


@lru_cache(4096)
def _class_of(character: str) -> int:
    code, category = ord(character), unicodedata.category(character)
    if category in {"Mn", "Me", "Mc", "Cf"}:
        return _EXTEND
    if category == "Nd" or code == 0x066B:
        return _NUMBER
    if category == "Pc":
        return _CONNECTOR
    if _within(code, _KATAKANA_RANGES):
        return _KATAKANA
    if _within(code, _IDEOGRAPH_RANGES):
        return _IDEOGRAPH
    if category[0] == "L" or category == "Nl":
        return _OTHER if _within(code, _COMPLEX_RANGES) else _LETTER
    return _OTHER


def _joined(text: str, end: int, last: int) -> int:
    """Return where what goes on behind *end* goes on, *end* if nothing does.

    Args:
        text: the text.
        end: where the word would end.
        last: class of the last character that is not an extension.
    """
    following = _class_of(text[end])
    if following == _CONNECTOR:
        return end + 1 if last != _IDEOGRAPH else end
    if last == _CONNECTOR:
        return end + 1 if following in {_LETTER, _NUMBER, _KATAKANA} else end
    if last == _KATAKANA:
        return end + 1 if following == _KATAKANA else end
    if last in {_LETTER, _NUMBER} and following in {_LETTER, _NUMBER}:
        return end + 1
    between = _MID_BOTH | (_MID_LETTER if last == _LETTER else _MID_NUMBER)
    if last in {_LETTER, _NUMBER} and text[end] in between:
        # Marks upon the sign between belong to it.
        behind = end + 1
        while behind < len(text) and _class_of(text[behind]) == _EXTEND:
            behind += 1
        if behind < len(text) and _class_of(text[behind]) == last:
            return behind + 1
    return end


_ASCII: Final = re.compile(
    r"\w+(?:(?:(?<=[A-Za-z])[:.'](?=[A-Za-z])|(?<=[0-9])[.',;](?=[0-9]))\w+)*", re.ASCII
)
"""What the rules come to where there is nothing but ASCII, which is most of all text."""


def words(text: str) -> Iterator[Span]:
    """Yield words, numbers and single ideographs; what is between them is left out."""
    if not text.isascii():
        yield from _words(text)
        return
    for found in _ASCII.finditer(text):
        word = found[0]
        if word.isalpha() or any(map(str.isalpha, word)):
            yield Span(found.start(), found.end(), Kind.LETTERS)
        elif any(map(str.isdigit, word)):
            yield Span(found.start(), found.end(), Kind.NUMBER)


def _words(text: str) -> Iterator[Span]:
    start, length = 0, len(text)
    while start < length:
        last = _class_of(text[start])
        end, letters, numbers, katakana = start + 1, False, False, False
        if last in {_OTHER, _EXTEND}:
            start = end
            continue
        while True:
            letters |= last == _LETTER
            numbers |= last == _NUMBER
            katakana |= last == _KATAKANA
            while end < length and _class_of(text[end]) == _EXTEND:
                end += 1
            if end >= length or last == _IDEOGRAPH:
                break
            further = _joined(text, end, last)
            if further == end:
                break
            last, end = _class_of(text[further - 1]), further
        if letters:
            yield Span(start, end, Kind.LETTERS)
        elif katakana or last == _IDEOGRAPH:
            yield Span(start, end, Kind.IDEOGRAPH)
        elif numbers:
            yield Span(start, end, Kind.NUMBER)
        start = end


def letters(text: str) -> Iterator[Span]:
    """Yield runs of letters."""
    start = None
    for index, character in enumerate(text):
        if character.isalpha():
            start = index if start is None else start
        elif start is not None:
            yield Span(start, index, Kind.LETTERS)
            start = None
    if start is not None:
        yield Span(start, len(text), Kind.LETTERS)


def whitespace(text: str) -> Iterator[Span]:
    """Yield what stands between blanks."""
    start = None
    for index, character in enumerate(text):
        if not character.isspace():
            start = index if start is None else start
        elif start is not None:
            yield Span(start, index, Kind.LETTERS)
            start = None
    if start is not None:
        yield Span(start, len(text), Kind.LETTERS)
