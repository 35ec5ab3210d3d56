"""Any request to a service of the cluster, for what no other method does."""

from __future__ import annotations

from typing import Any, Final

from couchloop.arguments.exact import exact_text
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    CouchbaseError,
    HTTPError,
    NotAuthorizedError,
    ValueFormatError,
)
from couchloop.hot.operation import Defaults
from couchloop.hot.result import Result
from couchloop.http.headers import Headers
from couchloop.http.refusals import is_success, refusal_of, said_by
from couchloop.http.service import JSON, Service, ServiceAnswer, ServiceRequest
from couchloop.operations.procedure import Procedure, Steps
from couchloop.transcoder import FMT_BYTES, FMT_JSON, FMT_UTF8, decode_json

__all__ = [
    "HttpResult",
]

_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH")
_FORMATS: Final = (FMT_JSON, FMT_BYTES, FMT_UTF8)


class HttpResult(Result):
    """What a service has answered.

    Attributes:
        key: The path that was asked for.
        value: The body: an object if it is JSON and that was wanted, else text or bytes.
        http_status: The status of the answer.
        headers: Of the answer: a dict by names in lower case, which finds a name in any case.
        node: The node that has answered, as "host:port".

    """

    __slots__ = ("headers", "http_status", "node", "value")

    def __init__(self, path: str, answer: ServiceAnswer, value: Any) -> None:
        self.key: Any = path
        self.rc = 0 if is_success(answer) else HTTPError.CODE
        self.value = value
        self.http_status = answer.status
        self.headers = Headers(answer.headers)
        self.node = answer.node

    @property
    def url(self) -> str:
        """What was asked, without the scheme: the node and the path."""
        return f"{self.node}{self.key}"

    def __repr__(self) -> str:
        return f"HttpResult({self.key!r}, http_status={self.http_status}{self._failure()})"


def http_request(
    defaults: Defaults,
    path: str,
    method: str = "GET",
    content: str | bytes | None = None,
    content_type: str = JSON,
    response_format: int = FMT_JSON,
    *,
    service: str = "management",
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Ask a service of the cluster for *path*, as its REST API has it.

    Args:
        path: path and query, percent-encoded.
        method: GET, POST, PUT, PATCH or DELETE.
        content: the body; a str is sent as UTF-8.
        content_type: of the body.
        response_format: FMT_JSON, FMT_UTF8 or FMT_BYTES: what `value` of the result is.
        service: `management`, `views`, `query`, `search`, `analytics` or `eventing`.
        timeout: seconds; None: as the option http_timeout says.

    Returns:
        An HttpResult with status, headers and value.

    Raises HTTPError if the service has refused it (AuthError for 401, NotAuthorizedError for 403),
    ServiceNotAvailableError if no node runs it, CleartextPasswordError if it would be told the
    password without TLS.
    """
    asked = request_of(_service(service), method, path, content, content_type)
    steps = ask(asked, response_format)
    return Procedure("http_request", defaults, None, timeout, steps, idempotent=asked.is_idempotent)


def request_of(
    service: Service, method: str, path: str, content: str | bytes | None, content_type: str
) -> ServiceRequest:
    """Return the request that users' arguments mean. Raises ArgumentError for what none can be."""
    if method not in _METHODS:
        raise ArgumentError(f"the method is one of {', '.join(_METHODS)}", objextra=method)
    if not isinstance(path, str):
        raise ArgumentError(f"the path is str, not {type(path).__name__}")
    path = str.__str__(path)
    if not isinstance(content_type, str):
        raise ArgumentError(f"the content type is str, not {type(content_type).__name__}")
    return ServiceRequest(
        service,
        method,
        path if path.startswith("/") else f"/{path}",
        _body(content),
        content_type if content is not None else "",
        is_idempotent=method == "GET",
    )


def _service(name: object) -> Service:
    for service in Service:
        if service.name.lower() == name:
            return service
    names = ", ".join(service.name.lower() for service in Service)
    raise ArgumentError(f"the service is one of {names}", objextra=name)


def _body(content: object) -> bytes:
    if content is None:
        return b""
    if isinstance(content, str):
        text = exact_text(content)
        if text is None:
            raise ArgumentError("the content is no text in Unicode: UTF-8 cannot say it")
        return text.encode()
    if isinstance(content, bytes | bytearray | memoryview):
        return memoryview(content).tobytes()
    raise ArgumentError(f"the content is str or bytes, not {type(content).__name__}")


def ask(asked: ServiceRequest, wanted: int, *, quiet: bool = False) -> Steps[HttpResult]:
    """Return the steps that ask, and give the answer's value as *wanted*.

    *quiet*: whether a refusal is a result too. Raises ArgumentError for what is no format.
    """
    if wanted not in _FORMATS:
        raise ArgumentError("response_format is FMT_JSON, FMT_UTF8 or FMT_BYTES", objextra=wanted)
    return _asked(asked, wanted, quiet=quiet)


def _asked(asked: ServiceRequest, wanted: int, *, quiet: bool) -> Steps[HttpResult]:
    answer: ServiceAnswer = yield asked
    result = HttpResult(asked.path, answer, _value(answer, wanted))
    if not (is_success(answer) or quiet):
        error = _refusal(asked, answer)
        error.result = result
        raise error
    return result


def result_of(asked: ServiceRequest, answer: ServiceAnswer) -> HttpResult:
    """Return an answer as SDK 2.5 gives it: its body as JSON where it is any."""
    return HttpResult(asked.path, answer, _value(answer, FMT_JSON))


def _value(answer: ServiceAnswer, wanted: int) -> Any:
    if wanted == FMT_BYTES:
        return answer.body
    if wanted == FMT_JSON and answer.body:
        try:
            return decode_json(answer.body)
        except ValueFormatError:
            # Many answers of the cluster manager are no JSON, refusals above all.
            pass
    return answer.body.decode("utf-8", "replace")


def _refusal(asked: ServiceRequest, answer: ServiceAnswer) -> CouchbaseError:
    error = refusal_of(answer, asked.service, said_by(answer))
    if isinstance(error, AuthError | NotAuthorizedError | HTTPError):
        return error
    # What a status means to who asks just anything only they know.
    return HTTPError(error.message, context=error.context, objextra=answer)
