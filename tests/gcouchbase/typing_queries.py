"""What a type checker says of queries to a consumer: mypy reads this, nobody runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from couchloop.client.thread_rows import N1QLRequest as ThreadRequest
from couchloop.client.threads import ThreadSafeBucket
from couchloop.management.index_statements import QueryIndex
from couchloop.management.n1ql_indexes import N1qlIndex
from couchloop.mutation_state import MutationState
from couchloop.n1ql import (
    N1QLQuery,
    QueryMetaData,
    QueryOptions,
    QueryProfile,
    QueryScanConsistency,
    QueryWarning,
)
from couchloop.retries import FailFast
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
    cluster.query("SELECT 1", retry_strategy=FailFast())
    cluster.query("SELECT 1", retry_strategy=5)  # type: ignore[call-overload]
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


def indexes(cluster: Cluster, collection: Collection) -> None:
    """Indexes of a cluster's buckets, and of a collection."""
    manager = cluster.query_indexes()
    manager.create_index("b", "i", ["a"], ignore_if_exists=True)
    manager.create_primary_index("b", deferred=True)
    manager.drop_index("b", "i")
    manager.drop_primary_index("b")
    assert_type(manager.get_all_indexes("b"), list[QueryIndex])
    assert_type(manager.build_deferred_indexes("b"), list[QueryIndex])
    assert_type(manager.watch_indexes("b", ["i"], timeout=5), list[QueryIndex])
    of_one = collection.query_indexes()
    of_one.create_index("i", ["a"])
    of_one.create_primary_index()
    of_one.drop_index("i")
    of_one.drop_primary_index()
    assert_type(of_one.get_all_indexes(), list[QueryIndex])
    assert_type(of_one.build_deferred_indexes(), list[QueryIndex])
    assert_type(of_one.watch_indexes(["i"]), list[QueryIndex])
    manager.create_index("b", "i")  # type: ignore[call-arg]


def old_indexes(bucket: Bucket) -> None:
    """The same by the names of SDK 2.5."""
    manager = bucket.bucket_manager()
    manager.n1ql_index_create("i", fields=["a"])
    manager.n1ql_index_create_primary(ignore_exists=True)
    manager.n1ql_index_drop("i")
    manager.n1ql_index_drop_primary()
    assert_type(manager.n1ql_index_list(), list[N1qlIndex])
    assert_type(manager.n1ql_index_build_deferred(), list[N1qlIndex])
    assert_type(manager.n1ql_index_watch(["i"]), list[N1qlIndex])
    manager.create_n1ql_index("i", fields=["a"])
    manager.create_n1ql_primary_index()
    manager.drop_n1ql_index("i")
    manager.drop_n1ql_primary_index()
    manager.list_n1ql_indexes()
    manager.build_n1ql_deferred_indexes()
    manager.watch_n1ql_indexes(["i"])
