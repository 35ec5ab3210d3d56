"""Dates as texts, in the four ways in which a format may be given.

An example date (`1111-11-11`), the usual letters (`YYYY-MM-DD`), those of Unix' `date`
(`%Y-%m-%d`), or a layout of Go (`2006-01-02`).
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from couchloop.embedded.sqlpp.functions import date_letters, date_percents
from couchloop.embedded.sqlpp.functions.date_layouts import DEFAULT, DateError, read, write
from couchloop.embedded.sqlpp.functions.moments import Moment

_SHAPE: Final = re.compile(
    r"(?:(?P<year>[0-9]{4})(?P<dash>[-/.])[0-9]{2}(?P=dash)[0-9]{2}(?P<joint>T| +|\Z))?"
    r"(?P<time>[0-9]{2}:[0-9]{2}(?P<seconds>:[0-9]{2}(?P<fraction>\.[0-9]{1,9})?"
    r"(?P<blank> *)(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?)?\Z"
)
_MAYBE_LAYOUT: Final = re.compile("(?:2006|0?[1-6])(?![0-9])")


class _Kind(Enum):
    EXAMPLE = "an example date"
    LETTERS = "the usual letters"
    PERCENT = "those of Unix' date"
    LAYOUT = "a layout of Go"


class Dated(NamedTuple):
    """A date, and the layout that it was written in."""

    moment: Moment
    layout: str


@lru_cache(maxsize=64)
def layout_of(text: str) -> str | None:
    """Return the layout that a date is written in, None if it is in none of those known."""
    found = _SHAPE.match(text)
    if found is None or (not found["year"] and not found["seconds"]):
        return None
    layout = ""
    if found["year"]:
        dash = found["dash"]
        layout = f"2006{dash}01{dash}02{found['joint'][:1]}"
    if not found["time"]:
        # Blanks behind a date are none of it.
        return None if layout.endswith(" ") else layout
    if not found["seconds"]:
        return f"{layout}15:04"
    zone = found["zone"] or ""
    if found["blank"] and not zone:
        return None
    blank = " " if found["blank"] else ""
    fraction = _fraction(found["fraction"] or "", alone=not found["year"] and not zone)
    return f"{layout}15:04:05{fraction}{blank}{_zone(zone)}"


def _fraction(text: str, *, alone: bool) -> str:
    if not text:
        return ""
    digits = len(text) - 1
    if alone and digits in {6, 9}:
        return "." + "0" * digits
    return "." + "9" * (3 if digits <= 3 else 6 if digits <= 6 else 9)


def _zone(text: str) -> str:
    if not text:
        return ""
    return {3: "Z07", 5: "Z0700"}.get(len(text), "Z07:00")


@lru_cache(maxsize=64)
def _kind(text: str) -> _Kind:
    if "%" in text:
        return _Kind.PERCENT
    if date_letters.are_known(text):
        return _Kind.LETTERS
    if unicodedata.category(text[0]) != "Nd" or _MAYBE_LAYOUT.match(text):
        return _Kind.LAYOUT
    return _Kind.EXAMPLE


def parse_date(text: str, example: str = "") -> Moment | None:
    """Return the date that a text is, None if it is none.

    Args:
        text: that.
        example: its format; empty: any of those in which dates are known.
    """
    try:
        return _parsed(text, example)
    except DateError:
        return None


def _parsed(text: str, example: str) -> Moment:
    kind = _kind(example) if example else _Kind.EXAMPLE
    if kind is _Kind.PERCENT:
        return date_percents.read(text, example)
    if kind is _Kind.LETTERS:
        return date_letters.read(text, example)
    if kind is _Kind.LAYOUT:
        return read(text, example)
    layout = layout_of(example or text)
    if layout is None:
        raise DateError("it is in no format that is known")
    if example:
        # The example must be a date itself.
        read(example, layout)
    return read(text, layout)


def parse_dated(text: str) -> Dated | None:
    """Return the date that a text is, and its layout; None if it is none."""
    layout = layout_of(text)
    if layout is None:
        return None
    try:
        return Dated(read(text, layout), layout)
    except DateError:
        return None


def format_date(moment: Moment, example: str = "") -> str | None:
    """Return a date as a text.

    Args:
        moment: the date.
        example: the format; empty, or an example that is in none that is known: the usual one.
    """
    if not example:
        return write(moment, DEFAULT)
    kind = _kind(example)
    if kind is _Kind.PERCENT:
        return date_percents.write(moment, example)
    if kind is _Kind.LETTERS:
        return date_letters.write(moment, example)
    if kind is _Kind.LAYOUT:
        return write(moment, example)
    dated = parse_dated(example)
    return write(moment, DEFAULT if dated is None else dated.layout)


def example_of(text: str) -> str:
    """Return a date as an example that is taken for no layout: all its digits are 1."""
    return re.sub(r"\d", "1", text)
