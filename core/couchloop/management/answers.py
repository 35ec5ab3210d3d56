"""What answers of a service mean: JSON, or which error; and how requests are put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from couchloop.exceptions import (
    AuthError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    HTTPError,
    NotAuthorizedError,
    ProtocolError,
    QuotaLimitedError,
    RateLimitedError,
    ServerInvalidArgumentError,
    TemporaryFailError,
)
from couchloop.http.service import FORM, JSON, Service, ServiceAnswer, ServiceRequest
from couchloop.safety.printable import printable

_LONGEST_SHOWN: Final = 512
"""Characters of a server's words that an error shows."""
_MALFORMED: Final = frozenset({400, 405, 409, 415, 422})
_NAMES: Final = {
    Service.MANAGEMENT: "cluster manager",
    Service.VIEWS: "views service",
    Service.QUERY: "query service",
    Service.SEARCH: "search service",
    Service.ANALYTICS: "analytics service",
    Service.EVENTING: "eventing service",
}


class Refusal(NamedTuple):
    """An answer that means an error of its own."""

    kind: type[CouchbaseError]
    status: int | None
    """None: any that is no success."""
    words: str
    """What the answer says, in any case of letters; empty: anything."""
    text: str
    """What the error says."""


def segment(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")


def get(service: Service, path: str) -> ServiceRequest:
    """Return a request that changes nothing."""
    return ServiceRequest(service, "GET", path, is_idempotent=True)


def send_form(
    service: Service, method: str, path: str, members: Mapping[str, object]
) -> ServiceRequest:
    """Return a request with a form; members that are None are left out, bools are 0 or 1."""
    given = {name: _member(value) for name, value in members.items() if value is not None}
    return ServiceRequest(service, method, path, urlencode(given).encode(), FORM)


def send_json(service: Service, method: str, path: str, document: object) -> ServiceRequest:
    """Return a request with a JSON document."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return ServiceRequest(service, method, path, body, JSON)


def delete(service: Service, path: str) -> ServiceRequest:
    """Return a request that deletes something."""
    return ServiceRequest(service, "DELETE", path)


def _member(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def read_json(answer: ServiceAnswer) -> Any:
    """Return what a successful answer says. Raises ProtocolError if it is no JSON."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise unreadable(answer) from None


def unreadable(answer: ServiceAnswer) -> ProtocolError:
    """Return the error for an answer that says something else than it should."""
    return ProtocolError(
        "the service answered something that cannot be read: is there a proxy between?",
        context=ErrorContext(node=answer.node),
    )


def check(
    answer: ServiceAnswer,
    service: Service,
    refusals: Sequence[Refusal] = (),
    *,
    bucket: str | None = None,
) -> ServiceAnswer:
    """Return *answer* if it is a success.

    Raises what *refusals* say of it, the first that fits; else AuthError (401), NotAuthorizedError
    (403), ServerInvalidArgumentError, RateLimitedError, QuotaLimitedError, TemporaryFailError
    (503), FeatureNotAvailableError (an older server does not know the path) or HTTPError.
    """
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    said = _said(answer)
    context = ErrorContext(bucket=bucket, node=answer.node, server_context=said or None)
    lowered = said.lower()
    for each in refusals:
        if each.status in (None, answer.status) and each.words.lower() in lowered:
            raise each.kind(each.text, context=context, objextra=answer)
    kind, text = _general(answer, lowered)
    # What the server says is shown with the context.
    message = f"the {_NAMES[service]} {text} (HTTP {answer.status})"
    raise kind(message, context=context, objextra=answer)


def _general(answer: ServiceAnswer, said: str) -> tuple[type[CouchbaseError], str]:
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
        return TemporaryFailError, "is busy or warming up: try again later"
    if status == HTTPStatus.NOT_FOUND and "not found" in said and '"' not in said:
        return FeatureNotAvailableError, "does not know what is asked for"
    if status in _MALFORMED:
        if "not allowed on this version" in said or "not allowed on this type" in said:
            return FeatureNotAvailableError, "does not have that"
        return ServerInvalidArgumentError, "refused what it was asked"
    return HTTPError, "failed"


def _said(answer: ServiceAnswer) -> str:
    """Return a server's words in an order that does not change, whatever form they have."""
    text = answer.body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = text
    return printable(" ".join(_words(document).split()))[:_LONGEST_SHOWN]


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
        if isinstance(value, str)
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
