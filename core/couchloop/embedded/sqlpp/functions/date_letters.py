"""Formats of dates in the usual letters: `YYYY-MM-DD hh:mm:ss`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from couchloop.embedded.sqlpp.functions import date_layouts
from couchloop.embedded.sqlpp.functions.date_layouts import (
    DAYS,
    MONTHS,
    DateError,
    Reader,
    Shown,
    hour_12,
    year_text,
)
from couchloop.embedded.sqlpp.functions.moments import Civil, Moment

_TOKENS: Final = re.compile(
    "YYYY|YY|CC|MONTH|Month|month|MON|Mon|mon|MM|MI|DAY|Day|day|DY|Dy|dy|DD|HH24|HH12|HH|hh|mm"
    "|SSS|SS|S|sss|ss|s|PP|PM|AM|pp|pm|am|TZD|TZN|TZF|.",
    re.DOTALL,
)


_Writer = Callable[[Shown], str]


@lru_cache(maxsize=64)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKENS.findall(text))


def are_known(text: str) -> bool:
    """Whether a format has nothing but these letters, blanks and punctuation."""
    return all(
        part in _WRITTEN or part == "T" or part.isspace() or _is_punctuation(part)
        for part in _tokens(text)
    )


def _is_punctuation(text: str) -> bool:
    return len(text) == 1 and unicodedata.category(text).startswith("P")


def _like(text: str, example: str) -> str:
    """Return a text in capitals or small letters, as an example has them."""
    if example.islower():
        return text.lower()
    return text.upper() if example.isupper() else text


def _month(name: str, length: int | None) -> _Writer:
    return lambda shown: _like(MONTHS[shown.civil.month - 1][:length], name)


def _day(name: str, length: int | None) -> _Writer:
    return lambda shown: _like(DAYS[shown.moment.weekday][:length], name)


def _milliseconds(civil: Civil) -> str:
    return f"{min(999, (civil.nanosecond + 500_000) // 1_000_000):03d}"


_WRITTEN: Final[dict[str, _Writer]] = {
    "YYYY": lambda shown: year_text(shown.civil.year),
    "YY": lambda shown: f"{shown.civil.year % 100:02d}",
    "CC": lambda shown: f"{shown.civil.year // 100:02d}",
    "MM": lambda shown: f"{shown.civil.month:02d}",
    "DD": lambda shown: f"{shown.civil.day:02d}",
    "TZD": lambda shown: date_layouts.write(shown.moment, "Z07:00"),
    "TZN": lambda shown: shown.moment.zone.short(shown.moment.seconds),
    "TZF": lambda shown: shown.moment.zone.name,
}


def _enter(names: str, writer: _Writer) -> None:
    for name in names.split():
        _WRITTEN[name] = writer


_enter("hh HH24", lambda shown: f"{shown.civil.hour:02d}")
_enter("HH HH12", lambda shown: f"{hour_12(shown.civil):02d}")
_enter("mm MI", lambda shown: f"{shown.civil.minute:02d}")
_enter("ss SS", lambda shown: f"{shown.civil.second:02d}")
_enter("s S", lambda shown: _milliseconds(shown.civil))
_enter("sss SSS", lambda shown: f"{shown.civil.nanosecond:09d}")
_enter("PP PM AM", lambda shown: "AM" if shown.civil.hour < 12 else "PM")
_enter("pp pm am", lambda shown: "am" if shown.civil.hour < 12 else "pm")
for _name in ("MONTH", "Month", "month"):
    _enter(_name, _month(_name, None))
for _name in ("MON", "Mon", "mon"):
    _enter(_name, _month(_name, 3))
for _name in ("DAY", "Day", "day"):
    _enter(_name, _day(_name, None))
for _name in ("DY", "Dy", "dy"):
    _enter(_name, _day(_name, 3))


def write(moment: Moment, text: str) -> str:
    """Return a date in a format."""
    shown = Shown(moment, moment.civil())
    return "".join(_WRITTEN[part](shown) if part in _WRITTEN else part for part in _tokens(text))


_NUMBERS: Final = {
    "MM": ("month", 1, 2, 1, 12),
    "DD": ("day", 1, 2, 1, 31),
    "hh": ("hour", 1, 2, 0, 23),
    "HH24": ("hour", 1, 2, 0, 23),
    "HH": ("hour", 1, 2, 1, 12),
    "HH12": ("hour", 1, 2, 1, 12),
    "mm": ("minute", 1, 2, 0, 59),
    "MI": ("minute", 1, 2, 0, 59),
    "ss": ("second", 1, 2, 0, 59),
    "SS": ("second", 1, 2, 0, 59),
    "YY": ("year", 2, 2, 0, 99),
    "CC": ("century", 2, 2, 0, 99),
}


def read(text: str, example: str) -> Moment:
    """Return the date that a text is, by a format. Raises DateError."""
    reader = Reader(text)
    for part in _tokens(example):
        if not reader.left:
            raise DateError("it is too short")
        _read(reader, part)
    if reader.left:
        raise DateError("it is too long")
    return reader.fields.moment()


def _read(reader: Reader, part: str) -> None:
    fields = reader.fields
    known = _NUMBERS.get(part)
    if known is not None:
        setattr(fields, known[0], reader.number(*known[1:]))
        if known[0] == "hour":
            fields.twelve = part in {"HH", "HH12"}
    elif part == "YYYY":
        fields.century, fields.year = divmod(reader.number(4, 4, 0, 9999), 100)
    elif part in {"s", "S", "sss", "SSS"}:
        fields.nanosecond = reader.fraction(1, 9)
    elif part in {"PP", "PM", "AM", "pp", "pm", "am"}:
        reader.half("aA", "pP")
    elif part in {"TZD", "TZN", "TZF"}:
        _read_zone(reader)
    elif part.upper() in {"MONTH", "MON"}:
        names = [_like(name, part) for name in MONTHS]
        fields.month = reader.name(names, 3 if len(part) == 3 else None) + 1
    elif part.upper() in {"DAY", "DY"}:
        reader.name([_like(name, part) for name in DAYS], 3 if len(part) == 2 else None)
    elif part == " ":
        # A blank stands for any character.
        reader.at += 1
    else:
        reader.literal(part)


def _read_zone(reader: Reader) -> None:
    try:
        reader.zone("123", zulu=True)
    except DateError:
        reader.zone_name()
