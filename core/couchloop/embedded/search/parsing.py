"""Which query an object is, and what it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from couchloop.embedded.search.compound import BooleanQuery, ConjunctionQuery, DisjunctionQuery
from couchloop.embedded.search.decoding import as_object, kind_of, members
from couchloop.embedded.search.errors import RequestError
from couchloop.embedded.search.geo import Point, parse_point
from couchloop.embedded.search.places import (
    GeoBoxQuery,
    GeoDistanceQuery,
    GeoPolygonQuery,
    GeoShapeQuery,
)
from couchloop.embedded.search.queries import (
    BooleanFieldQuery,
    DocIdQuery,
    FuzzyQuery,
    MatchAllQuery,
    MatchNoneQuery,
    MatchPhraseQuery,
    MatchQuery,
    PhraseQuery,
    PrefixQuery,
    Query,
    RegexpQuery,
    TermQuery,
    WildcardQuery,
)
from couchloop.embedded.search.query_string import parse_query_string
from couchloop.embedded.search.ranges import (
    DateRangeQuery,
    IPRangeQuery,
    NumericRangeQuery,
    TermRangeQuery,
)
from couchloop.embedded.search.shapes import ShapeError, parse_shape

DEEPEST: Final = 100
"""Queries within queries."""
_COMMON: Final = {"field": "string", "boost": "query.Boost"}

Given = Mapping[str, Any]


def parse_query(value: object, depth: int = 0) -> Query:
    """Return the query that JSON stands for. Raises RequestError."""
    if depth > DEEPEST:
        raise RequestError("exceeded max depth of queries within queries")
    given = as_object(value)
    if not given:
        return MatchNoneQuery()
    for applies, read in _KINDS:
        if applies(given):
            return read(given, depth)
    raise RequestError("unknown query type")


def _read(struct: str, given: Given, **wanted: str) -> dict[str, Any]:
    found = members(struct, given, **wanted, **_COMMON)
    return {"field": found.pop("field", ""), "boost": found.pop("boost", 1.0), **found}


def _renamed(found: dict[str, Any], **names: str) -> dict[str, Any]:
    """Return members under other names."""
    return {names.get(name, name): value for name, value in found.items()}


def _fuzzy(given: Given, _: int) -> Query:
    found = _read("FuzzyQuery", given, term="string", prefix_length="int", fuzziness="int")
    return FuzzyQuery(**{"fuzziness": 0, **found})


def _match(given: Given, _: int) -> Query:
    found = _read(
        "MatchQuery",
        given,
        match="string",
        analyzer="string",
        prefix_length="int",
        fuzziness="int",
        operator="string",
    )
    operator = found.pop("operator", "or")
    if operator not in {"or", "and"}:
        raise RequestError("cannot unmarshal match operator '0xc000012a50' from JSON")
    return MatchQuery(**_renamed(found, match="text"), every=operator == "and")


def _match_phrase(given: Given, _: int) -> Query:
    found = _read(
        "MatchPhraseQuery", given, match_phrase="string", analyzer="string", fuzziness="int"
    )
    return MatchPhraseQuery(**_renamed(found, match_phrase="text"))


def _phrase(given: Given, _: int) -> Query:
    terms = given["terms"]
    if isinstance(terms, list) and any(isinstance(each, list) for each in terms):
        found = _read("MultiPhraseQuery", given, terms="[][]string", fuzziness="int")
        where = "MultiPhraseQuery.terms"
        for each in terms:
            if not isinstance(each, list) or not all(isinstance(one, str) for one in each):
                kind = kind_of(each)
                raise RequestError(
                    f"json: cannot unmarshal {kind} into Go struct field {where} of type []string"
                )
        return PhraseQuery(**found)
    found = _read("PhraseQuery", given, terms="[]string", fuzziness="int")
    slots = [[each] for each in found.pop("terms", ()) if each is not None]
    return PhraseQuery(**found, terms=slots)


def _term(given: Given, _: int) -> Query:
    return TermQuery(**_read("TermQuery", given, term="string"))


def _part(given: Given, name: str, depth: int) -> Query | None:
    value = given.get(name)
    return None if value is None else parse_query(value, depth + 1)


def _boolean(given: Given, depth: int) -> Query:
    must = _part(given, "must", depth)
    if must is not None and not isinstance(must, ConjunctionQuery):
        raise RequestError("must clause must be conjunction")
    should = _part(given, "should", depth)
    if should is not None and not isinstance(should, DisjunctionQuery):
        raise RequestError("should clause must be disjunction")
    must_not = _part(given, "must_not", depth)
    if must_not is not None and not isinstance(must_not, DisjunctionQuery):
        raise RequestError("must not clause must be disjunction")
    return BooleanQuery(must, should, must_not)


def _parts(given: Given, name: str, depth: int) -> list[Query]:
    found = members("", given, **{name: "[]json.RawMessage"})
    return [parse_query(each, depth + 1) for each in found.get(name, ())]


def _conjunction(given: Given, depth: int) -> Query:
    return ConjunctionQuery(_parts(given, "conjuncts", depth))


def _disjunction(given: Given, depth: int) -> Query:
    least = members("", given, min="float64").get("min", 0.0)
    return DisjunctionQuery(_parts(given, "disjuncts", depth), least=least)


def _query_string(given: Given, _: int) -> Query:
    text = _read("QueryStringQuery", given, query="string").get("query", "")
    return parse_query_string(text)


def _numeric_range(given: Given, _: int) -> Query:
    found = _read(
        "NumericRangeQuery",
        given,
        min="float64",
        max="float64",
        inclusive_min="bool",
        inclusive_max="bool",
    )
    return NumericRangeQuery(**_bounds(found))


def _term_range(given: Given, _: int) -> Query:
    found = _read(
        "TermRangeQuery",
        given,
        min="string",
        max="string",
        inclusive_min="bool",
        inclusive_max="bool",
    )
    return TermRangeQuery(**_bounds(found))


def _bounds(found: dict[str, Any]) -> dict[str, Any]:
    return _renamed(
        found, min="least", max="most", inclusive_min="with_least", inclusive_max="with_most"
    )


def _date_range(given: Given, _: int) -> Query:
    found = _read(
        "DateRangeStringQuery",
        given,
        start="string",
        end="string",
        inclusive_start="bool",
        inclusive_end="bool",
        datetime_parser="string",
    )
    names = {"inclusive_start": "with_start", "inclusive_end": "with_end"}
    return DateRangeQuery(**_renamed(found, **names, datetime_parser="parser"))


def _prefix(given: Given, _: int) -> Query:
    return PrefixQuery(**_read("PrefixQuery", given, prefix="string"))


def _regexp(given: Given, _: int) -> Query:
    return RegexpQuery(**_read("RegexpQuery", given, regexp="string"))


def _wildcard(given: Given, _: int) -> Query:
    return WildcardQuery(**_read("WildcardQuery", given, wildcard="string"))


def _match_all(given: Given, _: int) -> Query:
    return MatchAllQuery(**_read("MatchAllQuery", given))


def _match_none(given: Given, _: int) -> Query:
    return MatchNoneQuery(**_read("MatchNoneQuery", given))


def _doc_ids(given: Given, _: int) -> Query:
    return DocIdQuery(**_read("DocIDQuery", given, ids="[]string"))


def _boolean_field(given: Given, _: int) -> Query:
    found = _read("BoolFieldQuery", given, bool="bool")
    return BooleanFieldQuery(**_renamed(found, bool="wanted"))


def _place(value: object, what: str) -> Point:
    found = parse_point(value)
    if found is None:
        raise RequestError(f"geo {what}not in a valid format")
    return found


def _box(given: Given, _: int) -> Query:
    found = _read("", given)
    top_left = _place(given["top_left"], "location top_left ")
    bottom_right = _place(given["bottom_right"], "location bottom_right ")
    return GeoBoxQuery(**found, top_left=top_left, bottom_right=bottom_right)


def _distance(given: Given, _: int) -> Query:
    found = _read("", given, distance="string")
    return GeoDistanceQuery(**found, location=_place(given.get("location"), "location "))


def _polygon(given: Given, _: int) -> Query:
    found = _read("", given)
    points = members("", given, polygon_points="[]interface {}").get("polygon_points", ())
    corners = [_place(each, "polygon point ") for each in points]
    return GeoPolygonQuery(**found, corners=corners)


def _geometry(given: Given, _: int) -> Query:
    found = _read("", given)
    geometry = members("", as_object(given["geometry"]), relation="string", shape="object")
    try:
        shape = parse_shape(geometry.get("shape", {}))
    except ShapeError as error:
        raise RequestError(str(error)) from None
    return GeoShapeQuery(**found, shape=shape, relation=geometry.get("relation", ""))


def _cidr(given: Given, _: int) -> Query:
    return IPRangeQuery(**_read("IPRangeQuery", given, cidr="string"))


def _has(*names: str) -> Callable[[Given], bool]:
    return lambda given: any(name in given for name in names)


def _has_number(given: Given) -> bool:
    return any(kind_of(given.get(name)) == "number" for name in ("min", "max"))


def _has_text(given: Given) -> bool:
    return any(isinstance(given.get(name), str) for name in ("min", "max"))


def _is_fuzzy(given: Given) -> bool:
    return "fuzziness" in given and not _has("match", "match_phrase", "terms")(given)


_KINDS: Final[tuple[tuple[Callable[[Given], bool], Callable[[Given, int], Query]], ...]] = (
    (_is_fuzzy, _fuzzy),
    (_has("match"), _match),
    (_has("match_phrase"), _match_phrase),
    (_has("terms"), _phrase),
    (_has("term"), _term),
    (_has("must", "should", "must_not"), _boolean),
    (_has("conjuncts"), _conjunction),
    (_has("disjuncts"), _disjunction),
    (_has("query"), _query_string),
    (_has_number, _numeric_range),
    (_has_text, _term_range),
    (_has("start", "end"), _date_range),
    (_has("prefix"), _prefix),
    (_has("regexp"), _regexp),
    (_has("wildcard"), _wildcard),
    (_has("match_all"), _match_all),
    (_has("match_none"), _match_none),
    (_has("ids"), _doc_ids),
    (_has("bool"), _boolean_field),
    (lambda given: "top_left" in given and "bottom_right" in given, _box),
    (_has("distance"), _distance),
    (_has("polygon_points"), _polygon),
    (_has("geometry"), _geometry),
    (_has("cidr"), _cidr),
)
"""The first kind that applies is taken."""
