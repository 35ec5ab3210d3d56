"""Queries whose rows are fetched later, by handles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.analytics import DeferredAnalyticsQuery
from couchloop.analytics.bucket_analytics import analytics_query
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    AnalyticsInternalError,
    AnalyticsParsingError,
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    IncompleteAnswerError,
    UnambiguousTimeoutError,
)
from couchloop.topology.configuration import parse_config
from tests.core.n1ql.hands import Hands
from tests.core.world import defaults

CLUSTER = parse_config(
    b"""{"rev": 1, "nodesExt": [
      {"hostname": "a", "services": {"cbas": 1, "cbasSSL": 2},
       "alternateAddresses": {"external": {"hostname": "A", "ports": {"cbas": 11}}}}]}""",
    "a",
)
STATUS = "http://a:1/analytics/service/status/3-0?x=1"
RESULT = "http://a:1/analytics/service/result/3-0"


def asked(**options: Any) -> Hands:
    """Return a query whose request was sent."""
    query = DeferredAnalyticsQuery("SELECT 1", **{"interval": 4, "timeout": 60, **options})
    return Hands(analytics_query(defaults(), query), CLUSTER).start()


def say(hands: Hands, **members: Any) -> None:
    """Give an answer without rows."""
    hands.data(json.dumps(members).encode())


def waiting(**options: Any) -> Hands:
    """Return a query that runs, and was asked whether it is ready."""
    hands = asked(**options)
    say(hands, status="running", handle=STATUS)
    return hands


def fetching() -> Hands:
    """Return a query whose rows are asked for."""
    hands = waiting()
    say(hands, status="success", handle=RESULT)
    return hands


def raised(hands: Hands) -> CouchbaseError:
    """Return what ends the rows."""
    with pytest.raises(CouchbaseError) as found:
        hands.rows()
    return found.value.with_traceback(None)


@pytest.mark.parametrize("pieces", [0, 1])
@pytest.mark.parametrize(
    "body",
    [b'[1,{"a":"]"},[2]]', b' \n[1,{"a":"]"},[2]] ', b'{"results":[1,{"a":"]"},[2]]}'],
)
def test_all_steps(body: bytes, pieces: int) -> None:
    """It is run, asked for until it is ready, and fetched: as a list, or as all answers are."""
    hands = asked()
    assert hands.body["mode"] == "async"
    assert hands.asked[0].method == "POST"
    say(hands, status="running", handle=STATUS)
    for _ in range(3):
        request = hands.asked[-1]
        assert (request.method, request.path, request.node) == (
            "GET",
            "/analytics/service/status/3-0?x=1",
            "a:1",
        )
        assert request.is_idempotent
        say(hands, status="running")
    assert hands.pauses == [4, 4, 4]
    say(hands, status="success", handle=RESULT)
    assert hands.asked[-1].path == "/analytics/service/result/3-0"
    hands.data(body, pieces=pieces)
    assert hands.rows() == [1, {"a": "]"}, [2]]
    assert hands.stream.handle == RESULT  # type: ignore[attr-defined]
    assert len(hands.asked) == 6


@pytest.mark.parametrize("place", ["evil.test:80", "", "a:2", "A:11", "localhost:8095"])
def test_who_is_asked(place: str) -> None:
    """Only nodes of the cluster are asked; by default the one that has given the handle."""
    hands = asked()
    say(hands, status="running", handle=f"http://{place}/status" if place else "/status")
    known = {"a:2", "A:11"}
    assert hands.asked[-1].node == (place if place in known else "host:8093")


@pytest.mark.parametrize(
    "handle", [None, 5, "", "http://a:1", "http://[", "http://a:1/ü", "http://a:1/a b"]
)
def test_no_handle(handle: Any) -> None:
    """A handle that is none is a broken answer."""
    hands = waiting()
    say(hands, status="success", handle=handle)
    assert isinstance(raised(hands), BrokenAnswerError)


def test_not_deferred() -> None:
    """A service that does not defer gives the rows at once."""
    hands = asked()
    hands.answer(1, 2)
    assert hands.rows() == [1, 2]
    assert len(hands.asked) == 1


def test_failures() -> None:
    """It may fail in each step."""
    hands = asked()
    hands.refuse(24000, status=400)
    assert isinstance(raised(hands), AnalyticsParsingError)
    hands = waiting()
    say(hands, status="failed")
    assert isinstance(raised(hands), AnalyticsInternalError)
    hands = waiting()
    say(hands, status="failed", errors=[{"code": 24000, "msg": "x"}])
    assert isinstance(raised(hands), AnalyticsParsingError)
    hands = fetching()
    say(hands, errors=[{"code": 25000, "msg": "x"}])
    assert isinstance(raised(hands), AnalyticsInternalError)
    hands = fetching()
    hands.data(b"[1,2")
    assert hands.turns().result() == 1
    assert isinstance(raised(hands), BrokenAnswerError | IncompleteAnswerError)


@pytest.mark.parametrize(
    ("readonly", "kind"), [(False, AmbiguousTimeoutError), (True, UnambiguousTimeoutError)]
)
def test_late(readonly: bool, kind: type[CouchbaseError]) -> None:
    """Once its time is up it is given up; what is no readonly query may go on."""
    hands = waiting(timeout=10, readonly=readonly)
    say(hands, status="running")
    say(hands, status="running")
    say(hands, status="running")
    error = raised(hands)
    assert type(error) is kind
    assert error.context is not None
    assert error.context.timeout == 10


def test_lost() -> None:
    """Questions are repeated where an answer was lost; the run itself is not."""
    hands = waiting()
    for step in range(2):
        hands.stream.began(200, {}, "host:8095")
        hands.stream.piece(b" ")
        before = hands.asked[-1]
        hands.end(ConnectionLostError("gone"))
        assert hands.asked[-1] == before
        if not step:
            say(hands, status="success", handle=RESULT)
    hands.data(b"[1]")
    assert hands.rows() == [1]
    hands = asked()
    hands.stream.began(200, {}, "host:8095")
    hands.end(ConnectionLostError("gone"))
    assert isinstance(raised(hands), CouchbaseError)
    assert len(hands.asked) == 1
