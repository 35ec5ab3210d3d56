"""What the answer of a service means that is no success: said once, whoever has asked.

What only one kind of request knows (that a bucket exists already, say) it says itself, before this.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from couchloop.exceptions import (
    AuthError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    HTTPError,
    NotAuthorizedError,
    QuotaLimitedError,
    RateLimitedError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    TemporaryFailError,
)
from couchloop.http.service import Service
from couchloop.safety.printable import printable

if TYPE_CHECKING:
    from couchloop.http.service import ServiceAnswer

_LONGEST_SHOWN: Final = 512
"""Characters of a server's words that an error shows."""
_LOOKED_AT: Final = 8 * _LONGEST_SHOWN
"""Characters of what is no JSON that are looked at for these."""
_MALFORMED: Final = frozenset({400, 405, 409, 415, 422})
_NAMES: Final = {
    Service.MANAGEMENT: "cluster manager",
    Service.VIEWS: "views service",
    Service.QUERY: "query service",
    Service.SEARCH: "search service",
    Service.ANALYTICS: "analytics service",
    Service.EVENTING: "eventing service",
}


def is_success(answer: ServiceAnswer) -> bool:
    """Whether an answer's status says that it was done."""
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES


def refusal_of(
    answer: ServiceAnswer, service: Service, said: str, bucket: str | None = None
) -> CouchbaseError:
    """Return the error for an answer of *service* that is no success.

    AuthError (401), NotAuthorizedError (403), ServerInvalidArgumentError, RateLimitedError,
    QuotaLimitedError, TemporaryFailError (503), ServiceNotAvailableError (503 of a service that
    says nothing), FeatureNotAvailableError (an older server does not know the path) or HTTPError.

    Args:
        answer: what it has answered.
        service: which.
        said: its words, as `said_by` gives them.
        bucket: what was asked about.
    """
    kind, text = _meaning(answer, service, said.lower())
    context = ErrorContext(bucket=bucket, node=answer.node, server_context=said or None)
    # What the server says is shown with the context.
    message = f"the {_NAMES[service]} {text} (HTTP {answer.status})"
    return kind(message, context=context, objextra=answer)


def _meaning(
    answer: ServiceAnswer, service: Service, said: str
) -> tuple[type[CouchbaseError], str]:
    status = answer.status
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthError, "did not accept the user name and password"
    if status == HTTPStatus.FORBIDDEN:
        return NotAuthorizedError, "forbids that to this user"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if "maximum number" in said:
            return QuotaLimitedError, "has reached a limit"
        return RateLimitedError, "has had too many requests of this user"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        if service is Service.MANAGEMENT or _document(answer) is not None:
            return TemporaryFailError, "is busy or warming up: try again later"
        return ServiceNotAvailableError, "is not available: try again later"
    if status == HTTPStatus.NOT_FOUND and "not found" in said and '"' not in said:
        return FeatureNotAvailableError, "does not know what is asked for"
    if status in _MALFORMED:
        if "not allowed on this version" in said or "not allowed on this type" in said:
            return FeatureNotAvailableError, "does not have that"
        return ServerInvalidArgumentError, "refused what it was asked"
    return HTTPError, "failed"


def said_by(answer: ServiceAnswer) -> str:
    """Return a server's words in an order that does not change, whatever form they have."""
    document = _document(answer)
    if document is None:
        words = answer.body[:_LOOKED_AT].decode("utf-8", "replace")
    else:
        words = _words(document)
    return printable(" ".join(words.split()), _LONGEST_SHOWN)


def _document(answer: ServiceAnswer) -> object:
    """Return an answer's JSON; None: it is none."""
    try:
        document: object = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return document


def _words(document: object) -> str:
    if isinstance(document, str):
        return document
    if not isinstance(document, dict):
        return json.dumps(document)
    errors = document.get("errors")
    if isinstance(errors, dict):
        document = errors
    elif isinstance(document.get("permissions"), list):
        permissions = ", ".join(sorted(map(str, document["permissions"])))
        return f"{document.get('message', 'Forbidden')}: {permissions}"
    said = [
        str(value)
        if name in {"_", "name", "error", "reason", "description"}
        else f"{name}: {value}"
        for name, value in sorted(document.items())
        # That it has failed is known.
        if isinstance(value, str) and name != "status"
    ]
    runtime = document.get("runtime_info")
    if isinstance(runtime, dict):
        said.append(_beside(runtime.get("info")))
    return "; ".join(said) or json.dumps(document)


def _beside(info: object) -> str:
    """Return what the eventing service says beside an error's name: a text, or a compiler's."""
    if not isinstance(info, dict):
        return info if isinstance(info, str) else json.dumps(info)
    return f"line {info.get('line_number')}: {info.get('description')}"
