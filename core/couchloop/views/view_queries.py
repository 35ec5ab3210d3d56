"""Queries of views: `query` (SDK 2.5) and `view_query` (SDK 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from couchloop.arguments.exact import is_true
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.hot.operation import Defaults
from couchloop.management.answers import checked_name
from couchloop.management.design_documents import DEVELOPMENT, DesignDocumentNamespace
from couchloop.operations.arguments import asking_by
from couchloop.retries import RetryStrategy
from couchloop.views import options
from couchloop.views.options import ViewErrorMode, ViewOptions, ViewOrdering, ViewScanConsistency
from couchloop.views.params import UNSPEC, QueryBase, ViewQuery
from couchloop.views.rows import RowProcessor, ViewRow
from couchloop.views.stream import Asked, ViewStream


def query(
    defaults: Defaults,
    design: str,
    view: str,
    use_devmode: bool = False,
    *,
    query: QueryBase | Mapping[str, Any] | str | None = None,
    include_docs: bool = False,
    retry_strategy: RetryStrategy | None = None,
    row_processor: RowProcessor | None = None,
    streaming: bool = True,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    **params: Any,
) -> ViewStream:
    """Query a view; its rows stream.

    Args:
        design: name of the design document.
        view: name of the view.
        use_devmode: whether the design document is the one for development.
        query: a ViewQuery or SpatialQuery, or its parameters as dict or text. None: *params*.
        include_docs: whether rows have the documents' results as `doc`; they are fetched while rows
            come, many at once. What is not there (any more) has a result without success.
        retry_strategy: whether and when it is tried again. None: as the Bucket says.
        row_processor: a RowProcessor: its `rowclass` makes rows.
        streaming: whether rows are given while the answer comes, or once it is whole.
        timeout: seconds that it has; while rows wait to be taken none pass. None: as the Bucket's
            `views_timeout` says.
        type: of the rows' values, and of documents: what msgspec takes, as a Struct or a dataclass;
            with *include_docs* a value may be null beside. None: as JSON says.
        params: parameters of a ViewQuery: `key`, `keys`, `limit`, `stale` and the others.

    A node that fails has its rows missing: the others are given, then ViewEngineError is raised,
    unless `on_error="continue"` is said; `errors` has all failures. A query is repeated on another
    node as long as no row was given. Nothing is sent before the first row is asked for. Raises
    ArgumentError for a parameter that there is not, or a value that it cannot have.
    """
    defaults = asking_by(defaults, retry_strategy)
    asked_query = _query_of(query, params)
    has_documents = is_true(include_docs, "include_docs")
    name = checked_name(design, "design document")
    if is_true(use_devmode, "use_devmode") and not name.startswith(DEVELOPMENT):
        name = DEVELOPMENT + name
    asked = Asked(
        name,
        checked_name(view, "view"),
        _without_reduce(asked_query) if has_documents else asked_query,
        _seconds(defaults, timeout),
        _row_of(row_processor),
        has_documents,
        is_true(streaming, "streaming"),
        type,
    )
    return ViewStream("query", defaults, asked)


def view_query(
    defaults: Defaults,
    design_doc: str,
    view_name: str,
    *view_options: ViewOptions,
    client_context_id: str | None = None,
    debug: bool | None = None,
    endkey: Any = None,
    endkey_docid: str | None = None,
    full_set: bool | None = None,
    group: bool | None = None,
    group_level: int | None = None,
    inclusive_end: bool | None = None,
    key: Any = None,
    keys: Sequence[Any] | None = None,
    limit: int | None = None,
    namespace: DesignDocumentNamespace | None = None,
    on_error: ViewErrorMode | str | None = None,
    order: ViewOrdering | str | None = None,
    query_string: Sequence[str] | None = None,
    raw: Mapping[str, str] | None = None,
    reduce: bool | None = None,
    retry_strategy: RetryStrategy | None = None,
    scan_consistency: ViewScanConsistency | str | None = None,
    serializer: Any = None,
    skip: int | None = None,
    startkey: Any = None,
    startkey_docid: str | None = None,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
) -> ViewStream:
    """Query a view; its rows stream.

    Args:
        design_doc: name of the design document.
        view_name: name of the view.
        view_options: ViewOptions.
        client_context_id: is not sent: views know none.
        debug: whether the answer says how it came about.
        endkey: where rows end: any JSON value.
        endkey_docid: the last document among those whose row has *endkey*.
        full_set: whether a view for development sees all documents.
        group: whether rows are reduced by their whole keys.
        group_level: by how many elements of array keys they are reduced.
        inclusive_end: whether rows of *endkey* itself are given. None: True.
        key: the key of all rows. None is not said: `raw={"key": "null"}` says it.
        keys: keys of rows, in the order in which rows are to come.
        limit: the most rows that are given.
        namespace: DesignDocumentNamespace.DEVELOPMENT or PRODUCTION. None: as the name says.
        on_error: ViewErrorMode.CONTINUE or STOP, where a node fails.
        order: ViewOrdering.ASCENDING or DESCENDING.
        query_string: further parameters, each percent-encoded with its value.
        raw: parameters by the server's names, with texts as it reads them.
        reduce: whether rows are reduced, by views that can. None: True.
        retry_strategy: whether and when it is tried again. None: as the Bucket says.
        scan_consistency: ViewScanConsistency.NOT_BOUNDED, UPDATE_AFTER or REQUEST_PLUS: how old
            rows may be. None: UPDATE_AFTER.
        serializer: whose `deserialize` makes keys and values of a row's bytes.
        skip: how many rows are passed over.
        startkey: where rows begin.
        startkey_docid: the first document among those whose row has *startkey*.
        timeout: seconds that it has; while rows wait to be taken none pass. None: as the Bucket's
            `views_timeout` says.
        type: of the rows' values: what msgspec takes, as a Struct or a dataclass. None: as JSON
            says.

    A node that fails has its rows missing: the others are given, then ViewEngineError is raised,
    unless *on_error* is CONTINUE; `errors` has all failures. Nothing is sent before the first row
    is asked for. Raises ArgumentError for a value that a parameter cannot have, InvalidSettingError
    (a TypeError) for an option that is no such.
    """
    given: dict[str, Any] = {}
    for each in view_options:
        if not isinstance(each, Mapping):
            raise InvalidSettingError("options of a view are ViewOptions", objextra=each)
        given |= each
    said = {
        "client_context_id": client_context_id,
        "debug": debug,
        "endkey": endkey,
        "endkey_docid": endkey_docid,
        "full_set": full_set,
        "group": group,
        "group_level": group_level,
        "inclusive_end": inclusive_end,
        "key": key,
        "keys": keys,
        "limit": limit,
        "namespace": namespace,
        "on_error": on_error,
        "order": order,
        "query_string": query_string,
        "raw": raw,
        "reduce": reduce,
        "retry_strategy": retry_strategy,
        "scan_consistency": scan_consistency,
        "serializer": serializer,
        "skip": skip,
        "startkey": startkey,
        "startkey_docid": startkey_docid,
        "timeout": timeout,
        "type": type,
    }
    given |= {name: value for name, value in said.items() if value is not None}
    options.check(given)
    defaults = asking_by(defaults, given.get("retry_strategy"))
    asked = Asked(
        _name_in(checked_name(design_doc, "design document"), given.get("namespace")),
        checked_name(view_name, "view"),
        options.query_of(given),
        _seconds(defaults, given.get("timeout")),
        ViewRow,
        kind=given.get("type"),
    )
    serializer = given.get("serializer")
    if serializer is not None and asked.kind is not None:
        raise ArgumentError("a serializer and a type exclude each other")
    return ViewStream("view_query", defaults, asked, options.reader(serializer))


def _query_of(query: Any, params: Mapping[str, Any]) -> QueryBase:
    if query is None:
        return ViewQuery(**params)
    if params:
        raise ArgumentError(
            "a query has all that is said of it: more is added by query.update(copy=True, …)",
            objextra=sorted(params),
        )
    if isinstance(query, QueryBase):
        return query.update(copy=True)
    return ViewQuery.from_any(query)


def _without_reduce(query: QueryBase) -> QueryBase:
    """Return a query of rows that have documents. Raises ArgumentError if it reduces."""
    if not isinstance(query, ViewQuery):
        return query
    if query.reduce not in {UNSPEC, False, "false"} or query.group or query.group_level:
        raise ArgumentError(
            "include_docs is for rows that are not reduced: without reduce, group and group_level"
        )
    # Where a view can reduce, a server does unless it is told not to.
    return query if query.passthrough else query.update(copy=True, reduce=False)


def _row_of(processor: Any) -> Callable[..., Any] | None:
    if processor is None:
        return None
    made = getattr(processor, "rowclass", processor)
    if made is not None and not callable(made):
        raise InvalidSettingError(
            "a row_processor is a RowProcessor, whose rowclass makes rows", objextra=processor
        )
    found: Callable[..., Any] | None = made
    return found


def _seconds(defaults: Defaults, timeout: object) -> float:
    if timeout is None:
        return defaults.services.views_timeout
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    return exact_seconds(timeout)


def _name_in(name: str, namespace: object) -> str:
    if namespace is None:
        return name
    if not isinstance(namespace, DesignDocumentNamespace):
        raise InvalidSettingError("a namespace is a DesignDocumentNamespace", objextra=namespace)
    return namespace.prefix(name)
