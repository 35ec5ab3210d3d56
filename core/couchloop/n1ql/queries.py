"""`query`: a statement, of a cluster or in a scope (SDK 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from couchloop.hot.operation import Defaults
from couchloop.n1ql import options
from couchloop.n1ql.asking import merged, of_object, stream_of
from couchloop.n1ql.options import QueryProfile, QueryScanConsistency
from couchloop.n1ql.query import N1QLQuery
from couchloop.n1ql.stream import QueryStream
from couchloop.operations.scan import Changes
from couchloop.retries import RetryStrategy

_VALUES: Final = (str, int, float, list, dict, tuple)
"""What JSON has, and what is no type."""


def query(
    defaults: Defaults,
    statement: str,
    *args: Any,
    adhoc: bool | None = None,
    client_context_id: str | None = None,
    consistent_with: Changes | None = None,
    flex_index: bool | None = None,
    max_parallelism: int | None = None,
    metrics: bool | None = None,
    named_parameters: Mapping[str, Any] | None = None,
    pipeline_batch: int | None = None,
    pipeline_cap: int | None = None,
    positional_parameters: Sequence[Any] | None = None,
    preserve_expiry: bool | None = None,
    profile: QueryProfile | str | None = None,
    query_context: str | None = None,
    raw: Mapping[str, Any] | None = None,
    readonly: bool | None = None,
    retry_strategy: RetryStrategy | None = None,
    scan_cap: int | None = None,
    scan_consistency: QueryScanConsistency | str | None = None,
    scan_wait: float | timedelta | None = None,
    serializer: Any = None,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    use_replica: bool | None = None,
    **kwargs: Any,
) -> QueryStream:
    """Run a statement of SQL++; its rows stream.

    Args:
        statement: in SQL++; or an N1QLQuery.
        args: QueryOptions, and values for `$1`, `$2` and so on.
        adhoc: False: the statement is prepared, and kept for the next time. None: True.
        client_context_id: by which the cluster's logs name the request. None: one of its own.
        consistent_with: a MutationState: the query sees these changes.
        flex_index: whether search indexes may be used.
        max_parallelism: parts of the query that run at once.
        metrics: whether the service tells what it has measured. None: False.
        named_parameters: values by name, for `$name`.
        pipeline_batch: documents that are fetched at once.
        pipeline_cap: items that wait between two steps of the query.
        positional_parameters: values for `$1`, `$2` and so on.
        preserve_expiry: whether documents that are changed keep their expiry.
        profile: what the query tells of its own work: QueryProfile.OFF, PHASES or TIMINGS.
        query_context: bucket and scope of keyspaces without a path, as `` default:`b`.`s` ``. None:
            that of the scope, if it is asked for a query.
        raw: further members of the request, by the service's names.
        readonly: whether the service refuses what changes anything; such a query is repeated where
            its answer is lost.
        retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket says.
        scan_cap: entries that the index service sends ahead.
        scan_consistency: QueryScanConsistency.NOT_BOUNDED or REQUEST_PLUS: whether indexes are
            waited for.
        scan_wait: seconds that these are waited for.
        serializer: whose `deserialize` makes rows of their bytes.
        timeout: seconds that it has; while rows wait to be taken none pass. None: as the option
            n1ql_timeout says.
        type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
        use_replica: whether documents may come from replicas.
        kwargs: values for `$name`.

    Rows that came before an error are given, then the error is raised: an N1QLError of a class that
    says what it is, with all that the service says. Nothing is sent before the first row is asked
    for. Raises ArgumentError for an option that there is not, InvalidSettingError (a TypeError) for
    what an option cannot be, ValueFormatError for a parameter that JSON cannot say.
    """
    said = {
        "adhoc": adhoc,
        "client_context_id": client_context_id,
        "consistent_with": consistent_with,
        "flex_index": flex_index,
        "max_parallelism": max_parallelism,
        "metrics": metrics,
        "named_parameters": named_parameters,
        "pipeline_batch": pipeline_batch,
        "pipeline_cap": pipeline_cap,
        "positional_parameters": positional_parameters,
        "preserve_expiry": preserve_expiry,
        "profile": profile,
        "query_context": query_context,
        "raw": raw,
        "readonly": readonly,
        "retry_strategy": retry_strategy,
        "scan_cap": scan_cap,
        "scan_consistency": scan_consistency,
        "scan_wait": scan_wait,
        "serializer": serializer,
        "timeout": timeout,
        "use_replica": use_replica,
    }
    given = {name: value for name, value in said.items() if value is not None}
    if type is not None:
        # A parameter may have that name.
        is_value = isinstance(type, _VALUES) or type is True or type is False
        (kwargs if is_value else given)["type"] = type
    if isinstance(statement, N1QLQuery):
        return of_object(defaults, "query", statement, args, {**given, **kwargs})
    text = options.text(statement, "a statement")
    return stream_of(defaults, "query", text, *merged(text, args, given, kwargs))
