"""AnalyticsQuery: a statement, and how it is to be run."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.analytics import REQUEST_PLUS, AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.exceptions import ArgumentError, FeatureNotAvailableError
from couchloop.mutation_state import MutationState
from couchloop.n1ql import N1QLQuery


def test_members() -> None:
    """Options go to their attributes, all else are values of parameters."""
    query = AnalyticsQuery("SELECT $1, $a", 1, a=2, readonly=True, timeout=5, priority=True)
    assert isinstance(query, N1QLQuery)
    assert query.members == {
        "statement": "SELECT $1, $a",
        "args": [1],
        "$a": 2,
        "readonly": True,
    }
    assert (query.timeout, query.priority) == (5.0, True)
    assert query.update(3, b=4, consistency=REQUEST_PLUS) is query
    assert query.members["args"] == [1, 3]
    assert query.members["$b"] == 4
    assert query.members["scan_consistency"] == "request_plus"
    assert query.consistency == "request_plus"
    query.consistency = "none"
    assert (query.consistency, "scan_consistency" in query.members) == ("none", False)
    assert not AnalyticsQuery("SELECT 1").priority


def test_deferred() -> None:
    """It has an interval beside; a plain one has a parameter of that name."""
    query = DeferredAnalyticsQuery("SELECT 1", interval=2, timeout=60)
    assert (query.interval, query.timeout) == (2.0, 60.0)
    assert DeferredAnalyticsQuery("SELECT 1").interval == 10.0
    assert AnalyticsQuery("SELECT $interval", interval=2).members["$interval"] == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: AnalyticsQuery(5),  # type: ignore[arg-type]
        lambda: AnalyticsQuery("x", priority="yes"),
        lambda: AnalyticsQuery("x", consistency="at_plus"),
        lambda: AnalyticsQuery("x", readonly=5j),
        lambda: AnalyticsQuery("x", timeout=-1),
        lambda: DeferredAnalyticsQuery("x", interval=0),
    ],
)
def test_refused(make: Any) -> None:
    """What an option cannot be is refused when it is set."""
    with pytest.raises(ArgumentError):
        make()


def test_changes() -> None:
    """The service can wait for all changes, not for certain ones."""
    with pytest.raises(FeatureNotAvailableError, match="REQUEST_PLUS"):
        AnalyticsQuery("x").consistent_with(MutationState())
