"""Requests that their classes make, of methods that a test stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from couchloop.analytics import AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.client.requests_by_hand import (
    AnalyticsRequestByHand,
    N1QLRequestByHand,
    SearchResultByHand,
    ViewByHand,
)
from couchloop.client.rows import RowsBase
from couchloop.exceptions import InvalidSettingError, RowsNotReadError
from couchloop.fulltext.queries import RawQuery
from couchloop.http.rows import QUERY_ROWS
from couchloop.http.service import Service, ServiceRequest
from couchloop.operations.rows import RowStream
from tests.core.world import defaults

ASKED = ServiceRequest(Service.QUERY, "POST", "/query/service", b"{}")


class Rows(RowStream[Any]):
    """Rows of any service."""

    looks_ahead = True

    def _row(self, data: bytes) -> Any:
        return json.loads(data)

    def _finish(self, members: Mapping[str, Any]) -> None:
        del members


class _OfNoLoop(RowsBase[Any]):
    """A request of a loop which a test is."""

    waits = 0
    """How often it was to read to the end."""

    def _soon(self, driver: Any, call: Callable[[], None]) -> None:
        """Nothing is under way."""

    def _read_on(self) -> None:
        self.waits += 1


class Queries(N1QLRequestByHand[Any], _OfNoLoop):
    """A query."""


class Analytics(AnalyticsRequestByHand[Any], _OfNoLoop):
    """An analytics query."""


class Deferred(Analytics):
    """One whose rows are fetched later."""

    def __init__(
        self,
        params: Any,
        host: Any,
        parent: Any,
        timeout: float | None = None,
        interval: float | None = None,
    ) -> None:
        self._defer(params, host, parent, timeout, interval)


class Searches(SearchResultByHand[Any], _OfNoLoop):
    """A search."""


class Views(ViewByHand[Any], _OfNoLoop):
    """A query of a view."""


class Parent:
    """A Bucket which notes what it is asked."""

    _driver = None

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def _given(self, kind: type, args: Any, kwargs: Any) -> Any:
        self.asked.append((args, kwargs))
        return kind(self, Rows("query", defaults(), ASKED, QUERY_ROWS, 75.0), None)

    def n1ql_query(self, *args: Any, **kwargs: Any) -> Any:
        """Give a query."""
        return self._given(Queries, args, kwargs)

    def analytics_query(self, *args: Any, **kwargs: Any) -> Any:
        """Give an analytics query."""
        return self._given(Analytics, args, kwargs)

    def search(self, *args: Any, **kwargs: Any) -> Any:
        """Give a search."""
        return self._given(Searches, args, kwargs)

    def query(self, *args: Any, **kwargs: Any) -> Any:
        """Give a query of a view."""
        return self._given(Views, args, kwargs)


@pytest.fixture(name="parent")
def _parent() -> Parent:
    return Parent()


def test_query(parent: Parent) -> None:
    """It is asked by the method, with all that this takes."""
    request = Queries("SELECT 1", parent, len, metrics=False)
    named = {"metrics": False, "row_factory": len, "meta_lookahead": True}
    assert parent.asked == [(("SELECT 1",), named)]
    assert (request._owner, request.done, request.closed) == (parent, 0, False)
    assert repr(request).endswith(".Queries 'query': 0 rows, not sent>")


def test_lookahead(parent: Parent) -> None:
    """What stands beside the rows is read for, or it is too early for it."""
    request = Queries("SELECT 1", parent)
    assert request.meta_lookahead
    assert (request.meta, request.waits) == ({}, 1)
    request = Queries("SELECT 1", parent)
    request._stream.looks_ahead = False
    with pytest.raises(RowsNotReadError):
        request.meta_retrieve()
    assert request.waits == 0
    assert (request.meta_retrieve(meta_lookahead=True), request.waits) == ({}, 1)


def test_analytics(parent: Parent) -> None:
    """The host stands in its place; times of a deferred query are a copy's."""
    Analytics(AnalyticsQuery("SELECT 1"), "host", parent)
    ((query, host), named) = parent.asked[0]
    assert (type(query), host, named) == (AnalyticsQuery, "host", {})
    asked = DeferredAnalyticsQuery("SELECT 1")
    Deferred(asked, None, parent, 20.0, 0.5)
    ((copy, host), _) = parent.asked[1]
    assert copy is not asked
    assert (copy.timeout, copy.interval, host) == (20.0, 0.5, None)
    Deferred(asked, None, parent)
    assert parent.asked[2][0][0].timeout == asked.timeout
    with pytest.raises(InvalidSettingError):
        Deferred(AnalyticsQuery("SELECT 1"), None, parent)


@pytest.mark.parametrize("form", [dict, json.dumps, lambda body: json.dumps(body).encode()])
def test_search(parent: Parent, form: Callable[[Any], Any]) -> None:
    """The members of a body are taken apart; its timeout is the call's."""
    body = {"indexName": "i", "query": {"match": "x"}, "size": 3, "ctl": {"timeout": 1500}}
    Searches(form(body), parent, len)
    ((index, query), named) = parent.asked[0]
    assert (index, type(query), query.encodable) == ("i", RawQuery, {"match": "x"})
    raw = {"size": 3, "ctl": {"timeout": 1500}}
    assert named == {"raw": raw, "row_factory": len, "timeout": 1.5}
    Searches({"indexName": "i", "query": {}, "ctl": {"timeout": -1}}, parent)
    assert parent.asked[1][1]["timeout"] is None


@pytest.mark.parametrize("body", ["{", b"\xff", "[" * 100_000, "[]", 1, {"query": {}}, None])
def test_no_search(parent: Parent, body: Any) -> None:
    """What is no body of a search is refused, and nothing is asked."""
    with pytest.raises(InvalidSettingError):
        Searches(body, parent)
    assert parent.asked == []


def test_view(parent: Parent) -> None:
    """Parameters and options are those of the method."""
    Views(parent, "d", "v", limit=4)
    options = {"row_processor": None, "include_docs": False, "query": None, "streaming": True}
    assert parent.asked == [(("d", "v"), {"limit": 4, **options})]


class Other:
    """What has the method, for another loop."""

    def n1ql_query(self, *args: Any, **kwargs: Any) -> Any:
        """Give what is no request of this loop."""
        return args, kwargs


@pytest.mark.parametrize("parent", [None, object(), Other()])
def test_no_parent(parent: Any) -> None:
    """A parent that makes no request of this loop is named by its class alone."""
    with pytest.raises(InvalidSettingError, match="a Bucket of its loop"):
        Queries("SELECT 1", parent)
