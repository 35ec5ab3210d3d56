"""Facets: what is counted beside the hits."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import InvalidSearchError, InvalidSettingError
from couchloop.fulltext import DateFacet, Facet, NumericFacet, TermFacet
from couchloop.fulltext.facets import FacetDict


def test_terms() -> None:
    """What is said is in its JSON; the service gives no term unless it is told how many."""
    assert TermFacet("f").encodable == {"field": "f"}
    assert TermFacet("f").sent == {"field": "f", "size": 10}
    facet = TermFacet("f", limit=3)
    assert facet.encodable == facet.sent == {"field": "f", "size": 3}
    facet.limit = None
    assert facet.limit is None
    assert TermFacet("f", limit=0).encodable == {"field": "f"}


def test_numbers() -> None:
    """Ranges are added one by one; all are given unless it is said how many."""
    facet = NumericFacet("n")
    assert facet.add_range("low", max=2) is facet
    facet.add_range("mid", 2, 4.5).add_range("zero", min=0)
    ranges = [
        {"name": "low", "max": 2},
        {"name": "mid", "min": 2, "max": 4.5},
        {"name": "zero", "min": 0},
    ]
    assert facet.encodable == {"field": "n", "numeric_ranges": ranges}
    assert facet.sent == {"field": "n", "size": 3, "numeric_ranges": ranges}
    assert facet.numeric_ranges == ranges
    assert NumericFacet("n", 1).add_range("a", 1).sent["size"] == 1


def test_dates() -> None:
    """Likewise dates."""
    facet = DateFacet("d").add_range("r1", start="2012", end="2013").add_range("r2", start="2014")
    facet.add_range("r3", end="2015", datetime_parser="p")
    ranges = [
        {"name": "r1", "start": "2012", "end": "2013"},
        {"name": "r2", "start": "2014"},
        {"name": "r3", "end": "2015", "datetime_parser": "p"},
    ]
    assert facet.encodable == {"field": "d", "date_ranges": ranges}
    assert facet.date_ranges == ranges
    facet.encodable["date_ranges"][0]["name"] = "changed"
    assert facet.date_ranges == ranges


def test_by_name() -> None:
    """Only facets that are whole can be added, by whatever way."""
    facets = FacetDict({"a": TermFacet("f")}, b=NumericFacet("n").add_range("r", 1))
    facets["c"] = TermFacet("g")
    facets.update({"d": TermFacet("h")}, e=TermFacet("i"))
    assert facets.setdefault("a", TermFacet("z")) is facets["a"]
    assert facets.setdefault("f", TermFacet("z")) == TermFacet("z")
    assert sorted(facets) == list("abcdef")
    for bad in (NumericFacet("n"), DateFacet("d"), "facet", None):
        with pytest.raises(ValueError, match=r"facet|Facet"):
            facets["x"] = bad  # type: ignore[assignment]
        with pytest.raises(InvalidSearchError):
            facets.update(x=bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidSearchError):
            facets.setdefault("x", bad)
    with pytest.raises(InvalidSettingError):
        facets[1] = TermFacet("f")  # type: ignore[index]
    assert "x" not in facets


@pytest.mark.parametrize(
    "make",
    [
        lambda: NumericFacet("n").add_range("r"),
        lambda: NumericFacet("n").add_range("r", "1"),  # type: ignore[arg-type]
        lambda: NumericFacet("n").add_range(1, 1),  # type: ignore[arg-type]
        lambda: DateFacet("d").add_range("r"),
        lambda: DateFacet("d").add_range("r", 2012),  # type: ignore[arg-type]
        lambda: Facet(1),  # type: ignore[arg-type]
        lambda: FacetDict(5),  # type: ignore[arg-type]
        lambda: FacetDict("abc"),  # type: ignore[arg-type]
        lambda: TermFacet("f", "3"),  # type: ignore[arg-type]
    ],
)
def test_another_type(make: Any) -> None:
    """A range without a bound is a TypeError, as in SDK 2.5, and so are wrong types."""
    with pytest.raises(TypeError):
        make()


def test_another_value() -> None:
    """Two ranges of one name are refused, and numbers that are none."""
    facet = NumericFacet("n").add_range("r", 1)
    for bounds in ((1, 2), (float("nan"), None)):
        with pytest.raises(ValueError, match=r"name|number"):
            facet.add_range("r" if bounds[1] else "s", *bounds)
    assert len(facet.numeric_ranges) == 1
