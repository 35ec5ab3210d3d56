"""What the analytics service's codes mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.analytics.errors import error_of, kind_of
from couchloop.exceptions import (
    AnalyticsAuthError,
    AnalyticsError,
    AnalyticsIndexExistsError,
    AnalyticsIndexNotFoundError,
    AnalyticsInternalError,
    AnalyticsParsingError,
    AnalyticsTemporaryFailError,
    AnalyticsTimeoutError,
    AuthError,
    CompilationFailureError,
    DatasetExistsError,
    DatasetNotFoundError,
    DataverseExistsError,
    DataverseNotFoundError,
    IndexNotFoundError,
    JobQueueFullError,
    LinkExistsError,
    LinkNotFoundError,
    N1QLError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (20000, AnalyticsAuthError),
        (20999, AnalyticsAuthError),
        (21002, AnalyticsTimeoutError),
        (23000, AnalyticsTemporaryFailError),
        (23003, AnalyticsTemporaryFailError),
        (23007, JobQueueFullError),
        (24000, AnalyticsParsingError),
        (24001, CompilationFailureError),
        (24006, LinkNotFoundError),
        (24025, DatasetNotFoundError),
        (24034, DataverseNotFoundError),
        (24039, DataverseExistsError),
        (24040, DatasetExistsError),
        (24044, DatasetNotFoundError),
        (24045, DatasetNotFoundError),
        (24047, AnalyticsIndexNotFoundError),
        (24048, AnalyticsIndexExistsError),
        (24055, LinkExistsError),
        (25000, AnalyticsInternalError),
        (22000, AnalyticsError),
        (0, AnalyticsError),
    ],
)
def test_codes(code: int, kind: type[AnalyticsError]) -> None:
    """Each code of the table is an error of its own class, and so are families of codes."""
    assert kind_of(code) is kind
    errors = [{"code": code, "msg": "what\nit says"}, {"code": 1, "msg": "more"}]
    error = error_of(errors, "SELECT 1", "node:8095")
    assert type(error) is kind
    assert (error.code, error.errors, error.statement) == (code, tuple(errors), "SELECT 1")
    assert error.context is not None
    assert (error.context.node, error.context.server_context) == ("node:8095", "what it says")
    assert f"code {code}" in str(error)


def test_kin() -> None:
    """They are caught as errors of queries, as in SDK 2.5, and as what they mean."""
    assert issubclass(AnalyticsError, N1QLError)
    for kind, means in (
        (AnalyticsAuthError, AuthError),
        (AnalyticsTimeoutError, UnambiguousTimeoutError),
        (AnalyticsTemporaryFailError, TemporaryFailError),
        (AnalyticsIndexNotFoundError, IndexNotFoundError),
    ):
        assert issubclass(kind, means)
    assert DatasetNotFoundError("").is_transient is False
    assert JobQueueFullError("").is_transient
    assert AnalyticsIndexNotFoundError.ID == 17


@given(st.lists(st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.none())))
def test_odd(errors: list[Any]) -> None:
    """Whatever stands there, it is an error that is safe to show."""
    error = error_of(errors, "x", "")
    assert str(error).isprintable()
    assert errors or type(error) is AnalyticsInternalError
