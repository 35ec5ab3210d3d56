"""What refusals of the views service mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    DesignDocumentNotFoundError,
    FeatureNotAvailableError,
    NotAuthorizedError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
    ViewEngineError,
    ViewNotFoundError,
)
from couchloop.views.refusals import failure, refusal


@pytest.mark.parametrize(
    ("status", "error", "reason", "kind", "is_passing"),
    [
        (302, "no_active_vbuckets", "Cannot execute", ServiceNotAvailableError, True),
        (
            404,
            "not_found",
            "Error opening view `v`, design document `_design/x`: {not_found, missing_named_view}",
            ViewNotFoundError,
            False,
        ),
        (404, "not_found", "View `v` not defined in local", ViewNotFoundError, False),
        (500, "error", "{not_found, missing_named_view}", ViewNotFoundError, False),
        (500, "error", "view_undefined", ViewNotFoundError, False),
        (
            404,
            "not_found",
            "Design document _design/x not found",
            DesignDocumentNotFoundError,
            False,
        ),
        (404, "not_found", "deleted", DesignDocumentNotFoundError, False),
        (404, "not_found", "missing", BucketNotFoundError, True),
        (404, "not_found", "no_couchbase_bucket_exists", FeatureNotAvailableError, False),
        (
            404,
            "not_found",
            "views are supported only on couchbase buckets with couchstore storage backend",
            FeatureNotAvailableError,
            False,
        ),
        (400, "query_parse_error", "x", ServerInvalidArgumentError, False),
        (415, "bad_content_type", "x", ServerInvalidArgumentError, False),
        (414, "URI Too Long", "x", ServerInvalidArgumentError, False),
        (401, "unauthorized", "x", AuthError, False),
        (403, "forbidden", "x", NotAuthorizedError, False),
        (500, "error", "badarg", ViewEngineError, False),
        (500, "error", "timeout", UnambiguousTimeoutError, True),
        (500, "error", "inconsistent_state", ViewEngineError, True),
        (503, "", "", ServiceNotAvailableError, True),
        (418, "teapot", "x", ViewEngineError, False),
    ],
)
def test_kinds(
    status: int, error: str, reason: str, kind: type[CouchbaseError], is_passing: bool
) -> None:
    """The status and the words say which error it is, and whether it may pass."""
    body = json.dumps({"error": error, "reason": reason}).encode()
    found = refusal(status, body, "host:8092", "b")
    assert (type(found.error), found.is_passing) == (kind, is_passing)
    context = found.error.context
    assert context is not None
    assert (context.node, context.bucket) == ("host:8092", "b")
    assert context.server_context == f"{error}: {reason}".strip()
    assert f"(HTTP {status})" in found.error.message


def test_as_a_server_writes_it() -> None:
    """What a real server has broken into lines is one sentence of an error."""
    body = (
        b'{"error":"not_found","reason":"Error opening view `v`, from set `b`, design document '
        b'`_design/beer`: {not_found,\\n                      missing_named_view}"}'
    )
    error = refusal(404, body, "n", "b").error
    assert type(error) is ViewNotFoundError
    assert error.context is not None
    assert str(error.context.server_context).endswith("{not_found, missing_named_view}")


def test_permissions() -> None:
    """What a user lacks is told in an order that does not change."""
    body = b'{"message":"Forbidden. User needs","permissions":["b!read","a!read"]}'
    error = refusal(403, body, "n", "b").error
    assert error.context is not None
    assert error.context.server_context == "Forbidden. User needs: a!read, b!read"


@given(st.integers(300, 599), st.binary(max_size=60))
def test_anything(status: int, body: bytes) -> None:
    """Any answer means an error."""
    assert isinstance(refusal(status, body, "n", None).error, CouchbaseError)


@given(st.lists(st.none() | st.text() | st.dictionaries(st.text(), st.integers())))
def test_any_failure(errors: list[object]) -> None:
    """Whatever stands in the place of failures is kept, and told shortly."""
    error = failure(errors, "n", "b")
    assert error.objextra == errors
    assert "user" not in error.message
