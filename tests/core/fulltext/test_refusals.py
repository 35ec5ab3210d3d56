"""What it means that the search service refuses a search."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AuthError,
    ConsistencyMismatchError,
    CouchbaseError,
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
from couchloop.fulltext.refusals import refusal


def said(error: str) -> bytes:
    """Return a refusal as the service writes it."""
    return json.dumps({"error": error, "request": {"query": {}}, "status": "fail"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said("rest_auth: preparePerms, err: index not found"), SearchIndexNotFoundError),
        (
            400,
            said("rest_index: Query, no pindexImplType, indexName: X, err: manager: no indexDef"),
            SearchIndexNotFoundError,
        ),
        (
            400,
            said("… could not get indexDefs: no index definitions found"),
            SearchIndexNotFoundError,
        ),
        (400, said("no planPIndexes for indexName: ix"), IndexNotReadyError),
        (
            400,
            said("pindex_consistency mismatched partition, err: …"),
            ConsistencyMismatchError,
        ),
        (400, said("num_fts_indexes (active + pending) >= limit"), QuotaLimitedError),
        (
            400,
            said("rest_index: Query, indexName: exp, err: bleve: QueryBleve parsing …"),
            ServerInvalidArgumentError,
        ),
        (400, b"no json", ServerInvalidArgumentError),
        (401, b"", AuthError),
        (403, said("rest_auth: cbauth.AuthWebCreds, err: wrong"), AuthError),
        (
            403,
            json.dumps(
                {"message": "Forbidden. User needs one of", "permissions": ["cluster.fts!read"]}
            ).encode(),
            NotAuthorizedError,
        ),
        (404, b"Page not found", FeatureNotAvailableError),
        (412, said('{"status":"timeout","message":"…"}'), UnambiguousTimeoutError),
        (429, said("num_concurrent_requests >= 2"), RateLimitedError),
        (429, said("… err: query request rejected"), TemporaryFailError),
        (500, said("panic"), HTTPError),
        (503, b"", ServiceNotAvailableError),
        (302, b"", HTTPError),
        (418, b"[1]", HTTPError),
    ],
)
def test_meanings(status: int, body: bytes, kind: type[CouchbaseError]) -> None:
    """Status and words decide; the text has the status, the context the service's words."""
    error = refusal(status, body, "node:8094", "travel")
    assert type(error) is kind
    assert error.context is not None
    assert (error.context.node, error.context.bucket) == ("node:8094", "travel")
    assert f"HTTP {status}" in str(error)


def test_words() -> None:
    """What the service says is shown, without the request that stands beside it."""
    error = refusal(400, said("what\nis that"), "n:1")
    assert error.context is not None
    assert error.context.server_context == "what is that"
    error = refusal(403, b'{"message":"Forbidden","permissions":["b","a"]}', "n:1")
    assert error.context is not None
    assert error.context.server_context == "Forbidden: a, b"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
).map(lambda document: json.dumps(document).encode())


@given(st.integers(201, 599), st.binary(max_size=60) | _JSON)
def test_no_answer_is_too_odd(status: int, body: Any) -> None:
    """Whatever is no success is an error of ours that is safe to show."""
    error = refusal(status, body, "node:8094")
    assert isinstance(error, CouchbaseError)
    assert str(error).isprintable()
