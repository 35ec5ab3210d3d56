"""What it means that the search service refuses a search: the words that it says, as errors."""

from __future__ import annotations

from typing import Final, NamedTuple

from couchloop.exceptions import (
    AuthError,
    ConsistencyMismatchError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    IndexNotReadyError,
    QuotaLimitedError,
    SearchIndexNotFoundError,
    ServiceNotAvailableError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.http.refusals import refusal_of, said_by
from couchloop.http.service import Service, ServiceAnswer


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
"""What the service says, in lower case, where there is no such index."""

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
        ("query request rejected",),
    ),
    _Meaning(
        ServiceNotAvailableError,
        "the search service is not reached through what is between: try again later",
        _at(502, 504),
    ),
)
"""The first that fits counts; what fits none means what it means everywhere."""


def refusal(status: int, body: bytes, node: str, bucket: str | None = None) -> CouchbaseError:
    """Return the error that an answer means whose status is not 200."""
    answer = ServiceAnswer(status, {}, body, node)
    said = said_by(answer)
    lowered = said.lower()
    for each in _MEANINGS:
        if status in each.statuses and any(words in lowered for words in each.words):
            context = ErrorContext(node=node, bucket=bucket, server_context=said or None)
            return each.kind(f"{each.text} (HTTP {status})", context=context, objextra=answer)
    return refusal_of(answer, Service.SEARCH, said, bucket)
