"""Queries of views, over sockets and on either loop, of an embedded cluster that answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from couchloop.embedded import BucketSettings
from couchloop.exceptions import (
    AlreadyQueriedError,
    ArgumentError,
    BrokenAnswerError,
    BucketNotFoundError,
    CouchbaseError,
    DesignDocumentNotFoundError,
    FeatureNotAvailableError,
    IncompleteAnswerError,
    InvalidNameError,
    InvalidSettingError,
    InvalidTimeoutError,
    NotAuthorizedError,
    RowsNotReadError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
    ViewEngineError,
    ViewNotFoundError,
    WrongLoopError,
)
from couchloop.management.design_documents import DesignDocumentNamespace
from couchloop.views import (
    Query,
    RowProcessor,
    SpatialQuery,
    SpatialRow,
    ViewErrorMode,
    ViewOptions,
    ViewOrdering,
    ViewRow,
    ViewScanConsistency,
)
from tests.conformance.loops import Loop, opened_at
from tests.conformance.test_cycles import done, nothing_left
from tests.conformance.test_rows import refused
from tests.webserver import Asked, Script, WebServer, web_server

PEOPLE = {f"p{number:03}": {"age": number, "odd": number % 2} for number in range(250)}


def by_age(doc: Any, meta: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Emit ages."""
    yield doc["age"], doc["odd"]


def define(served: Any) -> None:
    """Define the views of these tests."""
    designs = served.cluster.buckets["default"].design_documents
    designs.define("d", "ages", by_age)
    designs.define("d", "sums", by_age, "_sum")
    designs.define("dev_d", "ages", lambda doc, meta: [("dev", None)])


@contextmanager
def people(loop: Loop, **keywords: Any) -> Iterator[tuple[Any, Any]]:
    """Serve a cluster with people; give it, and a Bucket."""
    with loop.serving(loop.embedded(**keywords)) as served:
        define(served)
        with opened_at(loop, f"{served.connection_string}/default") as bucket:
            loop.wait(bucket.upsert_multi(PEOPLE))
            yield served, bucket


def ids(rows: list[Any]) -> list[str]:
    """The documents of rows."""
    return [row.docid for row in rows]


class Taker:
    """Takes the rows of a view one by one."""

    def __init__(self, loop: Loop, view: Any) -> None:
        self.loop = loop
        self.take = view.next if hasattr(view, "next") else iter(view).__next__

    def next(self) -> Any:
        """Give the next row, None at the end."""
        try:
            return self.loop.wait(self.take())
        except StopIteration:
            return None

    def rest(self, rows: list[Any]) -> None:
        """Add all further rows."""
        while (row := self.next()) is not None:
            rows.append(row)


def failing(loop: Loop, view: Any) -> tuple[list[Any], CouchbaseError]:
    """Take all rows of a view that fails; give these, and why."""
    rows: list[Any] = []
    with pytest.raises(CouchbaseError) as raised:
        Taker(loop, view).rest(rows)
    return rows, raised.value.with_traceback(None)


def test_rows(loop: Loop) -> None:
    """Rows are as SDK 2.5 has them, and so is what stands beside them."""
    with people(loop) as (_, bucket):
        view = bucket.query("d", "ages", stale=False, limit=3, mapkey_range=[10, 20])
        assert (view.design, view.view, view.query.limit) == ("d", "ages", 3)
        rows = loop.take(view)
        assert rows == [ViewRow(n, n % 2, f"p{n:03}", None) for n in (10, 11, 12)]
        assert (view.indexed_rows, view.rows_returned, view.errors) == (250, 3, [])
        assert view.raw == {"total_rows": 250}
        assert view.metadata().total_rows() == 250
        with pytest.raises(AlreadyQueriedError):
            loop.take(view)
        reduced = bucket.query("d", "sums", group=True, skip=1, limit=1)
        assert loop.take(reduced) == [ViewRow(1, 1, None, None)]
        assert reduced.indexed_rows == 0
        assert loop.take(bucket.query("d", "sums")) == [ViewRow(None, 125, None, None)]
        assert len(loop.take(bucket.query("d", "ages"))) == 250


def test_development(loop: Loop) -> None:
    """Views for development are asked by the same name, or by their own."""
    with people(loop) as (_, bucket):
        for view in (
            bucket.query("d", "ages", use_devmode=True, full_set=True, limit=1),
            bucket.query("dev_d", "ages", use_devmode=True, full_set=True, limit=1),
            bucket.view_query(
                "d",
                "ages",
                ViewOptions(namespace=DesignDocumentNamespace.DEVELOPMENT, limit=1),
                full_set=True,
            ),
        ):
            assert [row.key for row in loop.take(view)] == ["dev"]


def test_documents(loop: Loop) -> None:
    """Documents are fetched while rows come, many at once; those that are gone have none."""
    with people(loop) as (served, bucket):
        view = bucket.query("d", "sums", include_docs=True, stale="ok")
        rows = loop.take(view)
        assert [row.doc.value for row in rows] == list(PEOPLE.values())
        asked = {name.lower(): count for name, count in served.cluster.operations.items()}
        assert sum(count for name, count in asked.items() if name.startswith("get")) >= 250
        assert view.rows_returned == 250
        loop.take(bucket.query("d", "ages"))
        served.cluster.buckets["default"].design_documents.is_lagging = True
        loop.wait(bucket.remove("p003"))
        view = bucket.query("d", "ages", include_docs=True, keys=[4, 3, 999, 4])
        rows = loop.take(view)
        assert [(row.docid, row.doc.success) for row in rows] == [
            ("p004", True),
            ("p003", False),
            ("p004", True),
        ]
        first = loop.wait(bucket.query("d", "ages", include_docs=True).get_single_result())
        assert first.doc.value == {"age": 0, "odd": 0}
        for params in ({"reduce": True}, {"group": True}, {"group_level": 1}):
            with pytest.raises(ArgumentError, match="not reduced"):
                bucket.query("d", "sums", include_docs=True, **params)


def test_documents_one_by_one(loop: Loop) -> None:
    """Who takes rows one by one gets their documents, and what ends them."""
    with people(loop) as (_, bucket):
        view = bucket.query("d", "ages", include_docs=True, descending=True, limit=150)
        rows: list[Any] = []
        Taker(loop, view).rest(rows)
        assert [row.doc.value["age"] for row in rows] == list(range(249, 99, -1))
        rows, error = failing(loop, bucket.query("d", "none", include_docs=True))
        assert not rows
        assert isinstance(error, ViewNotFoundError)


def test_threads(loop: Loop) -> None:
    """Plain threads have the same: rows, documents, errors; in the loop's thread they may not."""
    with people(loop) as (_, bucket):
        handle = bucket.threadsafe()

        def work() -> None:
            view = handle.query("d", "ages", include_docs=True, limit=120)
            assert [row.doc.value["age"] for row in view] == list(range(120))
            assert (view.indexed_rows, view.errors, view.rows_returned) == (250, [], 120)
            assert ids(list(handle.view_query("d", "ages", limit=2))) == ["p000", "p001"]
            with pytest.raises(ViewNotFoundError):
                list(handle.query("d", "none"))
            with pytest.raises(DesignDocumentNotFoundError):
                list(handle.query("none", "none", include_docs=True))
            early = handle.query("d", "ages", include_docs=True)
            assert next(iter(early)).docid == "p000"
            early.close()
            assert early.closed
            assert not list(handle.query("d", "ages", limit=0, include_docs=True))

        loop.in_thread(work)
        with pytest.raises(WrongLoopError):
            handle.query("d", "ages")


def test_other_thread(loop: Loop) -> None:
    """Rows with their documents are the loop's, too: another thread is given none of a page."""
    with people(loop) as (_, bucket):
        request = bucket.query("d", "ages", include_docs=True)
        take = Taker(loop, request).take
        assert loop.wait(take()).docid == "p000"
        if loop.name == "gevent":
            assert refused(loop, lambda: iter(request))
            assert refused(loop, take)
        else:
            assert refused(loop, request.next)
            assert refused(loop, lambda: request.on_rows(list))
            assert refused(loop, lambda: aiter(request))
            assert loop.wait(take()).docid == "p001"
            request.close()


def test_sdk_4(loop: Loop) -> None:
    """Options by the names of SDK 4 are sent, the consistency too."""
    with people(loop) as (served, bucket):
        served.cluster.buckets["default"].design_documents.is_lagging = True

        def count(**options: Any) -> int:
            return len(loop.take(bucket.view_query("d", "ages", **options)))

        assert count(scan_consistency=ViewScanConsistency.NOT_BOUNDED) == 0
        assert count(scan_consistency="update_after") == 0
        assert count(scan_consistency=ViewScanConsistency.NOT_BOUNDED) == 250
        loop.wait(bucket.remove("p000"))
        assert count(scan_consistency=ViewScanConsistency.NOT_BOUNDED) == 250
        assert count(scan_consistency=ViewScanConsistency.REQUEST_PLUS) == 249
        shared = ViewOptions(order=ViewOrdering.DESCENDING, limit=2, skip=1)
        assert ids(loop.take(bucket.view_query("d", "ages", shared))) == ["p248", "p247"]
        view = bucket.view_query("d", "ages", shared, limit=1, debug=True)
        (row,) = loop.take(view.rows() if loop.name == "gevent" else view)
        assert (row.id, row.key, row.value, row.document) == ("p248", 248, 0, None)
        assert "local" in view.metadata().debug_info()
        for options, found in (
            ({"startkey": 5, "endkey": 7}, [5, 6, 7]),
            ({"startkey": 5, "endkey": 7, "inclusive_end": False}, [5, 6]),
            ({"key": 5}, [5]),
            ({"keys": [7, 5]}, [7, 5]),
            ({"raw": {"key": "9"}}, [9]),
            ({"query_string": ["startkey=5", "limit=1"]}, [5]),
            ({"startkey": 5, "startkey_docid": "p006", "endkey": 6}, [6]),
            ({"limit": 1, "full_set": True, "on_error": ViewErrorMode.STOP, "timeout": 5}, [1]),
        ):
            rows = loop.take(bucket.view_query("d", "ages", **options))
            assert [row.key for row in rows] == found, options
        grouped = bucket.view_query(
            "d", "sums", group=True, limit=2, skip=1, scan_consistency="request_plus"
        )
        assert [row.value for row in loop.take(grouped)] == [0, 1]


def test_long_keys(loop: Loop) -> None:
    """Keys that make a URL too long are sent in a body."""
    with people(loop) as (_, bucket):
        keys = [*range(10_000, 9_000, -1), 5, 3]
        assert ids(loop.take(bucket.query("d", "ages", keys=keys, limit=5))) == ["p005", "p003"]
        rows = loop.take(bucket.view_query("d", "sums", keys=keys, group=True))
        assert [row.key for row in rows] == [5, 3]


def test_row_processor(loop: Loop) -> None:
    """Rows are what the caller makes of them."""
    with people(loop) as (_, bucket):
        view = bucket.query("d", "ages", row_processor=RowProcessor(lambda *row: row[2]), limit=2)
        assert loop.take(view) == ["p000", "p001"]
        view = bucket.query("d", "ages", row_processor=RowProcessor(dict), limit=2)
        with pytest.raises(TypeError):
            loop.take(view)


def test_missing(loop: Loop) -> None:
    """Which of design document and view is missing is told by classes of their own."""
    with people(loop) as (_, bucket):
        rows, error = failing(loop, bucket.query("d", "nosuch"))
        assert (rows, type(error)) == ([], ViewNotFoundError)
        assert "{not_found,missing_named_view}" in str(error)
        _, error = failing(loop, bucket.query("nosuch", "v"))
        assert type(error) is DesignDocumentNotFoundError
        assert error.context is not None
        assert (error.context.bucket, error.context.attempts) == ("default", 1)


def test_refused(loop: Loop) -> None:
    """What a server refuses is told with its words."""
    with people(loop) as (_, bucket):
        _, error = failing(loop, bucket.query("d", "ages", group=True))
        assert isinstance(error, ServerInvalidArgumentError)
        assert "for non-reduce view" in str(error)
        _, error = failing(loop, bucket.query("d", "ages", mapkey_range=[2, 1]))
        assert "No rows can match your key range" in str(error)


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"nosuch": 1}, ArgumentError),
    ({"limit": "x"}, ArgumentError),
    ({"key": object()}, ArgumentError),
    ({"query": 5}, ArgumentError),
    ({"query": Query(), "limit": 1}, ArgumentError),
    ({"query": "a b"}, ArgumentError),
    ({"timeout": 0}, InvalidTimeoutError),
    ({"timeout": "1"}, InvalidTimeoutError),
    ({"include_docs": "yes"}, CouchbaseError),
    ({"streaming": None}, CouchbaseError),
    ({"row_processor": 5}, InvalidSettingError),
]


def test_bad_input(loop: Loop) -> None:
    """What is no view, parameter or option is refused before anything is sent."""
    with people(loop) as (served, bucket):
        for keywords, kind in BAD:
            with pytest.raises(kind):
                bucket.query("d", "ages", **keywords)
        for names in (("", "v"), ("d", ""), (None, "v"), ("d", 5), (b"d", "v")):
            with pytest.raises(InvalidNameError):
                bucket.query(*names)
        for options in (
            {"scan_consistency": "at_plus"},
            {"order": 1},
            {"on_error": "x"},
            {"raw": 5},
            {"namespace": "dev"},
            {"serializer": 5},
            {"query_string": "limit=1"},
            {"query_string": [1]},
        ):
            with pytest.raises(InvalidSettingError):
                bucket.view_query("d", "ages", **options)
        with pytest.raises(ArgumentError):
            bucket.view_query("d", "ages", raw={"key": 5})
        with pytest.raises(ArgumentError):
            bucket.view_query("d", "ages", ViewOptions(nosuch=1))
        with pytest.raises(InvalidSettingError):
            bucket.view_query("d", "ages", 5)
        assert not any(node.http_connections for node in served.cluster.nodes if node.serves_data)


def test_views_timeout(loop: Loop) -> None:
    """A Bucket says how long its views may take, unless a query does."""
    with people(loop) as (served, bucket):
        assert bucket.views_timeout == 75.0
        served.cluster.inject_http(service="capi", delay=1e6)
        bucket.views_timeout = 0.05
        _, error = failing(loop, bucket.query("d", "ages"))
        assert isinstance(error, UnambiguousTimeoutError)
        bucket.views_timeout = 75
        _, error = failing(loop, bucket.query("d", "ages", timeout=0.05))
        assert isinstance(error, UnambiguousTimeoutError)


def test_node_that_fails(loop: Loop) -> None:
    """Rows of the other nodes are given; then an error is raised, unless it is to go on."""
    with people(loop) as (served, bucket):
        body = (
            b'{"total_rows":9,"rows":[\r\n{"id":"a","key":1,"value":2}\r\n],\r\n'
            b'"errors":[\r\n{"from":"http://x:8092/","reason":"econnrefused"}\r\n]\r\n}\n'
        )
        served.cluster.inject_http(service="capi", status=200, body=body)
        rows, error = failing(loop, bucket.query("d", "ages"))
        assert ids(rows) == ["a"]
        assert isinstance(error, ViewEngineError)
        assert "econnrefused" in str(error)
        assert error.objextra == [{"from": "http://x:8092/", "reason": "econnrefused"}]
        view = bucket.query("d", "ages", on_error="continue")
        assert ids(loop.take(view)) == ["a"]
        assert view.errors == error.objextra
        rows, error = failing(loop, bucket.query("d", "ages", streaming=False))
        assert (rows, type(error)) == ([], ViewEngineError)
        rows, error = failing(loop, bucket.view_query("d", "ages", on_error=ViewErrorMode.STOP))
        assert (ids(rows), type(error)) == (["a"], ViewEngineError)


def test_node_that_is_down(loop: Loop) -> None:
    """Another node is asked; what the one that is down has led is missing, which is said."""
    with people(loop) as (served, bucket):
        served.cluster.stop(served.cluster.nodes[1])
        for _ in range(3):
            rows, error = failing(loop, bucket.query("d", "ages"))
            assert 0 < len(rows) < 250
            assert isinstance(error, ViewEngineError)
        view = bucket.query("d", "ages", on_error="continue")
        assert len(loop.take(view)) == view.indexed_rows < 250
        (fault,) = view.errors
        assert fault["reason"] == "econnrefused"
        rows, error = failing(loop, bucket.query("d", "ages", on_error="stop"))
        assert (rows, type(error)) == ([], ViewEngineError)


def test_whole(loop: Loop) -> None:
    """Without streaming the rows are given when the answer is whole."""
    with people(loop) as (_, bucket):
        view = bucket.query("d", "ages", streaming=False, limit=50)
        assert len(loop.take(view)) == 50
        assert view.rows_returned == 50


def test_before_the_end(loop: Loop) -> None:
    """On Twisted what stands behind the rows is not known before; how many there are is."""
    with people(loop) as (_, bucket):
        view = bucket.query("d", "ages")
        taker = Taker(loop, view)
        taker.next()
        assert view.indexed_rows == 250
        assert view.rows_returned == 1
        if loop.name == "twisted":
            with pytest.raises((RowsNotReadError, RuntimeError)):
                bucket.query("d", "ages").errors  # noqa: B018 - it is asked for
        view.close()
        assert view.closed


def test_node_without_vbuckets(loop: Loop) -> None:
    """Nodes that lead no vbucket are not asked; one that turns out to be such is passed over."""
    with people(loop) as (served, bucket):
        extra = served.cluster.add_node()
        loop.until(lambda: len(bucket._driver.session.config.nodes) == 4)
        for _ in range(8):
            assert len(loop.take(bucket.query("d", "ages", limit=1))) == 1
        assert not extra.http_connections
        headers = (("Location", "http://127.0.0.1:1/default/_design/d/_view/ages"),)
        body = b'{"error":"no_active_vbuckets","reason":"Cannot execute view query"}'
        moved = served.cluster.inject_http(
            service="capi", status=302, body=body, headers=headers, count=2
        )
        view = bucket.query("d", "ages", limit=1)
        assert len(loop.take(view)) == 1
        assert moved.hits == 2
        served.cluster.inject_http(service="capi", status=302, body=body)
        _, error = failing(loop, bucket.query("d", "ages", timeout=0.5))
        assert isinstance(error, ServiceNotAvailableError)
        assert "no_active_vbuckets" in str(error)


def test_repeated(loop: Loop) -> None:
    """A query whose answer is cut off is repeated as long as no row was given, and no longer."""
    with people(loop) as (served, bucket):
        cut = served.cluster.inject_http(service="capi", cut_after=10, count=1)
        assert len(loop.take(bucket.query("d", "ages", limit=5))) == 5
        assert cut.hits == 1
        served.cluster.inject_http(service="capi", cut_after=400, count=1)
        rows, error = failing(loop, bucket.query("d", "ages"))
        assert isinstance(error, IncompleteAnswerError)
        assert 0 < len(rows) < 20
        for status, body in (
            (404, b'{"error":"not_found","reason":"missing"}'),
            (500, b'{"error":"error","reason":"set_view_outdated"}'),
            (503, b""),
        ):
            passing = served.cluster.inject_http(service="capi", status=status, body=body, count=2)
            assert len(loop.take(bucket.query("d", "ages", limit=5))) == 5
            assert passing.hits == 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"error":"not_found","reason":"missing"}', BucketNotFoundError),
        (
            404,
            b'{"error":"not_found","reason":"no_couchbase_bucket_exists"}',
            FeatureNotAvailableError,
        ),
        (403, b'{"message":"Forbidden.","permissions":["cluster!read"]}', NotAuthorizedError),
        (500, b'{"error":"error","reason":"badarg"}', ViewEngineError),
        (500, b"<html>", ViewEngineError),
        (400, b'{"error":"query_parse_error","reason":"x"}', ServerInvalidArgumentError),
        (200, b'{"total_rows":1,"rows":[5]}', BrokenAnswerError),
        (200, b'{"total_rows":1,"rows":[{"id":"a"}]}', BrokenAnswerError),
        (200, b'{"total_rows":1,"rows":[{"id":]}', BrokenAnswerError),
        (200, b"<html>", BrokenAnswerError),
    ],
)
def test_hostile(loop: Loop, status: int, body: bytes, kind: type[Exception]) -> None:
    """Whatever is answered, it ends in a documented error; nothing is left."""
    with people(loop) as (served, bucket):
        served.cluster.inject_http(service="capi", status=status, body=body)
        for keywords in ({}, {"include_docs": True}):
            rows, error = failing(loop, bucket.query("d", "ages", timeout=1, **keywords))
            assert (rows, type(error)) == ([], kind)
            assert "user" not in str(error) or "password" not in str(error)


def test_ephemeral(loop: Loop) -> None:
    """Buckets without views say so."""
    embedded = loop.embedded(buckets=["default", BucketSettings("quick", ephemeral=True)])
    with (
        loop.serving(embedded) as served,
        opened_at(loop, f"{served.connection_string}/quick") as bucket,
    ):
        _, error = failing(loop, bucket.query("d", "v"))
        assert isinstance(error, FeatureNotAvailableError)
        assert "no views" in str(error)


def spatial(asked: Asked) -> None:
    """Answer as a server before 7.0."""
    row = {"id": "a", "key": [[1, 2]], "value": 3, "geometry": {"type": "Point"}}
    asked.answer(json.dumps({"rows": [row]}).encode())


@contextmanager
def instead(loop: Loop, *scripts: Script) -> Iterator[tuple[Any, WebServer]]:
    """Serve scripts in the place of the views service; give a Bucket."""
    embedded = loop.embedded(nodes=1, replicas=0)
    with loop.serving(embedded) as served, web_server(*scripts) as server:
        (node,) = served.cluster.nodes
        real, node.ports["capi"] = node.ports["capi"], server.port
        served.cluster.changed()
        with opened_at(loop, f"{served.connection_string}/default") as bucket:
            yield bucket, server
        node.ports["capi"] = real
        loop.until(lambda: not server.open, "a connection to the service was left")


def test_spatial(loop: Loop) -> None:
    """Spatial views have their own path, parameters and rows."""
    with instead(loop, spatial) as (bucket, server):
        view = bucket.query("g", "s", query=SpatialQuery(start_range=[0, 0], end_range=[9, 9]))
        assert loop.take(view) == [SpatialRow([[1, 2]], 3, {"type": "Point"}, "a", None)]
        (asked,) = server.asked
        assert asked.line == (
            "GET /default/_design/g/_spatial/s?start_range=%5B0%2C%200%5D&end_range=%5B9%2C%209%5D"
            " HTTP/1.1"
        )


def test_spatial_views_are_gone(loop: Loop) -> None:
    """Servers have none since 7.0: that is told at once, and what to use instead."""
    embedded = loop.embedded(nodes=1, replicas=0)
    with (
        loop.serving(embedded) as served,
        opened_at(loop, f"{served.connection_string}/default") as bucket,
    ):
        embedded.buckets["default"].design_documents.put("g", b'{"views": {}}')
        _, error = failing(loop, bucket.query("g", "s", query=SpatialQuery(limit=1)))
        assert isinstance(error, FeatureNotAvailableError)
        assert "geo query" in str(error)


def endless(asked: Asked) -> None:
    """Send rows for as long as there is somebody."""
    asked.begin()
    asked.chunk(b'{"total_rows":5,"rows":[{"id":"a","key":0,"value":0}')
    row = b',\r\n{"id":"a","key":0,"value":0}'
    while True:
        asked.chunk(row * 100)


def test_early_end(loop: Loop) -> None:
    """Who stops, or forgets a view, closes the connection."""
    with instead(loop, endless) as (bucket, server):
        for closes in (True, False):
            for documents in (False, True):
                view = bucket.query("d", "v", include_docs=documents)
                taker = Taker(loop, view)
                assert taker.next().docid == "a"
                if closes:
                    view.close()
                del view, taker
                loop.until(lambda: not server.open, "the service was not told")


def test_names_on_twisted(loop: Loop) -> None:
    """On Twisted SDK 2.5 has names of its own: all rows at once, or handed to an object."""
    with people(loop) as (_, bucket):
        if loop.name == "gevent":
            assert not hasattr(bucket, "queryAll")
            return
        from txcouchbase.rows import RowsHandler  # noqa: PLC0415 - that loop's

        class Handler(RowsHandler[Any]):
            """Notes what it is told."""

            told: list[Any]
            ended = False

            def __init__(self, view: Any) -> None:
                super().__init__(view)
                self.told = []

            def on_rows(self, rows: Iterator[Any]) -> None:
                self.told += rows

            def on_error(self, error: Exception) -> None:
                self.told.append(type(error))

            def on_done(self) -> None:
                self.ended = True

        found = loop.wait(bucket.queryAll("d", "ages", limit=2, include_docs=True))
        assert [row.doc.value["age"] for row in found] == [0, 1]
        assert found.indexed_rows == 250
        handler = bucket.queryEx(Handler, "d", "ages", include_docs=True, limit=110)
        loop.until(lambda: handler.ended)
        assert [row.doc.value["age"] for row in handler.told] == list(range(110))
        handler = bucket.queryEx(Handler, "d", "nosuch", include_docs=True)
        loop.until(lambda: handler.ended)
        assert handler.told == [ViewNotFoundError]
        view = bucket.query("d", "ages", include_docs=True, limit=103)
        pages: list[int] = []
        assert loop.wait(view.on_rows(lambda rows: pages.append(len(rows)))) is view
        assert (sum(pages), max(pages)) == (103, 100)


def test_nothing_is_left(loop: Loop) -> None:
    """No view waits for the garbage collector: not after its end, a failure, nor an early end."""
    with people(loop) as (_, bucket):
        # What is imported, and connected, at the first use is not looked at.
        loop.take(bucket.query("d", "ages", include_docs=True, limit=1))
        with nothing_left():
            for documents in (False, True):
                assert len(loop.take(bucket.query("d", "ages", include_docs=documents))) == 250
                done(loop, partial(first_of, bucket, "no", documents))
                taker = Taker(loop, bucket.query("d", "ages", include_docs=documents))
                taker.next()
                del taker
                loop.turn()


def first_of(bucket: Any, name: str, documents: bool) -> Any:
    """Ask for the first row: to be waited for. A coroutine that fails is a circle of Twisted's."""
    view = bucket.query("d", name, include_docs=documents)
    return view.next() if hasattr(view, "next") else next(iter(view))
