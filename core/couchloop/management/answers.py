"""What answers to managers mean: JSON, or which error; and how requests are put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from couchloop.arguments.exact import exact_integer, exact_text
from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    InvalidNameError,
    InvalidSettingError,
    ProtocolError,
)
from couchloop.http.refusals import is_success, refusal_of, said_by
from couchloop.http.service import FORM, JSON, Service, ServiceAnswer, ServiceRequest

_UP_AND_DOWN: Final = (".", "..")


class Refusal(NamedTuple):
    """An answer that means an error of its own."""

    kind: type[CouchbaseError]
    status: int | None
    """None: any that is no success."""
    words: str
    """What the answer says, in any case of letters; empty: anything."""
    text: str
    """What the error says."""


def checked_name(name: str, what: str) -> str:
    """Return the name of a *what*. Raises InvalidNameError if none can be called so."""
    exact = exact_text(name)
    if not exact:
        raise InvalidNameError(f"the name of a {what} is a text that is not empty", objextra=name)
    if exact in _UP_AND_DOWN:
        # On the way it would be taken for the folder itself, or the one above (RFC 3986, 5.2.4).
        raise InvalidNameError(f"the name of a {what} is neither . nor ..", objextra=name)
    return exact


def segment(name: str) -> str:
    """Return a name, which has been checked, as a part of a path."""
    return quote(name, safe="")


def get(service: Service, path: str) -> ServiceRequest:
    """Return a request that changes nothing."""
    return ServiceRequest(service, "GET", path, is_idempotent=True)


def send_form(
    service: Service, method: str, path: str, members: Mapping[str, object]
) -> ServiceRequest:
    """Return a request with a form; members that are None are left out, bools are 0 or 1.

    Raises InvalidSettingError (a TypeError) for what is no text that UTF-8 can say, nor a number.
    """
    given = {name: _member(name, value) for name, value in members.items() if value is not None}
    return ServiceRequest(service, method, path, urlencode(given).encode(), FORM)


def send_json(service: Service, method: str, path: str, document: object) -> ServiceRequest:
    """Return a request with a JSON document."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return ServiceRequest(service, method, path, body, JSON)


def delete(service: Service, path: str) -> ServiceRequest:
    """Return a request that deletes something."""
    return ServiceRequest(service, "DELETE", path)


def _member(name: str, value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    number = exact_integer(value)
    found = exact_text(value) if number is None else number
    if found is None:
        # It may be a password: the error does not have it.
        raise InvalidSettingError(f"{name} is a text in Unicode, or a whole number")
    return found


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

    Raises what *refusals* say of it, the first that fits; else what such an answer means anywhere
    (`couchloop.http.refusals.refusal_of`).
    """
    if is_success(answer):
        return answer
    said = said_by(answer)
    lowered = said.lower()
    for each in refusals:
        if each.status in (None, answer.status) and each.words.lower() in lowered:
            context = ErrorContext(bucket=bucket, node=answer.node, server_context=said or None)
            raise each.kind(each.text, context=context, objextra=answer)
    raise refusal_of(answer, service, said, bucket)
