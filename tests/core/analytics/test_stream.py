"""One analytics query: what its answers mean, and when it is asked anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.analytics.analytics_queries import analytics_query
from couchloop.exceptions import (
    AmbiguousAnswerError,
    AnalyticsError,
    AnalyticsInternalError,
    AnalyticsParsingError,
    AnalyticsTemporaryFailError,
    AnalyticsTimeoutError,
    AuthError,
    ConnectionLostError,
    CouchbaseError,
    HTTPError,
    JobQueueFullError,
    ServiceNotAvailableError,
)
from couchloop.operations.stream import END
from tests.core.http.answers import Recorded, recorded
from tests.core.n1ql.hands import Hands
from tests.core.world import defaults

ANSWERS = [each for each in recorded() if each.name.startswith("analytics")]
RETRIED = {23000, 23003, 23007}


def asked(**options: Any) -> Hands:
    """Return a query whose request was sent."""
    return Hands(analytics_query(defaults(), "SELECT 1", **options)).start()


def taken(hands: Hands) -> tuple[list[Any], CouchbaseError | None]:
    """Return the rows, and what has ended them."""
    rows: list[Any] = []
    while True:
        pull = hands.turns()
        assert pull.done
        try:
            item = pull.result()
        except CouchbaseError as error:
            return rows, error.with_traceback(None)
        if item is END:
            return rows, None
        rows.append(item)


@pytest.mark.parametrize("pieces", [0, 1, 100])
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: each.name)
def test_recorded(answer: Recorded, pieces: int) -> None:
    """All rows are given, then the error, if there is one: of the class of its code."""
    said: Any = answer.means
    hands = asked()
    codes = [each["code"] for each in said.get("errors", [])]
    for _ in range(10 if set(codes) & RETRIED else 1):
        hands.data(answer.text, pieces=pieces)
    rows, error = taken(hands)
    assert rows == said.get("results", [])
    assert len(hands.asked) == (10 if set(codes) & RETRIED else 1)
    if codes:
        assert isinstance(error, AnalyticsError)
        assert error.code == codes[0]
        assert type(error) is not AnalyticsError
    else:
        assert error is None
        assert hands.stream.metrics == said["metrics"]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: each.name)
def test_cut_off(answer: Recorded) -> None:
    """Cut off at any byte it is an error, behind the rows that were whole: it may have run."""
    for size in range(0, len(answer.text) - 1, max(1, len(answer.text) // 200)):
        hands = asked()
        hands.stream.began(200, {}, "host:8095")
        hands.stream.piece(answer.text[:size])
        hands.end(ConnectionLostError("gone"))
        rows, error = taken(hands)
        assert isinstance(error, AmbiguousAnswerError | ConnectionLostError)
        assert rows == answer.means.get("results", [])[: len(rows)]
        assert len(hands.asked) == 1


def test_readonly_is_repeated() -> None:
    """What changes nothing is asked again where its answer was lost before a row."""
    hands = asked(readonly=True)
    hands.stream.began(200, {}, "host:8095")
    hands.stream.piece(b'{"results":[')
    hands.end(ConnectionLostError("gone"))
    assert len(hands.asked) == 2
    assert hands.asked[0].body == hands.asked[1].body or hands.body["timeout"] < "74500ms"
    hands.answer(1)
    assert hands.rows() == [1]


@pytest.mark.parametrize("code", sorted(RETRIED))
def test_did_not_run(code: int) -> None:
    """What did not run is asked again, ten times in all, with growing pauses."""
    hands = asked()
    for count in range(1, 10):
        hands.refuse(code, status=200)
        assert len(hands.asked) == count + 1
    hands.refuse(code, status=200)
    with pytest.raises(AnalyticsTemporaryFailError if code < 23007 else JobQueueFullError):
        hands.rows()
    assert hands.pauses == sorted(hands.pauses)
    assert hands.pauses[0] == pytest.approx(0.002)
    assert hands.pauses[-1] == pytest.approx(0.5)


def test_behind_a_row() -> None:
    """Once a row was given nothing is asked again."""
    hands = asked()
    hands.answer(1, errors=[{"code": 23000, "msg": "x"}], status="fatal")
    rows, error = taken(hands)
    assert rows == [1]
    assert isinstance(error, AnalyticsTemporaryFailError)
    assert len(hands.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"", ServiceNotAvailableError),
        (401, b"", AuthError),
        (500, b"<html>", HTTPError),
        (500, b"{}", HTTPError),
        (500, b'"\0"', HTTPError),
        (400, json.dumps({"errors": [{"code": 24000}]}).encode(), AnalyticsParsingError),
        (500, json.dumps({"errors": {"code": 21002}}).encode(), AnalyticsTimeoutError),
        (200, b'{"status":"fatal"}', AnalyticsInternalError),
        (200, b'{"results":[]}', AnalyticsInternalError),
        (200, b'{"status":"success","errors":"bad"}', AnalyticsError),
    ],
)
def test_refusals(status: int, body: bytes, kind: type[CouchbaseError]) -> None:
    """What is JSON of the service decides; else the status does."""
    hands = asked()
    hands.data(body, status)
    rows, error = taken(hands)
    assert rows == []
    assert type(error) is kind
    assert error.context is not None
    assert (error.context.node, error.context.operation) == ("host:8093", "analytics_query")
