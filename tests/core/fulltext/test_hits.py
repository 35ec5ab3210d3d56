"""Hits: as a dict, as attributes, and whatever else comes as one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import BrokenAnswerError, ValueFormatError
from couchloop.fulltext import SearchRow, SearchRowLocation, SearchRowLocations
from couchloop.fulltext.hits import read_hit

HIT = {
    "index": "ix_1",
    "id": "hotel_1",
    "score": 0.5,
    "locations": {
        "name": {
            "inn": [{"pos": 2, "start": 4, "end": 7, "array_positions": None}],
            "sea": [{"pos": 1, "start": 0, "end": 3, "array_positions": [0, 1]}],
        },
        "city": {"inn": [{"pos": 1, "start": 0, "end": 3}]},
    },
    "fragments": {"name": ["<mark>sea</mark>"]},
    "sort": ["_score"],
    "fields": {"name": "Sea Inn"},
    "explanation": {"value": 0.5},
    "partial_match": True,
}


@dataclass
class Named:
    """What fields of a hit are."""

    name: str


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def test_both_ways() -> None:
    """Members are there by name, as in SDK 2.5, and as attributes, as in SDK 4."""
    row = read_hit(json.dumps(HIT).encode())
    assert row == HIT
    assert row["id"] == row.id == "hotel_1"
    assert (row.index, row.score, row.sort, row.fields, row.fragments, row.explanation) == (
        "ix_1",
        0.5,
        ["_score"],
        {"name": "Sea Inn"},
        {"name": ["<mark>sea</mark>"]},
        {"value": 0.5},
    )
    assert row.partial_match


def test_nothing_but_the_key() -> None:
    """What the service leaves out is empty."""
    row = read_hit(b'{"id":"a","fields":null}')
    assert (row.index, row.score, row.sort, row.fields) == ("", 0.0, [], {})
    assert (row.fragments, row.explanation, row.partial_match) == ({}, {}, False)
    assert not row.locations
    assert row.locations.get_all() == []


def test_locations() -> None:
    """Places are found by field and term."""
    places = SearchRow(HIT).locations
    assert places
    assert places.fields() == ["name", "city"]
    assert places.terms() == {"inn", "sea"}
    assert places.terms_for("name") == ["inn", "sea"]
    assert places.terms_for("other") == []
    assert places.get("name", "sea") == [SearchRowLocation("name", "sea", 1, 0, 3, [0, 1])]
    assert places.get("other", "sea") == places.get("name", "other") == []
    assert len(places.get_all()) == 3
    assert "sea" in repr(places)


@given(_JSON)
def test_any_locations(told: Any) -> None:
    """Whatever stands there, nothing of it breaks the reader."""
    places = SearchRowLocations(told)
    assert all(isinstance(each, SearchRowLocation) for each in places.get_all())
    assert places.terms() >= {each.term for each in places.get_all()}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"null", b'"a"', b"\xff"])
def test_no_hit(data: bytes) -> None:
    """What is no object is a broken answer."""
    with pytest.raises(BrokenAnswerError):
        read_hit(data)


def test_typed_fields() -> None:
    """Fields are of a type that is asked for; what does not fit says where, and of which hit."""
    pytest.importorskip("msgspec")
    row = read_hit(json.dumps(HIT).encode(), Named)
    assert row.fields == row["fields"] == Named("Sea Inn")
    assert {**row, "fields": None} == {**HIT, "fields": None}
    assert read_hit(b'{"id":"a"}', dict[str, int]).fields == {}
    with pytest.raises(
        ValueFormatError, match=r"the field fields.name does not fit Named"
    ) as raised:
        read_hit(b'{"id":"a","fields":{"name":5}}', Named)
    assert (raised.value.key, raised.value.path) == ("a", "$.fields.name")
    with pytest.raises(ValueFormatError, match=r"the field fields does not fit Named") as raised:
        read_hit(b'{"fields":[]}', Named)
    assert (raised.value.key, raised.value.path) == (None, "$.fields")
