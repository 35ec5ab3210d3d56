"""Searches for vectors, and requests that have them beside a query."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSearchError, InvalidSettingError
from couchloop.fulltext import (
    ConjunctionQuery,
    MatchAllQuery,
    SearchRequest,
    TermQuery,
    VectorQuery,
    VectorQueryCombination,
    VectorSearch,
    VectorSearchOptions,
)

BASE64 = base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()


@pytest.mark.parametrize(
    ("query", "json"),
    [
        (VectorQuery("v", [1, 2.5]), {"field": "v", "vector": [1, 2.5], "k": 3}),
        (VectorQuery("v", (0.5,), num_candidates=7, boost=2), {"field": "v", "vector": [0.5]}),
        (VectorQuery.create("v", BASE64, 1, 0.5), {"field": "v", "vector_base64": BASE64}),
        (
            VectorQuery("v", [1], prefilter=TermQuery("t", field="f")),
            {"filter": {"term": "t", "field": "f"}},
        ),
    ],
    ids=repr,
)
def test_json(query: VectorQuery, json: dict[str, Any]) -> None:
    """Each has a field, its vector in one of two forms, and how many are looked for."""
    made = query.encodable
    assert {**made, **json} == made
    assert made["k"] == (query.num_candidates or 3)
    assert ("boost" in made) == (query.boost is not None)
    assert ("vector" in made) != ("vector_base64" in made)


def test_attributes() -> None:
    """They tell what was given; the pre-filter is read when it is sent."""
    query = VectorQuery("v", [1.0])
    assert (query.field_name, query.vector, query.vector_base64) == ("v", [1.0], None)
    assert VectorQuery("v", BASE64).vector_base64 == BASE64
    filtered = query.prefilter = ConjunctionQuery()
    filtered.conjuncts.append(MatchAllQuery())
    assert query.encodable["filter"] == {"conjuncts": [{"match_all": None}]}
    assert query != VectorQuery("v", [1.0])
    query.prefilter = None
    assert query == VectorQuery("v", [1.0])


def test_several() -> None:
    """Several vectors are combined as the options say; without them the service decides."""
    queries = [VectorQuery("v", [1]), VectorQuery("w", [2])]
    knn = [each.encodable for each in queries]
    assert VectorSearch(queries).members == {"knn": knn}
    assert VectorSearch.from_vector_query(queries[0]).members == {"knn": knn[:1]}
    for combination in (VectorQueryCombination.AND, "and"):
        options = VectorSearchOptions(vector_query_combination=combination)
        assert VectorSearch(queries, options).members == {"knn": knn, "knn_operator": "and"}
    assert VectorSearch(queries, VectorSearchOptions()).members == {"knn": knn}
    assert "OR" in repr(VectorSearchOptions(VectorQueryCombination.OR))


def test_request() -> None:
    """It has a query, vectors, or both, each once."""
    query, vectors = MatchAllQuery(), VectorSearch([VectorQuery("v", [1])])
    request = SearchRequest.create(query)
    assert (request.search_query, request.vector_search) == (query, None)
    assert request.with_vector_search(vectors) is request
    assert request.vector_search is vectors
    with pytest.raises(InvalidSearchError):
        request.with_vector_search(vectors)
    request = SearchRequest(vectors).with_search_query(query)
    assert (request.search_query, request.vector_search) == (query, vectors)
    with pytest.raises(InvalidSearchError):
        request.with_search_query(query)
    assert "MatchAllQuery" in repr(request)
    assert "VectorQuery" in repr(request)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorQuery("", [1]),
        lambda: VectorQuery(None, [1]),  # type: ignore[arg-type]
        lambda: VectorQuery("v", []),
        lambda: VectorQuery("v", None),  # type: ignore[arg-type]
        lambda: VectorQuery("v", ["1"]),  # type: ignore[list-item]
        lambda: VectorQuery("v", [float("nan")]),
        lambda: VectorQuery("v", b"1234"),
        lambda: VectorQuery("v", ""),
        lambda: VectorQuery("v", "no base64!"),
        lambda: VectorQuery("v", base64.b64encode(b"12345").decode()),
        lambda: VectorQuery("v", [1], num_candidates=0),
        lambda: VectorQuery("v", [1], num_candidates=1.5),  # type: ignore[arg-type]
        lambda: VectorQuery("v", [1], boost="2"),  # type: ignore[arg-type]
        lambda: VectorQuery("v", [1], prefilter={"term": "t"}),  # type: ignore[arg-type]
        lambda: VectorSearch([]),
        lambda: VectorSearch([MatchAllQuery()]),  # type: ignore[list-item]
        lambda: VectorSearch(VectorQuery("v", [1])),  # type: ignore[arg-type]
        lambda: VectorSearch([VectorQuery("v", [1])], "and"),  # type: ignore[arg-type]
        lambda: VectorSearchOptions("xor"),
        lambda: SearchRequest("text"),  # type: ignore[arg-type]
        lambda: SearchRequest(VectorQuery("v", [1])),  # type: ignore[arg-type]
        lambda: SearchRequest(MatchAllQuery()).with_vector_search(1),  # type: ignore[arg-type]
        lambda: SearchRequest(MatchAllQuery()).with_search_query("a"),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Any) -> None:
    """What cannot be right is refused when it is given."""
    with pytest.raises(ArgumentError):
        make()
    assert issubclass(InvalidSettingError, ArgumentError)
