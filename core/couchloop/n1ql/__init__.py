"""Queries in SQL++, which was called N1QL (SDK 2.5's module): what is asked, and how.

`bucket.n1ql_query`, `cluster.query` and `scope.query` ask it.
"""

from couchloop.exceptions import AlreadyQueriedError, N1QLError
from couchloop.n1ql.options import (
    CONSISTENCY_NONE,
    CONSISTENCY_REQUEST,
    CONSISTENCY_UNBOUNDED,
    NOT_BOUNDED,
    PROFILE_OFF,
    PROFILE_PHASES,
    PROFILE_TIMINGS,
    REQUEST_PLUS,
    STATEMENT_PLUS,
    UNBOUNDED,
    VALID_PROFILES,
    QueryOptions,
    QueryProfile,
    QueryScanConsistency,
)
from couchloop.n1ql.query import N1QLQuery
from couchloop.n1ql.results import QueryMetaData, QueryMetrics, QueryWarning

__all__ = [
    "CONSISTENCY_NONE",
    "CONSISTENCY_REQUEST",
    "CONSISTENCY_UNBOUNDED",
    "NOT_BOUNDED",
    "PROFILE_OFF",
    "PROFILE_PHASES",
    "PROFILE_TIMINGS",
    "REQUEST_PLUS",
    "STATEMENT_PLUS",
    "UNBOUNDED",
    "VALID_PROFILES",
    "AlreadyQueriedError",
    "N1QLError",
    "N1QLQuery",
    "QueryMetaData",
    "QueryMetrics",
    "QueryOptions",
    "QueryProfile",
    "QueryScanConsistency",
    "QueryWarning",
]
