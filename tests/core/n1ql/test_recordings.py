"""What a real query service has answered (1,070 exchanges), as answers to our queries."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from couchloop.exceptions import (
    BrokenAnswerError,
    CouchbaseError,
    FeatureNotAvailableError,
    HTTPError,
    N1QLError,
    QueryInternalError,
)
from couchloop.n1ql.errors import did_not_run, error_of
from couchloop.n1ql.queries import query
from couchloop.operations.stream import END
from tests.core.n1ql.hands import Hands
from tests.core.world import defaults

FOLDER: Final = Path(__file__).resolve().parents[2] / "embedded" / "recordings" / "query"
FILES: Final = sorted(FOLDER.glob("[0-9]*.jsonl.xz"))


def exchanges(file: Path) -> Iterator[dict[str, Any]]:
    """Yield what was recorded in a file."""
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def taken(hands: Hands) -> tuple[list[Any], CouchbaseError | None]:
    """Return the rows, and what has ended them."""
    rows: list[Any] = []
    while True:
        try:
            item = hands.turns().result()
        except CouchbaseError as error:
            return rows, error.with_traceback(None)
        if item is END:
            return rows, None
        rows.append(item)


def check(exchange: dict[str, Any], pieces: int) -> None:
    """Compare what a query makes of an answer with what the answer says."""
    hands = Hands(query(defaults(), "SELECT 1")).start()
    text = exchange.get("text")
    data = json.dumps(exchange["body"]) if text is None else text
    hands.data(data.encode(), exchange["status"], pieces)
    said = exchange.get("body")
    if not isinstance(said, dict):
        # Paths and methods that there are not, and XML.
        error = taken(hands)[1]
        assert isinstance(error, HTTPError | FeatureNotAvailableError | BrokenAnswerError)
        return
    errors = said.get("errors", [])
    if errors and did_not_run(error_of(errors, "", "")):
        assert len(hands.asked) == 2
        return
    rows, error = taken(hands)
    assert len(hands.asked) == 1
    # Numbers beyond 64 bits are what `json` makes of them.
    assert repr(rows) == repr(said.get("results", []))
    if said.get("status") == "success" and not errors:
        assert error is None
        return
    assert isinstance(error, N1QLError)
    assert list(error.errors) == errors
    assert error.code == (errors[0]["code"] if errors else 0)
    if not errors:
        assert type(error) is QueryInternalError


@pytest.mark.parametrize("pieces", [0, 7])
@pytest.mark.parametrize("file", FILES, ids=lambda each: each.name.partition(".")[0])
def test_recorded(file: Path, pieces: int) -> None:
    """Rows, then the error of the first code: whole, and in small pieces."""
    found = list(exchanges(file))
    assert found
    for exchange in found:
        check(exchange, pieces)


def test_there_are_many() -> None:
    """All files are there."""
    assert sum(1 for file in FILES for _ in exchanges(file)) == 1070
