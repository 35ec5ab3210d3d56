"""Dates as the service reads and writes them: nanoseconds since 1970, and a layout."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from couchloop.embedded.search.errors import SearchError

DEFAULT_PARSER: Final = "dateTimeOptional"
_OTHER_PARSERS: Final = frozenset(("unix_sec", "unix_milli", "unix_micro", "unix_nano"))
"""Those that a server has."""
_NO_LAYOUT: Final = "unable to parse datetime with any of the layouts"
_BILLION: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:(?P<between>[T ])(?P<hour>\d\d?):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:[.,](?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:\d\d| [+-]\d{4})?)?",
    re.ASCII,
)
_EARLIEST: Final = -(1 << 63)
_LATEST: Final = (1 << 63) - 1


class Date(NamedTuple):
    """A point in time, and how it was written."""

    nanoseconds: int
    """Since 1970 in UTC; without bounds."""
    layout: str
    """`date`, `T`, `Z` (RFC 3339), `blank` or `zone` (a blank, and a zone behind another)."""


def parse(text: str) -> Date | None:
    """Return what a text says in one of the layouts of `dateTimeOptional`, None if in none."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    if found["between"] is None:
        layout, clock = "date", (0, 0, 0)
    else:
        layout = _layout(found["between"], found["zone"])
        clock = int(found["hour"]), int(found["minute"]), int(found["second"])
    hour, minute, second = clock
    offset = _offset(found["zone"])
    if not layout or hour > 23 or minute > 59 or second > 59 or offset is None:
        return None
    days = _days(year, month, day)
    if days is None:
        return None
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    fraction = int(f"{(found['fraction'] or '')[:9]:0<9}")
    return Date(seconds * _BILLION + fraction, layout)


def _layout(between: str, zone: str | None) -> str:
    """Return the layout of a date with a time, empty if there is none like that."""
    if between == "T":
        if zone is None:
            return "T"
        return "" if zone.startswith(" ") else "Z"
    if zone is None:
        return "blank"
    return "zone" if zone.startswith(" ") else ""


def _offset(zone: str | None) -> int | None:
    if zone in {None, "Z"}:
        return 0
    assert zone is not None
    digits = zone.strip().replace(":", "")
    hours, minutes = int(digits[1:3]), int(digits[3:5])
    if hours > 25 or minutes > 60:
        return None
    return (hours * 60 + minutes) * (-60 if digits[0] == "-" else 60)


def _days(year: int, month: int, day: int) -> int | None:
    """Return the days since 1970, None if there is no such day."""
    # Python has no year 0, which is a leap year like 400.
    shifted = year or 400
    try:
        days = (datetime(shifted, month, day, tzinfo=UTC) - _EPOCH).days
    except ValueError:
        return None
    return days if year else days - 146097


def write(nanoseconds: int, layout: str) -> str:
    """Return a point in time in UTC, in a layout."""
    seconds, rest = divmod(nanoseconds, _BILLION)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return "0000-01-01T00:00:00Z"
    date, clock = f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}"
    # %Y has fewer digits before the year 1000.
    date = date.rjust(10, "0")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    match layout:
        case "date":
            return date
        case "T":
            return f"{date}T{clock}"
        case "blank":
            return f"{date} {clock}"
        case "zone":
            return f"{date} {clock} +0000"
        case _:
            return f"{date}T{clock}{fraction}Z"


def bound(text: str, parser: str) -> int:
    """Return the bound of a range. Raises SearchError."""
    if parser in _OTHER_PARSERS:
        raise SearchError(
            f"dateTimeParser '{parser}' is not supported by the embedded search service"
        )
    if parser != DEFAULT_PARSER:
        raise SearchError(f"no dateTimeParser named '{parser}' registered")
    found = parse(text)
    if found is None:
        raise SearchError(f"{_NO_LAYOUT}, date time parser name: {parser}")
    return found.nanoseconds


def is_indexable(nanoseconds: int) -> bool:
    """Whether it fits into 64 bits: years 1678 to 2261."""
    return _EARLIEST <= nanoseconds <= _LATEST
