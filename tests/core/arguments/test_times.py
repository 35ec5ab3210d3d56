"""Times that users give: finite wherever they may be given."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.arguments.times import LONGEST, check_wait, exact_seconds
from couchloop.auth import PasswordAuthenticator
from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import ArgumentError, CouchbaseError, InvalidTimeoutError
from couchloop.operations import document as ops
from couchloop.retries import BestEffort
from couchloop.settings.configure import make_settings
from couchloop.settings.options import OPTIONS, Option
from tests.core.client.loop import Loop, opened
from tests.core.world import World

ENDLESS = [float("inf"), float("-inf"), float("nan"), 1e9, 10**400, True, "1", None]
TEXTS = ["inf", "infinity", "nan", "1e999", "1e999s", "1e300h", "-1", "400000000s"]


@pytest.mark.parametrize("value", ENDLESS)
def test_what_is_no_time(value: Any) -> None:
    """What is endless, longer than a year, or no number, is refused."""
    for check in (exact_seconds, check_wait):
        with pytest.raises(InvalidTimeoutError) as raised:
            check(value)
        assert isinstance(raised.value, ValueError)


def test_what_is_one() -> None:
    """A year is a time; for who waits no time is one too, and less than none."""
    assert exact_seconds(LONGEST) == check_wait(LONGEST) == LONGEST
    assert (check_wait(0), check_wait(-3), exact_seconds(1)) == (0.0, 0.0, 1.0)
    for value in (0, -1):
        with pytest.raises(InvalidTimeoutError):
            exact_seconds(value)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e9])
def test_of_a_bucket(value: float) -> None:
    """The property is as it was."""
    bucket = opened(Loop())
    with pytest.raises(InvalidTimeoutError):
        bucket.timeout = value
    assert bucket.timeout == 2.5


def _timed() -> list[Option]:
    return [option for option in OPTIONS.values() if option.kind in {"seconds", "float"}]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("option", _timed(), ids=lambda option: option.name)
def test_options(option: Option, text: str) -> None:
    """No option, under any of its names, takes a time or a number without end.

    Nor does it in the environment.
    """
    for name in option.names:
        for way in (
            {"connection_string": f"couchbase://h/b?{name}={text}"},
            {
                "connection_string": "couchbase://h/b",
                "environment": {"LCB_OPTIONS": f"{name}={text}"},
            },
        ):
            if option.reason:
                # It has no effect, and is not looked at.
                continue
            with pytest.raises(CouchbaseError):
                make_settings(authenticator=PasswordAuthenticator("u", "p"), **way)


@pytest.mark.parametrize(
    "pauses",
    [
        {"longest": float("inf")},
        {"first": float("nan")},
        {"first": float("inf"), "longest": float("inf")},
        {"growth": float("inf")},
        {"growth": float("nan")},
        {"longest": 1e9},
    ],
)
def test_pauses(pauses: dict[str, float]) -> None:
    """Nor do retry strategies."""
    with pytest.raises(ArgumentError):
        BestEffort(**pauses)


def test_strategies_of_users() -> None:
    """A strategy that gives no number is at fault, and the operation says so.

    An endless pause is one that does not fit: the operation ends at its deadline.
    """

    class Endless:
        def retry_after(self, *_: object) -> float:
            return float("nan")

    w = World()
    op = w.submit(ops.get(w.defaults, "k", retry_strategy=Endless()))
    assert isinstance(op.error.__cause__, ArgumentError)


def test_faults() -> None:
    """The embedded cluster does not delay without end."""
    with pytest.raises(ValueError, match="delay"):
        EmbeddedCluster().inject(delay=float("inf"))
