"""What the analytics service's error codes mean, as exceptions (RFC 0057, RFC 0058)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from couchloop.exceptions import (
    AnalyticsAuthError,
    AnalyticsError,
    AnalyticsIndexExistsError,
    AnalyticsIndexNotFoundError,
    AnalyticsInternalError,
    AnalyticsParsingError,
    AnalyticsTemporaryFailError,
    AnalyticsTimeoutError,
    CompilationFailureError,
    DatasetExistsError,
    DatasetNotFoundError,
    DataverseExistsError,
    DataverseNotFoundError,
    ErrorContext,
    JobQueueFullError,
    LinkExistsError,
    LinkNotFoundError,
)
from couchloop.n1ql.errors import first_of
from couchloop.safety.printable import printable

_LONGEST_SHOWN: Final = 1024
"""Characters of the service's words that an error shows."""

DID_NOT_RUN: Final = frozenset({23000, 23003, 23007})
"""The service has not begun with it, and can do so later."""

_KINDS: Final[dict[int, type[AnalyticsError]]] = {
    21002: AnalyticsTimeoutError,
    23000: AnalyticsTemporaryFailError,
    23003: AnalyticsTemporaryFailError,
    23007: JobQueueFullError,
    24000: AnalyticsParsingError,
    24006: LinkNotFoundError,
    24025: DatasetNotFoundError,
    24034: DataverseNotFoundError,
    24039: DataverseExistsError,
    24040: DatasetExistsError,
    24044: DatasetNotFoundError,
    24045: DatasetNotFoundError,
    24047: AnalyticsIndexNotFoundError,
    24048: AnalyticsIndexExistsError,
    24055: LinkExistsError,
}
_FAMILIES: Final[dict[int, type[AnalyticsError]]] = {
    20: AnalyticsAuthError,
    24: CompilationFailureError,
    25: AnalyticsInternalError,
}
"""By their thousands."""


def kind_of(code: int) -> type[AnalyticsError]:
    """Return the class for a code of the service."""
    return _KINDS.get(code) or _FAMILIES.get(code // 1000, AnalyticsError)


def error_of(errors: Sequence[Any], statement: str, node: str) -> AnalyticsError:
    """Return what the errors mean that the service has told; the first decides.

    Without any it is an AnalyticsInternalError: it has failed, and does not say why.
    """
    reported = first_of(errors)
    kind = kind_of(reported.code) if errors else AnalyticsInternalError
    error = kind(
        context=ErrorContext(
            node=node or None,
            server_context=printable(" ".join(reported.text.split()), _LONGEST_SHOWN) or None,
        )
    )
    if errors:
        error.message = f"{error.message.rstrip('.')} (code {reported.code})"
    else:
        error.message = "the analytics service says that the query has failed, and not why"
    error.code = reported.code
    error.errors = tuple(errors)
    error.statement = statement
    return error
