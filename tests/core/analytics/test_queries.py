"""`analytics_query` as builders: what is sent, by whatever form it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from couchloop.analytics import (
    AnalyticsOptions,
    AnalyticsQuery,
    AnalyticsScanConsistency,
    DeferredAnalyticsQuery,
)
from couchloop.analytics.analytics_queries import analytics_query
from couchloop.analytics.bucket_analytics import analytics_query as of_bucket
from couchloop.analytics.deferred import DeferredAnalyticsStream
from couchloop.exceptions import ArgumentError, CouchbaseError, InvalidSettingError
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.n1ql import N1QLQuery
from tests.core.n1ql.hands import Hands
from tests.core.world import defaults


def asked(stream: Any) -> Hands:
    """Have a query sent."""
    return Hands(stream).start()


def test_options() -> None:
    """Options are members of the request, as an object, by name, or both."""
    options = AnalyticsOptions(readonly=True, timeout=timedelta(seconds=2), priority=None)
    hands = asked(
        analytics_query(
            defaults(),
            "SELECT $1, $a",
            options,
            7,
            priority=True,
            scan_consistency=AnalyticsScanConsistency.REQUEST_PLUS,
            client_context_id="id",
            query_context="default:`b`.`s`",
            raw={"pretty": False},
            named_parameters={"a": 1},
            b=2,
        )
    )
    assert hands.body == {
        "statement": "SELECT $1, $a",
        "args": [7],
        "$a": 1,
        "$b": 2,
        "readonly": True,
        "scan_consistency": "request_plus",
        "client_context_id": "id",
        "query_context": "default:`b`.`s`",
        "pretty": False,
        "timeout": "1800ms",
    }
    (request,) = hands.asked
    assert request.path == "/analytics/service"
    assert request.headers == (("Analytics-Priority", "-1"), ("client-context-id", "id"))
    assert request.is_idempotent
    assert hands.stream.timeout == 2.0


def test_defaults() -> None:
    """A time is always sent, and an id; the scope of who asks is the context."""
    hands = asked(analytics_query(defaults(), "SELECT 1"))
    assert hands.body["timeout"] == "74500ms"
    assert len(hands.body["client_context_id"]) == 36
    assert "readonly" not in hands.body
    assert not hands.asked[0].is_idempotent
    assert [name for name, _ in hands.asked[0].headers] == ["client-context-id"]
    own = replace(
        defaults(), services=ServiceDefaults("tra`vel", "inventory", analytics_timeout=1.0)
    )
    hands = asked(analytics_query(own, "SELECT 1"))
    assert hands.body["query_context"] == "default:`tra``vel`.`inventory`"
    assert hands.body["timeout"] == "900ms"


@pytest.mark.parametrize("build", [analytics_query, of_bucket])
def test_objects(build: Any) -> None:
    """An AnalyticsQuery has all that is said; a deferred one another stream."""
    query = AnalyticsQuery("SELECT $1", 5, readonly=True, timeout=3, priority=True)
    hands = asked(build(defaults(), query))
    assert hands.body["args"] == [5]
    assert hands.body["timeout"] == "2700ms"
    assert ("Analytics-Priority", "-1") in hands.asked[0].headers
    assert build(defaults(), query, timeout=9).timeout == 9.0
    stream = build(defaults(), DeferredAnalyticsQuery("SELECT 1"))
    assert isinstance(stream, DeferredAnalyticsStream)
    with pytest.raises(InvalidSettingError, match="N1QLQuery"):
        build(defaults(), N1QLQuery("SELECT 1"))
    with pytest.raises(InvalidSettingError):
        build(defaults(), 5)


def test_more_values() -> None:
    """A call of a Bucket adds values to an object, which stays as it is; others refuse them."""
    query = AnalyticsQuery("SELECT $1, $a", 5)
    hands = asked(of_bucket(defaults(), query, None, 6, a=1, readonly=True))
    assert (hands.body["args"], hands.body["$a"], hands.body["readonly"]) == ([5, 6], 1, True)
    assert query.members == {"statement": "SELECT $1, $a", "args": [5]}
    deferred = of_bucket(defaults(), DeferredAnalyticsQuery("SELECT $a"), interval=3, a=1)
    assert isinstance(deferred, DeferredAnalyticsStream)
    with pytest.raises(ArgumentError):
        analytics_query(defaults(), query, a=1)
    other: Any = N1QLQuery("SELECT 1")
    with pytest.raises(InvalidSettingError):
        of_bucket(defaults(), other, None, 6)


@pytest.mark.parametrize(
    ("host", "node"),
    [
        (None, ""),
        ("a.example", "a.example"),
        ("a.example:8095", "a.example:8095"),
        ("http://a.example:8095/analytics", "a.example:8095"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_host(host: str | None, node: str) -> None:
    """A Bucket may be told who is to be asked; it must be a node, which the session sees."""
    stream = of_bucket(defaults(), "SELECT $1, $a", host, 1, a=2, timeout=5)
    hands = asked(stream)
    assert hands.asked[0].node == node
    assert (hands.body["args"], hands.body["$a"]) == ([1], 2)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"statement": None}, InvalidSettingError),
        ({"readonly": "yes"}, InvalidSettingError),
        ({"scan_consistency": "at_plus"}, InvalidSettingError),
        ({"priority": "high"}, InvalidSettingError),
        ({"raw": 5}, InvalidSettingError),
        ({"positional_parameters": "ab"}, InvalidSettingError),
        ({"timeout": 0}, ArgumentError),
        ({"named_parameters": {"a": object()}}, CouchbaseError),
        ({"row_factory": 5}, InvalidSettingError),
        ({"client_context_id": "x" * 65}, InvalidSettingError),
    ],
)
def test_refused(given: dict[str, Any], cause: type[Exception]) -> None:
    """What an option cannot be is refused by the call."""
    with pytest.raises(cause):
        analytics_query(defaults(), **{"statement": "SELECT 1", **given})
    with pytest.raises(ArgumentError):
        analytics_query(defaults(), "SELECT $1", 1, positional_parameters=[1])
    with pytest.raises(InvalidSettingError):
        of_bucket(defaults(), "SELECT 1", 5)  # type: ignore[arg-type]
