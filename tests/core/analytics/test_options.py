"""Options of analytics queries: which there are, and their forms."""

from __future__ import annotations

import inspect

import pytest

from couchloop.analytics import AnalyticsOptions, AnalyticsScanConsistency
from couchloop.analytics.analytics_queries import analytics_query
from couchloop.analytics.options import OPTIONS, consistency, members_of, priority
from couchloop.exceptions import ArgumentError, InvalidSettingError


def test_names() -> None:
    """All options of the method are known, and no others."""
    named = set(inspect.signature(analytics_query).parameters)
    assert named - {"defaults", "statement", "args", "kwargs"} == OPTIONS


def test_unknown() -> None:
    """An option of an object that there is not is refused."""
    assert AnalyticsOptions(readonly=None, raw={}) == {"raw": {}}
    with pytest.raises(ArgumentError, match="'colour'"):
        members_of(AnalyticsOptions(colour="red"))


def test_forms() -> None:
    """Words and truths are checked."""
    assert consistency(AnalyticsScanConsistency.NOT_BOUNDED) == "not_bounded"
    assert consistency("REQUEST_PLUS") == "request_plus"
    assert [priority(each) for each in (None, True, 0)] == [False, True, False]
    for bad in ("statement_plus", 5, None):
        with pytest.raises(InvalidSettingError):
            consistency(bad)
