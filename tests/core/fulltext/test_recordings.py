"""What a real search service was asked and answered: said by our classes, read by our stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.exceptions import (
    ConsistencyMismatchError,
    CouchbaseError,
    FeatureNotAvailableError,
    SearchIndexNotFoundError,
    ServerInvalidArgumentError,
)
from couchloop.fulltext.refusals import refusal
from couchloop.operations.stream import END
from tests.core.fulltext.asked import params_of, query_of
from tests.core.fulltext.test_rows import Searching
from tests.embedded.exchanges import Exchange, load, names
from tests.share import share, spread

NOT_SAID: Final = {
    # A match operator that is none, a fuzziness below 0 or by itself, bounds of two types.
    *("01-match/005", "01-match/030", "01-match/034", "02-phrase-term/055", "03-ranges/020"),
    # Nothing to search for.
    *("02-phrase-term/017", "04-compound/002", "04-compound/009", "04-compound/029"),
    *("04-compound/031", "14-four-partitions/011"),
    # No document need be found by any; a count that is a float.
    *("04-compound/008", "04-compound/010"),
    # For that there is RawQuery.
    *("04-compound/032", "04-compound/033", "04-compound/034"),
    # A polygon of one point.
    "14-four-partitions/009",
}
"""Queries that no class says."""
PARAMS_NOT_SAID: Final = {
    # Negative sizes, other names of them, an odd score, an unknown style.
    *(f"07-sort-page/{number}" for number in ("031", "032", "033", "034", "041")),
    "14-four-partitions/012",
    # The index' own style; members of `ctl`, for which there is `raw`.
    *(f"08-fields-highlight/{number}" for number in ("008", "015", "018")),
    *("14-four-partitions/013", "14-four-partitions/014", "15-more/007"),
}


def exchanges() -> Iterator[Exchange]:
    """Yield all that were recorded."""
    for name in names("search"):
        yield from load("search", name)


SEARCHES: Final = [
    each
    for each in exchanges()
    if each["path"].endswith("/query") and isinstance(each.get("json_sent"), dict)
]
MISTAKES: Final = [each for each in SEARCHES if each["id"].startswith("10-mistakes/")]
ANSWERED: Final = [
    each["body"] for each in SEARCHES if each["status"] == 200 and isinstance(each["body"], dict)
]


def plainly(query: Any) -> Any:
    """Return a query as our classes write it, where there are several ways."""
    if isinstance(query, list):
        return [plainly(each) for each in query]
    if not isinstance(query, dict):
        return query
    found = {name: plainly(value) for name, value in query.items() if value is not None}
    for everything in ("match_all", "match_none"):
        if everything in query:
            found[everything] = None
    if "lng" in found:
        found["lon"] = found.pop("lng")
    if "must" in found and "conjuncts" not in found["must"]:
        found["must"] = {"conjuncts": [found["must"]]}
    if "term" in found and found.get("fuzziness") == 0:
        # It is refused.
        del found["fuzziness"]
    return found


def test_queries() -> None:
    """Each query that was sent is said the same by a class, but for those that it need not say."""
    said = 0
    for each in SEARCHES:
        if each in MISTAKES:
            continue
        query = query_of(each["json_sent"].get("query"))
        assert (query is None) == (each["id"] in NOT_SAID), each["id"]
        if query is not None:
            assert query.encodable == plainly(each["json_sent"]["query"]), each["id"]
            said += 1
    assert said == 381


def test_params() -> None:
    """So is all that stands beside a query."""
    said = 0
    for each in SEARCHES:
        if each in MISTAKES:
            continue
        params = params_of(each["json_sent"])
        assert (params is None) == (each["id"] in PARAMS_NOT_SAID), each["id"]
        if params is not None:
            wanted = {name: value for name, value in each["json_sent"].items() if name != "query"}
            for facet in wanted.get("facets", {}).values():
                if facet.get("size") == 0:
                    del facet["size"]
            made = params.as_encodable("exp")
            assert {"facets": {}, **made} == {"facets": {}, **wanted}, each["id"]
            said += 1
    assert said == 386


def taken(body: bytes, size: int) -> tuple[list[Any], Searching]:
    """Return the hits of an answer that comes in pieces of that size."""
    hands = Searching().begun()
    found = []
    for begin in range(0, len(body), size):
        hands.stream.piece(body[begin : begin + size])
        found += hands.taken()
    hands.end()
    found += hands.taken()
    assert found.pop() is END
    return found, hands


@pytest.mark.parametrize("size", [1 << 20, 7])
def test_answers(size: int) -> None:
    """Each answer is read whole, in whatever pieces, with what stands beside the hits."""
    assert len(ANSWERED) == 365
    for answer in ANSWERED if size > 7 else spread(ANSWERED):
        found, hands = taken(json.dumps(answer).encode(), size)
        assert found == (answer["hits"] or [])
        beside = {name: value for name, value in answer.items() if name != "hits"}
        assert hands.stream.meta == beside
        assert bool(hands.stream.errors) == bool(answer["status"].get("errors"))


@settings(max_examples=share(60))
@given(st.data())
def test_bytewise(data: st.DataObject) -> None:
    """So is one that comes byte by byte."""
    answer = data.draw(st.sampled_from([each for each in ANSWERED if each["total_hits"] < 5]))
    found, _ = taken(json.dumps(answer).encode(), 1)
    assert found == (answer["hits"] or [])


def test_refusals() -> None:
    """Each refusal is an error of a class that says what it is, without the request in its text."""
    kinds: dict[type[CouchbaseError], int] = {}
    for each in exchanges():
        if not each["path"].endswith("/query") or each["status"] == 200:
            continue
        body = json.dumps(each["body"]) if "body" in each else each["text"]
        error = refusal(each["status"], body.encode(), "node:8094")
        kinds[type(error)] = kinds.get(type(error), 0) + 1
        assert '"request"' not in str(error)
    assert kinds == {
        ServerInvalidArgumentError: 103,
        SearchIndexNotFoundError: 4,
        FeatureNotAvailableError: 4,
        ConsistencyMismatchError: 1,
    }
