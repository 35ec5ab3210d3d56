"""What SDK 2.5's `BucketManager` asks about design documents, by its names and with its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from couchloop.arguments.exact import is_true
from couchloop.arguments.times import check_wait, exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    InvalidSettingError,
    TimeoutError,  # noqa: A004 - 2.5's name
)
from couchloop.http.service import JSON, Service
from couchloop.management.answers import check, checked_name, delete, get, segment, unreadable
from couchloop.management.defaults import BucketDefaults
from couchloop.management.design_documents import (
    DESIGN,
    DEVELOPMENT,
    DesignDocumentNamespace,
    asked,
    list_documents,
    list_path_of,
    path_of,
    put_document,
    read_document,
)
from couchloop.management.http_request import HttpResult, ask, request_of, result_of
from couchloop.operations.procedure import Pause, Procedure, Steps, Within
from couchloop.transcoder import FMT_JSON

_KINDS: Final = {
    0: Service.VIEWS,
    1: Service.MANAGEMENT,
    3: Service.QUERY,
    4: Service.SEARCH,
    5: Service.ANALYTICS,
}
"""Services by libcouchbase's numbers (lcb_HTTP_TYPE); 2 is any host."""
_VERBS: Final = {0: "GET", 1: "POST", 2: "PUT", 3: "DELETE"}
"""Likewise methods (lcb_HTTP_METHOD)."""
_POLL: Final = 0.1
"""Seconds between two looks at a design document that is to appear, or to go."""
_NOT_YET: Final = frozenset(
    {HTTPStatus.FOUND, HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR}
)


def design_create(
    defaults: BucketDefaults,
    name: str,
    ddoc: Mapping[str, Any] | str,
    use_devmode: bool = True,
    syncwait: float = 0,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Make a design document, or replace one.

    Args:
        name: without `_design/`.
        ddoc: the document, as a mapping or as JSON: `{"views": {"v": {"map": "function…"}}}`.
        use_devmode: whether it is one for development, `dev_…`.
        syncwait: seconds to wait until its first view answers; 0: it is built when it is asked.

    Raises ServerInvalidArgumentError (what is no JavaScript), TimeoutError (it is stored, and its
    views do not answer), NotAuthorizedError.
    """
    fqname = _old_name(name, use_devmode)
    document = {**_given(ddoc), "_id": DESIGN + fqname}
    path, wait = path_of(defaults.bucket, fqname), _checked_wait(syncwait)
    steps = _created(path, defaults.bucket, document, wait)
    return Procedure("design_create", defaults, None, timeout, steps)


def design_get(
    defaults: BucketDefaults,
    name: str,
    use_devmode: bool = True,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Return a result whose `value` is a design document, as the server has it.

    Args:
        name: without `_design/`.
        use_devmode: whether it is one for development, `dev_…`.

    Raises DesignDocumentNotFoundError, NotAuthorizedError.
    """
    steps = _old_get(path_of(defaults.bucket, _old_name(name, use_devmode)), defaults.bucket)
    return Procedure("design_get", defaults, None, timeout, steps, idempotent=True)


def design_publish(
    defaults: BucketDefaults,
    name: str,
    syncwait: float = 0,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Move a design document from development to production, where it replaces what was there.

    Args:
        name: without `_design/` and `dev_`.
        syncwait: as for `design_create`.

    Raises DesignDocumentNotFoundError, TimeoutError (it is published, and its views do not answer;
    that for development is still there), NotAuthorizedError.
    """
    bare = checked_name(name, "design document").removeprefix(DEVELOPMENT)
    source, target = path_of(defaults.bucket, DEVELOPMENT + bare), path_of(defaults.bucket, bare)
    rest = _seconds(defaults, timeout)
    steps = _published(source, target, defaults.bucket, bare, _checked_wait(syncwait), rest)
    return Procedure("design_publish", defaults, None, timeout, steps)


def design_delete(
    defaults: BucketDefaults,
    name: str,
    use_devmode: bool = True,
    syncwait: float = 0,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Delete a design document with its views.

    Args:
        name: without `_design/`.
        use_devmode: whether it is one for development, `dev_…`.
        syncwait: seconds to wait until all nodes have forgotten it.

    Raises DesignDocumentNotFoundError, TimeoutError (it is deleted, and still seen),
    NotAuthorizedError.
    """
    path = path_of(defaults.bucket, _old_name(name, use_devmode))
    steps = _deleted(path, defaults.bucket, _checked_wait(syncwait))
    return Procedure("design_delete", defaults, None, timeout, steps)


def design_list(defaults: BucketDefaults, *, timeout: float | None = None) -> Procedure[HttpResult]:
    """Return a result whose `value` has all design documents by id, `_design/dev_…` among them.

    Raises BucketNotFoundError, NotAuthorizedError.
    """
    steps = _old_list(list_path_of(defaults.bucket), defaults.bucket)
    return Procedure("design_list", defaults, None, timeout, steps, idempotent=True)


def old_http_request(
    defaults: BucketDefaults,
    kind: int,
    method: int,
    path: str,
    content_type: str | None = None,
    post_data: str | bytes | None = None,
    response_format: int = FMT_JSON,
    quiet: bool | None = None,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Ask a service by libcouchbase's numbers, as SDK 2.5's `Bucket._http_request` does.

    Args:
        kind: of service. 0: views, 1: management, 3: query, 4: search, 5: analytics.
        method: 0: GET, 1: POST, 2: PUT, 3: DELETE.
        path: path and query, percent-encoded; of views behind the bucket's name.
        content_type: of the body; None: JSON.
        post_data: the body; a str is sent as UTF-8.
        response_format: FMT_JSON, FMT_UTF8 or FMT_BYTES: what `value` of the result is.
        quiet: True: a refusal is a result too.

    Raises HTTPError if the service has refused it (AuthError for 401, NotAuthorizedError for 403),
    ServiceNotAvailableError if no node runs it.
    """
    service = _KINDS.get(kind) if isinstance(kind, int) else None
    verb = _VERBS.get(method) if isinstance(method, int) else None
    if service is None or verb is None:
        raise ArgumentError(
            "the kind is 0 (views), 1 (management), 3 (query), 4 (search) or 5 (analytics), the "
            "method 0 (GET), 1 (POST), 2 (PUT) or 3 (DELETE)",
            objextra=(kind, method),
        )
    of_body = JSON if content_type is None else content_type
    request = request_of(service, verb, path, post_data, of_body)
    if service is Service.VIEWS:
        request = replace(request, path=f"/{segment(defaults.bucket)}{request.path}")
    steps = ask(request, response_format, quiet=quiet is not None and is_true(quiet, "quiet"))
    return Procedure(
        "_http_request", defaults, None, timeout, steps, idempotent=request.is_idempotent
    )


def _created(path: str, bucket: str, document: dict[str, Any], wait: float) -> Steps[HttpResult]:
    request = put_document(path, document)
    answer = yield from asked(request, bucket)
    if wait:
        yield Within(wait)
        yield from _until_seen(path, bucket, document)
    return result_of(request, answer)


def _old_get(path: str, bucket: str) -> Steps[HttpResult]:
    document, answer = yield from read_document(path, bucket)
    return HttpResult(path, answer, document)


def _published(
    source: str, target: str, bucket: str, name: str, wait: float, rest: float
) -> Steps[HttpResult]:
    document, _ = yield from read_document(source, bucket)
    result = yield from _created(target, bucket, {**document, "_id": DESIGN + name}, wait)
    if wait:
        yield Within(rest)
    yield from _deleted(source, bucket, wait)
    return result


def _deleted(path: str, bucket: str, wait: float) -> Steps[HttpResult]:
    request = delete(Service.VIEWS, path)
    answer = yield from asked(request, bucket)
    if wait:
        yield Within(wait)
        yield from _until_gone(path)
    return result_of(request, answer)


def _old_list(path: str, bucket: str) -> Steps[HttpResult]:
    rows, answer = yield from list_documents(path, bucket)
    try:
        found = {str(row["doc"]["meta"]["id"]): row["doc"]["json"] for row in rows}
    except (LookupError, TypeError):
        raise unreadable(answer) from None
    return HttpResult(path, answer, found)


def _until_seen(path: str, bucket: str, document: dict[str, Any]) -> Steps[None]:
    """Wait until the first view answers; 404, 500 or 302: not yet, or not that node."""
    views = document.get("views")
    request = get(Service.VIEWS, path)
    if isinstance(views, dict) and views:
        view = segment(next(iter(views)))
        request = get(Service.VIEWS, f"{path}/_view/{view}?stale=ok&limit=1")
    try:
        while (answer := (yield request)).status in _NOT_YET:
            yield Pause(_POLL)
    except TimeoutError as error:
        text = "the design document is stored, and its views did not answer in time"
        raise TimeoutError(text, context=error.context) from None
    if answer.status == HTTPStatus.FORBIDDEN:
        # Who may define views may be kept from asking them: it is there.
        return
    check(answer, Service.VIEWS, bucket=bucket)


def _until_gone(path: str) -> Steps[None]:
    try:
        while (yield get(Service.VIEWS, path)).status != HTTPStatus.NOT_FOUND:
            yield Pause(_POLL)
    except TimeoutError as error:
        text = "the design document is deleted, and was still seen when the time was over"
        raise TimeoutError(text, context=error.context) from None


def _given(ddoc: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return a design document that was given in either form."""
    if isinstance(ddoc, str):
        try:
            ddoc = json.loads(ddoc)
        except (ValueError, RecursionError):
            raise InvalidSettingError("the design document is no JSON", objextra=ddoc) from None
    if not isinstance(ddoc, Mapping):
        raise InvalidSettingError("a design document is a mapping, or JSON", objextra=ddoc)
    try:
        # A copy, so that nobody changes it before it is sent; and what is no JSON is found out.
        document: dict[str, Any] = json.loads(json.dumps(dict(ddoc)))
    except (TypeError, ValueError, RecursionError):
        raise InvalidSettingError("the design document is no JSON", objextra=ddoc) from None
    return document


def _old_name(name: str, use_devmode: bool) -> str:
    checked_name(name, "design document")
    return DesignDocumentNamespace.DEVELOPMENT.prefix(name) if use_devmode else name


def _checked_wait(syncwait: float) -> float:
    wait = check_wait(syncwait, "syncwait")
    if syncwait < 0:
        raise ArgumentError("syncwait must not be negative", objextra=syncwait)
    return wait


def _seconds(defaults: BucketDefaults, timeout: float | None) -> float:
    return defaults.timeout if timeout is None else exact_seconds(timeout)
