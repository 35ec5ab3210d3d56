"""Parts of dates: told, added, cut off, and the differences between two of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from couchloop.embedded.sqlpp.errors import FunctionError
from couchloop.embedded.sqlpp.functions.moments import (
    DAY,
    SECOND,
    Civil,
    Moment,
    days_of,
    inside,
    month_days,
)

_MONTHS: Final = {
    "millennium": 12_000,
    "century": 1200,
    "decade": 120,
    "year": 12,
    "quarter": 3,
    "month": 1,
}
_NANOSECONDS: Final = {
    "hour": 3600 * SECOND,
    "minute": 60 * SECOND,
    "second": SECOND,
    "millisecond": SECOND // 1000,
}
_YEARS: Final = {"millennium": 1000, "century": 100, "decade": 10, "year": 1}


def _unknown(what: str, part: str) -> FunctionError:
    return FunctionError(f"Unsupported date {what}part {part}.")


# --- told ---------------------------------------------------------------------------------------

_CIVIL: Final[dict[str, Callable[[Civil], int]]] = {
    "millennium": lambda civil: _quotient(civil.year, 1000) + 1,
    "century": lambda civil: _quotient(civil.year, 100) + 1,
    "decade": lambda civil: _quotient(civil.year, 10),
    "year": lambda civil: civil.year,
    "quarter": lambda civil: (civil.month + 2) // 3,
    "month": lambda civil: civil.month,
    "calendar_month": lambda civil: civil.month,
    "day": lambda civil: civil.day,
    "hour": lambda civil: civil.hour,
    "minute": lambda civil: civil.minute,
    "second": lambda civil: civil.second,
    "millisecond": lambda civil: civil.nanosecond // 1_000_000,
}
_DAYS: Final[dict[str, Callable[[Moment], int]]] = {
    "week": lambda moment: -(-moment.day_of_year() // 7),
    "day_of_year": Moment.day_of_year,
    "doy": Moment.day_of_year,
    "day_of_week": lambda moment: moment.weekday,
    "dow": lambda moment: moment.weekday,
    "iso_week": lambda moment: moment.iso_week()[1],
    "iso_year": lambda moment: moment.iso_week()[0],
    "iso_dow": lambda moment: moment.weekday or 7,
    "timezone": lambda moment: moment.offset,
    "timezone_hour": lambda moment: _quotient(moment.offset, 3600),
    "timezone_minute": lambda moment: _quotient(_remainder(moment.offset, 3600), 60),
}


def _quotient(value: int, by: int) -> int:
    """Return a quotient cut off toward zero."""
    return value // by if value >= 0 else -(-value // by)


def _remainder(value: int, by: int) -> int:
    return value - _quotient(value, by) * by


def part_of(moment: Moment, part: str) -> int:
    """Return a part of a date. Raises FunctionError for one that is not known."""
    name = part.lower()
    if name in _CIVIL:
        return _CIVIL[name](moment.civil())
    if name in _DAYS:
        return _DAYS[name](moment)
    raise _unknown("", part)


# --- added --------------------------------------------------------------------------------------


def add(moment: Moment, count: int, part: str) -> Moment | None:
    """Return a date some parts later, None if that is too far away.

    Raises FunctionError for a part that is not known.
    """
    name = part.lower()
    if name in _NANOSECONDS:
        moved = moment._replace(nanoseconds=moment.nanoseconds + count * _NANOSECONDS[name])
        return inside(moved)
    civil = moment.civil()
    if name in {"day", "week"}:
        days = count if name == "day" else count * 7
        return inside(moment.at(civil._replace(day=civil.day + days)))
    if name == "calendar_month":
        return inside(moment.at(_months_later(civil, count)))
    if name not in _MONTHS:
        raise _unknown("add ", part)
    # A day that the month does not have runs on into the next.
    return inside(moment.at(civil._replace(month=civil.month + count * _MONTHS[name])))


def _months_later(civil: Civil, count: int) -> Civil:
    """Return a date some months later: the last of a month stays the last."""
    year, month = divmod(civil.year * 12 + civil.month - 1 + count, 12)
    longest = month_days(year, month + 1)
    was_last = civil.day == month_days(civil.year, civil.month)
    day = longest if was_last and count else min(civil.day, longest)
    return civil._replace(year=year, month=month + 1, day=day)


# --- cut off ------------------------------------------------------------------------------------


def truncate(moment: Moment, part: str) -> Moment:
    """Return a date with all below a part cut off. Raises FunctionError."""
    name = part.lower()
    if name in _NANOSECONDS:
        # By whole hours of UTC, whatever the zone.
        step = _NANOSECONDS[name]
        return moment._replace(nanoseconds=moment.nanoseconds // step * step)
    civil = moment.civil()
    year, month, day = civil.year, civil.month, civil.day
    if name in _YEARS:
        year, month, day = year - _remainder(year, _YEARS[name]), 1, 1
    elif name == "quarter":
        month, day = month - (month - 1) % 3, 1
    elif name in {"month", "calendar_month"}:
        day = 1
    elif name == "week":
        day -= moment.weekday
    elif name == "iso_week":
        day -= (moment.weekday + 6) % 7
    elif name != "day":
        raise _unknown("trunc ", part)
    return moment.at(Civil(year, month, day))


# --- differences --------------------------------------------------------------------------------


def difference(one: Moment, other: Moment, part: str) -> int:
    """Return how many boundaries of a part are between two dates, as their clocks show them.

    Zones are left out of account. Raises FunctionError for a part that is not known.
    """
    left, right = one.civil(), other.civil()
    if left < right:
        return -_boundaries(right, left, part)
    return _boundaries(left, right, part)


def _boundaries(later: Civil, earlier: Civil, part: str) -> int:
    name = part.lower()
    years = later.year - earlier.year
    if name in _YEARS:
        return years // _YEARS[name]
    if name == "quarter":
        return years * 4 + (later.month + 2) // 3 - (earlier.month + 2) // 3
    if name in {"month", "calendar_month"}:
        return years * 12 + later.month - earlier.month
    days = days_of(*later[:3]) - days_of(*earlier[:3])
    if name in {"day", "week"}:
        return days if name == "day" else _quotient(days, 7)
    if name not in _NANOSECONDS:
        raise _unknown("diff ", part)
    seconds = days * DAY + _of_day(later) - _of_day(earlier)
    if name == "millisecond":
        fraction = later.nanosecond // 1_000_000 - earlier.nanosecond // 1_000_000
        return seconds * 1000 + fraction
    # What is smaller than the part counts for nothing on either side.
    size = _NANOSECONDS[name] // SECOND
    return days * (DAY // size) + _of_day(later) // size - _of_day(earlier) // size


def _of_day(civil: Civil) -> int:
    return civil.hour * 3600 + civil.minute * 60 + civil.second
