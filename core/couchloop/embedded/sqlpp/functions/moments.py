"""Moments: nanoseconds since 1970 and a zone. All years are there, which datetime's are not."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from couchloop.later import Module

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
DAY: Final = 86_400

_FURTHEST: Final = float(1 << 63)
"""Milliseconds to either side of 1970 that are a moment; that is far beyond all calendars."""

_ERA_DAYS: Final = 146_097
_ERA_YEARS: Final = 400
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799 - DAY
"""What datetime can say, a day less so that any zone can."""

_zones = Module("zoneinfo", globals())


class Zone(Protocol):
    """A time zone."""

    @property
    def name(self) -> str:
        """Its name, as TZF shows it."""

    def offset(self, seconds: int) -> int:
        """Return the seconds east of UTC at a time, which is seconds since 1970."""

    def short(self, seconds: int) -> str:
        """Return the name that holds at a time, like CET or CEST."""


class FixedZone(NamedTuple):
    """A zone that is a distance from UTC."""

    east: int
    """Seconds."""
    name: str

    def offset(self, seconds: int) -> int:  # noqa: ARG002 - it is always the same
        """Return the seconds east of UTC."""
        return self.east

    def short(self, seconds: int) -> str:  # noqa: ARG002
        """Return its name."""
        return self.name


UTC_ZONE: Final = FixedZone(0, "UTC")
"""It is also the local zone of every node."""


class _NamedZone:
    """A zone of the time zone database, as the machine has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._zone = _zones.ZoneInfo(name)

    def _at(self, seconds: int) -> datetime:
        inside = max(_FIRST_SECOND + DAY, min(seconds, _LAST_SECOND))
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=inside)
        return moment.astimezone(self._zone)

    def offset(self, seconds: int) -> int:
        """Return the seconds east of UTC at a time."""
        found = self._at(seconds).utcoffset()
        return 0 if found is None else int(found.total_seconds())

    def short(self, seconds: int) -> str:
        """Return the name that holds at a time."""
        return self._at(seconds).tzname() or self.name


def fixed_zone(hours: int, minutes: int) -> FixedZone:
    """Return the zone of a distance as it is written; *minutes* count as the hours do."""
    east = hours * 3600 + (minutes if hours >= 0 else -minutes) * 60
    return FixedZone(east, f"{hours:+03d}{minutes:02d}")


@lru_cache(maxsize=32)
def named_zone(name: str) -> Zone | None:
    """Return a zone of the time zone database, None if there is none of that name."""
    if name in {"", "UTC", "Local"}:
        return UTC_ZONE
    try:
        return _NamedZone(name)
    except (KeyError, ValueError, OSError):
        # ZoneInfo says KeyError, ValueError of paths that lead elsewhere, OSError of folders.
        return None


class Civil(NamedTuple):
    """A moment as clock and calendar of its zone show it."""

    year: int
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0


class Moment(NamedTuple):
    """A moment in a zone."""

    nanoseconds: int
    zone: Zone

    @property
    def seconds(self) -> int:
        """Whole seconds since 1970."""
        return self.nanoseconds // SECOND

    @property
    def offset(self) -> int:
        """Seconds east of UTC."""
        return self.zone.offset(self.seconds)

    @property
    def days(self) -> int:
        """Days since 1970, by the calendar of its zone."""
        return (self.seconds + self.offset) // DAY

    @property
    def weekday(self) -> int:
        """Which day of the week it is, 0 is Sunday."""
        return (self.days + 4) % 7

    def civil(self) -> Civil:
        """Return what clock and calendar show."""
        local = self.seconds + self.offset
        rest = local % DAY
        year, month, day = date_of(local // DAY)
        return Civil(
            year,
            month,
            day,
            rest // 3600,
            rest // 60 % 60,
            rest % 60,
            self.nanoseconds % SECOND,
        )

    def day_of_year(self) -> int:
        """Return which day of the year it is, from 1."""
        return self.days - days_of(self.civil().year, 1, 1) + 1

    def iso_week(self) -> tuple[int, int]:
        """Return year and week by ISO 8601."""
        # The week's Thursday says to which year it belongs.
        thursday = self.days - (self.weekday + 6) % 7 + 3
        year = date_of(thursday)[0]
        return year, (thursday - days_of(year, 1, 1)) // 7 + 1

    def at(self, civil: Civil) -> Moment:
        """Return the moment at which clock and calendar of the same zone show that.

        What is beyond a month or day runs on into those that follow.
        """
        return moment_of(civil, self.zone)

    def in_zone(self, zone: Zone) -> Moment:
        """Return the same moment in another zone."""
        return self._replace(zone=zone)

    def milliseconds(self) -> int:
        """Return milliseconds since 1970, rounded."""
        return (self.nanoseconds + MILLISECOND // 2) // MILLISECOND


def moment_of(civil: Civil, zone: Zone) -> Moment:
    """Return the moment at which clock and calendar of a zone show that."""
    months = civil.year * 12 + civil.month - 1
    days = days_of(months // 12, months % 12 + 1, civil.day)
    seconds = days * DAY + civil.hour * 3600 + civil.minute * 60 + civil.second
    utc = seconds - zone.offset(seconds - zone.offset(seconds))
    return Moment(utc * SECOND + civil.nanosecond, zone)


def from_milliseconds(milliseconds: float, zone: Zone = UTC_ZONE) -> Moment | None:
    """Return the moment of milliseconds since 1970, None where that is no number or too far."""
    if not -_FURTHEST < milliseconds < _FURTHEST:
        return None
    value = float(milliseconds)
    rest = math.fmod(value, 1000)
    return Moment(int(value / 1000) * SECOND + int(rest * MILLISECOND), zone)


def from_seconds(seconds: float, zone: Zone = UTC_ZONE) -> Moment:
    """Return the moment of a clock's seconds since 1970."""
    return Moment(round(seconds * 1_000_000) * 1000, zone)


def inside(moment: Moment) -> Moment | None:
    """Return a moment, None if it is too far away."""
    return moment if abs(moment.nanoseconds) < _FURTHEST * MILLISECOND else None


def is_leap(year: int) -> bool:
    """Whether a year has a 29th of February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_days(year: int, month: int) -> int:
    """Return how many days a month has."""
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def days_of(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date; *day* may be outside of the month."""
    # Years begin in March here, so that the day that may be missing is the last one.
    year -= month <= 2
    era, year_of_era = divmod(year, _ERA_YEARS)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5
    days = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _ERA_DAYS + days + day - 1 - 719_468


def date_of(days: int) -> tuple[int, int, int]:
    """Return year, month and day of days since 1970-01-01."""
    era, day_of_era = divmod(days + 719_468, _ERA_DAYS)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return year + era * _ERA_YEARS + (month <= 2), month, day
