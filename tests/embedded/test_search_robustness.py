"""Whatever is searched for, in whatever documents: an answer, never an error of Python."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couchloop.embedded.search import dates, geo, numbers
from couchloop.embedded.search.analysis import ANALYZERS, length
from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.decoding import load_json
from couchloop.embedded.search.engine import Item, LiveIndex, search
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.fuzzy import is_near
from couchloop.embedded.search.index import Source
from couchloop.embedded.search.porter import stem
from couchloop.embedded.search.query_string import parse_query_string
from couchloop.embedded.search.regexps import Pattern
from couchloop.embedded.search.requests import parse_request
from tests.embedded.exchanges import load, names
from tests.embedded.search_replay import SERVICE, Replay, dataset
from tests.share import share

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 1, 2])
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["name", "description", "walk", "_all", "5km", "2000-01-01", "geo", "a*~1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = """
    match match_phrase terms term fuzziness prefix_length analyzer operator boost field must should
    must_not conjuncts disjuncts min max query inclusive_min inclusive_max start end
    inclusive_start datetime_parser prefix regexp wildcard match_all match_none ids bool top_left
    bottom_right location distance polygon_points geometry cidr
"""
NAMES = st.sampled_from(_NAMES.split())
_MEMBERS = """
    query size from limit offset fields highlight facets sort explain includeLocations score
    search_after search_before ctl collections knn knn_operator Query SIZE
"""
MEMBERS = st.sampled_from(_MEMBERS.split())
ODD = st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=3), max_size=4)
FACET = st.fixed_dictionaries(
    {},
    optional={
        "field": JSON,
        "size": st.integers(-1, 5) | JSON,
        "numeric_ranges": st.lists(st.dictionaries(st.sampled_from(["name", "min", "max"]), JSON)),
        "date_ranges": st.lists(st.dictionaries(st.sampled_from(["name", "start", "end"]), JSON)),
    },
)
SORT = st.lists(
    st.text(max_size=5)
    | st.dictionaries(
        st.sampled_from(["by", "field", "type", "mode", "missing", "desc", "location", "unit"]),
        JSON | st.sampled_from(["id", "score", "field", "geo_distance"]),
    ),
    max_size=3,
)
BODY = st.dictionaries(MEMBERS, JSON) | st.fixed_dictionaries(
    {"query": ODD},
    optional={
        "sort": SORT,
        "facets": st.dictionaries(st.text(max_size=3), FACET, max_size=2),
        "highlight": st.just({}) | JSON,
        "knn": st.lists(st.dictionaries(st.sampled_from(["field", "vector", "k", "boost"]), JSON)),
        "explain": st.booleans(),
        "fields": st.just(["*"]),
        "search_after": st.lists(st.text(max_size=3), max_size=2),
    },
)


def recorded() -> list[Any]:
    """Return the queries that were recorded."""
    exchanges = [each for name in names(SERVICE) for each in load(SERVICE, name)]
    sent = [each["json_sent"] for each in exchanges if isinstance(each.get("json_sent"), dict)]
    return [each["query"] for each in sent if isinstance(each.get("query"), dict)]


@cache
def service() -> Replay:
    """Return a search service with the recorded documents."""
    return Replay()


QUERIES = st.builds(
    lambda one, other: {**one, **other}, st.sampled_from(recorded()), st.sampled_from(recorded())
)


def check(body: bytes) -> Any:
    """Ask; check that the answer is one."""
    status, _, said = service().ask("POST", "/api/index/exp/query", body)
    assert status in {200, 400}
    answer = json.loads(said, parse_constant=pytest.fail)
    assert ("error" in answer) == (status == 400)
    if status == 200:
        assert {"status", "hits", "total_hits", "max_score", "took"} <= set(answer)
    return answer


@given(BODY)
@settings(max_examples=share(300), suppress_health_check=[HealthCheck.too_slow])
def test_any_body(body: Any) -> None:
    """Members of the right names with anything in them are answered, or refused."""
    check(json.dumps(body).encode())


@given(QUERIES, JSON, st.sampled_from(["min", "field", "boost", "fuzziness", "match", "terms"]))
@settings(max_examples=share(150))
def test_recorded_queries_mixed(query: dict[str, Any], value: Any, name: str) -> None:
    """So are recorded queries mixed with one another and with something odd."""
    check(json.dumps({"query": query, "highlight": {}, "size": 3}).encode())
    check(json.dumps({"query": {**query, name: value}}).encode())


@given(st.binary(max_size=40) | st.text().map(str.encode))
@settings(max_examples=share(100))
def test_any_bytes(body: bytes) -> None:
    """So is what is no JSON at all."""
    check(body)
    check(b'{"query":' + body + b"}")


@given(st.text(st.sampled_from('ab:"\\/^~+->=< *?12.()AND\t'), max_size=20))
@settings(max_examples=share(300))
def test_any_query_string(text: str) -> None:
    """A query string is understood, or what is wrong with it is told."""
    try:
        parse_query_string(text)
    except RequestError as error:
        understood = str(error)
    else:
        understood = "syntax error"
    assert understood == "syntax error" or understood.startswith("parse error: ")
    check(json.dumps({"query": {"query": text}}).encode())


@given(st.text(st.sampled_from("ab()[]{}|*+?.^$\\d-,:1i<P>x0"), max_size=15), st.text("ab1"))
@settings(max_examples=share(500))
def test_any_expression(expression: str, term: str) -> None:
    """A regular expression matches or not, or what is wrong with it is told."""
    with suppress(SearchError):
        Pattern(expression).matches(term, Budget())


def index(**mapping: Any) -> LiveIndex:
    """Return an index of a mapping, in two partitions."""
    return LiveIndex({"mapping": mapping}, ["one", "two"])


@given(st.lists(JSON | st.sampled_from(list(dataset()["documents"].values())), max_size=5), JSON)
@settings(max_examples=share(200))
def test_any_document(documents: list[Any], value: Any) -> None:
    """Any documents can be indexed, under any mapping, and found again."""
    dynamic = index(store_dynamic=True)
    described = {"name": value, "type": value, "index": True, "analyzer": value}
    odd = index(
        types={"a": value},
        default_mapping={"properties": {"name": {"fields": [described]}, "b": value}},
        analysis={"analyzers": value},
        default_analyzer=value,
    )
    request = parse_request({"query": {"match_all": {}}, "fields": ["*"], "size": 100})
    for live in (dynamic, odd):
        items = [
            Item(at, object(), at % 2, lambda one=each: Source("a", one))  # type: ignore[misc]
            for at, each in enumerate(documents)
        ]
        try:
            live.follow(items)
        except SearchError:
            # An analyzer that is not here.
            assert live is odd
            continue
        assert search(request, [live])["total_hits"] == len(documents)
        for field in ("name", "b.c", "b"):
            live.analysis.mapping.is_indexed(field, "text")
            with suppress(SearchError):
                search(parse_request({"query": {"match": "a", "field": field}}), [live])
        live.follow([])
        assert search(request, [live])["total_hits"] == 0


@given(st.text())
def test_tokens(text: str) -> None:
    """Tokens are within the text, in order, and not one in another."""
    raw = text.encode("utf-8", "surrogatepass")
    for analyzer in ANALYZERS.values():
        last = 0
        for token in analyzer(text):
            assert last <= token.start <= token.end <= len(raw)
            last = token.end
    assert length(text) == len(raw)


@given(st.text("aeiouyblstiz'\u00e9", max_size=12))
def test_stems_are_short(word: str) -> None:
    """A stem is no longer than its word but for an e, and of an end of it is known."""
    assert len(stem(word)) <= len(word) + 1


@given(st.lists(st.floats(allow_nan=False), min_size=2), st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_as_terms(values: list[float], number: int) -> None:
    """Terms are in the order of the numbers, and tell them."""
    given_order = sorted(values)
    terms = [numbers.encode(numbers.float_to_int(each)) for each in given_order]
    assert terms == sorted(terms)
    assert numbers.decode(numbers.encode(number)) == number
    for value in values:
        assert numbers.int_to_float(numbers.float_to_int(value)) == value


@given(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-100, 100),
)
def test_ranges_of_terms(least: int, most: int, number: int) -> None:
    """A number is in a range if one of its terms is in one of the range's, and in one only."""
    ranges = list(numbers.ranges(least, most))
    assert len(ranges) <= 31
    terms = numbers.terms(number)
    found = [
        term
        for term in terms
        for low, high in ranges
        if len(low) == len(term) and low <= term <= high
    ]
    assert len(found) == (least <= number <= most)


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from(["Z", "T", "blank", "zone", "date"]))
def test_dates_are_read_as_written(nanoseconds: int, layout: str) -> None:
    """What is written in a layout is read in it."""
    found = dates.parse(dates.write(nanoseconds, layout))
    assert found is not None
    assert found.layout == layout
    if layout == "Z":
        assert found.nanoseconds == nanoseconds


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_points_are_kept_nearly(lon: float, lat: float) -> None:
    """The index keeps a point to some centimetres."""
    point = geo.Point(lon, lat)
    assert geo.distance(point, geo.rounded(point)) < 0.05


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_nearness(one: str, other: str) -> None:
    """It does not matter which of two is changed."""
    assert is_near(one, one, 1)
    for most in (1, 2):
        assert is_near(one, other, most) == is_near(other, one, most)
    assert is_near(f"a{one}", one, 1)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uDE00\uD83D"', "\ufffd\ufffd"),
        (rb'"\\ud83d"', r"\ud83d"),
        (b'"\xff"', "\ufffd"),
    ],
)
def test_half_a_sign(data: bytes, value: str) -> None:
    """Half a pair of surrogates is no sign, as for the service."""
    assert load_json(data) == value


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "[" * 100_000, ""])
def test_no_json(text: str) -> None:
    """What Python takes beyond JSON is none."""
    with pytest.raises(ValueError, match=r"."):
        load_json(text.encode())
