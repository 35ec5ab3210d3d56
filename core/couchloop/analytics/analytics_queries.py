"""`analytics_query`: a statement for the analytics service, of a cluster or in a scope (SDK 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from couchloop.analytics.asking import of_options
from couchloop.analytics.options import AnalyticsScanConsistency
from couchloop.analytics.query import AnalyticsQuery
from couchloop.analytics.stream import AnalyticsStream
from couchloop.hot.operation import Defaults
from couchloop.retries import RetryStrategy


def analytics_query(
    defaults: Defaults,
    statement: str | AnalyticsQuery,
    *args: Any,
    client_context_id: str | None = None,
    named_parameters: Mapping[str, Any] | None = None,
    positional_parameters: Sequence[Any] | None = None,
    priority: bool | None = None,
    query_context: str | None = None,
    raw: Mapping[str, Any] | None = None,
    readonly: bool | None = None,
    retry_strategy: RetryStrategy | None = None,
    row_factory: Any = None,
    scan_consistency: AnalyticsScanConsistency | str | None = None,
    serializer: Any = None,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    **kwargs: Any,
) -> AnalyticsStream:
    """Run a statement of SQL++ in the analytics service; its rows stream.

    Args:
        statement: in SQL++; or an AnalyticsQuery.
        args: AnalyticsOptions, and values for `$1`, `$2` and so on.
        client_context_id: by which the cluster's logs name the request. None: one of its own.
        named_parameters: values by name, for `$name`.
        positional_parameters: values for `$1`, `$2` and so on.
        priority: whether it goes before other queries.
        query_context: bucket and scope of datasets without a path, as `` default:`b`.`s` ``. None:
            that of the scope, if it is asked for a query.
        raw: further members of the request, by the service's names.
        readonly: whether the service refuses what changes anything; such a query is repeated where
            its answer is lost.
        retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket says.
        row_factory: is called with each row, and gives what is given instead.
        scan_consistency: AnalyticsScanConsistency.NOT_BOUNDED or REQUEST_PLUS: whether datasets are
            waited for.
        serializer: whose `deserialize` makes rows of their bytes.
        timeout: seconds that it has; while rows wait to be taken none pass. None: as the option
            analytics_timeout says.
        type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
        kwargs: values for `$name`.

    Rows that came before an error are given, then the error is raised: an AnalyticsError of a class
    that says what it is, with all that the service says. What did not run is asked anew, ten times
    at most. Nothing is sent before the first row is asked for. Raises InvalidSettingError (a
    TypeError) for what an option cannot be, ValueFormatError for a parameter that JSON cannot say.
    """
    given = {
        name: value
        for name, value in (
            ("client_context_id", client_context_id),
            ("named_parameters", named_parameters),
            ("positional_parameters", positional_parameters),
            ("priority", priority),
            ("query_context", query_context),
            ("raw", raw),
            ("readonly", readonly),
            ("retry_strategy", retry_strategy),
            ("row_factory", row_factory),
            ("scan_consistency", scan_consistency),
            ("serializer", serializer),
            ("timeout", timeout),
            ("type", type),
        )
        if value is not None
    }
    return of_options(defaults, "analytics_query", statement, args, given, kwargs)
