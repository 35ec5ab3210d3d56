"""Queries and parameters made of the JSON of a request: the way back from what is sent.

It knows what a client can say by classes; `None` is for what only a `RawQuery` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from couchloop.exceptions import ArgumentError
from couchloop.fulltext import (
    BooleanFieldQuery,
    BooleanQuery,
    ConjunctionQuery,
    DateFacet,
    DateRangeQuery,
    DisjunctionQuery,
    DocIdQuery,
    Facet,
    GeoBoundingBoxQuery,
    GeoDistanceQuery,
    GeoPolygonQuery,
    MatchAllQuery,
    MatchNoneQuery,
    MatchPhraseQuery,
    MatchQuery,
    NumericFacet,
    NumericRangeQuery,
    Params,
    PhraseQuery,
    PrefixQuery,
    QueryStringQuery,
    RegexQuery,
    SearchQuery,
    Sort,
    SortField,
    SortGeoDistance,
    SortID,
    SortScore,
    TermFacet,
    TermQuery,
    TermRangeQuery,
    WildcardQuery,
)

Json = Mapping[str, Any]

_SIMPLE: Final[Mapping[str, Callable[..., SearchQuery]]] = {
    "match": MatchQuery,
    "match_phrase": MatchPhraseQuery,
    "term": TermQuery,
    "prefix": PrefixQuery,
    "regexp": RegexQuery,
    "wildcard": WildcardQuery,
    "ids": DocIdQuery,
    "bool": BooleanFieldQuery,
    "query": QueryStringQuery,
    "distance": GeoDistanceQuery,
    "top_left": GeoBoundingBoxQuery,
    "polygon_points": GeoPolygonQuery,
    "start": DateRangeQuery,
    "end": DateRangeQuery,
}
_PARAMS: Final = {
    "size": "limit",
    "from": "skip",
    "explain": "explain",
    "fields": "fields",
    "includeLocations": "include_locations",
    "search_after": "search_after",
    "search_before": "search_before",
}


def query_of(json: object) -> SearchQuery | None:
    """Return the query that is sent as *json*, if there is a class for it, and it fits."""
    try:
        query = _query_of(json)
        # What is within is looked at, too.
        _ = query.encodable
    except (ArgumentError, TypeError):
        return None
    return query


def _query_of(json: object) -> SearchQuery:
    if not isinstance(json, Mapping) or not json:
        raise TypeError
    if "conjuncts" in json:
        made: SearchQuery = ConjunctionQuery(*map(_query_of, json["conjuncts"]))
        return _boosted(made, json, {"conjuncts"})
    if "disjuncts" in json:
        made = DisjunctionQuery(*map(_query_of, json["disjuncts"]), min=json.get("min"))
        return _boosted(made, json, {"disjuncts", "min"})
    if json.keys() & {"must", "should", "must_not"}:
        parts = {name: _part(json.get(name)) for name in ("must", "should", "must_not")}
        return _boosted(BooleanQuery(**parts), json, set(parts))
    if "terms" in json:
        return PhraseQuery(*json["terms"], **_others(json, "terms"))
    for name, kind in (("match_all", MatchAllQuery), ("match_none", MatchNoneQuery)):
        if name in json:
            return kind(**_others(json, name))
    for name, make in _SIMPLE.items():
        if name in json:
            return make(**json)
    is_term = any(isinstance(json.get(bound), str) for bound in ("min", "max"))
    return (TermRangeQuery if is_term else NumericRangeQuery)(**json)


def _part(json: Any) -> Any:
    return None if json is None else _query_of(json)


def _others(json: Json, *names: str) -> dict[str, Any]:
    return {name: value for name, value in json.items() if name not in names}


def _boosted(query: SearchQuery, json: Json, known: set[str]) -> SearchQuery:
    query.boost = json.get("boost")
    if set(json) - known - {"boost"}:
        raise TypeError
    return query


def params_of(json: Json) -> Params | None:
    """Return the parameters that are sent beside a query, if there is an attribute for each."""
    try:
        return _params_of(json)
    except (ArgumentError, TypeError):
        return None


def _params_of(json: Json) -> Params:
    params = Params()
    for name, value in json.items():
        if name in _PARAMS:
            setattr(params, _PARAMS[name], value)
        elif name == "score" and value == "none":
            params.disable_scoring = True
        elif name == "sort":
            params.sort = [_sort_of(each) for each in value]
        elif name == "facets":
            params.facets.update({label: _facet_of(each) for label, each in value.items()})
        elif name == "highlight" and value:
            params.highlight_style = value.get("style")
            params.highlight_fields = value.get("fields")
        elif name != "query":
            raise TypeError
    return params


def _sort_of(json: Any) -> Sort | str:
    if isinstance(json, str):
        return json
    kinds: dict[str, Callable[..., Sort]] = {
        "score": SortScore,
        "id": SortID,
        "field": SortField,
        "geo_distance": SortGeoDistance,
    }
    return kinds[json["by"]](**_others(json, "by"))


def _facet_of(json: Json) -> Facet:
    if "numeric_ranges" in json:
        numbers = NumericFacet(json["field"], json.get("size"))
        for each in json["numeric_ranges"]:
            numbers.add_range(**each)
        return numbers
    if "date_ranges" in json:
        dates = DateFacet(json["field"], json.get("size"))
        for each in json["date_ranges"]:
            dates.add_range(**each)
        return dates
    return TermFacet(**{"limit" if n == "size" else n: value for n, value in json.items()})
