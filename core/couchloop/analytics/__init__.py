"""Queries of the analytics service (SDK 2.5's module): what is asked, and how.

`bucket.analytics_query`, `cluster.analytics_query` and `scope.analytics_query` ask it.
"""

from couchloop.analytics.ingester import AnalyticsIngester, BucketOperator, BucketOperators
from couchloop.analytics.options import (
    NOT_BOUNDED,
    REQUEST_PLUS,
    AnalyticsOptions,
    AnalyticsScanConsistency,
)
from couchloop.analytics.query import AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.analytics.results import AnalyticsMetaData, AnalyticsMetrics, AnalyticsWarning

__all__ = [
    "NOT_BOUNDED",
    "REQUEST_PLUS",
    "AnalyticsIngester",
    "AnalyticsMetaData",
    "AnalyticsMetrics",
    "AnalyticsOptions",
    "AnalyticsQuery",
    "AnalyticsScanConsistency",
    "AnalyticsWarning",
    "BucketOperator",
    "BucketOperators",
    "DeferredAnalyticsQuery",
]
