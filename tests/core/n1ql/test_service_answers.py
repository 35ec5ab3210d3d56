"""Answers that query services have given: whole, byte by byte, and cut off at each byte."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousAnswerError,
    AmbiguousConnectionLostError,
    CouchbaseError,
    N1QLError,
)
from couchloop.n1ql.errors import error_of
from couchloop.n1ql.queries import query
from couchloop.operations.stream import END
from tests.core.http.answers import Recorded, recorded
from tests.core.n1ql.hands import Hands
from tests.core.world import defaults
from tests.share import spread


def whole(answer: Recorded) -> Recorded:
    """Return an answer; of some only the errors were kept."""
    if isinstance(answer.means, dict):
        return answer
    means = {"requestID": "r", "errors": answer.means, "status": "fatal"}
    text = b'{"requestID":"r","errors":' + answer.text + b',"status":"fatal"}'
    return answer._replace(text=text, means=means)


ANSWERS = [whole(each) for each in recorded() if each.name.startswith("query")]
ONCE = [each for each in ANSWERS if each.name.endswith("compact")]


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
def test_whole(answer: Recorded, pieces: int) -> None:
    """All rows are given, then the error, if there is one: of the class of its code."""
    said = answer.means
    hands = Hands(query(defaults(), "SELECT 1")).start()
    hands.data(answer.text, pieces=pieces)
    if len(hands.asked) > 1:
        assert said["errors"][0]["retry"] is True
        hands.refuse(3000)
        return
    rows, error = taken(hands)
    assert rows == (said.get("results") or [])
    errors = said.get("errors", [])
    if said.get("status") == "success" and not errors:
        assert error is None
        return
    assert isinstance(error, N1QLError)
    assert type(error) is type(error_of(errors, "", ""))
    assert list(error.errors) == errors


@pytest.mark.parametrize("answer", ONCE, ids=lambda each: each.name)
def test_cut_off(answer: Recorded) -> None:
    """Wherever it is cut off, whole rows are given, and nobody takes it for complete."""
    said = answer.means.get("results") or []
    for end in spread(range(len(answer.text))):
        hands = Hands(query(defaults(), "SELECT 1")).start()
        hands.stream.began(200, {}, "host:8093")
        hands.stream.piece(answer.text[:end])
        hands.end(AmbiguousConnectionLostError("gone"))
        rows, error = taken(hands)
        assert rows == said[: len(rows)]
        assert type(error) is AmbiguousAnswerError, (end, error)
        assert error.rows == len(rows)
