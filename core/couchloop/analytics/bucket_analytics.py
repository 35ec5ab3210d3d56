"""`analytics_query` of a Bucket: a statement, or an AnalyticsQuery, and who is asked (SDK 2.5)."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

from couchloop.analytics.asking import node_of, of_object
from couchloop.analytics.query import AnalyticsQuery
from couchloop.analytics.stream import AnalyticsStream
from couchloop.hot.operation import Defaults
from couchloop.n1ql.query import N1QLQuery
from couchloop.retries import RetryStrategy


def analytics_query(
    defaults: Defaults,
    query: str | AnalyticsQuery,
    host: str | None = None,
    *args: Any,
    retry_strategy: RetryStrategy | None = None,
    row_factory: Any = None,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    **kwargs: Any,
) -> AnalyticsStream:
    """Run a statement of SQL++ in the analytics service; its rows stream.

    Args:
        query: a statement, an AnalyticsQuery, or a DeferredAnalyticsQuery, whose rows are fetched
            once the service says that they are ready.
        host: of the node that is asked, with or without its port. None: any that has the service.
        args: values for `$1`, `$2` and so on; an AnalyticsQuery is not changed by that.
        retry_strategy: whether and when it is tried again. None: as the Bucket says.
        row_factory: is called with each row, and gives what is given instead.
        timeout: seconds that it has; while rows wait to be taken none pass. None: as the
            AnalyticsQuery says, or the option analytics_timeout.
        type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
        kwargs: options by the names of an AnalyticsQuery's attributes, and values for `$name`.

    Rows that came before an error are given, then the error is raised: an AnalyticsError of a class
    that says what it is, with all that the service says. What did not run is asked anew, ten times
    at most. Nothing is sent before the first row is asked for. Raises InvalidSettingError (a
    TypeError) for a query that is neither, ValueFormatError for a parameter that JSON cannot say;
    while rows are taken NodeNotAvailableError for a host that is no node with the service.
    """
    given = {
        "retry_strategy": retry_strategy,
        "row_factory": row_factory,
        "timeout": timeout,
        "type": type,
    }
    others = {name: value for name, value in given.items() if value is not None}
    if isinstance(query, N1QLQuery):
        if (args or kwargs) and isinstance(query, AnalyticsQuery):
            query = deepcopy(query).update(*args, **kwargs)
    else:
        query = AnalyticsQuery(query, *args, **kwargs)
    return of_object(defaults, "analytics_query", query, (), others, node_of(host))
