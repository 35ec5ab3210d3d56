"""Whatever is asked of the services over HTTP: an answer in their form, never a failure."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock, administrator
from couchloop.embedded.sqlpp.documents import Keyspace
from tests.embedded.web import ADMIN, Client

_JSON: Final = "application/json"


@cache
def _cluster() -> EmbeddedCluster:
    """A cluster with some documents, a view and a search index; nothing takes it long."""
    cluster = EmbeddedCluster(1, ["b"], [administrator()], vbuckets=4, clock=ManualClock(), seed=1)
    bucket = cluster.buckets["b"]
    keyspace = Keyspace(bucket, bucket.manifest.collections[0])
    for number in range(12):
        document = {"n": number, "a": [number, None, "x"], "o": {"t": "word"}, "p": [number, 0]}
        keyspace.insert(f"d{number}", json.dumps(document).encode(), 0, replace=True)
    bucket.design_documents.define("d", "v", lambda doc, meta: [(doc.get("a"), doc.get("n"))])
    bucket.design_documents.define("d", "r", lambda doc, meta: [(doc.get("n"), 1)], "_sum")
    cluster.queries.catalogue.requires_index = False
    cluster.queries.settings.steps = cluster.analytics.steps = 3_000
    cluster.search_indexes.steps = 3_000
    definition = {"type": "fulltext-index", "name": "i", "sourceType": "couchbase"}
    body = json.dumps({**definition, "sourceName": "b"}).encode()
    status, said = _ask("fts", "PUT", "/api/index/i", body, cluster)
    assert status == 200, said
    dataset = {"statement": "CREATE DATASET `b` ON `b`; "}
    status, said = _ask("cbas", "POST", "/analytics/service", json.dumps(dataset).encode(), cluster)
    assert status == 200, said
    return cluster


def _ask(
    service: str, method: str, path: str, body: bytes = b"", cluster: EmbeddedCluster | None = None
) -> tuple[int, Any]:
    """Ask; give status and what the answer says, which is JSON."""
    (node,) = (cluster or _cluster()).nodes
    client = Client(node.accept_http(service))
    status, headers, said = client.ask(path, ADMIN, method, body, content_type=_JSON)
    client.connection.close()
    assert headers["content-type"].startswith(_JSON), said
    return status, json.loads(said, parse_constant=pytest.fail)


# --- SQL++ ---------------------------------------------------------------------------------------

_SIMPLE: Final = """
    1 -2.5 1e308 'x' '' TRUE NULL MISSING n a o o.t a[0] a[-1] a[0:2] a[*].t META().id $1 $x ? b b.n
    [] {} 'x'||'y' COUNT(*) SUM(n) ROW_NUMBER()OVER() x self 9223372036854775807
"""
_OPERATORS: Final = "+ - * / % || = != < <= > >= AND OR IN WITHIN LIKE NOT_IN IS_DISTINCT_FROM"
_FUNCTIONS: Final = """
    UPPER LENGTH SPLIT REPEAT ARRAY_RANGE ARRAY_SORT ARRAY_FLATTEN OBJECT_PAIRS REGEXP_REPLACE
    DATE_ADD_STR STR_TO_MILLIS TO_NUMBER ENCODE_JSON DECODE_JSON IFMISSING GREATEST POWER ROUND LPAD
    OBJECT_PATHS TOKENS MASK ARRAY_AGG MEDIAN LAG NTILE UUID NOPE
"""
_LEAVES: Final = st.sampled_from(_SIMPLE.split())
_OPERATOR: Final = st.sampled_from([each.replace("_", " ") for each in _OPERATORS.split()])
_FUNCTION: Final = st.sampled_from(_FUNCTIONS.split())


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    join = "{} {} {}".format
    return st.one_of(
        st.builds(join, inner, _OPERATOR, inner),
        st.builds("({})".format, inner),
        st.builds("NOT {}".format, inner),
        st.builds("-{}".format, inner),
        st.builds("{} BETWEEN {} AND {}".format, inner, inner, inner),
        st.builds("{} IS NOT VALUED".format, inner),
        st.builds("CASE {} WHEN {} THEN {} END".format, inner, inner, inner),
        st.builds("ANY x IN {} SATISFIES {} END".format, inner, inner),
        st.builds("ARRAY {} FOR i:x IN {} WHEN {} END".format, inner, inner, inner),
        st.builds("OBJECT {} : {} FOR x IN {} END".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}, {}: 1}}".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}.[{}]".format, inner, inner),
        st.builds("(SELECT RAW {} FROM b AS x WHERE {})".format, inner, inner),
        st.builds("EXISTS (SELECT {})".format, inner),
        st.builds("{}({})".format, _FUNCTION, inner),
        st.builds("{}({}, {})".format, _FUNCTION, inner, inner),
        st.builds("SUM({}) OVER (PARTITION BY {} ORDER BY {})".format, inner, inner, inner),
    )


_EXPRESSION: Final = st.recursive(_LEAVES, _grown, max_leaves=6)
_SOURCE: Final = st.one_of(
    st.sampled_from(
        ["b", "b AS b", "b USE KEYS ['d1', 'd2']", "[1, 2] AS x", "system:indexes AS b"]
    ),
    st.builds("b JOIN b AS c ON {}".format, _EXPRESSION),
    st.builds("b UNNEST {} AS x".format, _EXPRESSION),
    st.builds("b NEST b AS c ON KEYS {}".format, _EXPRESSION),
    st.builds("(SELECT RAW {}) AS x".format, _EXPRESSION),
)
_TAIL: Final = st.one_of(
    st.just(""),
    st.builds("WHERE {}".format, _EXPRESSION),
    st.builds("GROUP BY {} HAVING {}".format, _EXPRESSION, _EXPRESSION),
    st.builds("LET x = {}".format, _EXPRESSION),
    st.builds("ORDER BY {} DESC LIMIT {} OFFSET {}".format, *[_EXPRESSION] * 3),
    st.builds("UNION ALL SELECT {}".format, _EXPRESSION),
)
_STATEMENT: Final = st.one_of(
    st.builds("SELECT {} FROM {} {}".format, _EXPRESSION, _SOURCE, _TAIL),
    st.builds("SELECT DISTINCT RAW {} FROM {}".format, _EXPRESSION, _SOURCE),
    st.builds("WITH x AS ({}) SELECT x, {}".format, _EXPRESSION, _EXPRESSION),
    st.builds("EXPLAIN SELECT {} FROM {} {}".format, _EXPRESSION, _SOURCE, _TAIL),
    st.builds("PREPARE SELECT {} FROM {}".format, _EXPRESSION, _SOURCE),
    st.builds("UPSERT INTO b VALUES ('k', {}) RETURNING {}".format, _EXPRESSION, _EXPRESSION),
    st.builds("UPDATE b SET z = {} WHERE {}".format, _EXPRESSION, _EXPRESSION),
    st.builds("DELETE FROM b USE KEYS {} RETURNING {}".format, _EXPRESSION, _EXPRESSION),
    st.builds("CREATE INDEX i ON b({}) WHERE {}".format, _EXPRESSION, _EXPRESSION),
)
_MEMBERS: Final = {"args": [1], "$x": "x", "metrics": True}


@settings(max_examples=120, deadline=None)
@given(_STATEMENT)
def test_statements(statement: str) -> None:
    """Each has the members that SDKs look for; whether rows or errors, the status says it."""
    body = json.dumps({"statement": statement, "client_context_id": "c", **_MEMBERS}).encode()
    status, answer = _ask("n1ql", "POST", "/query/service", body)
    assert {"requestID", "clientContextID", "status", "metrics"} <= set(answer), answer
    assert {"elapsedTime", "resultCount", "resultSize"} <= set(answer["metrics"])
    _check_errors(statement, answer)
    if answer["status"] == "success":
        assert status == 200
        assert len(answer["results"]) == answer["metrics"]["resultCount"]


@settings(max_examples=40, deadline=None)
@given(_STATEMENT)
def test_statements_of_analytics(statement: str) -> None:
    """Likewise at the other service."""
    body = json.dumps({"statement": statement, "client_context_id": "c", "args": [1]}).encode()
    _, answer = _ask("cbas", "POST", "/analytics/service", body)
    assert {"requestID", "clientContextID", "status", "metrics"} <= set(answer), answer
    assert "processedObjects" in answer["metrics"]
    _check_errors(statement, answer)


def _check_errors(statement: str, answer: dict[str, Any]) -> None:
    if answer["status"] == "success":
        assert "errors" not in answer
        return
    assert answer["errors"]
    for error in answer["errors"]:
        assert type(error["code"]) is int
        assert error["code"] != 5000, (statement, error)
        assert error["msg"]


# --- searches ------------------------------------------------------------------------------------

_WORDS: Final = st.sampled_from(["word", "x", "w*", "wo?d", "d1", "wurd", "", "[a-z]+", "("])
_FIELDS: Final = st.sampled_from(["", "o.t", "n", "a", "p", "nope"])
_NUMBERS: Final = st.sampled_from([-1, 0, 1, 2, 5.5, 1e308])


_KINDS: Final = "match match_phrase term prefix wildcard regexp query"


def _query(kind: str, value: Any, field: str, boost: float) -> dict[str, Any]:
    return {kind: value, "field": field, "boost": boost}


_LEAF_QUERIES: Final = st.one_of(
    st.builds(
        _query,
        st.sampled_from(_KINDS.split()),
        _WORDS,
        _FIELDS,
        _NUMBERS,
    ),
    st.builds(_query, st.sampled_from(["min", "max", "fuzziness"]), _NUMBERS, _FIELDS, _NUMBERS),
    st.builds(_query, st.just("terms"), st.lists(_WORDS, max_size=3), _FIELDS, _NUMBERS),
    st.builds(_query, st.just("ids"), st.lists(_WORDS, max_size=3), _FIELDS, _NUMBERS),
    st.builds(lambda at, far: {"location": [at, at], "distance": f"{far}km"}, _NUMBERS, _NUMBERS),
    st.sampled_from([{"match_all": {}}, {"match_none": {}}, {"bool": True}, {"geometry": {}}, {}]),
)


def _compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.builds(lambda parts: {"conjuncts": parts}, several),
        st.builds(lambda parts, least: {"disjuncts": parts, "min": least}, several, _NUMBERS),
        st.builds(
            lambda must, other: {"must": {"conjuncts": must}, "must_not": other}, several, inner
        ),
    )


_REQUEST: Final = st.fixed_dictionaries(
    {"query": st.recursive(_LEAF_QUERIES, _compound, max_leaves=5)},
    optional={
        "size": st.integers(-1, 20),
        "from": st.integers(-1, 20),
        "fields": st.just(["*"]),
        "highlight": st.sampled_from([{}, {"style": "html"}, {"style": "nope"}]),
        "facets": st.builds(lambda name: {"f": {"field": name, "size": 2}}, _FIELDS),
        "sort": st.lists(st.sampled_from(["_id", "-_score", "n", "nope"]), max_size=2),
        "includeLocations": st.booleans(),
        "ctl": st.builds(lambda time: {"timeout": time}, st.sampled_from([-1, 0, 1, 75_000])),
        "score": st.just("none"),
    },
)


@settings(max_examples=80, deadline=None)
@given(_REQUEST)
def test_searches(request_: dict[str, Any]) -> None:
    """Hits or what is wrong with the request, in the form that SDKs read."""
    status, answer = _ask("fts", "POST", "/api/index/i/query", json.dumps(request_).encode())
    assert status in {200, 400}
    if status == 400:
        assert answer["status"] == "fail"
        assert answer["error"]
        return
    assert {"status", "hits", "total_hits", "max_score", "took", "facets"} <= set(answer)
    assert {"total", "failed", "successful"} <= set(answer["status"])
    for hit in answer["hits"] or ():
        assert {"index", "id", "score"} <= set(hit)


# --- views ---------------------------------------------------------------------------------------

_KEYS: Final = st.sampled_from(["1", '"x"', "[1]", "null", "{}", "[1,2", "x", "[[[1]]]", ""])
_BOOLEANS: Final = st.sampled_from(["true", "false", "maybe"])
_COUNTS: Final = st.sampled_from(["0", "1", "5", "-1", "x"])
_PARAMETERS: Final = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["key", "keys", "startkey", "endkey", "bbox"], _KEYS),
        **dict.fromkeys(["startkey_docid", "endkey_docid"], st.sampled_from(["d1", "z"])),
        **dict.fromkeys(["descending", "inclusive_end", "reduce", "group", "debug"], _BOOLEANS),
        **dict.fromkeys(["skip", "limit", "group_level", "connection_timeout"], _COUNTS),
        "stale": st.sampled_from(["ok", "false", "update_after", "x"]),
        "on_error": st.sampled_from(["continue", "stop", "x"]),
    },
)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["_view/v", "_view/r", "_view/nope", "_spatial/v"]), _PARAMETERS, st.booleans()
)
def test_views(view: str, parameters: dict[str, str], post: bool) -> None:
    """Rows, or an error with its reason."""
    asked = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
    path = f"/b/_design/d/{view}?{asked}"
    status, answer = _ask("capi", "POST" if post else "GET", path, b"{}" if post else b"")
    assert status in {200, 400, 404}
    if status == 200:
        assert all({"key", "value"} <= set(row) for row in answer["rows"])
    else:
        assert {"error", "reason"} <= set(answer)
