"""Layouts of dates as Go writes them: what the reference time 2006-01-02 15:04:05 looks like.

Those of the service are not quite Go's when a date is read: a fraction is only where the layout has
one, and hours, minutes and months are one digit or two as the layout says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from couchloop.embedded.sqlpp.functions.moments import (
    UTC_ZONE,
    Civil,
    Moment,
    Zone,
    fixed_zone,
    moment_of,
    month_days,
    named_zone,
)

MONTHS: Final = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS: Final = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

DEFAULT: Final = "2006-01-02T15:04:05.999Z07:00"

_TOKENS: Final = re.compile(
    "January|Monday|2006|Jan|Mon|MST|__2|002|01|02|_2|15|03|PM|pm|04|05|06"
    r"|[.,]0+(?![0-9])|[.,]9+(?![0-9])"
    "|[Z-]07:00:00|[Z-]070000|[Z-]07:00|[Z-]0700|[Z-]07|1|2|3|4|5| +|.",
    re.DOTALL,
)


class DateError(ValueError):
    """A text is no date, or none of the format that was asked for."""


@lru_cache(maxsize=64)
def tokens(layout: str) -> tuple[str, ...]:
    """Return the parts of a layout; what means nothing is a part of one character."""
    return tuple(_TOKENS.findall(layout))


class Shown(NamedTuple):
    """A date that is written, and what its clock and calendar show."""

    moment: Moment
    civil: Civil


# --- written ------------------------------------------------------------------------------------


def write(moment: Moment, layout: str) -> str:
    """Return a date as a layout shows it."""
    shown = Shown(moment, moment.civil())
    return "".join(_written(shown, part) for part in tokens(layout))


def _written(shown: Shown, part: str) -> str:
    known = _WRITTEN.get(part)
    if known is not None:
        return known(shown)
    if len(part) == 1:
        return part
    if part[0] in ".,":
        return _fraction(shown.civil, part)
    return _offset(shown.moment.offset, part) if part[0] in "Z-" else part


def hour_12(civil: Civil) -> int:
    """Return the hour on a dial of twelve."""
    return civil.hour % 12 or 12


_WRITTEN: Final[dict[str, Callable[[Shown], str]]] = {
    "2006": lambda shown: year_text(shown.civil.year),
    "06": lambda shown: f"{shown.civil.year % 100:02d}",
    "January": lambda shown: MONTHS[shown.civil.month - 1],
    "Jan": lambda shown: MONTHS[shown.civil.month - 1][:3],
    "01": lambda shown: f"{shown.civil.month:02d}",
    "1": lambda shown: str(shown.civil.month),
    "02": lambda shown: f"{shown.civil.day:02d}",
    "_2": lambda shown: f"{shown.civil.day:2d}",
    "2": lambda shown: str(shown.civil.day),
    "15": lambda shown: f"{shown.civil.hour:02d}",
    "03": lambda shown: f"{hour_12(shown.civil):02d}",
    "3": lambda shown: str(hour_12(shown.civil)),
    "04": lambda shown: f"{shown.civil.minute:02d}",
    "4": lambda shown: str(shown.civil.minute),
    "05": lambda shown: f"{shown.civil.second:02d}",
    "5": lambda shown: str(shown.civil.second),
    "PM": lambda shown: "AM" if shown.civil.hour < 12 else "PM",
    "pm": lambda shown: "am" if shown.civil.hour < 12 else "pm",
    "Monday": lambda shown: DAYS[shown.moment.weekday],
    "Mon": lambda shown: DAYS[shown.moment.weekday][:3],
    "__2": lambda shown: f"{shown.moment.day_of_year():3d}",
    "002": lambda shown: f"{shown.moment.day_of_year():03d}",
    "MST": lambda shown: shown.moment.zone.short(shown.moment.seconds),
}


def year_text(year: int) -> str:
    """Return a year with four digits at least."""
    return f"{year:04d}" if year >= 0 else f"-{-year:04d}"


def _fraction(civil: Civil, part: str) -> str:
    digits = f"{civil.nanosecond:09d}".ljust(len(part) - 1, "0")[: len(part) - 1]
    if part[1] == "0":
        return part[0] + digits
    digits = digits.rstrip("0")
    return part[0] + digits if digits else ""


def _offset(seconds: int, part: str) -> str:
    if part[0] == "Z" and not seconds:
        return "Z"
    sign = "-" if seconds < 0 else "+"
    hours, rest = divmod(abs(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    colon = ":" if ":" in part else ""
    parts = (f"{hours:02d}", f"{minutes:02d}", f"{rest:02d}")
    return sign + colon.join(parts[: len(part.replace(":", "")) // 2])


# --- read ---------------------------------------------------------------------------------------


@dataclass
class Fields:
    """What has been read of a date."""

    century: int | None = None
    year: int | None = None
    month: int | None = None
    day: int | None = None
    day_of_year: int | None = None
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    twelve: bool = False
    """Whether the hour is one of a dial of twelve."""
    afternoon: bool = False
    zone: Zone | None = None

    def moment(self) -> Moment:
        """Return the moment. Raises DateError if there is no such date."""
        year = self._whole_year()
        month, day = self._month_and_day(year)
        if not 1 <= month <= 12 or not 1 <= day <= month_days(year, month):
            raise DateError("there is no such day")
        hour = self.hour
        if self.twelve:
            hour = hour % 12 + 12 * self.afternoon
        civil = Civil(year, month, day, hour, self.minute, self.second, self.nanosecond)
        return moment_of(civil, self.zone or UTC_ZONE)

    def _whole_year(self) -> int:
        if self.year is None:
            return (self.century or 0) * 100
        if self.century is None:
            return self.year + (1900 if self.year >= 69 else 2000)
        return self.century * 100 + self.year

    def _month_and_day(self, year: int) -> tuple[int, int]:
        if self.day_of_year is None:
            return self.month or 1, self.day or 1
        month, day = 1, self.day_of_year
        while month < 12 and day > month_days(year, month):
            day -= month_days(year, month)
            month += 1
        if self.month not in {None, month} or self.day not in {None, day}:
            raise DateError("the day of the year is another day")
        return month, day


class Reader:
    """Reads numbers, names and zones from a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.fields = Fields()

    @property
    def left(self) -> bool:
        """Whether there is more to read."""
        return self.at < len(self.text)

    def number(self, least: int, most: int, low: int, high: int) -> int:
        """Read *least* to *most* digits: a number from *low* to *high*."""
        end = self.at
        while end < len(self.text) and end < self.at + most and self.text[end] in _DIGITS:
            end += 1
        digits = self.text[self.at : end]
        if len(digits) < least or not low <= int(digits) <= high:
            raise DateError("there is no such number")
        self.at = end
        return int(digits)

    def fraction(self, least: int, most: int) -> int:
        """Read digits of a second: nanoseconds."""
        start = self.at
        value = self.number(least, most, 0, 10**most)
        # Digits beyond nanoseconds are cut off.
        return int(f"{value:0{self.at - start}d}".ljust(9, "0")[:9])

    def name(self, names: list[str], length: int | None = None) -> int:
        """Read one of some names: its index."""
        for index, name in enumerate(names):
            if self.text.startswith(name[:length], self.at):
                self.at += len(name[:length])
                return index
        raise DateError("there is no such name")

    def literal(self, text: str) -> None:
        """Read exactly that."""
        if not self.text.startswith(text, self.at):
            raise DateError("it is something else")
        self.at += len(text)

    def blanks(self) -> None:
        """Read any number of blanks, one at least."""
        self.literal(" ")
        while self.text.startswith(" ", self.at):
            self.at += 1

    def half(self, morning: str, afternoon: str) -> None:
        """Read which half of the day it is, by the first letter of two."""
        letter = self.text[self.at : self.at + 1]
        if not letter or letter not in morning + afternoon or self.at + 2 > len(self.text):
            raise DateError("it is no half of a day")
        self.fields.afternoon = letter in afternoon
        self.at += 2

    def zone(self, layouts: str, *, zulu: bool) -> None:
        """Read a distance from UTC: `1` ±hh, `2` ±hhmm, `3` ±hh:mm, or Z."""
        for layout in sorted(layouts, reverse=True):
            found = _ZONES[layout].match(self.text, self.at)
            if found is not None:
                hours, minutes = int(found[1]), int(found[2] or 0)
                if not -12 <= hours <= 14 or minutes > 59 or int(found[3] or 0) > 59:
                    raise DateError("there is no such zone")
                self.at = found.end()
                self.fields.zone = fixed_zone(hours, minutes)
                return
        if not zulu or not self.text.startswith("Z", self.at):
            raise DateError("it is no zone")
        self.at += 1
        self.fields.zone = UTC_ZONE

    def zone_name(self) -> None:
        """Read the name of a zone."""
        found = _ZONE_NAME.match(self.text, self.at)
        name = found[0].rstrip("+-/_") if found else ""
        zone = zone_by_name(name) if name else None
        if zone is None:
            raise DateError("there is no such zone")
        self.at += len(name)
        self.fields.zone = zone


_DIGITS: Final = "0123456789"
_ZONES: Final = {
    "1": re.compile(r"([+-][0-9]{2})()()"),
    "2": re.compile(r"([+-][0-9]{2})([0-9]{2})()"),
    "3": re.compile(r"([+-][0-9]{2}):([0-9]{2})()"),
    "4": re.compile(r"([+-][0-9]{2})([0-9]{2})([0-9]{2})"),
    "5": re.compile(r"([+-][0-9]{2}):([0-9]{2}):([0-9]{2})"),
}
_ZONE_LAYOUTS: Final = {"07": "1", "0700": "2", "07:00": "3", "070000": "4", "07:00:00": "5"}
_ZONE_NAME: Final = re.compile("[A-Za-z0-9+/_-]+")
_SHORT: Final = {"EST": "EST5EDT", "CST": "CST6CDT", "MST": "MST7MDT", "PST": "PST8PDT"}


def zone_by_name(name: str) -> Zone | None:
    """Return a zone by a name or by a distance from UTC, None if there is none."""
    reader = Reader(name)
    try:
        reader.zone("12345", zulu=True)
    except DateError:
        return named_zone(_SHORT.get(name, name))
    return None if reader.left else reader.fields.zone


def read(text: str, layout: str) -> Moment:
    """Return the date that a text is, by a layout. Raises DateError."""
    reader = Reader(text)
    for part in tokens(layout):
        if not reader.left:
            raise DateError("it is too short")
        _read(reader, part)
    if reader.left:
        raise DateError("it is too long")
    return reader.fields.moment()


_NUMBERS: Final = {
    # Field, least and most digits, lowest and highest value.
    "01": ("month", 2, 2, 1, 12),
    "1": ("month", 1, 2, 1, 12),
    "02": ("day", 2, 2, 1, 31),
    "2": ("day", 1, 2, 1, 31),
    "_2": ("day", 1, 2, 1, 31),
    "15": ("hour", 1, 2, 0, 23),
    "03": ("hour", 2, 2, 1, 12),
    "3": ("hour", 1, 2, 1, 12),
    "04": ("minute", 2, 2, 0, 59),
    "4": ("minute", 1, 2, 0, 59),
    "05": ("second", 2, 2, 0, 59),
    "5": ("second", 1, 2, 0, 59),
    "06": ("year", 2, 2, 0, 99),
    "002": ("day_of_year", 3, 3, 1, 366),
    "__2": ("day_of_year", 1, 3, 1, 366),
}


def _read(reader: Reader, part: str) -> None:
    fields = reader.fields
    known = _NUMBERS.get(part)
    if known is not None:
        if part in {"__2", "_2"}:
            while reader.text.startswith(" ", reader.at):
                reader.at += 1
        setattr(fields, known[0], reader.number(*known[1:]))
        if known[0] == "hour":
            fields.twelve = part != "15"
    elif part == "2006":
        fields.century, fields.year = divmod(reader.number(4, 4, 0, 9999), 100)
    elif part in {"January", "Jan"}:
        fields.month = reader.name(MONTHS, None if part == "January" else 3) + 1
    elif part in {"Monday", "Mon"}:
        reader.name(DAYS, None if part == "Monday" else 3)
    elif part in {"PM", "pm"}:
        reader.half("A" if part == "PM" else "a", "P" if part == "PM" else "p")
    elif part == "MST":
        reader.zone_name()
    elif part[0] in ".," and len(part) > 1:
        reader.literal(part[0])
        exact = len(part) - 1
        fields.nanosecond = reader.fraction(*((exact, exact) if part[1] == "0" else (1, 9)))
    elif part[0] == "Z" or (part[0] == "-" and len(part) > 1):
        reader.zone(_ZONE_LAYOUTS.get(part[1:], ""), zulu=part[0] == "Z")
    elif part[0] == " ":
        reader.blanks()
    else:
        reader.literal(part)
