"""Any request to a service, carried out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    CouchbaseError,
    HTTPError,
    InvalidTimeoutError,
    NotAuthorizedError,
)
from couchloop.http.service import FORM, JSON, Service, ServiceAnswer, ServiceRequest
from couchloop.management.http_request import http_request
from couchloop.transcoder import FMT_BYTES, FMT_PICKLE, FMT_UTF8
from tests.core.world import defaults

D = defaults()


def asked_by(**keywords: Any) -> tuple[ServiceRequest, Any]:
    """Return what a call asks, and its steps."""
    procedure = http_request(D, **{"path": "/pools", **keywords})
    steps = procedure.take_over()
    asked = next(steps)
    assert isinstance(asked, ServiceRequest)
    return asked, steps


def answered(status: int = 200, body: bytes = b"", **keywords: Any) -> Any:
    """Return what a call gives for an answer."""
    _, steps = asked_by(**keywords)
    try:
        steps.send(ServiceAnswer(status, {"x": "y"}, body, "host:8091"))
    except StopIteration as end:
        return end.value
    raise AssertionError("it asks for more")


def test_what_is_asked() -> None:
    """Path, method, body and its type; only a GET may be repeated."""
    asked, _ = asked_by()
    assert asked == ServiceRequest(Service.MANAGEMENT, "GET", "/pools", is_idempotent=True)
    asked, _ = asked_by(
        path="pools?x=1", method="POST", content="a=ü", content_type=FORM, service="search"
    )
    assert asked == ServiceRequest(Service.SEARCH, "POST", "/pools?x=1", "a=ü".encode(), FORM)
    for content in (b"{}", bytearray(b"{}"), memoryview(b"{}")):
        asked, _ = asked_by(method="PUT", content=content)
        assert (asked.body, type(asked.body), asked.content_type) == (b"{}", bytes, JSON)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": "get"}, "the method is one of GET, POST"),
    ({"method": 5}, "the method is one of"),
    ({"service": "n1ql"}, "the service is one of management, views"),
    ({"service": Service.QUERY}, "the service is one of"),
    ({"path": b"/"}, "the path is str, not bytes"),
    ({"content": 5}, "the content is str or bytes, not int"),
    ({"content": "\ud800"}, "the content is no text in Unicode: UTF-8 cannot say it"),
    ({"content_type": 5, "content": "x"}, "the content type is str, not int"),
    ({"response_format": FMT_PICKLE}, "FMT_JSON, FMT_UTF8 or FMT_BYTES"),
]


@pytest.mark.parametrize(("keywords", "text"), WRONG)
def test_wrong_arguments(keywords: dict[str, Any], text: str) -> None:
    """What cannot be meant is refused at the call."""
    with pytest.raises(ArgumentError, match=text):
        http_request(D, **{"path": "/", **keywords})


def test_timeout() -> None:
    """A timeout is checked like any other; without one that of who asks counts."""
    assert http_request(D, "/", timeout=5).timeout == 5.0
    assert http_request(D, "/").timeout == D.timeout
    with pytest.raises(InvalidTimeoutError):
        http_request(D, "/", timeout=0)


def test_values() -> None:
    """The value is JSON if it is any and that is wanted, else text or bytes."""
    assert answered(body=b'{"a": 1}').value == {"a": 1}
    assert answered(body=b"pong").value == "pong"
    assert answered(body=b"\xff").value == "\ufffd"
    assert answered().value == ""
    assert answered(body=b'{"a": 1}', response_format=FMT_UTF8).value == '{"a": 1}'
    assert answered(body=b"\xff", response_format=FMT_BYTES).value == b"\xff"


def test_result() -> None:
    """A result has what SDK 2.5's has, and the node."""
    result = answered(202, b"{}")
    assert (result.success, result.rc, result.http_status) == (True, 0, 202)
    assert (result.key, result.url) == ("/pools", "host:8091/pools")
    assert (result.headers, result.node) == ({"x": "y"}, "host:8091")
    assert repr(result) == "HttpResult('/pools', http_status=202)"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthError),
        (403, NotAuthorizedError),
        (404, HTTPError),
        (500, HTTPError),
        (302, HTTPError),
        (199, HTTPError),
    ],
)
def test_refused(status: int, kind: type[CouchbaseError]) -> None:
    """Every other status is an error that has the result, and shows what was said."""
    with pytest.raises(kind, match=f"HTTP {status}") as raised:
        answered(status, b"<html>\n\x1b  no " + b"x" * 100_000)
    error = raised.value
    assert type(error) is kind
    assert (error.result.success, error.result.http_status) == (False, status)
    assert error.context is not None
    assert error.context.node == "host:8091"
    assert len(str(error)) < 1000
    assert "\x1b" not in str(error)
