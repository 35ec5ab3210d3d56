"""How a search is to be answered: the JSON of each parameter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    InvalidSearchError,
    InvalidSettingError,
    InvalidTimeoutError,
)
from couchloop.fulltext import (
    DateFacet,
    HighlightStyle,
    NumericFacet,
    Params,
    SearchOptions,
    SearchScanConsistency,
    SortScore,
    TermFacet,
)
from couchloop.mutation_state import MutationState, MutationToken


@pytest.mark.parametrize(
    ("given", "json"),
    [
        ({}, {}),
        ({"limit": 10}, {"size": 10}),
        ({"limit": 0}, {"size": 0}),
        ({"skip": 100}, {"from": 100}),
        ({"explain": True}, {"explain": True}),
        ({"fields": ["*"]}, {"fields": ["*"]}),
        ({"timeout": 30}, {"ctl": {"timeout": 30000}}),
        ({"timeout": timedelta(milliseconds=1500)}, {"ctl": {"timeout": 1500}}),
        ({"highlight_style": "html"}, {"highlight": {"style": "html"}}),
        (
            {"highlight_style": HighlightStyle.Ansi, "highlight_fields": ("f", "g")},
            {"highlight": {"style": "ansi", "fields": ["f", "g"]}},
        ),
        ({"highlight_fields": ["f"]}, {"highlight": {"fields": ["f"]}}),
        ({"sort": ["f", "-_score"]}, {"sort": ["f", "-_score"]}),
        # SDK 2.5 sent an object, which the service refuses.
        ({"sort": SortScore(desc=True)}, {"sort": [{"by": "score", "desc": True}]}),
        ({"consistency": "not_bounded"}, {}),
        ({"consistency": ""}, {}),
        ({"scan_consistency": SearchScanConsistency.NOT_BOUNDED}, {}),
        ({"include_locations": True}, {"includeLocations": True}),
        ({"disable_scoring": True}, {"score": "none"}),
        ({"disable_scoring": False}, {}),
        ({"collections": ["a", "b"]}, {"collections": ["a", "b"]}),
        ({"search_after": ["a", "\u0000"]}, {"search_after": ["a", "\u0000"]}),
        ({"search_before": ["a"]}, {"search_before": ["a"]}),
        ({"show_request": True}, {"showrequest": True}),
        ({"raw": {"partition_selection": "local"}}, {"partition_selection": "local"}),
        ({"limit": 1, "raw": {"size": 2}}, {"size": 2}),
        (
            {
                "facets": {
                    "term": TermFacet("f", limit=10),
                    "dr": DateFacet("d").add_range("name", "start", "end"),
                    "nr": NumericFacet("n").add_range("name2", 0.0, 99.99),
                }
            },
            {
                "facets": {
                    "term": {"field": "f", "size": 10},
                    "dr": {
                        "field": "d",
                        "date_ranges": [{"name": "name", "start": "start", "end": "end"}],
                    },
                    "nr": {
                        "field": "n",
                        "numeric_ranges": [{"name": "name2", "min": 0.0, "max": 99.99}],
                    },
                }
            },
        ),
    ],
    ids=repr,
)
def test_json(given: dict[str, Any], json: dict[str, Any]) -> None:
    """Each is the JSON of the service's table, given at once or set later."""
    assert Params(**given).as_encodable("ix") == json
    params = Params()
    for name, value in given.items():
        if name == "facets":
            params.facets.update(value)
        else:
            setattr(params, name, value)
    assert params.as_encodable("ix") == json
    assert params == Params(**given)


def test_names() -> None:
    """SDK 4's options are the same thing."""
    assert SearchOptions is Params
    params = Params(timeout=timedelta(seconds=2))
    assert params.timeout == 2.0
    params.timeout = None
    assert params.as_encodable("ix") == {}
    assert Params(limit=1) != Params(limit=1, timeout=1)
    assert Params(limit=1) != 1


STATE = MutationState(
    MutationToken(42, 10000, 101, "travel"), MutationToken(7, 2**64 - 1, 3, "travel")
)
VECTORS = {"7/18446744073709551615": 3, "42/10000": 101}


def test_changes() -> None:
    """What the index must have seen is told by its name; of a scope, by both that it may have."""
    params = Params(consistent_with=STATE)
    assert params.as_encodable("ix") == {
        "ctl": {"consistency": {"level": "at_plus", "vectors": {"ix": VECTORS}}}
    }
    params.timeout = 1
    assert params.as_encodable("ix", ("travel", "inventory")) == {
        "ctl": {
            "timeout": 1000,
            "consistency": {
                "level": "at_plus",
                "vectors": {"ix": VECTORS, "travel.inventory.ix": VECTORS},
            },
        }
    }


def test_changes_of_several_buckets() -> None:
    """An index of a scope has nothing of other buckets; of an index without one nobody knows."""
    state = MutationState(MutationToken(1, 2, 3, "travel"), MutationToken(1, 5, 6, "other"))
    params = Params(consistent_with=state)
    vectors = params.as_encodable("ix")["ctl"]["consistency"]["vectors"]
    assert vectors == {"ix": {"1/2": 3, "1/5": 6}}
    vectors = params.as_encodable("ix", ("travel", "s"))["ctl"]["consistency"]["vectors"]
    assert vectors["ix"] == {"1/2": 3}


def test_one_consistency() -> None:
    """Changes cannot be waited for where something else is asked for."""
    params = Params(consistency="not_bounded")
    with pytest.raises(ValueError, match="consistency"):
        params.consistent_with(STATE)
    params.consistency = None
    params.consistent_with(STATE)
    given: list[Any] = [MutationState(), {"travel": {}}, None]
    for bad in given:
        with pytest.raises(TypeError):
            params.consistent_with(bad)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"limit": -1}, InvalidSearchError),
        ({"limit": "10"}, InvalidSettingError),
        ({"explain": "yes"}, InvalidSettingError),
        ({"fields": "name"}, InvalidSettingError),
        ({"highlight_style": "bold"}, InvalidSearchError),
        ({"highlight_fields": "name"}, InvalidSettingError),
        ({"sort": "name"}, InvalidSettingError),
        ({"sort": [1]}, ArgumentError),
        ({"consistency": "request_plus"}, InvalidSearchError),
        ({"scan_consistency": "at_plus"}, InvalidSearchError),
        ({"scan_consistency": ["not_bounded"]}, InvalidSearchError),
        ({"timeout": 0}, InvalidTimeoutError),
        ({"timeout": "1s"}, InvalidTimeoutError),
        ({"timeout": timedelta(seconds=-1)}, InvalidTimeoutError),
        ({"facets": {"a": "b"}}, InvalidSearchError),
        ({"raw": [1]}, InvalidSettingError),
        ({"raw": {1: 2}}, InvalidSettingError),
        ({"search_after": [1]}, InvalidSettingError),
        ({"consistent_with": MutationState()}, InvalidSettingError),
    ],
    ids=repr,
)
def test_refused(given: dict[str, Any], cause: type[Exception]) -> None:
    """What cannot be right is refused when it is set."""
    with pytest.raises(cause):
        Params(**given)
    with pytest.raises(TypeError):
        Params(limits=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Params().limits = 1  # type: ignore[attr-defined]


def test_both_ways() -> None:
    """A search goes on after a hit or before one."""
    with pytest.raises(InvalidSearchError):
        Params(search_after=["a"], search_before=["b"]).as_encodable("ix")
