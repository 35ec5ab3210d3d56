"""Queries of one kind each: the JSON that they are."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import InvalidSearchError, InvalidSettingError, NoChildrenError
from couchloop.fulltext import (
    BooleanFieldQuery,
    DocIdQuery,
    GeoBoundingBoxQuery,
    GeoDistanceQuery,
    GeoPolygonQuery,
    MatchAllQuery,
    MatchNoneQuery,
    MatchOperator,
    MatchPhraseQuery,
    MatchQuery,
    PhraseQuery,
    PrefixQuery,
    QueryStringQuery,
    RawQuery,
    RegexpQuery,
    RegexQuery,
    SearchQuery,
    TermQuery,
    WildcardQuery,
)


@pytest.mark.parametrize(
    ("query", "json"),
    [
        (QueryStringQuery("q*ry", boost=2.0), {"query": "q*ry", "boost": 2.0}),
        (
            MatchQuery("t", prefix_length=5, fuzziness=3, field="f", analyzer="ana"),
            {"match": "t", "prefix_length": 5, "fuzziness": 3, "field": "f", "analyzer": "ana"},
        ),
        (MatchQuery("t", fuzziness="auto"), {"match": "t", "fuzziness": "auto"}),
        (MatchQuery("t", fuzziness=0), {"match": "t", "fuzziness": 0}),
        (MatchQuery("t", match_operator="AND"), {"match": "t", "operator": "and"}),
        (MatchQuery("t", operator=MatchOperator.OR), {"match": "t", "operator": "or"}),
        (
            MatchPhraseQuery("a b", field="f", analyzer="ana", boost=1),
            {"match_phrase": "a b", "field": "f", "analyzer": "ana", "boost": 1},
        ),
        (MatchPhraseQuery("a b", fuzziness=1), {"match_phrase": "a b", "fuzziness": 1}),
        (
            TermQuery("t", fuzziness=1, prefix_length=2, field="f"),
            {"term": "t", "fuzziness": 1, "prefix_length": 2, "field": "f"},
        ),
        # The service refuses a fuzzy query without fuzziness.
        (TermQuery("t", fuzziness=0, prefix_length=2), {"term": "t"}),
        (PhraseQuery("a", "b", field="f"), {"terms": ["a", "b"], "field": "f"}),
        (PhraseQuery(["a", "b"], "c"), {"terms": [["a", "b"], "c"]}),
        (PrefixQuery("p", field="f"), {"prefix": "p", "field": "f"}),
        (WildcardQuery("w*", field="f"), {"wildcard": "w*", "field": "f"}),
        (RegexQuery("r.*", field="f"), {"regexp": "r.*", "field": "f"}),
        (DocIdQuery(["a", "b"]), {"ids": ["a", "b"]}),
        (DocIdQuery(each for each in "ab"), {"ids": ["a", "b"]}),
        (BooleanFieldQuery(False, field="f"), {"bool": False, "field": "f"}),
        (MatchAllQuery(), {"match_all": None}),
        (MatchNoneQuery(boost=1), {"match_none": None, "boost": 1}),
        (
            GeoDistanceQuery("10mi", (-9.1, 38.7), field="geo"),
            {"distance": "10mi", "location": [-9.1, 38.7], "field": "geo"},
        ),
        (GeoDistanceQuery(500, "38.7,-9.1"), {"distance": "500", "location": "38.7,-9.1"}),
        (
            GeoBoundingBoxQuery((1, 4), {"lat": 2, "lon": 3}, field="geo"),
            {"top_left": [1, 4], "bottom_right": {"lat": 2, "lon": 3}, "field": "geo"},
        ),
        (
            GeoPolygonQuery([(0, 0), (0, 1), (1, 1)], field="geo"),
            {"polygon_points": [[0, 0], [0, 1], [1, 1]], "field": "geo"},
        ),
        (RawQuery({"query": "a", "foo": [1]}), {"query": "a", "foo": [1]}),
    ],
    ids=repr,
)
def test_json(query: SearchQuery, json: dict[str, Any]) -> None:
    """Each is the JSON of the service's table, and no member beside what was said."""
    assert query.encodable == json


def test_other_names() -> None:
    """SDK 2.5 has two names for one class, SDK 4 an attribute for the operator."""
    assert RegexpQuery is RegexQuery
    query = MatchQuery("a")
    assert query.match_operator is None
    query.match_operator = MatchOperator.AND
    assert (query.operator, query.match_operator) == ("and", MatchOperator.AND)
    with pytest.raises(InvalidSearchError, match="give one"):
        MatchQuery("a", operator="or", match_operator="or")


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        (DocIdQuery([]), NoChildrenError),
        (PhraseQuery(), NoChildrenError),
        (GeoPolygonQuery([(0, 0), (1, 1)]), InvalidSearchError),
    ],
    ids=repr,
)
def test_incomplete(query: SearchQuery, cause: type[Exception]) -> None:
    """What lacks something is refused when it is sent, not before: it may be completed."""
    with pytest.raises(cause):
        _ = query.encodable


def test_completed() -> None:
    """What was incomplete may be completed."""
    query = DocIdQuery([])
    query.ids = ["a"]
    assert query.encodable == {"ids": ["a"]}


@pytest.mark.parametrize(
    "make",
    [
        lambda: QueryStringQuery(1),  # type: ignore[arg-type]
        lambda: MatchQuery("a", fuzziness="none"),
        lambda: MatchQuery("a", operator="xor"),
        lambda: MatchQuery("a", prefix_length=-1),
        lambda: TermQuery("a", fuzziness=1.5),  # type: ignore[arg-type]
        lambda: TermQuery("a", boost=float("nan")),
        lambda: PhraseQuery(5),  # type: ignore[arg-type]
        lambda: PhraseQuery([1]),  # type: ignore[list-item]
        lambda: PrefixQuery("a", field=""),
        lambda: DocIdQuery("abc"),
        lambda: BooleanFieldQuery("true"),  # type: ignore[arg-type]
        lambda: GeoDistanceQuery("", (1, 2)),
        lambda: GeoDistanceQuery(None, (1, 2)),  # type: ignore[arg-type]
        lambda: GeoDistanceQuery("1km", (1, 2, 3)),
        lambda: GeoBoundingBoxQuery((1, 2), None),  # type: ignore[arg-type]
        lambda: GeoPolygonQuery([1, 2, 3]),  # type: ignore[list-item]
        lambda: RawQuery("text"),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Any) -> None:
    """What cannot be right is refused when it is set, as a TypeError or a ValueError of ours."""
    with pytest.raises((InvalidSettingError, InvalidSearchError)):
        make()
