"""When a document expires: what users give, and the number that the server takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.arguments.expiry import MAX_EXPIRY, MAX_RELATIVE, exact_expiry, exact_lock_time
from couchloop.exceptions import ArgumentError, InvalidTtlError
from couchloop.hot.operation import Defaults
from couchloop.operations import document as ops
from couchloop.transcoder import FMT_JSON, Transcoder
from tests.core.world import defaults

NOW = 1_700_000_000
D = defaults()
SENDING = replace(D, refuses_past_expiry=False)


class Lying(timedelta):
    """A duration whose methods say something else."""

    def total_seconds(self) -> float:
        """Fail: nobody is to call this."""
        raise AssertionError


class Broken(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _moment: datetime | None, /) -> timedelta:
        """Fail."""
        raise LookupError("no such zone")

    def dst(self, _moment: datetime | None, /) -> timedelta | None:
        """Know nothing."""

    def tzname(self, _moment: datetime | None, /) -> str | None:
        """Have none."""


@pytest.mark.parametrize(
    ("given_expiry", "sent"),
    [
        (0, 0),
        (None, 0),
        (False, 0),
        (1, 1),
        (MAX_RELATIVE, MAX_RELATIVE),
        (NOW + 1, NOW + 1),
        (MAX_EXPIRY, MAX_EXPIRY),
        (timedelta(seconds=1), 1),
        (timedelta(microseconds=1), 1),
        (timedelta(seconds=1.5), 2),
        (timedelta(days=30), MAX_RELATIVE),
        (timedelta(days=30, seconds=1), NOW + MAX_RELATIVE + 1),
        (timedelta(days=40), NOW + 40 * 86400),
        (timedelta(days=20 * 365), NOW + 20 * 365 * 86400),
        (Lying(seconds=7), 7),
        (datetime.fromtimestamp(NOW + 5, UTC), NOW + 5),
        (datetime.fromtimestamp(NOW + 5.25, timezone(timedelta(hours=-7))), NOW + 6),
    ],
)
def test_sent(given_expiry: Any, sent: int) -> None:
    """Up to 30 days are sent as they are; longer durations, and moments, as seconds since 1970."""
    assert exact_expiry(given_expiry, D, "k") == sent


@pytest.mark.parametrize("ttl", [MAX_RELATIVE + 1, 40 * 86400, 365 * 86400, NOW - 1, NOW])
def test_trap(ttl: int) -> None:
    """A number that would be a moment in the past is refused, and the error says what to write."""
    with pytest.raises(InvalidTtlError, match=r"timedelta\(seconds=\.\.\.\)") as caught:
        exact_expiry(ttl, D, "k")
    assert (caught.value.key, caught.value.objextra) == ("k", ttl)
    assert str(ttl) not in str(caught.value)
    assert "past_expiry=send" in str(caught.value)
    # The option gives the behaviour of SDK 2.5 back.
    assert exact_expiry(ttl, SENDING, "k") == ttl


@pytest.mark.parametrize(
    ("given_expiry", "said"),
    [
        (-1, "whole seconds"),
        (2**32, "whole seconds"),
        (1.5, "whole seconds"),
        (True, "whole seconds"),
        ("30", "whole seconds"),
        (date(2100, 1, 1), "whole seconds"),
        (timedelta(0), "longer than nothing"),
        (timedelta(days=-1), "longer than nothing"),
        (timedelta(days=100 * 365), "2106"),
        (datetime(2100, 1, 1), "time zone"),  # noqa: DTZ001 - what is refused
        (datetime.fromtimestamp(NOW, UTC), "in the future"),
        (datetime(1970, 1, 2, tzinfo=UTC), "in the future"),
        (datetime(2107, 1, 1, tzinfo=UTC), "2106"),
        (datetime(2100, 1, 1, tzinfo=Broken()), "time zone of the datetime raised LookupError"),
    ],
)
@pytest.mark.parametrize("rules", [D, SENDING])
def test_refused(given_expiry: Any, said: str, rules: Defaults) -> None:
    """What means no moment, or none that the server can keep, is refused with the key."""
    with pytest.raises(InvalidTtlError, match=said) as caught:
        exact_expiry(given_expiry, rules, "k")
    assert caught.value.key == "k"


def test_what_the_time_zone_raised() -> None:
    """What a time zone raises is the cause."""
    with pytest.raises(InvalidTtlError) as caught:
        exact_expiry(datetime(2100, 1, 1, tzinfo=Broken()), D, "k")
    assert isinstance(caught.value.__cause__, LookupError)


@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=29000)))
def test_any_duration(duration: timedelta) -> None:
    """A document lives as long as was said, and less than a second longer."""
    sent = exact_expiry(duration, D, "k")
    seconds = sent if sent <= MAX_RELATIVE else sent - NOW
    assert 0 <= seconds - duration.total_seconds() < 1.0


def test_clock_is_asked_only_where_needed() -> None:
    """No time, or one of up to 30 days, needs no clock."""
    settings = Defaults(Transcoder(), FMT_JSON)
    for each in (0, None, 5, MAX_RELATIVE, timedelta(days=30)):
        exact_expiry(each, settings, "k")
    with pytest.raises(RuntimeError, match="time of day"):
        exact_expiry(timedelta(days=31), settings, "k")


@pytest.mark.parametrize(
    "build",
    [
        lambda **said: ops.upsert(D, "k", 1, **said),
        lambda **said: ops.insert(D, "k", 1, **said),
        lambda **said: ops.replace(D, "k", 1, **said),
        lambda **said: ops.touch(D, "k", **said),
        lambda **said: ops.counter(D, "k", 1, 1, **said),
    ],
)
def test_two_names(build: Any) -> None:
    """`expiry` is another name of `ttl`; both at once are refused."""
    for said in ({"ttl": timedelta(days=40)}, {"expiry": timedelta(days=40)}):
        assert build(**said).extras[-4:] == (NOW + 40 * 86400).to_bytes(4)
    with pytest.raises(ArgumentError, match="ttl or expiry") as caught:
        build(ttl=5, expiry=5)
    assert caught.value.key == "k"
    assert build(expiry=0).extras[-4:] == bytes(4)


@pytest.mark.parametrize(("time", "sent"), [(1, 1), (30, 30), (timedelta(seconds=1.5), 2)])
def test_lock_times(time: Any, sent: int) -> None:
    """A lock lasts 1 to 30 seconds."""
    assert exact_lock_time(time, "k") == sent


@pytest.mark.parametrize("time", [0, 31, -1, 1.5, True, "5", None, timedelta(0), timedelta(1)])
def test_bad_lock_times(time: Any) -> None:
    """For a longer lock the server would take 15 seconds without a word: it is refused."""
    with pytest.raises(InvalidTtlError, match="1 to 30 seconds") as caught:
        exact_lock_time(time, "k")
    assert caught.value.key == "k"
