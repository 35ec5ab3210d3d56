"""Formats of dates as Unix' `date` has them: `%Y-%m-%d %H:%M:%S`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from couchloop.embedded.sqlpp.functions import date_layouts
from couchloop.embedded.sqlpp.functions.date_layouts import (
    DAYS,
    DEFAULT,
    MONTHS,
    DateError,
    Reader,
    Shown,
    hour_12,
)
from couchloop.embedded.sqlpp.functions.moments import Moment

_TOKENS: Final = re.compile(r"%([_0^-]?)([0-9]*)[EO]?(:*)(.)|(.)", re.DOTALL)
_WIDEST: Final = 100
"""Columns that a number may be asked to fill."""

_LONG: Final = {"D": "%Y-%m-%d", "x": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S", "X": "%H:%M:%S"}


@lru_cache(maxsize=64)
def _tokens(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the parts of a format: flag, width, colons, letter, or else a character."""
    for letter, whole in _LONG.items():
        text = text.replace(f"%{letter}", whole)
    found = _TOKENS.findall(text)
    return tuple(found)


_NUMBERS: Final[dict[str, tuple[int, Callable[[Shown], int]]]] = {
    # How wide it is without being told, and what it is.
    "Y": (4, lambda shown: shown.civil.year),
    "C": (2, lambda shown: shown.civil.year // 100),
    "y": (2, lambda shown: shown.civil.year % 100),
    "m": (2, lambda shown: shown.civil.month),
    "d": (2, lambda shown: shown.civil.day),
    "H": (2, lambda shown: shown.civil.hour),
    "I": (2, lambda shown: hour_12(shown.civil)),
    "M": (2, lambda shown: shown.civil.minute),
    "S": (2, lambda shown: shown.civil.second),
    "s": (0, lambda shown: shown.moment.seconds),
    "N": (9, lambda shown: shown.civil.nanosecond),
    "n": (3, lambda shown: min(999, (shown.civil.nanosecond + 500_000) // 1_000_000)),
    "V": (1, lambda shown: shown.moment.iso_week()[1]),
    "G": (1, lambda shown: shown.moment.iso_week()[0]),
    "j": (1, lambda shown: shown.moment.day_of_year()),
    "q": (1, lambda shown: (shown.civil.month + 2) // 3),
    "u": (1, lambda shown: shown.moment.weekday or 7),
    "w": (1, lambda shown: shown.moment.weekday),
}
_WORDS: Final[dict[str, Callable[[Shown], str]]] = {
    "B": lambda shown: MONTHS[shown.civil.month - 1],
    "b": lambda shown: MONTHS[shown.civil.month - 1][:3],
    "A": lambda shown: DAYS[shown.moment.weekday],
    "a": lambda shown: DAYS[shown.moment.weekday][:3],
    "p": lambda shown: "AM" if shown.civil.hour < 12 else "PM",
    "P": lambda shown: "am" if shown.civil.hour < 12 else "pm",
    "F": lambda shown: date_layouts.write(shown.moment, DEFAULT),
    "Z": lambda shown: shown.moment.zone.short(shown.moment.seconds),
    "%": lambda shown: "%",  # noqa: ARG005 - all are given it
}


def write(moment: Moment, text: str) -> str:
    """Return a date in a format; what is unknown in that stands for itself."""
    shown = Shown(moment, moment.civil())
    return "".join(_written(shown, part) for part in _tokens(text))


def _written(shown: Shown, part: tuple[str, ...]) -> str:
    flag, width, colons, letter, character = part
    if character:
        return character
    if letter in _NUMBERS:
        usual, number = _NUMBERS[letter]
        return _filled(number(shown), int(width[:3] or 0) or usual, flag)
    if letter == "z":
        return date_layouts.write(shown.moment, "-07:00" if colons else "-0700")
    word = _WORDS.get(letter)
    if word is None:
        return f"%{flag}{width}{letter}"
    return word(shown).upper() if flag == "^" and letter != "Z" else word(shown)


def _filled(value: int, width: int, flag: str) -> str:
    if flag == "-":
        return str(value)
    width = min(width, _WIDEST)
    return f"{value:{width}d}" if flag == "_" else f"{value:0{width}d}"


_FIELDS: Final = {
    "m": ("month", 1, 2, 1, 12),
    "d": ("day", 1, 2, 1, 31),
    "H": ("hour", 1, 2, 0, 23),
    "I": ("hour", 1, 2, 1, 12),
    "M": ("minute", 1, 2, 0, 59),
    "S": ("second", 1, 2, 0, 59),
    "y": ("year", 2, 2, 0, 99),
    "C": ("century", 2, 2, 0, 99),
    "j": ("day_of_year", 1, 3, 1, 366),
}


def read(text: str, example: str) -> Moment:
    """Return the date that a text is, by a format. Raises DateError."""
    reader = Reader(text)
    for *_, letter, character in _tokens(example):
        if not reader.left:
            raise DateError("it is too short")
        if character:
            reader.literal(character)
        else:
            _read(reader, letter)
    if reader.left:
        raise DateError("it is too long")
    return reader.fields.moment()


def _read(reader: Reader, letter: str) -> None:
    fields = reader.fields
    known = _FIELDS.get(letter)
    if known is not None:
        setattr(fields, known[0], reader.number(*known[1:]))
        if known[0] == "hour":
            fields.twelve = letter == "I"
    elif letter == "Y":
        fields.century, fields.year = divmod(reader.number(4, 4, 0, 9999), 100)
    elif letter in {"N", "n"}:
        fields.nanosecond = reader.fraction(1, 9)
    elif letter in {"p", "P"}:
        reader.half("aA", "pP")
    elif letter in {"B", "b"}:
        fields.month = reader.name(MONTHS, None if letter == "B" else 3) + 1
    elif letter in {"A", "a"}:
        reader.name(DAYS, None if letter == "A" else 3)
    elif letter == "z":
        reader.zone("123", zulu=True)
    elif letter == "Z":
        reader.zone_name()
    elif letter == "%":
        reader.literal("%")
    else:
        raise DateError("it is in no format that is known")
