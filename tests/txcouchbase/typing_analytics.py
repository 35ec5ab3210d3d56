"""What type checkers see of analytics queries: nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from couchloop.analytics import AnalyticsOptions, AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.analytics.results import AnalyticsMetaData
from couchloop.client.thread_rows import AnalyticsRequest as ThreadRequest
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster
from txcouchbase.rows import AnalyticsRequest


@dataclass
class Part:
    """A row."""

    a: int


async def queries(bucket: Bucket, cluster: Cluster) -> None:
    """Whoever asks is given the loop's own request; of a type, if it says so."""
    query = AnalyticsQuery("SELECT 1", readonly=True)
    assert_type(cluster.analytics_query("SELECT 1"), AnalyticsRequest[Any])
    assert_type(cluster.analytics_query("SELECT 1", type=Part), AnalyticsRequest[Part])
    request = cluster.analytics_query(query, AnalyticsOptions(), priority=True)
    assert_type(request.metadata(), AnalyticsMetaData)
    assert_type(bucket.analytics_query(query, "host"), AnalyticsRequest[Any])
    deferred = DeferredAnalyticsQuery("SELECT 1")
    assert_type(bucket.analytics_query(deferred, type=Part), AnalyticsRequest[Part])
    assert_type(bucket.scope("s").analytics_query("SELECT 1"), AnalyticsRequest[Any])
    assert_type(bucket.threadsafe().analytics_query("SELECT 1"), ThreadRequest[Any])
    assert_type(cluster.threadsafe().analytics_query("SELECT 1"), ThreadRequest[Any])
    cluster.analytics_query(5)  # type: ignore[call-overload]
    assert_type(await cluster.analytics_query("SELECT 1", type=Part), list[Part])
