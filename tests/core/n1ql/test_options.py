"""Options of a query, in the form in which the service takes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, CouchbaseError, InvalidSettingError
from couchloop.n1ql import QueryOptions, QueryProfile, QueryScanConsistency
from couchloop.n1ql.options import MEMBERS, members_of, milliseconds
from tests.core.n1ql.test_query import STATE

FORMS: list[tuple[str, Any, dict[str, Any]]] = [
    ("client_context_id", "abc", {"client_context_id": "abc"}),
    ("flex_index", True, {"use_fts": True}),
    ("max_parallelism", 2, {"max_parallelism": "2"}),
    ("metrics", False, {"metrics": False}),
    ("pipeline_batch", "3", {"pipeline_batch": "3"}),
    ("pipeline_cap", 0, {"pipeline_cap": "0"}),
    ("preserve_expiry", True, {"preserve_expiry": True}),
    ("profile", QueryProfile.PHASES, {"profile": "phases"}),
    ("profile", "TIMINGS", {"profile": "timings"}),
    ("query_context", "default:`b`.`s`", {"query_context": "default:`b`.`s`"}),
    ("readonly", True, {"readonly": True}),
    ("read_only", True, {"readonly": True}),
    ("scan_cap", 5, {"scan_cap": "5"}),
    ("scan_consistency", QueryScanConsistency.REQUEST_PLUS, {"scan_consistency": "request_plus"}),
    ("scan_consistency", "not_bounded", {"scan_consistency": "not_bounded"}),
    ("scan_wait", timedelta(seconds=1.5), {"scan_wait": "1500ms"}),
    ("scan_wait", 2, {"scan_wait": "2000ms"}),
    ("use_replica", True, {"use_replica": "on"}),
    ("use_replica", False, {"use_replica": "off"}),
    (
        "consistent_with",
        STATE,
        {
            "scan_consistency": "at_plus",
            "scan_vectors": {"b": {"98": [5, "122489684782072"]}},
        },
    ),
    ("positional_parameters", (1, "a"), {"args": [1, "a"]}),
    ("named_parameters", {"x": 1, "$y": 2, "@z": 3}, {"$x": 1, "$y": 2, "@z": 3}),
    ("raw", {"tximplicit": True, "readonly": 1}, {"tximplicit": True, "readonly": 1}),
    ("timeout", 3, {}),
    ("adhoc", False, {}),
]


@pytest.mark.parametrize(("name", "value", "members"), FORMS)
def test_forms(name: str, value: Any, members: dict[str, Any]) -> None:
    """Each option is a member of the request, with the service's name and type."""
    assert members_of({name: value}) == members
    assert members_of(QueryOptions(**{name: value})) == members
    assert members_of({name: None}) == {}


def test_every_option_is_tried() -> None:
    """None is left out above."""
    assert MEMBERS.keys() <= {name for name, _, _ in FORMS}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nosuch": 1}, "no option 'nosuch'"),
        ({"readonly": "yes"}, "readonly is True or False"),
        ({"metrics": []}, "metrics is True or False"),
        ({"scan_cap": 1.5}, "scan_cap is a whole number"),
        ({"profile": "loud"}, "profile is one of off, phases, timings"),
        ({"scan_consistency": "soon"}, "scan_consistency is one of"),
        ({"scan_consistency": "at_plus"}, "goes with consistent_with"),
        ({"scan_wait": "1s"}, "scan_wait must be a positive number"),
        ({"client_context_id": 'a"b'}, "quotation marks"),
        ({"client_context_id": "x" * 65}, "1 to 64 bytes"),
        ({"client_context_id": ""}, "1 to 64 bytes"),
        ({"query_context": 1}, "query_context is a str, not int"),
        ({"consistent_with": {}}, "a MutationState, not dict"),
        ({"consistent_with": STATE, "scan_consistency": "request_plus"}, "exclude each other"),
        ({"positional_parameters": "ab"}, "positional_parameters is a list"),
        ({"positional_parameters": {1}}, "positional_parameters is a list"),
        ({"named_parameters": [1]}, "named_parameters is a dict"),
        ({"named_parameters": {1: 1}}, "the name of a parameter is a str"),
        ({"named_parameters": {"$": 1}}, "has a name"),
        ({"raw": "x"}, "raw is a dict"),
        ({"raw": {1: 1}}, "the name of a member is a str"),
    ],
)
def test_what_is_refused(options: dict[str, Any], said: str) -> None:
    """What is no option, or cannot be its value, is an error before anything is sent."""
    with pytest.raises(CouchbaseError, match=said) as raised:
        members_of(options)
    assert isinstance(raised.value, InvalidSettingError | ArgumentError)


def test_both_forms_of_at_plus() -> None:
    """The consistency may be named beside the changes; vectors may be raw members."""
    both = members_of({"consistent_with": STATE, "scan_consistency": "at_plus"})
    assert both == members_of({"consistent_with": STATE})
    raw = {"scan_vector": {"0": [1, "2"]}}
    assert (
        members_of({"scan_consistency": "at_plus", "raw": raw})["scan_vector"] == raw["scan_vector"]
    )


def test_milliseconds() -> None:
    """No time is none."""
    assert [milliseconds(time) for time in (74.5, 0.0001, 1.2345)] == ["74500ms", "1ms", "1234ms"]
