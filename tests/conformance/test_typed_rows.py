"""Rows of services as values of types (`type=`): of searches, views, analytics and queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from couchloop.exceptions import ArgumentError, InvalidSettingError, ValueFormatError
from couchloop.fulltext import SearchOptions
from couchloop.transcoder import FMT_BYTES
from couchloop.views import RowProcessor, SpatialQuery, SpatialRow, ViewOptions
from tests.conformance.loops import Loop, opened_at
from tests.conformance.test_hostile_services import asking
from tests.conformance.test_queries import said
from tests.conformance.test_views import failing, instead, spatial

pytest.importorskip("msgspec")

import msgspec


@dataclass
class Place:
    """Where somebody is."""

    city: str


class User(msgspec.Struct):
    """What is in a row."""

    name: str
    place: Place | None = None


class Named(TypedDict):
    """A part of it."""

    name: str


ADA = User("Ada", Place("London"))
HITS: dict[str, Any] = {
    "status": {"total": 1, "failed": 0, "successful": 1},
    "hits": [
        {"id": "a", "score": 1.0, "fields": {"name": "Ada", "place": {"city": "London"}}},
        {"id": "b", "score": 0.5, "fields": {"name": "Bob"}},
        {"id": "c", "score": 0.2, "fields": {"name": 5, "secret": "x"}},
        {"id": "d", "score": 0.1, "fields": {"name": "Dot"}},
    ],
    "total_hits": 4,
}


def one_by_one(loop: Loop, request: Any) -> tuple[list[Any], ValueFormatError]:
    """Take rows up to one that does not fit; return them, and what it ends with."""
    rows, error = failing(loop, request)
    assert type(error) is ValueFormatError
    loop.until(lambda: request.closed, "it is not closed")
    return rows, error


def test_hits(loop: Loop) -> None:
    """The fields of hits are values of the type, whoever searches; all else is as without."""
    told = {**HITS, "hits": HITS["hits"][:2]}
    with (
        asking(loop, said(told), key="fts") as there,
        opened_at(loop, f"{there.cluster.connection_string}/default") as bucket,
    ):
        for request in (
            there.cluster.search("i", "a", fields=["*"], type=User),
            there.cluster.search_query("i", "a", type=User, fields=["*"]),
            bucket.search("i", "a", type=User),
            bucket.search("i", "a", SearchOptions(type=User)),
            bucket.default_collection().search("i", "a", type=User),
        ):
            first, second = loop.take(request)
            assert first.fields == first["fields"] == ADA
            assert (first.id, first.score, second.fields) == ("a", 1.0, User("Bob"))
            assert request.total_hits == 4
        (named, _) = loop.take(bucket.search("i", "a", type=Named))
        assert named.fields == {"name": "Ada"}
        (made, _) = loop.take(
            bucket.search("i", "a", type=User, row_factory=lambda hit: hit.fields.name)
        )
        assert made == "Ada"
        handle = bucket.threadsafe()
        (ada, _) = loop.in_thread(lambda: list(handle.search("i", "a", type=User)))
        assert ada.fields == ADA
        asked = len(there.server.asked)
        for search in (there.cluster.search, there.cluster.search_query, bucket.search):
            with pytest.raises(InvalidSettingError):
                search("i", "a", type=5)
        with pytest.raises(InvalidSettingError):
            loop.in_thread(lambda: handle.search("i", "a", type=5))
        assert len(there.server.asked) == asked


def test_a_hit_that_does_not_fit(loop: Loop) -> None:
    """It says where, and of which document, and never what; hits before it are given."""
    bare = {**HITS, "hits": [{"id": "e", "score": 1.0}]}
    with asking(loop, said(HITS), said(bare), said(HITS), key="fts") as there:
        cluster = there.cluster
        rows, error = one_by_one(loop, cluster.search("i", "a", type=User))
        assert [hit.id for hit in rows] == ["a", "b"]
        assert (error.path, error.key) == ("$.fields.name", "c")
        assert error.message == "the field fields.name does not fit User: expected str, got int"
        assert error.context is not None
        assert error.context.operation == "search"
        assert "secret" not in error.details()
        # A hit without fields has none.
        rows, error = one_by_one(loop, cluster.search("i", "a", type=User))
        assert (rows, error.path, error.key) == ([], "$.fields.name", "e")
        # The next is as any.
        assert len(loop.take(cluster.search("i", "a"))) == 4


def test_rows_of_analytics(loop: Loop) -> None:
    """They are values of the type, whoever asks; one that does not fit comes behind the others."""
    good = {"results": [{"name": "Ada", "place": {"city": "London"}}], "status": "success"}
    bad = {"results": [{"name": "Bob"}, {"name": 5}, {"name": "Dot"}], "status": "success"}
    scripts = [said(good)] * 4 + [said(bad), said(good)]
    with (
        asking(loop, *scripts, key="cbas") as there,
        opened_at(loop, f"{there.cluster.connection_string}/default") as bucket,
    ):
        assert loop.take(there.cluster.analytics_query("S", type=User)) == [ADA]
        assert loop.take(bucket.analytics_query("S", type=User)) == [ADA]
        assert loop.take(bucket.scope("s").analytics_query("S", type=User)) == [ADA]
        handle = bucket.threadsafe()
        assert loop.in_thread(lambda: list(handle.analytics_query("S", type=User))) == [ADA]
        rows, error = one_by_one(loop, there.cluster.analytics_query("S", type=User))
        assert rows == [User("Bob")]
        assert (error.path, error.message) == (
            "$.name",
            "the field name does not fit User: expected str, got int",
        )
        assert loop.take(there.cluster.analytics_query("S", type=dict[str, Any]))
        with pytest.raises(InvalidSettingError):
            there.cluster.analytics_query("S", type=5)


VIEW: dict[str, Any] = {
    "total_rows": 3,
    "rows": [
        {"id": "a", "key": ["k", {"name": 5}], "value": {"name": "Ada"}},
        {"id": "b", "key": None, "value": {"name": 5}},
        {"id": "c", "key": None, "value": {"name": "Cid"}},
    ],
}


def test_values_of_views(loop: Loop) -> None:
    """The value of a row is of the type, its key as JSON says; by both names, and in threads."""
    told = {**VIEW, "rows": VIEW["rows"][:1]}
    with instead(loop, said(told)) as (bucket, server):
        for view in (
            bucket.query("d", "v", type=User),
            bucket.query("d", "v", type=User, streaming=False),
            bucket.view_query("d", "v", type=User),
            bucket.view_query("d", "v", ViewOptions(type=User)),
        ):
            (row,) = loop.take(view)
            assert row == (["k", {"name": 5}], User("Ada"), "a", None)
        (row,) = loop.take(bucket.query("d", "v", type=User, row_processor=RowProcessor(tuple_of)))
        assert row == (User("Ada"), "a")
        handle = bucket.threadsafe()
        (row,) = loop.in_thread(lambda: list(handle.query("d", "v", type=User)))
        assert row.value == User("Ada")
        asked = len(server.asked)
        for wrong in (bucket.query, bucket.view_query):
            with pytest.raises(InvalidSettingError):
                wrong("d", "v", type=5)
        with pytest.raises(ArgumentError, match="a serializer and a type exclude each other"):
            bucket.view_query("d", "v", type=User, serializer=object())
        assert len(server.asked) == asked
    with instead(loop, said(VIEW)) as (bucket, _):
        for streaming in (True, False):
            rows, error = one_by_one(loop, bucket.query("d", "v", type=User, streaming=streaming))
            assert [row.docid for row in rows] == ["a"]
            assert (error.path, error.key) == ("$.value.name", "b")
            assert error.message == "the field value.name does not fit User: expected str, got int"
            assert "Cid" not in error.details()
        rows, error = one_by_one(loop, bucket.view_query("d", "v", type=list[int]))
        assert (rows, error.path) == ([], "$.value")
        assert error.message == "the field value does not fit list[int]: expected array, got object"
        assert len(loop.take(bucket.query("d", "v"))) == 3
    with instead(loop, spatial) as (bucket, _):
        (row,) = loop.take(bucket.query("d", "v", query=SpatialQuery(), type=int))
        assert isinstance(row, SpatialRow)
        assert row.value == 3


def tuple_of(key: Any, value: Any, docid: Any, doc: Any) -> tuple[Any, Any]:
    """Make a row of one's own."""
    del key, doc
    return value, docid


@pytest.fixture
def users(loop: Loop) -> Iterator[tuple[Any, Any]]:
    """Serve users, and views of them; give the design documents, and a Bucket."""
    with loop.serving(loop.embedded()) as served:
        designs = served.cluster.buckets["default"].design_documents
        designs.define("d", "plain", lambda doc, meta: [(meta["id"], None)])
        designs.define("d", "names", lambda doc, meta: [(meta["id"], {"name": "of " + meta["id"]})])
        designs.define("d", "numbers", lambda doc, meta: [(meta["id"], 5)])
        designs.define("d", "sums", lambda doc, meta: [(meta["id"], 5)], "_sum")
        with opened_at(loop, f"{served.connection_string}/default") as bucket:
            names = {f"u{number:03}": {"name": f"U{number}"} for number in range(150)}
            loop.wait(bucket.upsert_multi(names))
            yield designs, bucket


def test_documents_of_views(loop: Loop, users: tuple[Any, Any]) -> None:
    """With a row its document is of the type, too; its value may be null beside."""
    designs, bucket = users
    rows = loop.take(bucket.query("d", "plain", include_docs=True, type=User))
    assert [row.doc.value for row in rows] == [User(f"U{number}") for number in range(150)]
    assert {row.value for row in rows} == {None}
    (row,) = loop.take(bucket.query("d", "names", include_docs=True, type=User, limit=1))
    assert (row.value, row.doc.value) == (User("of u000"), User("U0"))
    assert loop.take(bucket.query("d", "sums", type=int)) == [(None, 750, None, None)]
    designs.is_lagging = True
    loop.wait(bucket.remove("u001"))
    keys = ["u000", "u001", "u002"]
    rows = loop.take(bucket.query("d", "plain", include_docs=True, type=User, keys=keys))
    assert [row.doc.success for row in rows] == [True, False, True]
    handle = bucket.threadsafe()
    rows = loop.in_thread(
        lambda: list(handle.query("d", "plain", include_docs=True, type=User, limit=1))
    )
    assert rows[0].doc.value == User("U0")


def test_documents_that_do_not_fit(loop: Loop, users: tuple[Any, Any]) -> None:
    """Rows before it are given, whatever page it is of; it says which document it is, and where."""
    _, bucket = users

    def query(**more: Any) -> Any:
        return bucket.query("d", "plain", include_docs=True, type=User, stale=False, **more)

    for key in ("u120", "u003", "u000"):
        loop.wait(bucket.upsert(key, {"name": 5}))
        rows, error = one_by_one(loop, query())
        assert [row.docid for row in rows] == [f"u{number:03}" for number in range(int(key[1:]))]
        assert all(row.doc.value.name == f"U{int(row.docid[1:])}" for row in rows)
        assert (error.path, error.key) == ("$.name", key)
        assert error.message == "the field name does not fit User: expected str, got int"
    loop.wait(bucket.upsert("u000", b"bytes", format=FMT_BYTES))
    rows, error = one_by_one(loop, query(limit=1))
    assert rows == []
    assert "type= reads JSON" in error.message

    handle = bucket.threadsafe()

    def in_thread() -> list[Any]:
        view = handle.query("d", "plain", include_docs=True, type=User, startkey="u001")
        found: list[Any] = []
        with pytest.raises(ValueFormatError):
            found.extend(row.docid for row in view)
        return found

    assert loop.in_thread(in_thread) == ["u001", "u002"]
    # A value that does not fit, too.
    numbers = bucket.query("d", "numbers", include_docs=True, type=User)
    rows, error = one_by_one(loop, numbers)
    assert (rows, error.path) == ([], "$.value")
    # It harms no other.
    assert len(loop.take(bucket.query("d", "plain", include_docs=True))) == 150


def test_rows_of_queries(loop: Loop) -> None:
    """So it is with queries, of which the others take it."""
    bad = {"results": [{"name": "Bob"}, {"name": 5}], "status": "success"}
    with asking(loop, said(bad)) as there:
        rows, error = one_by_one(loop, there.cluster.query("S", type=User))
        assert rows == [User("Bob")]
        assert (error.path, error.key) == ("$.name", None)
