"""The body of a search's request, and all bodies that a real service was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidSettingError
from couchloop.fulltext import (
    ConjunctionQuery,
    MatchAllQuery,
    NumericFacet,
    Params,
    QueryStringQuery,
    RawQuery,
    SearchRequest,
    TermFacet,
    VectorQuery,
    VectorSearch,
    make_search_body,
)
from couchloop.fulltext.body import encode_search, sent_body, server_timeout


def test_sdk_2_5() -> None:
    """It is what SDK 2.5's function makes."""
    body = make_search_body(
        "ix", QueryStringQuery("q*ry", boost=2.0), Params(explain=True, limit=10)
    )
    assert body == {
        "query": {"query": "q*ry", "boost": 2.0},
        "explain": True,
        "size": 10,
        "indexName": "ix",
    }
    assert make_search_body("ix", "text") == {"query": {"query": "text"}, "indexName": "ix"}


def test_vectors() -> None:
    """Vectors stand beside a query; where there is none, it finds nothing by itself."""
    vectors = VectorSearch([VectorQuery("v", [1])])
    knn = [{"field": "v", "vector": [1], "k": 3}]
    for given_ in (vectors, SearchRequest(vectors)):
        body = make_search_body("ix", given_)
        assert body == {"query": {"match_none": None}, "knn": knn, "indexName": "ix"}
    both = SearchRequest(MatchAllQuery()).with_vector_search(vectors)
    assert make_search_body("ix", both) == {
        "query": {"match_all": None},
        "knn": knn,
        "indexName": "ix",
    }


def test_sent() -> None:
    """What is sent says how many of a facet are given, and that the request is not wanted back."""
    params = Params(facets={"t": TermFacet("f"), "n": NumericFacet("g").add_range("r", 1)})
    body = sent_body("ix", MatchAllQuery(), params)
    assert body["facets"]["t"] == {"field": "f", "size": 10}
    assert body["facets"]["n"]["size"] == 1
    assert body["showrequest"] is False
    params.show_request = True
    params.raw = {"facets": {}}
    body = sent_body("ix", MatchAllQuery(), params)
    assert (body["facets"], body["showrequest"]) == ({}, True)


def test_time() -> None:
    """The service gives up a little before its client, and keeps what else `ctl` says."""
    assert [server_timeout(each) for each in (75, 5, 1, 0.01, 0.001)] == [74500, 4500, 900, 9, 1]
    assert server_timeout(1e300) > server_timeout(365 * 86_400.0)
    sent = json.loads(encode_search({"ctl": {"consistency": {}}, "a": 1}, 2.0))
    assert sent == {"ctl": {"consistency": {}, "timeout": 1800}, "a": 1}
    assert json.loads(encode_search({"ctl": 5}, 2.0)) == {"ctl": 5}


@given(st.floats(0.001, 1e7))
def test_before_the_client(seconds: float) -> None:
    """It is never 0, which would be for ever, and never after the client."""
    assert 0 < server_timeout(seconds) <= max(1, seconds * 1000)


def test_circles() -> None:
    """What has itself within, or what JSON cannot say, is an error of ours."""
    loop = ConjunctionQuery(MatchAllQuery())
    loop.conjuncts.append(loop)
    with pytest.raises(InvalidSettingError, match="JSON"):
        sent_body("ix", loop, Params())
    circle: dict[str, Any] = {}
    circle["a"] = circle
    odd: list[Any] = [circle, {"a": object()}, {"a": float("nan")}, {1: {2, 3}}]
    for bad in odd:
        body = sent_body("ix", RawQuery(bad), Params())
        with pytest.raises(InvalidSettingError, match="JSON"):
            encode_search(body, 1.0)


class Other:
    """A query of another service."""


@pytest.mark.parametrize("given_", [None, 5, b"text", {"query": "x"}, Other(), Params()])
def test_no_query(given_: Any) -> None:
    """What is no query, of whatever service, is a TypeError that says so."""
    with pytest.raises(InvalidSettingError, match=type(given_).__name__):
        make_search_body("ix", given_)
