"""What it means that the search service refuses a search: the words that it says, as errors."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from couchloop.exceptions import (
    AuthError,
    ConsistencyMismatchError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    HTTPError,
    IndexNotReadyError,
    NotAuthorizedError,
    QuotaLimitedError,
    RateLimitedError,
    SearchIndexNotFoundError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.safety.printable import printable

_LONGEST_SHOWN: Final = 1024
"""Characters of the service's words that an error shows."""


class _Meaning(NamedTuple):
    """What an answer means that has one of some statuses, and says one of some words."""

    kind: type[CouchbaseError]
    text: str
    statuses: frozenset[int]
    words: tuple[str, ...] = ("",)


def _at(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


NOT_FOUND: Final = (
    "index not found",
    "no indexdef",
    "could not get indexdefs",
    "no index to read/write control",
    "index to delete missing",
    "no indexes",
)
"""What the service says where there is no such index."""

_REJECTED: Final = "query request rejected"
"""What it says where queries have no memory left."""

_MEANINGS: Final = (
    _Meaning(SearchIndexNotFoundError, "there is no such search index", _at(400, 404), NOT_FOUND),
    _Meaning(
        IndexNotReadyError,
        "the partitions of the search index are not there: it was just made",
        _at(400, 500),
        ("no planpindexes",),
    ),
    _Meaning(
        ConsistencyMismatchError,
        "the index has another history than the changes that the search waits for: a failover may "
        "have lost them",
        _at(400, 412),
        ("mismatched partition",),
    ),
    _Meaning(
        QuotaLimitedError,
        "there are as many search indexes as there may be",
        _at(400),
        ("num_fts_indexes",),
    ),
    _Meaning(
        AuthError,
        "the search service did not accept the user name and password",
        # It forbids, where others say who is unknown.
        _at(401, 403),
        ("cbauth.authwebcreds",),
    ),
    _Meaning(AuthError, "the search service did not accept the user name and password", _at(401)),
    _Meaning(NotAuthorizedError, "the search service forbids that to this user", _at(403)),
    _Meaning(
        FeatureNotAvailableError,
        "the search service does not know what is asked for: indexes of scopes take 7.6",
        _at(404, 405),
    ),
    _Meaning(
        UnambiguousTimeoutError,
        "the index has not seen the changes in time for which the search waits",
        _at(412),
    ),
    _Meaning(
        TemporaryFailError,
        "the search service has no memory left for more searches: try again later",
        _at(429),
        (_REJECTED,),
    ),
    _Meaning(RateLimitedError, "the search service has had too many requests", _at(429)),
    _Meaning(
        ServiceNotAvailableError,
        "the search service is busy or warming up: try again later",
        _at(502, 503, 504),
    ),
    _Meaning(ServerInvalidArgumentError, "the search service refused what it was asked", _at(400)),
)


def refusal(status: int, body: bytes, node: str, bucket: str | None = None) -> CouchbaseError:
    """Return the error that an answer means whose status is not 200."""
    said = _said(body)
    lowered = said.lower()
    context = ErrorContext(
        node=node, bucket=bucket, server_context=printable(said, _LONGEST_SHOWN) or None
    )
    for each in _MEANINGS:
        if status in each.statuses and any(words in lowered for words in each.words):
            return each.kind(f"{each.text} (HTTP {status})", context=context)
    return HTTPError(f"the search service failed (HTTP {status})", context=context)


def _said(body: bytes) -> str:
    """Return the service's words, whatever form they have."""
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = text
    found = _words(document)
    return " ".join(found.split())


def _words(document: Any) -> str:
    if not isinstance(document, dict):
        return document if isinstance(document, str) else ""
    error = document.get("error")
    if isinstance(error, str):
        # What was asked stands beside it, and differs between equal failures.
        return error
    message, permissions = document.get("message"), document.get("permissions")
    if isinstance(message, str) and isinstance(permissions, list):
        return f"{message}: {', '.join(sorted(map(str, permissions)))}"
    return json.dumps(document)
