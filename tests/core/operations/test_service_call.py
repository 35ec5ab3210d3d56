"""A request to a service that is under way."""

from __future__ import annotations

import gc

import pytest

from couchloop.exceptions import NotFoundError
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.operations.service_call import ServiceCall
from tests.garbage import circles, needs_counting

GET = ServiceRequest(Service.QUERY, "GET", "/")


def test_answer() -> None:
    """It is complete with its answer, which is given as often as it is asked for."""
    call = ServiceCall(GET, 5.0)
    assert not call.done
    call.reply = ServiceAnswer(200, {}, b"", "host:1")
    assert call.done
    assert call.result() is call.result() is call.reply


@needs_counting
def test_error() -> None:
    """What is raised is nobody else's: no frame is kept, so no circle either."""
    call = ServiceCall(GET, 5.0)
    call.error = first = NotFoundError("not there")
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            with pytest.raises(NotFoundError, match="not there"):
                call.result()
        assert call.error is not first
        assert call.error.__traceback__ is None
        assert circles() == []
    finally:
        gc.enable()


def test_secrets_are_not_shown() -> None:
    """The body of a request may hold a password: no repr shows it."""
    asked = ServiceRequest(Service.MANAGEMENT, "PUT", "/", b"password=s3cr3t")
    assert "s3cr3t" not in repr(asked)
    answer = ServiceAnswer(200, {"x": "s3cr3t"}, b"s3cr3t", "host:1")
    assert "s3cr3t" not in repr(answer)
