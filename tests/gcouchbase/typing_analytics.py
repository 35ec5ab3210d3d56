"""What type checkers see of analytics queries: nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from couchloop.analytics import AnalyticsOptions, AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.analytics.results import AnalyticsMetaData
from couchloop.client.thread_rows import AnalyticsRequest as ThreadRequest
from couchloop.client.threads import ThreadSafeCluster
from couchloop.management.analytics_indexes import (
    AnalyticsDataset,
    AnalyticsDataType,
    AnalyticsIndex,
)
from couchloop.management.analytics_links import AnalyticsLink, S3ExternalAnalyticsLink
from couchloop.retries import FailFast
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.rows import (
    AnalyticsRequest,
    DeferredAnalyticsRequest,
    N1QLRequest,
    SearchRequest,
    View,
)


@dataclass
class Part:
    """A row."""

    a: int


def queries(bucket: Bucket, cluster: Cluster) -> None:
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
    cluster.analytics_query("SELECT 1", retry_strategy=FailFast())
    bucket.analytics_query("SELECT 1", retry_strategy=FailFast())
    cluster.analytics_query(5)  # type: ignore[call-overload]


def manager(cluster: Cluster | ThreadSafeCluster) -> None:
    """What can be asked about what the analytics service has."""
    manager = cluster.analytics_indexes()
    manager.create_dataverse("v", ignore_if_exists=True)
    manager.drop_dataverse("v")
    manager.create_dataset("d", "b", condition="n > 5")
    manager.drop_dataset("d")
    assert_type(manager.get_all_datasets(), list[AnalyticsDataset])
    manager.create_index("i", "d", {"n": AnalyticsDataType.INT64})
    manager.drop_index("i", "d")
    assert_type(manager.get_all_indexes(), list[AnalyticsIndex])
    manager.connect_link(force=True)
    manager.disconnect_link()
    assert_type(manager.get_pending_mutations(), dict[str, dict[str, int]])
    link = S3ExternalAnalyticsLink("v", "l", "id", "region", secret_access_key="s")
    manager.create_link(link)
    manager.replace_link(link)
    manager.drop_link("l", "v")
    assert_type(manager.get_links(dataverse_name="v"), list[AnalyticsLink])


def by_hand(bucket: Bucket) -> None:
    """SDK 2.5's constructors; what rows are is said where the request is kept."""
    query = DeferredAnalyticsQuery("SELECT 1")
    at_once: AnalyticsRequest[Part] = AnalyticsRequest("SELECT 1", None, bucket)
    later: DeferredAnalyticsRequest[Any] = DeferredAnalyticsRequest(query, "host", bucket, 5.0)
    rows: N1QLRequest[Any] = N1QLRequest("SELECT 1", bucket, meta_lookahead=False)
    hits: SearchRequest[Any] = SearchRequest({"indexName": "i", "query": {}}, bucket)
    view: View[Any] = View(bucket, "d", "v", limit=5)
    assert_type(at_once.is_ready, bool)
    assert_type(later.is_ready, bool)
    assert_type(rows.raw.http_status, int)
    assert_type(hits.raw.value, dict[str, Any])
    assert_type(view.design, str)
    DeferredAnalyticsRequest("SELECT 1", None, bucket)  # type: ignore[arg-type]
