"""Builders of queries: what is sent for what they are given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidSettingError,
    InvalidTimeoutError,
    ValueFormatError,
)
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.n1ql import N1QLQuery, QueryOptions, QueryProfile, stream
from couchloop.n1ql.n1ql_queries import n1ql_query
from couchloop.n1ql.queries import query
from tests.core.n1ql.hands import Hands
from tests.core.n1ql.test_query import STATE
from tests.core.world import defaults
from tests.extras import needs_msgspec


def sent(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what `query` sends."""
    body = Hands(query(defaults(), *args, **kwargs)).start().body
    assert isinstance(body.pop("client_context_id"), str)
    return body


def sent_25(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what `n1ql_query` sends."""
    body = Hands(n1ql_query(defaults(), *args, **kwargs)).start().body
    assert isinstance(body.pop("client_context_id"), str)
    return body


PLAIN = {"metrics": False, "statement": "SELECT 1", "timeout": "74500ms"}


def test_as_the_official_sdk_sends_it() -> None:
    """The members are those of SDK 4.6.3; but `readonly` is sent, which that does not do."""
    assert sent("SELECT 1") == PLAIN
    assert sent("SELECT 1", QueryOptions(consistent_with=STATE)) == {
        **PLAIN,
        "scan_consistency": "at_plus",
        "scan_vectors": {"b": {"98": [5, "122489684782072"]}},
    }
    assert sent(
        "SELECT $1, $x",
        QueryOptions(
            positional_parameters=[1, "a"],
            named_parameters={"x": 2},
            max_parallelism=2,
            pipeline_batch=3,
            pipeline_cap=4,
            preserve_expiry=True,
            profile=QueryProfile.TIMINGS,
            scan_cap=5,
            scan_consistency="request_plus",
            scan_wait=timedelta(milliseconds=1500),
            flex_index=True,
            metrics=True,
            readonly=True,
            timeout=timedelta(seconds=30),
        ),
    ) == {
        "statement": "SELECT $1, $x",
        "args": [1, "a"],
        "$x": 2,
        "max_parallelism": "2",
        "metrics": True,
        "pipeline_batch": "3",
        "pipeline_cap": "4",
        "preserve_expiry": True,
        "profile": "timings",
        "readonly": True,
        "scan_cap": "5",
        "scan_consistency": "request_plus",
        "scan_wait": "1500ms",
        "timeout": "29500ms",
        "use_fts": True,
    }


def test_forms_of_parameters() -> None:
    """Values are arguments, options or keywords, as both SDKs have them."""
    assert sent("SELECT $1", 5)["args"] == [5]
    assert sent("SELECT $1", QueryOptions(metrics=True), 5)["args"] == [5]
    assert sent("SELECT $x", x=5)["$x"] == 5
    assert sent("SELECT @x", x=5)["$x"] == 5
    assert sent("SELECT $type", type="hotel")["$type"] == "hotel"
    assert sent("SELECT 1", read_only=True)["readonly"] is True
    assert sent("SELECT 1", QueryOptions(metrics=True), metrics=False) == PLAIN
    assert sent_25("SELECT $1, $x", 5, x=6)["args"] == [5]
    assert sent_25("SELECT $1, $x", 5, x=6)["$x"] == 6
    with pytest.raises(ArgumentError, match="positional_parameters"):
        sent("SELECT $1", 5, positional_parameters=[6])


def test_an_object_of_sdk_25() -> None:
    """An N1QLQuery says all of it, for both methods."""
    asked = N1QLQuery("SELECT $1", 5)
    asked.timeout = 3
    asked.readonly = True
    body = {"statement": "SELECT $1", "args": [5], "readonly": True, "timeout": "2700ms"}
    assert sent_25(asked) == body
    assert sent(asked) == body
    assert sent_25(asked, timeout=30)["timeout"] == "29500ms"
    with pytest.raises(ArgumentError, match="set values there"):
        sent_25(asked, 6)
    with pytest.raises(ArgumentError, match="set 'x' there"):
        sent_25(asked, x=6)
    with pytest.raises(ArgumentError, match="set 'metrics' there"):
        sent(asked, metrics=True)


def test_arguments_of_requests_of_sdk_25() -> None:
    """What SDK 2.5 hands on to its requests is no parameter of the statement."""
    assert "$meta_lookahead" not in sent_25("SELECT 1", meta_lookahead=False)
    with pytest.raises(ArgumentError, match="n1qlQueryEx"):
        sent_25("SELECT 1", itercls=object)


def test_times() -> None:
    """The service's time ends a little before the client's, or as the grace period says."""
    assert query(defaults(), "SELECT 1").timeout == 75
    assert sent("SELECT 1", timeout=1)["timeout"] == "900ms"
    assert sent("SELECT 1", timeout=0.0005)["timeout"] == "1ms"
    assert sent("SELECT 1", timeout=10)["timeout"] == "9500ms"
    assert sent("SELECT 1", raw={"timeout": "5s"})["timeout"] == "5s"
    given = defaults()
    given.services = ServiceDefaults(query_timeout=10, query_grace=2)
    stream = query(given, "SELECT 1")
    assert stream.timeout == 12
    assert Hands(stream).start().body["timeout"] == "10000ms"


def test_context() -> None:
    """In a scope, names without a path are those of the scope, unless that is said."""
    given = defaults()
    given.services = ServiceDefaults("b", "s")
    assert Hands(query(given, "SELECT 1")).start().body["query_context"] == "default:`b`.`s`"
    own = query(given, "SELECT 1", query_context="default:`c`.`t`")
    assert Hands(own).start().body["query_context"] == "default:`c`.`t`"
    assert "query_context" not in sent("SELECT 1")


@dataclass
class Row:
    """What a row may be."""

    a: int


class Serializer:
    """Reads rows in its own way."""

    @staticmethod
    def deserialize(data: bytes) -> str:
        """Return the text."""
        return data.decode()


def rows_of(asked: Any, *rows: Any) -> list[Any]:
    """Return what a query gives for rows."""
    hands = Hands(asked).start()
    hands.answer(*rows)
    return hands.rows()


@needs_msgspec
def test_what_rows_are() -> None:
    """JSON, or a value of a type, or what a serializer or a row factory makes of it."""
    assert rows_of(query(defaults(), "x"), {"a": 1}, None, "t", [2]) == [{"a": 1}, None, "t", [2]]
    assert rows_of(query(defaults(), "x", type=Row), {"a": 1}) == [Row(1)]
    assert rows_of(query(defaults(), "x", serializer=Serializer), {"a": 1}) == ['{"a": 1}']
    assert rows_of(n1ql_query(defaults(), "x", row_factory=len), {"a": 1}) == [1]
    assert rows_of(n1ql_query(defaults(), "x", type=Row, row_factory=repr), {"a": 1}) == [
        "Row(a=1)"
    ]
    with pytest.raises(ValueFormatError, match="field a does not fit Row"):
        rows_of(query(defaults(), "x", type=Row), {"a": "1"})


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "said"),
    [
        ((b"SELECT 1",), {}, InvalidSettingError, "a statement is a str, not bytes"),
        ((None,), {}, InvalidSettingError, "a statement is a str, not NoneType"),
        ((1,), {}, InvalidSettingError, "a statement is a str, not int"),
        (("SELECT 1",), {"timeuot": 3}, ArgumentError, "no option 'timeuot'"),
        (("SELECT 1",), {"timeout": -3}, InvalidTimeoutError, "timeout must be"),
        (("SELECT 1",), {"adhoc": "no"}, InvalidSettingError, "adhoc is True or False"),
        (("SELECT 1",), {"serializer": 1}, InvalidSettingError, "has a method deserialize"),
        (("SELECT 1",), {"type": Row, "serializer": Serializer}, ArgumentError, "exclude"),
        (("SELECT 1", object()), {}, ValueFormatError, "cannot be written as JSON"),
        (("SELECT 1", {1, 2}), {}, ValueFormatError, "cannot be written as JSON"),
        (("SELECT 1", float("nan")), {}, ValueFormatError, "cannot be written as JSON"),
    ],
)
def test_what_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], kind: type[CouchbaseError], said: str
) -> None:
    """What no query can be is an error of the call; nothing is sent."""
    with pytest.raises(kind, match=said):
        query(defaults(), *arguments, **options)


def test_a_statement_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service would not take is not sent."""
    monkeypatch.setattr(stream, "LONGEST", 100)
    assert sent("SELECT 1")
    for arguments in (("S" * 200,), ("SELECT $1", "x" * 200)):
        with pytest.raises(ArgumentError, match="no more than"):
            query(defaults(), *arguments)


def test_parameters_are_of_the_call() -> None:
    """What is changed after the call changes nothing."""
    value = [1]
    asked = query(defaults(), "SELECT $1", value)
    value.append(2)
    assert Hands(asked).start().body["args"] == [[1]]


def test_a_row_factory_is_a_function() -> None:
    """And nothing else."""
    with pytest.raises(InvalidSettingError, match="row_factory is a function"):
        n1ql_query(defaults(), "SELECT 1", row_factory=1)
