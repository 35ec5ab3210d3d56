"""When a document expires: what users give for it, as the number that the server takes.

That number has 32 bits. Up to thirty days it is seconds from now on; beyond, seconds since 1970. So
forty days in seconds are a day of 1970, and a document with that expiry is gone at once: such a
number is refused, unless the option `past_expiry` says otherwise. A timedelta is always a duration,
whatever its length; a datetime is always a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Protocol

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import ArgumentError, InvalidTtlError

Expiry = int | timedelta | datetime
"""Seconds from now on (above thirty days: since 1970), a duration, or a moment with a time zone."""

LockTime = int | timedelta
"""Seconds, or a duration."""

MAX_EXPIRY: Final = 0xFFFFFFFF
MAX_RELATIVE: Final = 30 * 86_400
"""Seconds: the server takes a greater number for a moment."""
MAX_LOCK: Final = 30
"""Seconds of the longest lock; for a longer one the server would take its default, 15."""

_WANTED: Final = (
    "ttl must be whole seconds from 0 (never expire) to 2**32-1, a timedelta, or a datetime with a "
    "time zone"
)
_PAST: Final = (
    "this number of seconds is a moment in the past, and the document would be gone at once: above "
    "30 days (2592000) it counts from 1970. For a duration give timedelta(seconds=...), which may "
    "be of any length; the option past_expiry=send has such numbers sent, as SDK 2.5 does"
)


class Calendar(Protocol):
    """What is known of the time of day: a Bucket's `Defaults`."""

    if TYPE_CHECKING:

        @property
        def wall_clock(self) -> Callable[[], float]:
            """Return the seconds since 1970."""

        @property
        def refuses_past_expiry(self) -> bool:
            """Whether a number that means a moment in the past is refused."""


def exact_expiry(given: object, calendar: Calendar, key: Any) -> int:
    """Return the number that the server takes for *given* (see `Expiry`); 0, None, False: never.

    Durations are rounded up to whole seconds. *key* is whose expiry it is, for the error.

    Raises InvalidTtlError for what is none of these, is in the past, or after the year 2106.
    """
    if given is None or given is False:
        return 0
    number = exact_integer(given)
    if number is None:
        return _moment_or_duration(given, calendar, key)
    if not 0 <= number <= MAX_EXPIRY:
        raise InvalidTtlError(_WANTED, key=key, objextra=given)
    if number > MAX_RELATIVE and calendar.refuses_past_expiry and number <= calendar.wall_clock():
        raise InvalidTtlError(_PAST, key=key, objextra=given)
    return number


def _moment_or_duration(given: object, calendar: Calendar, key: Any) -> int:
    if isinstance(given, timedelta):
        # Methods of the base class: those of a subclass may do anything.
        seconds = ceil(timedelta.total_seconds(given))
        if seconds <= 0:
            text = "a ttl that is a timedelta must be longer than nothing; 0 means never"
            raise InvalidTtlError(text, key=key, objextra=given)
        if seconds <= MAX_RELATIVE:
            return seconds
        moment = ceil(calendar.wall_clock() + seconds)
    elif isinstance(given, datetime):
        moment = _moment(given, key)
        if moment <= calendar.wall_clock():
            text = "a ttl that is a datetime must lie in the future; 0 means never"
            raise InvalidTtlError(text, key=key, objextra=given)
    else:
        raise InvalidTtlError(_WANTED, key=key, objextra=given)
    if moment > MAX_EXPIRY:
        text = "documents expire in the year 2106 at the latest; 0 means never"
        raise InvalidTtlError(text, key=key, objextra=given)
    return moment


def _moment(given: datetime, key: Any) -> int:
    """Return the seconds since 1970 of *given*, rounded up."""
    try:
        if datetime.utcoffset(given) is not None:
            return ceil(datetime.timestamp(given))
    except Exception as error:
        text = f"the time zone of the datetime raised {type(error).__name__}"
        raise InvalidTtlError(text, key=key, objextra=given, inner_cause=error) from error
    text = (
        "a ttl that is a datetime needs a time zone, or nobody knows which moment it is: "
        "datetime.now(UTC) + timedelta(...), or moment.astimezone() where it is local time"
    )
    raise InvalidTtlError(text, key=key, objextra=given)


def one_expiry(ttl: object, expiry: Expiry, key: Any) -> Expiry:
    """Return *expiry*; raise ArgumentError if *ttl*, which means the same, is given as well."""
    if ttl is not None and ttl is not False and ttl != 0:
        raise ArgumentError("give ttl or expiry: they are the same", key=key)
    return expiry


def exact_lock_time(given: object, key: Any) -> int:
    """Return for how many seconds to lock; raise InvalidTtlError unless from 1 to 30."""
    number = exact_integer(given)
    if isinstance(given, timedelta):
        number = ceil(timedelta.total_seconds(given))
    if number is None or not 0 < number <= MAX_LOCK:
        text = f"a lock lasts 1 to {MAX_LOCK} seconds (an integer, or a timedelta)"
        raise InvalidTtlError(text, key=key, objextra=given)
    return number
