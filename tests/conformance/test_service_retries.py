"""Retry strategies of requests to services: asked where there is a choice, as for documents."""

from __future__ import annotations

from typing import Any

from couchloop.exceptions import (
    ConnectionLostError,
    N1QLError,
    NodeUnreachableError,
    QueryInternalError,
    TemporaryFailError,
)
from couchloop.n1ql import QueryOptions
from couchloop.retries import BestEffort, FailFast, RetryReason, RetryRequest
from tests.conformance.loops import Loop, opened_at
from tests.conformance.test_hostile_services import asking
from tests.conformance.test_queries import FINE, error_of, refused, said
from tests.webserver import Asked


class Noting:
    """A strategy that takes note of what it is asked, and answers what it was told to."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, bool, int, tuple[str, ...], RetryReason]] = []
        self._answers = list(answers)

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        operation, _, idempotent, attempts, reasons = request
        self.asked.append((operation, idempotent, attempts, reasons, reason))
        answer: Any = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def cut(asked: Asked) -> None:
    """Close without an answer."""
    asked.close()


def at(loop: Loop, there: Any, strategy: Any) -> Any:
    """Open a Bucket that has that strategy."""
    seed = there.cluster.connection_string
    return opened_at(loop, f"{seed}/default", retry_strategy=strategy)


AGAIN = refused(5000, retry=True)


def test_asked_for_each_try(loop: Loop) -> None:
    """It decides whether a statement that did not run is asked for again, and hears of each try."""
    strategy = Noting(0.0, 0.001, None)
    with asking(loop, AGAIN, AGAIN, AGAIN) as there, at(loop, there, strategy) as bucket:
        error = error_of(loop, bucket.n1ql_query("UPDATE x"))
        assert isinstance(error, QueryInternalError)
        assert len(there.server.asked) == 3
    why = RetryReason.QUERY_ERROR_RETRYABLE
    assert strategy.asked == [
        ("n1ql_query", False, 1, (), why),
        ("n1ql_query", False, 2, (why,), why),
        ("n1ql_query", False, 3, (why,), why),
    ]
    assert error.context is not None
    assert error.context.reasons == (why,)


def test_fail_fast(loop: Loop) -> None:
    """It gives up at once; scopes, collections and managers have their Bucket's strategy."""
    with (
        asking(loop, AGAIN, AGAIN, AGAIN, said(FINE)) as there,
        at(loop, there, FailFast()) as bucket,
    ):
        for owner in (bucket, bucket.scope("s"), bucket.default_collection()):
            call = owner.n1ql_query if hasattr(owner, "n1ql_query") else owner.query
            assert isinstance(error_of(loop, call("SELECT 1")), N1QLError)
        assert len(there.server.asked) == 3
        assert loop.take(bucket.n1ql_query("SELECT 1")) == [1]


def test_best_effort_goes_on(loop: Loop) -> None:
    """Pauses of one's own count in place of the usual ones."""
    with (
        asking(loop, AGAIN, AGAIN, said(FINE)) as there,
        at(loop, there, BestEffort(first=0.002, longest=0.002)) as bucket,
    ):
        assert loop.take(bucket.n1ql_query("UPDATE x")) == [1]
        assert len(there.server.asked) == 3


def test_lost_answers(loop: Loop) -> None:
    """What is idempotent is repeated if the strategy says so; nobody asks it about the rest."""
    strategy = Noting(1.0, None)
    with asking(loop, cut, said(FINE), cut, cut) as there, at(loop, there, strategy) as bucket:
        scope = bucket.scope("s")
        assert loop.take(scope.query("SELECT 1", QueryOptions(readonly=True))) == [1]
        error = error_of(loop, scope.query("SELECT 1", QueryOptions(readonly=True)))
        assert type(error) is ConnectionLostError
        error_of(loop, scope.query("UPDATE x"))
        # One of them on a connection from before: that it was closed meanwhile is no reason.
        assert len(there.server.asked) == 5
    why = RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT
    assert strategy.asked == [("query", True, 1, (), why), ("query", True, 2, (), why)]


def test_broken_strategy(loop: Loop) -> None:
    """What a strategy raises is the cause of what the request had met."""
    broken = ZeroDivisionError("mine")
    with asking(loop, AGAIN) as there, at(loop, there, Noting(broken)) as bucket:
        error = error_of(loop, bucket.n1ql_query("SELECT 1"))
    assert isinstance(error, QueryInternalError)
    assert error.__cause__ is broken


def test_no_connection(loop: Loop) -> None:
    """A node that cannot be reached is waited for only if the strategy says so."""
    with asking(loop) as there:
        there.server.stop()
        with at(loop, there, FailFast()) as bucket:
            error = error_of(loop, bucket.n1ql_query("SELECT 1"))
            assert isinstance(error, NodeUnreachableError)


def test_search(loop: Loop) -> None:
    """A search that is refused for now says which reason it is."""
    from couchloop.fulltext import MatchAllQuery  # noqa: PLC0415 - of this test alone

    def busy(asked: Asked) -> None:
        body = b'{"error": "rest_auth: query request rejected", "status": "fail"}'
        asked.answer(body, "429 Too Many Requests")

    strategy = Noting(0.0, None)
    with asking(loop, busy, busy, key="fts") as there, at(loop, there, strategy) as bucket:
        assert isinstance(error_of(loop, bucket.search("i", MatchAllQuery())), TemporaryFailError)
    assert {each[-1] for each in strategy.asked} == {RetryReason.SEARCH_TOO_MANY_REQUESTS}
