"""The body of a search's request."""

from __future__ import annotations

import json
from typing import Any, Final

from couchloop.exceptions import InvalidSettingError
from couchloop.fulltext.params import Params, Scope
from couchloop.fulltext.queries import MatchNoneQuery, QueryStringQuery, SearchQuery
from couchloop.fulltext.vectors import SearchRequest, VectorSearch

Searched = SearchQuery | SearchRequest | VectorSearch | str
"""What is searched for; a text is a `QueryStringQuery`."""

_HEAD_START: Final = 500
"""Milliseconds by which the service gives up before its client does, so that it says why."""
_LONGEST: Final = 0x7FFFFFFFFFFFFFFF // 1_000_000
"""Milliseconds: the service counts in nanoseconds."""


def searched(given: object) -> tuple[SearchQuery | None, VectorSearch | None]:
    """Return the query and the vectors that *given* means. Raises InvalidSettingError."""
    if isinstance(given, str):
        return QueryStringQuery(given), None
    if isinstance(given, SearchQuery):
        return given, None
    if isinstance(given, VectorSearch):
        return None, given
    if isinstance(given, SearchRequest):
        return given.search_query, given.vector_search
    kind = type(given).__name__
    raise InvalidSettingError(
        f"a search is for a query of couchloop.fulltext, or a text, not {kind}", objextra=given
    )


def make_search_body(
    index: str, query: Searched, params: Params | None = None, scope: Scope | None = None
) -> dict[str, Any]:
    """Return the body of a request, as JSON can say it: SDK 2.5's function.

    Args:
        index: the index' name, within its scope if it has one.
        query: what is searched for.
        params: how it is to be answered.
        scope: of the index.

    Raises InvalidSettingError (a TypeError), InvalidSearchError (a ValueError), NoChildrenError.
    """
    found, vectors = searched(query)
    body: dict[str, Any] = {"query": (found or MatchNoneQuery()).encodable}
    if vectors is not None:
        body.update(vectors.members)
    if params is not None:
        body.update(params.as_encodable(index, scope))
    body["indexName"] = index
    return body


def sent_body(
    index: str, query: Searched, params: Params, scope: Scope | None = None
) -> dict[str, Any]:
    """Return the body of a request, with what is said where *params* do not.

    Raises what `make_search_body` does, and InvalidSettingError for a query that has itself within.
    """
    try:
        body = make_search_body(index, query, params, scope)
    except RecursionError as error:
        raise _no_json(error) from error
    raw = params.raw or {}
    if params.facets and "facets" not in raw:
        body["facets"] = {label: facet.sent for label, facet in params.facets.items()}
    # It would come back with each answer.
    body.setdefault("showrequest", False)
    return body


def encode_search(body: dict[str, Any], seconds: float) -> bytes:
    """Return a body as it is sent, where the client waits so many *seconds*.

    Raises InvalidSettingError (a TypeError) for what is no JSON.
    """
    control = body.get("ctl", {})
    if isinstance(control, dict):
        body = {**body, "ctl": {**control, "timeout": server_timeout(seconds)}}
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _no_json(error) from error


def server_timeout(seconds: float) -> int:
    """Return the milliseconds after which the service is to give up: before its client does."""
    whole = int(seconds * 1000)
    return max(1, min(whole - min(_HEAD_START, whole // 10), _LONGEST))


def _no_json(error: Exception) -> InvalidSettingError:
    return InvalidSettingError(
        "the search is no JSON: it has objects, circles or numbers that JSON cannot say",
        inner_cause=error,
    )
