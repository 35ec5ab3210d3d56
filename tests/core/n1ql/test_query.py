"""N1QLQuery: SDK 2.5's object for a query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop import n1ql
from couchloop.exceptions import ArgumentError, InvalidSettingError, InvalidTimeoutError
from couchloop.mutation_state import MutationState, MutationToken
from couchloop.n1ql import N1QLQuery

STATE = MutationState(MutationToken(98, 122489684782072, 5, "b"))


def test_parameters() -> None:
    """Values stand by position or by name, and may be added."""
    query = N1QLQuery("SELECT $1, $x", 1, "a", x=2)
    assert json.loads(query.encoded) == {
        "statement": "SELECT $1, $x",
        "args": [1, "a"],
        "$x": 2,
    }
    query._add_args(3)
    query._set_named_args(y=4)
    assert query.members["args"] == [1, "a", 3]
    assert query.members["$y"] == 4
    assert query.statement == "SELECT $1, $x"
    assert repr(query) == "<N1QLQuery 'SELECT $1, $x'>"


def test_properties() -> None:
    """Each property is a member in the form that the service takes."""
    query = N1QLQuery("SELECT 1")
    assert (query.metrics, query.adhoc, query.readonly, query.timeout) == (True, True, False, None)
    assert (query.profile, query.consistency) == (n1ql.PROFILE_OFF, n1ql.UNBOUNDED)
    query.metrics = False
    query.readonly = True
    query.profile = n1ql.PROFILE_TIMINGS
    query.consistency = n1ql.REQUEST_PLUS
    query.scan_cap = 5
    query.pipeline_batch = "3"
    query.pipeline_cap = 4
    query.max_parallelism = 2
    query.cross_bucket = True
    query.adhoc = False
    query.set_option("pretty", True)
    query.timeout = 3.5
    assert json.loads(query.encoded) == {
        "statement": "SELECT 1",
        "metrics": False,
        "readonly": True,
        "profile": "timings",
        "scan_consistency": "request_plus",
        "scan_cap": "5",
        "pipeline_batch": "3",
        "pipeline_cap": "4",
        "max_parallelism": "2",
        "pretty": True,
        "timeout": "3.5s",
    }
    assert "timeout" not in query.members
    assert (query.scan_cap, query.readonly, query.cross_bucket) == (5, True, True)
    assert (query.adhoc, query.timeout) == (False, 3.5)
    query.consistency = n1ql.UNBOUNDED
    query.timeout = None
    assert "scan_consistency" not in query.members
    assert "timeout" not in json.loads(query.encoded)


def test_consistent_with() -> None:
    """The changes of a MutationState are vectors; another consistency excludes them."""
    query = N1QLQuery("SELECT 1")
    query.consistent_with(STATE)
    assert query.members["scan_consistency"] == "at_plus"
    assert query.members["scan_vectors"] == {"b": {"98": [5, "122489684782072"]}}
    with pytest.raises(TypeError, match="consistent_with"):
        query.consistency = n1ql.REQUEST_PLUS
    other = N1QLQuery("SELECT 1")
    other.consistency = n1ql.REQUEST_PLUS
    with pytest.raises(TypeError, match="exclude"):
        other.consistent_with(STATE)
    with pytest.raises(TypeError, match="no changes"):
        N1QLQuery("SELECT 1").consistent_with(MutationState())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics", "yes"),
        ("readonly", "false"),
        ("adhoc", None),
        ("cross_bucket", "x"),
        ("profile", "everything"),
        ("profile", 1),
        ("consistency", "soon"),
        ("scan_cap", -1),
        ("scan_cap", True),
        ("scan_cap", "many"),
        ("pipeline_batch", 1.5),
        ("pipeline_cap", 10**12),
    ],
)
def test_what_is_refused(name: str, value: Any) -> None:
    """What no property can be is a TypeError, and changes nothing."""
    query = N1QLQuery("SELECT 1")
    with pytest.raises(InvalidSettingError):
        setattr(query, name, value)
    assert query.members == {"statement": "SELECT 1"}


@pytest.mark.parametrize("timeout", [-0.5, -1, "1s", float("nan"), float("inf"), True])
def test_no_timeout(timeout: Any) -> None:
    """A time is a positive number of seconds."""
    with pytest.raises(InvalidTimeoutError):
        N1QLQuery("SELECT 1").timeout = timeout


def test_no_statement() -> None:
    """A statement is a text, and so is the name of an option."""
    statement: Any = b"SELECT 1"
    with pytest.raises(ArgumentError, match="not bytes"):
        N1QLQuery(statement)
    name: Any = 1
    with pytest.raises(ArgumentError):
        N1QLQuery("SELECT 1").set_option(name, 1)


def test_timeout_is_taken_back() -> None:
    """By None, and by 0 as SDK 2.5 has it; False is no number."""
    query = N1QLQuery("SELECT 1")
    for nothing in (None, 0, 0.0):
        query.timeout = 3
        query.timeout = nothing
        assert query.timeout is None
        assert "timeout" not in json.loads(query.encoded)
    with pytest.raises(ValueError, match="timeout"):
        query.timeout = False
