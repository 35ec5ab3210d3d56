"""Requests that are made by their classes, as SDK 2.5's are, on either loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from couchloop.analytics import AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.embedded import administrator
from couchloop.exceptions import (
    AlreadyQueriedError,
    ArgumentError,
    DatasetNotFoundError,
    InvalidSettingError,
    RowsNotReadError,
)
from couchloop.fulltext import MatchQuery, Params, TermFacet, make_search_body
from couchloop.management.search_indexes import SearchIndex
from couchloop.n1ql import N1QLQuery
from couchloop.views import Query, RowProcessor, SpatialRow, SpatialRowProcessor, ViewRow
from tests.conformance.loops import PASSWORD, Loop, cluster_of, opened

PEOPLE = {"ann": {"age": 30, "city": "Ulm"}, "bob": {"age": 20, "city": "Pau"}}


def by_age(doc: Any, meta: dict[str, Any]) -> Any:
    """Emit how old people are."""
    yield doc["age"], doc["city"]


@pytest.fixture
def rows(loop: Loop) -> Any:
    """Return the loop's module of results."""
    return import_module("txcouchbase.rows" if loop.name == "twisted" else "gcouchbase.rows")


@pytest.fixture
def bucket(loop: Loop) -> Iterator[Any]:
    """Open a Bucket with some people, a view, a search index and a dataset of them."""
    embedded = loop.embedded(1, users=[administrator("user", PASSWORD)], vbuckets=16)
    with loop.serving(embedded) as served:
        served.cluster.buckets["default"].design_documents.define("people", "by_age", by_age)
        cluster = cluster_of(loop, served)
        with opened(loop, cluster) as bucket:
            driver = cluster._ask_services()._driver
            loop.wait(bucket.upsert_multi(PEOPLE))
            index = SearchIndex("people", source_name="default")
            loop.wait(cluster.search_indexes().upsert_index(index))
            loop.wait(cluster.analytics_indexes().create_dataset("people", "default"))
            del cluster
            yield bucket
            driver.close()


def test_view(loop: Loop, rows: Any, bucket: Any) -> None:
    """It is what `query` gives, with the same parameters."""
    view = rows.View(bucket, "people", "by_age", limit=1)
    assert (view.design, view.view, view.query.limit) == ("people", "by_age", 1)
    assert loop.take(view) == [ViewRow(20, "Pau", "bob", None)]
    assert (view.rows_returned, view.indexed_rows, view.errors) == (1, 2, [])
    query = Query(mapkey_range=[30])
    assert view.row_processor.rowclass is ViewRow
    shown = RowProcessor(lambda *parts: parts[0])
    view = rows.View(bucket, "people", "by_age", row_processor=shown, query=query)
    assert loop.take(view) == [30]
    view = rows.View(bucket, "people", "by_age", None, True, None, False)
    assert [row.doc.value["age"] for row in loop.take(view)] == [20, 30]
    with pytest.raises(ArgumentError):
        rows.View(bucket, "people", "by_age", query=query, limit=1)
    assert SpatialRowProcessor().rowclass is SpatialRow


def test_subclass(loop: Loop, rows: Any, bucket: Any) -> None:
    """A class of the user's is made so, too; what it does not take up ends with it."""

    class Ages(rows.View):  # type: ignore[misc]
        """The ages of people."""

        def __init__(self, bucket: Any) -> None:
            super().__init__(bucket, "people", "by_age", descending=True)

        @property
        def title(self) -> str:
            """What it is called."""
            return f"{self.design}: {self.rows_returned}"

    ages = Ages(bucket)
    assert [row.key for row in loop.take(ages)] == [30, 20]
    assert ages.title == "people: 2"
    Ages(bucket)


def test_query(loop: Loop, rows: Any, bucket: Any) -> None:
    """It takes a query or a statement; whether it reads ahead is said."""
    request = rows.N1QLRequest(N1QLQuery("SELECT $1 AS a", 5), bucket, lambda row: row["a"])
    assert loop.take(request) == [5]
    assert request.metrics["resultCount"] == 1
    raw = request.raw
    assert (raw.value, raw.http_status, raw.success) == (request.meta_retrieve(), 200, True)
    assert raw.url.endswith("/query/service")
    assert raw.headers["content-type"].startswith("application/json")
    with pytest.raises(AlreadyQueriedError):
        loop.take(request)
    request = bucket.n1ql_query("SELECT 1", meta_lookahead=False)
    assert not request.meta_lookahead
    with pytest.raises(RowsNotReadError):
        _ = request.meta
    assert loop.wait(request.get_single_result()) == {"$1": 1}
    assert request.meta["status"] == "success"
    request = rows.N1QLRequest("SELECT 1", bucket, meta_lookahead=False)
    if loop.name == "twisted":
        with pytest.raises(RowsNotReadError):
            request.meta_retrieve(meta_lookahead=True)
    else:
        assert request.meta_retrieve(meta_lookahead=True)["status"] == "success"
        assert loop.take(request) == [{"$1": 1}]


def test_analytics(loop: Loop, rows: Any, bucket: Any) -> None:
    """Likewise, at once or deferred."""
    statement = "SELECT VALUE p.age FROM people AS p WHERE p.age > $1"
    request = rows.AnalyticsRequest(AnalyticsQuery(statement, 20), None, bucket)
    assert not request.is_ready
    assert loop.take(request) == [30]
    assert request.is_ready
    assert loop.take(rows.AnalyticsRequest("SELECT VALUE 1", None, bucket)) == [1]
    query = AnalyticsQuery("SELECT VALUE [$1, $a]")
    for number in (1, 2):
        # What a call adds to a query is of that call alone.
        request = bucket.analytics_query(query, None, number, a=3, readonly=True)
        assert loop.take(request) == [[number, 3]]
    assert "args" not in query.members
    query = DeferredAnalyticsQuery(statement, 20)
    request = rows.DeferredAnalyticsRequest(query, None, bucket, timeout=20, interval=0.01)
    assert not request.is_ready
    assert loop.take(request) == [30]
    assert request.is_ready
    assert (query.timeout, query.interval) == (None, 10.0)
    failing = DeferredAnalyticsQuery("SELECT 1 FROM nosuch", timeout=20)
    request = rows.DeferredAnalyticsRequest(failing, None, bucket)
    with pytest.raises(DatasetNotFoundError) as raised:
        loop.take(request)
    raised.value.__traceback__ = None
    with pytest.raises(InvalidSettingError):
        rows.DeferredAnalyticsRequest(AnalyticsQuery(statement), None, bucket)


def test_search(loop: Loop, rows: Any, bucket: Any) -> None:
    """A body as SDK 2.5 makes it, as an object or as JSON, is what is searched for."""
    params = Params(facets={"cities": TermFacet("city")}, limit=1, timeout=20.0)
    body = make_search_body("people", MatchQuery("ulm", field="city"), params)
    request = rows.SearchRequest(body, bucket)
    assert [hit.id for hit in loop.take(request)] == ["ann"]
    assert (request.total_hits, request.facets["cities"]["total"]) == (1, 1)
    assert request.raw.value == request.meta
    request = rows.SearchRequest(json.dumps(body), bucket, lambda hit: hit.id)
    assert loop.take(request) == ["ann"]


@pytest.mark.parametrize("body", ["no JSON", "[]", {}, {"indexName": "people"}, None, b"\xff"])
def test_no_search(rows: Any, bucket: Any, body: Any) -> None:
    """What is no body of a search is refused by the call."""
    with pytest.raises(InvalidSettingError):
        rows.SearchRequest(body, bucket)


MADE: list[Callable[[Any, Any], Any]] = [
    lambda rows, parent: rows.View(parent, "people", "by_age"),
    lambda rows, parent: rows.N1QLRequest("SELECT 1", parent),
    lambda rows, parent: rows.AnalyticsRequest("SELECT 1", None, parent),
    lambda rows, parent: rows.SearchRequest({"indexName": "people", "query": {}}, parent),
]


@pytest.mark.parametrize("make", MADE)
def test_parent(loop: Loop, rows: Any, bucket: Any, make: Callable[[Any, Any], Any]) -> None:
    """The parent is a Bucket of the loop: neither something else, nor a handle for threads."""
    handle = bucket.threadsafe()

    def refused() -> None:
        with pytest.raises(InvalidSettingError, match="is a Bucket of its loop"):
            make(rows, handle)

    loop.in_thread(refused)
    for parent in (None, "bucket"):
        with pytest.raises(InvalidSettingError, match="is a Bucket of its loop"):
            make(rows, parent)
