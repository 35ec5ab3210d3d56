"""Statements that define what the analytics service has, and what it answers to them (RFC 57)."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final

from couchloop.analytics.errors import DID_NOT_RUN, error_of
from couchloop.analytics.stream import MOST_TRIES, PATH, listed
from couchloop.exceptions import AnalyticsError, InvalidSettingError, ProtocolError
from couchloop.http.service import JSON, Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import check, read_json, unreadable
from couchloop.operations.procedure import Steps, asked_until_run
from couchloop.retries import RetryReason

_CODE_AND_TEXT: Final = re.compile(r"\s*([A-Z]*)(\d{5}):\s*(.*)", re.DOTALL)
"""How refusals are told that are no JSON."""


def name_of(given: object, what: str) -> str:
    """Return a name that is a text, and not empty. Raises InvalidSettingError (a TypeError)."""
    if not isinstance(given, str) or not given:
        raise InvalidSettingError(f"{what} is a str that is not empty", objextra=given)
    return str.__str__(given)


def quoted(name: str) -> str:
    """Return a name as a statement has it."""
    return "`" + name.replace("`", "``") + "`"


def dataverse_of(given: object) -> str:
    """Return a dataverse as a statement has it: of a scope it has two parts, `bucket/scope`."""
    name = name_of(given, "the name of a dataverse")
    parts = name.split("/")
    if not all(parts):
        raise InvalidSettingError("no part of a dataverse's name is empty", objextra=given)
    return ".".join(map(quoted, parts))


def ask(statement: str, *, reads: bool = False) -> Steps[list[Any]]:
    """Run a statement; return its rows. What did not run is asked again, as a query is.

    Raises what `couchloop.analytics.errors` make of what the service says.
    """
    members = {"statement": statement, **({"readonly": True} if reads else {})}
    body = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    asked = ServiceRequest(Service.ANALYTICS, "POST", PATH, body, JSON, is_idempotent=reads)
    return (
        yield from asked_until_run(
            asked,
            lambda answer: _rows(answer, statement),
            lambda error: isinstance(error, AnalyticsError) and error.code in DID_NOT_RUN,
            RetryReason.ANALYTICS_TEMPORARY_FAILURE,
            MOST_TRIES,
        )
    )


def _rows(answer: ServiceAnswer, statement: str) -> list[Any]:
    """Return the rows of an answer."""
    document = check_answer(answer, statement)
    if not isinstance(document, dict):
        raise unreadable(answer)
    if document.get("status") != "success":
        raise error_of([], statement, answer.node)
    rows = document.get("results", [])
    if not isinstance(rows, list):
        raise unreadable(answer)
    return rows


def check_answer(answer: ServiceAnswer, statement: str = "") -> Any:
    """Return what a success says; None: nothing, or no JSON. Raises what a failure says."""
    try:
        document = read_json(answer)
    except ProtocolError:
        document = None
    errors = listed(document.get("errors")) if isinstance(document, dict) else []
    if not errors and answer.status != HTTPStatus.OK:
        errors = _told(answer)
    if errors:
        raise error_of(errors, statement, answer.node)
    check(answer, Service.ANALYTICS)
    return document


def _told(answer: ServiceAnswer) -> list[dict[str, Any]]:
    """Return the errors of a refusal that is no JSON."""
    found = _CODE_AND_TEXT.fullmatch(answer.body[:4096].decode("utf-8", "replace"))
    return [] if found is None else [{"code": int(found[2]), "msg": found[3]}]
