"""What it means that the views service refuses a query: its words, as errors."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    DesignDocumentNotFoundError,
    ErrorContext,
    FeatureNotAvailableError,
    NotAuthorizedError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
    ViewEngineError,
    ViewNotFoundError,
)
from couchloop.safety.printable import printable

_LONGEST_SHOWN: Final = 1024
"""Characters of the service's words that an error shows."""
_MOST_SHOWN: Final = 5
"""Failures of nodes that an error shows."""


class Refusal(NamedTuple):
    """What an answer means whose status is not 200."""

    error: CouchbaseError
    is_passing: bool
    """Whether another node, or the same a little later, may answer."""


class _Meaning(NamedTuple):
    """What statuses mean where the answer says one of some words, in any case of letters."""

    kind: type[CouchbaseError]
    text: str
    statuses: frozenset[int]
    words: tuple[str, ...] = ("",)
    is_passing: bool = False


def _at(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


_MEANINGS: Final = (
    _Meaning(
        ServiceNotAvailableError,
        "the node leads no vbucket of the bucket, so that it answers no views",
        _at(302),
        is_passing=True,
    ),
    _Meaning(
        ViewNotFoundError,
        "the design document has no such view",
        _at(404, 500),
        ("missing_named_view", "view `", "view_undefined"),
    ),
    _Meaning(
        FeatureNotAvailableError,
        "the server has no spatial views: they are gone since 7.0; search with a geo query instead",
        _at(404),
        ("missing handler",),
    ),
    _Meaning(
        FeatureNotAvailableError,
        "buckets of this type have no views",
        _at(404),
        ("no_couchbase_bucket_exists", "views are supported only"),
    ),
    _Meaning(
        DesignDocumentNotFoundError,
        "the bucket has no such design document (for development: use_devmode=True)",
        _at(404),
        ("design document", "deleted"),
    ),
    _Meaning(
        BucketNotFoundError,
        "the views service does not know the bucket",
        _at(404),
        is_passing=True,
    ),
    _Meaning(
        ServerInvalidArgumentError,
        "the views service refused what it was asked",
        _at(400, 405, 409, 413, 414, 415, 431),
    ),
    _Meaning(AuthError, "the views service did not accept the user name and password", _at(401)),
    _Meaning(NotAuthorizedError, "the views service forbids that to this user", _at(403)),
    _Meaning(
        ServiceNotAvailableError,
        "the views service is busy or warming up: try again later",
        _at(502, 503, 504),
        is_passing=True,
    ),
    _Meaning(ViewEngineError, "the views service failed", _at(500), ("badarg",)),
    _Meaning(
        UnambiguousTimeoutError,
        "the views service has not had what it needs in time",
        _at(500),
        ("timeout",),
        is_passing=True,
    ),
)


def refusal(status: int, body: bytes, node: str, bucket: str | None) -> Refusal:
    """Return what an answer means whose status is not 200."""
    said = _said(body)
    lowered = said.lower()
    context = ErrorContext(
        node=node, bucket=bucket, server_context=printable(said, _LONGEST_SHOWN) or None
    )
    for each in _MEANINGS:
        if status in each.statuses and any(words in lowered for words in each.words):
            error = each.kind(f"{each.text} (HTTP {status})", context=context)
            return Refusal(error, each.is_passing)
    error = ViewEngineError(f"the views service failed (HTTP {status})", context=context)
    return Refusal(error, status >= 500)


def failure(errors: list[Any], node: str, bucket: str | None) -> ViewEngineError:
    """Return the error that rows end with where nodes have failed."""
    reasons = sorted({_reason(each) for each in errors})
    said = "; ".join(reasons[:_MOST_SHOWN])
    context = ErrorContext(
        node=node, bucket=bucket, server_context=printable(said, _LONGEST_SHOWN) or None
    )
    return ViewEngineError(
        "rows of the view are missing, for a node has failed: on_error='continue' takes the others",
        context=context,
        objextra=errors,
    )


def _reason(error: Any) -> str:
    if not isinstance(error, dict):
        return json.dumps(error)
    return str(error.get("reason", error))


def _said(body: bytes) -> str:
    """Return the service's words, whatever form they have."""
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return " ".join(text.split())
    permissions = document.get("permissions")
    if isinstance(permissions, list):
        said = f"{document.get('message', 'Forbidden')}: {', '.join(sorted(map(str, permissions)))}"
    else:
        said = ": ".join(str(document[name]) for name in ("error", "reason") if name in document)
    return " ".join((said or json.dumps(document)).split())
