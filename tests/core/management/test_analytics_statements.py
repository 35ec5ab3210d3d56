"""Statements for the analytics service: names in them, and what answers mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AnalyticsInternalError,
    AnalyticsTemporaryFailError,
    AuthError,
    CouchbaseError,
    DataverseExistsError,
    InvalidSettingError,
    LinkExistsError,
    ProtocolError,
    ServiceNotAvailableError,
)
from couchloop.http.service import ServiceAnswer
from couchloop.management.analytics_statements import (
    ask,
    check_answer,
    dataverse_of,
    name_of,
    quoted,
)
from couchloop.operations.procedure import Procedure
from tests.core.management.manager import DEFAULTS, answered


def asking(*answers: tuple[int, bytes]) -> Any:
    """Have a statement answered so."""
    procedure: Procedure[Any] = Procedure("x", DEFAULTS, None, None, ask("DO IT"))
    return answered(procedure, answers)


def test_names() -> None:
    """Names are quoted; a dataverse of a scope has two parts."""
    assert quoted("a`b") == "`a``b`"
    assert dataverse_of("Default") == "`Default`"
    assert dataverse_of("bucket/sco`pe") == "`bucket`.`sco``pe`"
    for bad in ("", None, 5, "a/", "/"):
        with pytest.raises(InvalidSettingError):
            dataverse_of(bad)
    with pytest.raises(InvalidSettingError, match="the name of a link"):
        name_of(b"x", "the name of a link")


def test_rows() -> None:
    """Rows are given; what did not run is asked again."""
    busy = json.dumps({"errors": [{"code": 23000}], "status": "fatal"}).encode()
    assert asking((200, b'{"status":"success"}')) == []
    assert asking((500, busy), (200, busy), (200, b'{"results":[1],"status":"success"}')) == [1]
    done = 200, b'{"results":[1],"status":"success"}'
    assert asking(*[(500, busy)] * 9, done) == [1]
    with pytest.raises(AnalyticsTemporaryFailError):
        # As a query is: ten times in all.
        asking(*[(500, busy)] * 10, done)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"errors": [{"code": 24039, "msg": "x"}], "status": "fatal"}, DataverseExistsError),
        (400, {"errors": [{"code": 24039, "msg": "x"}]}, DataverseExistsError),
        (200, {"status": "fatal"}, AnalyticsInternalError),
        (200, {"status": "success", "results": 5}, ProtocolError),
        (200, [1], ProtocolError),
        (401, None, AuthError),
        (503, None, ServiceNotAvailableError),
    ],
)
def test_failures(status: int, body: Any, kind: type[CouchbaseError]) -> None:
    """The first code decides; without one the status does."""
    with pytest.raises(kind):
        asking((status, b"" if body is None else json.dumps(body).encode()))


def test_text() -> None:
    """A refusal that is no JSON has its code before its text."""
    answer = ServiceAnswer(400, {}, b"24055: Link x already exists", "node:8095")
    with pytest.raises(LinkExistsError) as raised:
        check_answer(answer)
    assert raised.value.context is not None
    assert raised.value.context.server_context == "Link x already exists"
    assert check_answer(ServiceAnswer(200, {}, b"", "n")) is None


@given(st.integers(201, 599), st.binary(max_size=40))
def test_no_answer_is_too_odd(status: int, body: bytes) -> None:
    """Whatever is no success is an error of ours."""
    answer = ServiceAnswer(status, {}, body, "node:8095")
    if status < 300:
        assert check_answer(answer) is not False
        return
    with pytest.raises(CouchbaseError) as raised:
        check_answer(answer)
    assert str(raised.value).isprintable()
