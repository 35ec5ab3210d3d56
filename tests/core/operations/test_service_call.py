"""A request to a service that is under way."""

from __future__ import annotations

import gc

import pytest

from couchloop.exceptions import BusyError, NotFoundError
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.operations.service_call import ServiceCall
from couchloop.retries import FailFast, RetryReason, RetryRequest
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


class Broken:
    """A strategy that raises, as soon as it is asked twice."""

    def __init__(self) -> None:
        self.asked: list[RetryRequest] = []

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float:
        del reason
        self.asked.append(request)
        if len(self.asked) > 1:
            raise ZeroDivisionError("mine")
        return 0.0


def test_given_up() -> None:
    """A strategy is told of each try, and may give it up; what is wrong with it is the cause."""
    why = RetryReason.SOCKET_NOT_AVAILABLE
    call, strategy = ServiceCall(GET, 5.0), Broken()
    assert not call.gives_up(why)
    assert call.reasons == (why,)
    call.retry_strategy = strategy
    error = BusyError("not now")
    assert not call.gives_up(why, error)
    assert not call.is_given_up
    assert not call.gives_up(RetryReason.VIEWS_NO_ACTIVE_PARTITION)
    assert call.gives_up(why, error)
    assert call.is_given_up
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert [each.reasons for each in strategy.asked] == [
        (why,),
        (why, RetryReason.VIEWS_NO_ACTIVE_PARTITION),
    ]
    call.retry_strategy = FailFast()
    assert call.gives_up(why)


def test_answer_as_sdk_2_5_reads_it() -> None:
    """Of an error's `objextra` SDK 2.5 reads the status and the value: JSON, else text."""
    told = ServiceAnswer(404, {}, b'{"a":1}', "host:1")
    assert (told.http_status, told.value, told.success) == (404, {"a": 1}, False)
    assert ServiceAnswer(200, {}, b"no \xff", "host:1").value == "no \ufffd"
    assert ServiceAnswer(201, {}, b"", "host:1").success
