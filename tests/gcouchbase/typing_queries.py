"""What a type checker says of queries to a consumer: mypy reads this, nobody runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from couchloop.client.thread_rows import N1QLRequest as ThreadRequest
from couchloop.client.threads import ThreadSafeBucket
from couchloop.mutation_state import MutationState
from couchloop.n1ql import (
    N1QLQuery,
    QueryMetaData,
    QueryOptions,
    QueryProfile,
    QueryScanConsistency,
    QueryWarning,
)
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.collection import Collection, Scope
from gcouchbase.rows import N1QLRequest


@dataclass
class Row:
    """What a row is."""

    name: str


def of_a_cluster(cluster: Cluster, scope: Scope, state: MutationState) -> None:
    """A Cluster and a scope have `query`."""
    assert_type(cluster.query("SELECT 1"), N1QLRequest[Any])
    assert_type(cluster.query("SELECT 1", type=Row), N1QLRequest[Row])
    assert_type(scope.query("SELECT $1", 5, metrics=True), N1QLRequest[Any])
    assert_type(cluster.n1ql_query(N1QLQuery("SELECT 1")), N1QLRequest[Any])
    cluster.query("SELECT $x", QueryOptions(readonly=True), x=1)
    cluster.query(
        "SELECT 1",
        adhoc=False,
        consistent_with=state,
        profile=QueryProfile.PHASES,
        scan_consistency=QueryScanConsistency.REQUEST_PLUS,
        scan_wait=timedelta(seconds=1),
        timeout=timedelta(seconds=1),
    )
    cluster.query(5)  # type: ignore[call-overload]
    cluster.query("SELECT 1", readonly="yes")  # type: ignore[call-overload]


def of_a_bucket(bucket: Bucket, collection: Collection) -> None:
    """A Bucket and a collection have `n1ql_query`; its rows are iterated."""
    request = bucket.n1ql_query("SELECT 1", type=Row)
    assert_type(collection.n1ql_query("SELECT $x", x=1), N1QLRequest[Any])
    assert_type(iter(request), Iterator[Row])
    assert_type(request.rows(), Iterator[Row])
    for row in request:
        assert_type(row, Row)
    assert_type(request.execute(), N1QLRequest[Row])
    assert_type(request.get_single_result(), Row | None)
    assert_type(request.meta, dict[str, Any])
    assert_type(request.metadata(), QueryMetaData)
    assert_type(request.warnings, list[QueryWarning])
    with request:
        request.close()
    bucket.n1ql_timeout = 5


def in_threads(handle: ThreadSafeBucket) -> None:
    """Handles for threads have them, too."""
    assert_type(handle.n1ql_query("SELECT 1"), ThreadRequest[Any])
    assert_type(handle.collection("c").n1ql_query("SELECT 1", type=Row), ThreadRequest[Row])
    assert_type(handle.scope("s").query("SELECT 1"), ThreadRequest[Any])
    for row in handle.n1ql_query("SELECT 1", type=Row):
        assert_type(row, Row)
