"""`search`: documents found by what is in them (SDK 2.5, SDK 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from couchloop.exceptions import InvalidSettingError
from couchloop.fulltext.body import Searched
from couchloop.fulltext.facets import Facet
from couchloop.fulltext.hits import SearchRow
from couchloop.fulltext.params import HighlightStyle, Params, SearchScanConsistency
from couchloop.fulltext.rows import SearchRows
from couchloop.fulltext.sorts import Sort
from couchloop.hot.operation import Defaults
from couchloop.operations.arguments import asking_by
from couchloop.operations.scan import Changes
from couchloop.retries import RetryStrategy


def search(
    defaults: Defaults,
    index: str,
    query: Searched,
    params: Params | None = None,
    *,
    collections: Iterable[str] | None = None,
    consistency: str | None = None,
    consistent_with: Changes | None = None,
    disable_scoring: bool | None = None,
    explain: bool | None = None,
    facets: Mapping[str, Facet] | None = None,
    fields: Iterable[str] | None = None,
    highlight_fields: Iterable[str] | None = None,
    highlight_style: HighlightStyle | str | None = None,
    include_locations: bool | None = None,
    limit: int | None = None,
    raw: Mapping[str, Any] | None = None,
    retry_strategy: RetryStrategy | None = None,
    row_factory: Callable[[SearchRow], Any] | None = None,
    scan_consistency: SearchScanConsistency | str | None = None,
    search_after: Iterable[str] | None = None,
    search_before: Iterable[str] | None = None,
    show_request: bool | None = None,
    skip: int | None = None,
    sort: Sort | Iterable[Sort | str] | None = None,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
) -> SearchRows:
    """Find documents by what is in them; hits stream, the best come first.

    Args:
        index: the index' name; of a scope, if a scope or a collection is asked.
        query: a query of `couchloop.fulltext`, a SearchRequest, vectors, or a text in the service's
            language for people.
        params: how it is to be answered; what is said beside counts more.
        collections: the names of those that are searched, of an index of several.
        consistency: `not_bounded`, which it is by itself.
        consistent_with: a MutationState: the index is waited for until it has these changes.
        disable_scoring: whether all hits are equally good.
        explain: whether hits say how their score came about.
        facets: what is counted beside, by name.
        fields: of documents, which hits have; `["*"]`: all that the index keeps.
        highlight_fields: the fields with fragments. None: all.
        highlight_style: how what was found is marked in fragments: `html` or `ansi`.
        include_locations: whether hits say where terms stand.
        limit: hits at most; by itself 10.
        raw: further members of the request, by the service's names.
        retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket says.
        row_factory: is called with each hit, and gives what is given instead.
        scan_consistency: the same as `consistency`; SDK 4's name.
        search_after: the `sort` of a hit, behind which the search goes on.
        search_before: the `sort` of a hit, before which it goes on.
        show_request: whether the answer has the request.
        skip: hits that are left out, the best ones.
        sort: a Sort, or a list of fields' names and of sorts. None: by score.
        timeout: seconds that it has; while hits wait to be taken none pass. None: as the params
            say, or the option search_timeout.
        type: of the hits' fields: what msgspec takes, as a Struct or a dataclass. None: a dict. A
            hit whose fields do not fit ends the search with a ValueFormatError.

    Parts of the index that have failed are told by `errors` of the result, beside the hits of
    others. Nothing is sent before the first hit is asked for. A search changes nothing: where its
    answer is lost before a hit was given, it is repeated. Raises InvalidSettingError (a TypeError),
    InvalidSearchError (a ValueError), NoChildrenError; while hits are taken
    SearchIndexNotFoundError, FeatureNotAvailableError, ServerInvalidArgumentError,
    ConsistencyMismatchError, RateLimitedError, SearchError and what all requests to services raise.
    """
    given = {
        "collections": collections,
        "consistency": consistency,
        "consistent_with": consistent_with,
        "disable_scoring": disable_scoring,
        "explain": explain,
        "facets": facets,
        "fields": fields,
        "highlight_fields": highlight_fields,
        "highlight_style": highlight_style,
        "include_locations": include_locations,
        "limit": limit,
        "raw": raw,
        "retry_strategy": retry_strategy,
        "scan_consistency": scan_consistency,
        "search_after": search_after,
        "search_before": search_before,
        "show_request": show_request,
        "skip": skip,
        "sort": sort,
        "timeout": timeout,
        "type": type,
    }
    return _made("search", defaults, index, query, params, given, row_factory)


def search_query(
    defaults: Defaults,
    index: str,
    query: Searched,
    params: Params | None = None,
    *,
    row_factory: Callable[[SearchRow], Any] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    **options: Any,
) -> SearchRows:
    """Find documents by what is in them: SDK 4's older name of `search`, which see.

    Args:
        index: the index' name.
        query: what is searched for.
        params: how it is to be answered.
        row_factory: is called with each hit, and gives what is given instead.
        type: of the hits' fields; see `search`.
        options: as `search` has them.

    Raises ArgumentError for an option that there is not, and what `search` raises.
    """
    return _made(
        "search_query", defaults, index, query, params, {**options, "type": type}, row_factory
    )


def _made(
    name: str,
    defaults: Defaults,
    index: str,
    query: Searched,
    params: Params | None,
    given: Mapping[str, Any],
    row_factory: Callable[[SearchRow], Any] | None,
) -> SearchRows:
    if params is None:
        params = Params()
    elif not isinstance(params, Params):
        text = f"params are a Params, not {type(params).__name__}"
        raise InvalidSettingError(text, objextra=params)
    if row_factory is not None and not callable(row_factory):
        raise InvalidSettingError("a row_factory is a function", objextra=row_factory)
    params = params.updated(given)
    defaults = asking_by(defaults, params.retry_strategy)
    services = defaults.services
    scope = (services.bucket, services.scope) if services.scope else None
    seconds = services.search_timeout if params.timeout is None else params.timeout
    return SearchRows(name, defaults, index, query, params, scope, seconds, row_factory)
