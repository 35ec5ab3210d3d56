"""Answers that search services have given: whole, byte by byte, and cut off at each byte."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ConnectionLostError, CouchbaseError, IncompleteAnswerError
from couchloop.operations.stream import END
from tests.core.fulltext.test_rows import Searching
from tests.core.http.answers import Recorded, recorded
from tests.share import spread

ANSWERS = [
    each for each in recorded() if each.name.startswith("search/") and isinstance(each.means, dict)
]
ONCE = [each for each in ANSWERS if each.name.endswith("compact") and len(each.text) < 2000]


def taken(hands: Searching) -> tuple[list[Any], CouchbaseError | None]:
    """Return the hits, and what has ended them."""
    found: list[Any] = []
    while True:
        pull = hands.pull()
        if not pull.done:
            pull.let_go()
            return found, None
        try:
            item = pull.result()
        except CouchbaseError as error:
            return found, error.with_traceback(None)
        found.append(item)
        if item is END:
            return found, None


@pytest.mark.parametrize("size", [1 << 20, 7])
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: each.name)
def test_whole(answer: Recorded, size: int) -> None:
    """All hits are given, with what stands beside them; or the service says that it has failed."""
    said: Any = answer.means
    hands = Searching().begun()
    found: list[Any] = []
    for begin in range(0, len(answer.text), size):
        hands.stream.piece(answer.text[begin : begin + size])
        found += taken(hands)[0]
    hands.end()
    more, error = taken(hands)
    found += more
    assert [each for each in found if each is not END] == (said.get("hits") or [])
    assert (error is not None) == bool(said.get("error") or said.get("errors"))
    assert hands.stream.meta == {name: value for name, value in said.items() if name != "hits"}


@pytest.mark.parametrize("answer", ONCE, ids=lambda each: each.name)
def test_bytewise(answer: Recorded) -> None:
    """So does one that comes byte by byte."""
    test_whole(answer, 1)


@pytest.mark.parametrize("answer", ONCE, ids=lambda each: each.name)
def test_cut_off(answer: Recorded) -> None:
    """Cut off at any byte: whole hits, then an error; without a hit it is asked again."""
    hits = answer.means.get("hits") or []
    for size in spread(range(len(answer.text.rstrip()) - 1)):
        hands = Searching().begun()
        hands.stream.piece(answer.text[:size])
        found, _ = taken(hands)
        hands.end(ConnectionLostError("gone"))
        more, error = taken(hands)
        found += more
        assert found == hits[: len(found)]
        if found:
            assert isinstance(error, IncompleteAnswerError)
        else:
            assert error is None
            assert hands.pauses
