"""Error codes of the query service, as exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop import exceptions as e
from couchloop.n1ql.errors import did_not_run, error_of, first_of

INDEXES = "Limit for number of indexes that can be created per scope has been reached. Limit : 5"
TABLE: list[tuple[int, str, int, type[e.CouchbaseError], int | None]] = [
    (1065, "Unrecognized parameter in request: preserve_expiry", 0, e.FeatureNotAvailableError, 15),
    (1065, "Unrecognized parameter in request: use_replica", 0, e.FeatureNotAvailableError, 15),
    (1065, "Unrecognized parameter in request: x", 0, e.InvalidError, 3),
    (1000, "readonly", 0, e.InvalidError, 3),
    (1080, "Timeout 1s exceeded", 0, e.UnambiguousTimeoutError, 14),
    (1191, "x", 0, e.RateLimitedError, 21),
    (1194, "x", 0, e.RateLimitedError, 21),
    (1197, "x", 0, e.FeatureNotAvailableError, 15),
    (2120, "Error authorizing against cluster", 0, e.AuthError, 6),
    (10000, "x", 0, e.AuthError, 6),
    (13014, "User does not have credentials", 0, e.NotAuthorizedError, 6),
    (3000, "syntax error - at *", 0, e.QueryParsingError, 8),
    (3230, "Advisor", 0, e.FeatureNotAvailableError, 15),
    (3230, "Window", 0, e.FeatureNotAvailableError, 15),
    (4040, "No such prepared statement", 0, e.PreparedStatementError, 203),
    (4090, "x", 0, e.PreparedStatementError, 203),
    (4300, "The index i already exists.", 0, e.IndexExistsError, 18),
    (4300, "x", 0, e.QueryPlanningError, 201),
    (4000, "No index available on keyspace", 0, e.NoQueryIndexError, 201),
    (4000, "No index available on keyspace", 0, e.IndexNotFoundError, 201),
    (4120, "No index available on keyspace", 0, e.NoQueryIndexError, 201),
    (4321, "x", 0, e.QueryPlanningError, 201),
    (5000, "GSI index i not found.", 0, e.IndexNotFoundError, 17),
    (5000, "Index does not exist", 0, e.IndexNotFoundError, 17),
    (5000, "cause: queryport.indexNotFound", 0, e.IndexNotFoundError, 17),
    (5000, "cause: Index #primary already exists.", 0, e.IndexExistsError, 18),
    (5000, "Index i already exist", 0, e.IndexExistsError, 18),
    (5000, "Bucket Not Found", 0, e.BucketNotFoundError, 10),
    (5000, INDEXES, 0, e.QuotaLimitedError, 22),
    (5001, "x", 0, e.InternalError, 5),
    (12003, "Keyspace not found in CB datastore", 0, e.KeyspaceNotFoundError, 202),
    (12004, "Primary Index not found", 0, e.IndexNotFoundError, 17),
    (12016, "Index Not Found", 0, e.IndexNotFoundError, 17),
    (12009, "DML Error, possible causes include CAS mismatch.", 12033, e.CasMismatchError, 9),
    (12009, "DML Error: CAS mismatch", 0, e.CasMismatchError, 9),
    (12009, "DML Error", 17012, e.DocumentExistsError, 105),
    (12009, "DML Error", 17014, e.NotFoundError, 101),
    (12009, "DML Error", 0, e.DmlFailureError, 204),
    (12021, "Scope not found in CB datastore", 0, e.ScopeNotFoundError, 202),
    (12345, "x", 0, e.QueryIndexFailureError, 202),
    (14005, "x", 0, e.QueryIndexFailureError, 202),
    (99999, "x", 0, e.N1QLError, None),
    (5010, "x", 0, e.QueryInternalError, 5),
]


@pytest.mark.parametrize(("code", "text", "reason", "kind", "number"), TABLE)
def test_table(
    code: int, text: str, reason: int, kind: type[e.CouchbaseError], number: int | None
) -> None:
    """The first error decides, whatever follows; it is an N1QLError, and what it is else."""
    said: dict[str, Any] = {"code": code, "msg": text, "retry": False}
    if reason:
        said["reason"] = {"code": reason}
    error = error_of([said, {"code": 3000, "msg": "another"}], "SELECT 1", "host:8093")
    assert isinstance(error, kind)
    assert isinstance(error, e.N1QLError)
    assert number == error.ID
    assert (error.code, error.n1ql_errcode, error.statement) == (code, code, "SELECT 1")
    assert error.errors == (said, {"code": 3000, "msg": "another"})
    assert error.context is not None
    assert (error.context.node, error.context.server_context) == ("host:8093", text)
    assert f"(code {code})" in error.message
    assert "SELECT 1" not in str(error)


@pytest.mark.parametrize(
    "errors",
    [
        [],
        ["a text"],
        [None],
        [{}],
        [{"code": "x", "msg": 5, "reason": "text"}],
        [{"code": True, "retry": "yes"}],
        [{"code": 1e9, "reason": {"code": []}}],
    ],
)
def test_odd_errors(errors: list[Any]) -> None:
    """What has no form is an error all the same, and never another one."""
    error = error_of(errors, "SELECT 1", "")
    assert (error.code, error.errors) == (0, tuple(errors))
    assert str(error)
    assert not did_not_run(error)
    assert first_of(errors).code == 0


@pytest.mark.parametrize(
    ("said", "is_so"),
    [
        ({"code": 5000, "msg": "x", "retry": True}, True),
        ({"code": 5000, "msg": "x", "retry": False}, False),
        ({"code": 5000, "msg": "cause: queryport.indexNotFound"}, True),
        ({"code": 17013, "msg": "full"}, True),
        ({"code": 1080, "msg": "Timeout", "retry": True}, False),
        ({"code": 12016, "msg": "Index Not Found", "retry": True}, False),
        ({"code": 4000, "msg": "x", "retry": 1}, False),
        ({"code": 3000, "msg": "syntax"}, False),
    ],
)
def test_what_did_not_run(said: dict[str, Any], is_so: bool) -> None:
    """What the service says may be asked again, but where that never helps."""
    assert did_not_run(error_of([said], "SELECT 1", "")) is is_so


def test_key() -> None:
    """The document at which it failed is an attribute, and not a part of the text."""

    def failed(key: str) -> e.CouchbaseError:
        text = f"DML Error. Failed to perform INSERT on key {key} - cause: Duplicate Key: {key}"
        said = {"code": 12009, "msg": text, "reason": {"code": 17012}}
        return error_of([said], "INSERT", "host:8093")

    assert str(failed("user:ada")) == str(failed("x"))
    assert failed("user:ada").key == "user:ada"
    assert "user:ada" in failed("user:ada").details()


def test_words_are_made_fit_to_be_shown() -> None:
    """What the service says is a peer's text."""
    error = error_of([{"code": 1, "msg": "a\x1b[31m\n\nb" + "x" * 5000}], "", "")
    assert error.context is not None
    said = error.context.server_context or ""
    assert "\x1b" not in said
    assert len(said) < 1100
