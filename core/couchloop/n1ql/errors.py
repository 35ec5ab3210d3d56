"""What the query service's error codes mean, as exceptions (RFC 0058); which may be repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from couchloop.exceptions import (
    DmlFailureError,
    ErrorContext,
    KeyspaceNotFoundError,
    N1QLError,
    NoQueryIndexError,
    PreparedStatementError,
    QueryAuthError,
    QueryBucketNotFoundError,
    QueryCasMismatchError,
    QueryDocumentExistsError,
    QueryDocumentNotFoundError,
    QueryFeatureNotAvailableError,
    QueryIndexExistsError,
    QueryIndexFailureError,
    QueryIndexNotFoundError,
    QueryInternalError,
    QueryInvalidArgumentError,
    QueryNotAuthorizedError,
    QueryParsingError,
    QueryPlanningError,
    QueryQuotaLimitedError,
    QueryRateLimitedError,
    QueryScopeNotFoundError,
    QueryTimeoutError,
)
from couchloop.safety.printable import printable

_LONGEST_SHOWN: Final = 1024
"""Characters of the service's words that an error shows."""

_KEY: Final = re.compile(r"\bon key (.{1,250}?) - cause: ", re.DOTALL)
"""Names the document that a statement failed at."""

TIMED_OUT: Final = 1080
_NO_INDEX: Final = 12016
PREPARED: Final = frozenset({4040, 4050, 4070})
"""The service does not know a prepared statement (any more): it can be prepared anew."""
_QUEUE_FULL: Final = 17013
_CAS_CHANGED: Final = 12033
_KEY_EXISTS: Final = 17012
_KEY_MISSING: Final = 17014


class Reported(NamedTuple):
    """The first thing that the service says has failed."""

    code: int
    text: str
    retry: bool
    """Whether the service says that it may be asked again."""
    reason: int
    """The code of the cause, if it tells one."""


def first_of(errors: Sequence[Any]) -> Reported:
    """Return the first of what the service says; it may say anything."""
    first = errors[0] if errors else None
    if not isinstance(first, Mapping):
        return Reported(0, printable(str(first), _LONGEST_SHOWN) if errors else "", False, 0)
    reason = first.get("reason")
    cause = reason.get("code") if isinstance(reason, Mapping) else None
    said = first.get("msg")
    return Reported(
        _number(first.get("code")),
        said if isinstance(said, str) else "",
        first.get("retry") is True,
        _number(cause),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _has(words: str) -> Callable[[Reported], bool]:
    found = re.compile(words, re.IGNORECASE | re.DOTALL)
    return lambda each: found.search(each.text) is not None


def _is_always(_: Reported) -> bool:
    return True


class _Rule(NamedTuple):
    first: int
    last: int
    applies: Callable[[Reported], bool]
    kind: type[N1QLError]


def _rule(
    codes: int | tuple[int, int],
    kind: type[N1QLError],
    applies: Callable[[Reported], bool] = _is_always,
) -> _Rule:
    first, last = (codes, codes) if isinstance(codes, int) else codes
    return _Rule(first, last, applies, kind)


_RULES: Final[Sequence[_Rule]] = (
    _rule(1065, QueryFeatureNotAvailableError, _has("preserve_expiry|query_context|use_replica")),
    _rule((1000, 1070), QueryInvalidArgumentError),
    _rule(TIMED_OUT, QueryTimeoutError),
    _rule((1110, 1160), QueryInvalidArgumentError),
    _rule((1191, 1194), QueryRateLimitedError),
    _rule(1197, QueryFeatureNotAvailableError),
    _rule(2120, QueryAuthError),
    _rule((10000, 10999), QueryAuthError),
    _rule(13014, QueryNotAuthorizedError),
    _rule(3000, QueryParsingError),
    _rule(3230, QueryFeatureNotAvailableError, _has("Advisor|Window")),
    _rule(4040, PreparedStatementError),
    _rule(4050, PreparedStatementError),
    _rule(4060, PreparedStatementError),
    _rule(4070, PreparedStatementError),
    _rule(4080, PreparedStatementError),
    _rule(4090, PreparedStatementError),
    _rule(4300, QueryIndexExistsError, _has("index .* already exist")),
    _rule((4000, 4999), NoQueryIndexError, _has("^No index available")),
    _rule((4000, 4999), QueryPlanningError),
    _rule(5000, QueryQuotaLimitedError, _has("Limit for number of indexes that can be created")),
    _rule(5000, QueryIndexExistsError, _has("index .* already exist")),
    _rule(5000, QueryIndexNotFoundError, _has("index .* not found|Index does not exist")),
    _rule(5000, QueryIndexNotFoundError, _has(r"queryport\.indexNotFound")),
    _rule(5000, QueryBucketNotFoundError, _has("Bucket Not Found")),
    _rule((5000, 5999), QueryInternalError),
    _rule(12003, KeyspaceNotFoundError),
    _rule(12004, QueryIndexNotFoundError),
    _rule(_NO_INDEX, QueryIndexNotFoundError),
    _rule(12009, QueryCasMismatchError, lambda each: each.reason == _CAS_CHANGED),
    _rule(12009, QueryDocumentExistsError, lambda each: each.reason == _KEY_EXISTS),
    _rule(12009, QueryDocumentNotFoundError, lambda each: each.reason == _KEY_MISSING),
    _rule(12009, QueryCasMismatchError, _has("CAS mismatch")),
    _rule(12009, DmlFailureError),
    _rule(12021, QueryScopeNotFoundError),
    _rule((12000, 12999), QueryIndexFailureError),
    _rule((14000, 14999), QueryIndexFailureError),
)
"""By the first that applies; what is in none has the class N1QLError itself."""


def kind_of(reported: Reported) -> type[N1QLError]:
    """Return the class for what the service says."""
    for rule in _RULES:
        if rule.first <= reported.code <= rule.last and rule.applies(reported):
            return rule.kind
    return N1QLError


def error_of(errors: Sequence[Any], statement: str, node: str) -> N1QLError:
    """Return what the errors mean that the service has told; the first decides.

    Without any it is a QueryInternalError: it has failed, and does not say why.
    """
    reported = first_of(errors)
    kind = kind_of(reported) if errors else QueryInternalError
    error = kind(
        context=ErrorContext(
            node=node or None,
            server_context=printable(" ".join(reported.text.split()), _LONGEST_SHOWN) or None,
        )
    )
    if errors:
        error.message = f"{error.message.rstrip('.')} (code {reported.code})"
    else:
        error.message = "the query service says that the query has failed, and not why"
    found = _KEY.search(reported.text)
    if found is not None:
        # With that the text does not differ between documents.
        error.key = found[1]
    error.code = reported.code
    error.errors = tuple(errors)
    error.statement = statement
    return error


def did_not_run(error: N1QLError) -> bool:
    """Whether the service says that the statement did not run, and that it may be asked again."""
    reported = first_of(error.errors)
    if reported.code in {TIMED_OUT, _NO_INDEX}:
        # That time is over; and it is said on some versions where it never helps (MB-50643).
        return False
    if reported.retry or reported.code == _QUEUE_FULL:
        return True
    return "queryport.indexNotFound" in reported.text and isinstance(error, QueryIndexNotFoundError)
