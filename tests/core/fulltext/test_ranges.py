"""Queries for ranges: their JSON, under the names of both SDKs."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import InvalidSearchError, InvalidSettingError
from couchloop.fulltext import DateRangeQuery, NumericRangeQuery, SearchQuery, TermRangeQuery


@pytest.mark.parametrize(
    ("query", "json"),
    [
        (NumericRangeQuery(5, max_inclusive=True), {"min": 5, "inclusive_max": True}),
        (
            NumericRangeQuery(1, 2.5, min_inclusive=False, field="n", boost=2),
            {"min": 1, "max": 2.5, "inclusive_min": False, "field": "n", "boost": 2},
        ),
        (
            NumericRangeQuery(max=0, inclusive_min=True, inclusive_max=True),
            {"max": 0, "inclusive_min": True, "inclusive_max": True},
        ),
        (
            DateRangeQuery("2014-12-25", "2016-01-01", start_inclusive=True, end_inclusive=True),
            {
                "start": "2014-12-25",
                "end": "2016-01-01",
                "inclusive_start": True,
                "inclusive_end": True,
            },
        ),
        (
            DateRangeQuery(end="x", inclusive_start=False, inclusive_end=True, datetime_parser="p"),
            {"end": "x", "inclusive_start": False, "inclusive_end": True, "datetime_parser": "p"},
        ),
        # SDK 2.5 sent start and end, in which the service sees dates.
        (
            TermRangeQuery("a", "b", start_inclusive=True, end_inclusive=False),
            {"min": "a", "max": "b", "inclusive_min": True, "inclusive_max": False},
        ),
        (
            TermRangeQuery(min="a", inclusive_min=True, inclusive_max=True, field="f"),
            {"min": "a", "inclusive_min": True, "inclusive_max": True, "field": "f"},
        ),
    ],
    ids=repr,
)
def test_json(query: SearchQuery, json: dict[str, Any]) -> None:
    """Each is the JSON of the service's table."""
    assert query.encodable == json


def test_attributes() -> None:
    """Attributes are the bounds by each of their names."""
    terms = TermRangeQuery("a", "b")
    assert (terms.start, terms.min, terms.end, terms.max) == ("a", "a", "b", "b")
    terms.end = "c"
    terms.start_inclusive = False
    assert (terms.max, terms.inclusive_min) == ("c", False)
    numbers = NumericRangeQuery(1)
    numbers.max_inclusive = True
    assert numbers.inclusive_max is True
    numbers.min = None
    with pytest.raises(InvalidSettingError):
        _ = numbers.encodable


@pytest.mark.parametrize("kind", [NumericRangeQuery, DateRangeQuery, TermRangeQuery])
def test_no_bound(kind: Any) -> None:
    """Without a bound it is a TypeError at once, as in SDK 2.5."""
    with pytest.raises(TypeError, match=kind.__name__):
        kind()


@pytest.mark.parametrize(
    "make",
    [
        lambda: NumericRangeQuery("1"),  # type: ignore[arg-type]
        lambda: NumericRangeQuery(float("inf")),
        lambda: NumericRangeQuery(1, min_inclusive="no"),  # type: ignore[arg-type]
        lambda: DateRangeQuery(1),  # type: ignore[arg-type]
        lambda: TermRangeQuery("a", min="b"),
        lambda: TermRangeQuery(1),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Any) -> None:
    """What cannot be right is refused when it is set."""
    with pytest.raises((InvalidSettingError, InvalidSearchError)):
        make()
