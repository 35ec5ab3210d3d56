"""Sorts: in which order hits come."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSearchError
from couchloop.fulltext import (
    Sort,
    SortField,
    SortGeoDistance,
    SortID,
    SortRaw,
    SortScore,
    SortString,
)
from couchloop.fulltext.sorts import sort_keys


@pytest.mark.parametrize(
    ("sort", "json"),
    [
        (SortString("f1", "-f2", "_score"), ["f1", "-f2", "_score"]),
        (SortScore(), {"by": "score"}),
        (SortScore(descending=True), {"by": "score", "desc": True}),
        (SortID(desc=False), {"by": "id", "desc": False}),
        (
            SortField("f", type="number", mode="min", missing="first", desc=True),
            {
                "by": "field",
                "field": "f",
                "type": "number",
                "mode": "min",
                "missing": "first",
                "desc": True,
            },
        ),
        (
            SortGeoDistance((1, 2), "geo", unit="km", descending=False),
            {
                "by": "geo_distance",
                "field": "geo",
                "location": [1, 2],
                "unit": "km",
                "desc": False,
            },
        ),
        (SortRaw([{"by": "id"}]), [{"by": "id"}]),
        (Sort("other"), {"by": "other"}),
    ],
    ids=repr,
)
def test_json(sort: Sort, json: Any) -> None:
    """Each is the JSON of the service's table."""
    assert sort.as_encodable() == json


def test_the_whole() -> None:
    """What is sent is a list, whatever was given: fields, sorts, or one sort."""
    assert sort_keys(SortScore(desc=True)) == [{"by": "score", "desc": True}]
    assert sort_keys(SortString("a", "b")) == ["a", "b"]
    assert sort_keys(["a", SortID(), SortString("b", "c"), SortRaw({"by": "x"}), {"by": "y"}]) == [
        "a",
        {"by": "id"},
        "b",
        "c",
        {"by": "x"},
        {"by": "y"},
    ]
    assert sort_keys([]) == []


def test_attributes() -> None:
    """`descending` and `desc` are the same."""
    sort = SortField("f", descending=True)
    assert sort.desc is True
    sort.desc = None
    assert (sort.descending, sort.as_encodable()) == (None, {"by": "field", "field": "f"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: sort_keys("field"),
        lambda: sort_keys(5),
        lambda: sort_keys([5]),
        lambda: SortString(1),  # type: ignore[arg-type]
        lambda: SortRaw(5),
        lambda: SortField("f", type="text"),
        lambda: SortField("f", mode="median"),
        lambda: SortField("f", missing="never"),
        lambda: SortField(""),
        lambda: SortGeoDistance((1,), "geo"),
        lambda: SortScore(desc=True, descending=True),
    ],
)
def test_refused(make: Any) -> None:
    """What is no sort is refused when it is given."""
    with pytest.raises(ArgumentError):
        make()


def test_equality() -> None:
    """Those that say the same are equal."""
    assert SortString("a") == SortString("a") != SortString("b")
    assert SortRaw({}) == SortRaw({}) != SortRaw([])
    assert SortScore() == SortScore() != SortID()
    assert repr(SortString("a")) == "<SortString ['a']>"
    assert repr(SortRaw({})) == "<SortRaw {}>"
    with pytest.raises(InvalidSearchError):
        SortField("f", type="none")
