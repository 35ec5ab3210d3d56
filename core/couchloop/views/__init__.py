"""Views: what is asked of them, and their rows (SDK 2.5's module, SDK 4's classes).

`bucket.query` and `bucket.view_query` ask it.
"""

from couchloop.exceptions import AlreadyQueriedError, ViewEngineError
from couchloop.views.options import (
    ViewErrorMode,
    ViewOptions,
    ViewOrdering,
    ViewScanConsistency,
)
from couchloop.views.params import (
    ONERROR_CONTINUE,
    ONERROR_STOP,
    STALE_OK,
    STALE_UPDATE_AFTER,
    STALE_UPDATE_BEFORE,
    UNSPEC,
    Params,
    Query,
    QueryBase,
    SpatialQuery,
    ViewQuery,
    make_options_string,
)
from couchloop.views.results import ViewMetaData
from couchloop.views.rows import RowProcessor, SpatialRow, SpatialRowProcessor, ViewRow

__all__ = [
    "ONERROR_CONTINUE",
    "ONERROR_STOP",
    "STALE_OK",
    "STALE_UPDATE_AFTER",
    "STALE_UPDATE_BEFORE",
    "UNSPEC",
    "AlreadyQueriedError",
    "Params",
    "Query",
    "QueryBase",
    "RowProcessor",
    "SpatialQuery",
    "SpatialRow",
    "SpatialRowProcessor",
    "ViewEngineError",
    "ViewErrorMode",
    "ViewMetaData",
    "ViewOptions",
    "ViewOrdering",
    "ViewQuery",
    "ViewRow",
    "ViewScanConsistency",
    "make_options_string",
]
