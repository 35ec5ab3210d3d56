"""What a type checker says of views to a consumer: mypy reads this, nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from twisted.internet.defer import Deferred

from couchloop.client.thread_rows import View as ThreadView
from couchloop.client.threads import ThreadSafeBucket
from couchloop.management.design_documents import DesignDocumentNamespace
from couchloop.retries import FailFast
from couchloop.views import (
    Query,
    QueryBase,
    RowProcessor,
    SpatialQuery,
    ViewErrorMode,
    ViewMetaData,
    ViewOptions,
    ViewOrdering,
    ViewRow,
    ViewScanConsistency,
)
from txcouchbase.bucket import Bucket
from txcouchbase.rows import BatchedRows, RowsHandler, View


class Handler(RowsHandler[Any]):
    """Takes rows."""

    def on_rows(self, rows: Iterator[Any]) -> None:
        """Take some."""
        next(rows)


@dataclass
class Age:
    """What the value of a row is."""

    years: int


async def of_a_bucket(bucket: Bucket) -> None:
    """A Bucket has both; rows are awaited, or iterated."""
    view = bucket.query("d", "v", use_devmode=True, limit=5, mapkey_range=["a", "b"])
    assert_type(view, View[Any])
    assert_type(aiter(view), AsyncIterator[Any])
    assert_type(await view, list[Any])
    assert_type(view.all(), Deferred[list[Any]])
    assert_type(await view.execute(), View[Any])
    assert_type(await view.on_rows(lambda rows: rows.clear()), View[Any])
    assert_type(bucket.queryAll("d", "v", limit=1), Deferred[BatchedRows[Any]])
    assert_type(bucket.queryEx(Handler, "d", "v", limit=1), Handler)
    assert_type(view.indexed_rows, int)
    assert_type(view.rows_returned, int)
    assert_type(view.errors, list[Any])
    assert_type(view.query, QueryBase)
    assert_type(view.metadata(), ViewMetaData)
    bucket.query("d", "v", query=Query(limit=1), include_docs=True, streaming=False)
    bucket.query("d", "v", query=SpatialQuery(), timeout=timedelta(seconds=1))
    bucket.query("d", "v", row_processor=RowProcessor(tuple))
    typed = bucket.query("d", "v", type=Age, include_docs=True)
    assert_type(typed, View[ViewRow[Age]])
    assert_type(bucket.view_query("d", "v", type=Age), View[ViewRow[Age]])
    assert_type(bucket.query("d", "v", type=Age, row_processor=RowProcessor(tuple)), View[Any])
    assert_type(bucket.query("d", "v", type=Age, query=SpatialQuery()), View[Any])
    assert_type(bucket.threadsafe().query("d", "v", type=Age), ThreadView[ViewRow[Age]])
    bucket.query("d", "v", retry_strategy=FailFast())
    bucket.view_query("d", "v", retry_strategy=FailFast())
    bucket.query(5, "v")  # type: ignore[call-overload]
    bucket.query("d", "v", include_docs="yes")  # type: ignore[call-overload]
    bucket.views_timeout = 5
    assert_type(
        bucket.view_query(
            "d",
            "v",
            ViewOptions(limit=1),
            namespace=DesignDocumentNamespace.DEVELOPMENT,
            order=ViewOrdering.DESCENDING,
            on_error=ViewErrorMode.STOP,
            scan_consistency=ViewScanConsistency.REQUEST_PLUS,
            keys=[1, "a"],
        ),
        View[Any],
    )
    bucket.view_query("d", "v", nosuch=1)  # type: ignore[call-overload]
    async with view:
        view.close()


def in_threads(handle: ThreadSafeBucket) -> None:
    """Handles for threads have them, too."""
    assert_type(handle.query("d", "v"), ThreadView[Any])
    assert_type(handle.view_query("d", "v", limit=1), ThreadView[Any])
    for row in handle.query("d", "v"):
        assert_type(row, Any)
