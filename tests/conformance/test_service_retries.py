"""Retry strategies of requests to services: asked where there is a choice, as for documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from couchloop.analytics import AnalyticsOptions
from couchloop.exceptions import (
    AnalyticsError,
    ArgumentError,
    ConnectionLostError,
    CouchbaseError,
    N1QLError,
    NodeUnreachableError,
    QueryInternalError,
    TemporaryFailError,
)
from couchloop.fulltext import SearchOptions
from couchloop.management.design_documents import DesignDocumentNamespace
from couchloop.n1ql import QueryOptions
from couchloop.retries import BestEffort, FailFast, RetryReason, RetryRequest
from couchloop.views import ViewOptions
from tests.conformance.loops import Loop, cluster_at, open_bucket, opened, opened_at
from tests.conformance.test_hostile_services import asking
from tests.conformance.test_queries import FINE, error_of, refused, said
from tests.conformance.test_views import instead
from tests.webserver import Asked, WebServer


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

    strategy = Noting(0.0, None)
    with asking(loop, busy, busy, key="fts") as there, at(loop, there, strategy) as bucket:
        assert isinstance(error_of(loop, bucket.search("i", MatchAllQuery())), TemporaryFailError)
    assert {each[-1] for each in strategy.asked} == {RetryReason.SEARCH_TOO_MANY_REQUESTS}


def test_of_a_cluster(loop: Loop) -> None:
    """A Cluster has one of its own, and Buckets have it that name none."""
    with asking(loop, AGAIN, AGAIN, AGAIN, AGAIN, said(FINE)) as there:
        seed = there.cluster.connection_string
        cluster = cluster_at(loop, seed, retry_strategy=FailFast())
        indexes = cluster.query_indexes()
        assert isinstance(error_of(loop, cluster.query("SELECT 1")), QueryInternalError)
        with pytest.raises(QueryInternalError):
            loop.wait(indexes.get_all_indexes("default"))
        with opened(loop, cluster) as bucket:
            assert isinstance(error_of(loop, bucket.n1ql_query("SELECT 1")), QueryInternalError)
            assert open_bucket(loop, cluster, retry_strategy=FailFast()) is bucket
        assert len(there.server.asked) == 3
        with opened(loop, cluster, retry_strategy=BestEffort(first=0.002)) as bucket:
            assert loop.take(bucket.n1ql_query("SELECT 1")) == [1]
        assert len(there.server.asked) == 5
        for wrong in (5, FailFast):
            with pytest.raises(ArgumentError, match="retry_after"):
                cluster_at(loop, seed, retry_strategy=wrong)


REFUSED = said({"errors": [{"code": 23007, "msg": "x"}], "status": "fatal"}, "500 Failed")


def busy(asked: Asked) -> None:
    """Reject a search."""
    body = b'{"error": "rest_auth: query request rejected", "status": "fail"}'
    asked.answer(body, "429 Too Many Requests")


def unavailable(asked: Asked) -> None:
    """Do as a service that starts."""
    asked.answer(b"", "503 Service Unavailable")


Call = Callable[[Any, Any, Any], Any]
"""Asks a Cluster and a Bucket of it, by a strategy."""
ROWS: list[tuple[str, Any, RetryReason, Call]] = [
    ("n1ql", AGAIN, RetryReason.QUERY_ERROR_RETRYABLE, call)
    for call in (
        lambda cluster, _, by: cluster.query("SELECT 1", retry_strategy=by),
        lambda cluster, _, by: cluster.query("SELECT 1", QueryOptions(retry_strategy=by)),
        lambda cluster, _, by: cluster.n1ql_query("SELECT 1", retry_strategy=by),
        lambda _, bucket, by: bucket.n1ql_query("SELECT 1", retry_strategy=by),
        lambda _, bucket, by: bucket.scope("s").query("SELECT 1", retry_strategy=by),
        lambda _, bucket, by: bucket.default_collection().n1ql_query("SELECT 1", retry_strategy=by),
    )
]
ROWS += [
    ("cbas", REFUSED, RetryReason.ANALYTICS_TEMPORARY_FAILURE, call)
    for call in (
        lambda cluster, _, by: cluster.analytics_query("SELECT 1", retry_strategy=by),
        lambda cluster, _, by: cluster.analytics_query(
            "SELECT 1", AnalyticsOptions(retry_strategy=by)
        ),
        lambda _, bucket, by: bucket.analytics_query("SELECT 1", retry_strategy=by),
        lambda _, bucket, by: bucket.scope("s").analytics_query("SELECT 1", retry_strategy=by),
    )
]
ROWS += [
    ("fts", busy, RetryReason.SEARCH_TOO_MANY_REQUESTS, call)
    for call in (
        lambda cluster, _, by: cluster.search("i", "a", retry_strategy=by),
        lambda cluster, _, by: cluster.search("i", "a", SearchOptions(retry_strategy=by)),
        lambda cluster, _, by: cluster.search_query("i", "a", retry_strategy=by),
        lambda _, bucket, by: bucket.search("i", "a", retry_strategy=by),
    )
]
ROWS += [
    ("capi", unavailable, RetryReason.VIEWS_TEMPORARY_FAILURE, call)
    for call in (
        lambda _, bucket, by: bucket.query("d", "v", retry_strategy=by),
        lambda _, bucket, by: bucket.view_query("d", "v", retry_strategy=by),
        lambda _, bucket, by: bucket.view_query("d", "v", ViewOptions(retry_strategy=by)),
    )
]


def see_calls(loop: Loop, cluster: Any, bucket: Any, server: WebServer, service: str) -> None:
    """See that each asks the strategy that it names, and refuses what is none."""
    calls = [each for each in ROWS if each[0] == service]
    for number, (_, _, reason, call) in enumerate(calls, 1):
        strategy = Noting(None)
        error_of(loop, call(cluster, bucket, strategy))
        assert [each[2:] for each in strategy.asked] == [(1, (), reason)]
        assert len(server.asked) == number
        for wrong in (5, FailFast):
            with pytest.raises(ArgumentError, match="retry_after"):
                call(cluster, bucket, wrong)
    assert len(server.asked) == len(calls)


@pytest.mark.parametrize("service", ["n1ql", "cbas", "fts"])
def test_of_a_call(loop: Loop, service: str) -> None:
    """Whatever gives rows may name another; what is none is told by the call, and nothing sent."""
    script = next(each[1] for each in ROWS if each[0] == service)
    with asking(loop, script, key=service) as there, at(loop, there, None) as bucket:
        see_calls(loop, there.cluster, bucket, there.server, service)


def test_of_a_call_to_a_view(loop: Loop) -> None:
    """So may queries of views."""
    with instead(loop, unavailable) as (bucket, server):
        see_calls(loop, None, bucket, server, "capi")


def test_other_than_the_owners(loop: Loop) -> None:
    """The call's counts, in either direction, and for the call alone."""
    patient = BestEffort(first=0.002, longest=0.002)
    with (
        asking(loop, AGAIN, AGAIN, said(FINE), AGAIN) as there,
        at(loop, there, FailFast()) as bucket,
    ):
        assert loop.take(bucket.n1ql_query("UPDATE x", retry_strategy=patient)) == [1]
        assert len(there.server.asked) == 3
        assert isinstance(error_of(loop, bucket.n1ql_query("UPDATE x")), QueryInternalError)
        assert len(there.server.asked) == 4
    with asking(loop, AGAIN, AGAIN, said(FINE)) as there, at(loop, there, FailFast()) as bucket:
        # The usual one has the pauses of the service.
        assert loop.take(bucket.n1ql_query("UPDATE x", retry_strategy=BestEffort())) == [1]


def test_of_a_call_to_a_manager(loop: Loop) -> None:
    """Managers are told in the same way, whatever they ask."""
    with (
        asking(loop, AGAIN, AGAIN, AGAIN, cut) as there,
        at(loop, there, None) as bucket,
    ):
        cluster = there.cluster
        calls: list[tuple[str, Callable[[Any], Any]]] = [
            ("get_all_indexes", lambda by: cluster.query_indexes().get_all_indexes("b", **by)),
            (
                "get_all_indexes",
                lambda by: bucket.scope("s").collection("c").query_indexes().get_all_indexes(**by),
            ),
            ("n1ql_index_list", lambda by: bucket.bucket_manager().n1ql_index_list(**by)),
            ("http_request", lambda by: cluster.http_request("/", service="query", **by)),
            (
                "http_request",
                lambda by: cluster.cluster_manager().http_request("/", service="query", **by),
            ),
        ]
        for name, call in calls:
            strategy = Noting(None)
            with pytest.raises(CouchbaseError):
                loop.wait(call({"retry_strategy": strategy}))
            why = RetryReason.QUERY_ERROR_RETRYABLE
            if name == "http_request":
                why = RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT
            # Those of `http_request` begin with a connection from before.
            assert [(*each[:2], each[-1]) for each in strategy.asked] == [(name, True, why)]
        others: list[Callable[[Any], Any]] = [
            lambda by: cluster.cluster_info(**by),
            lambda by: cluster.buckets().get_all_buckets(**by),
            lambda by: cluster.users().get_roles(**by),
            lambda by: cluster.cluster_manager().buckets_list(**by),
            lambda by: cluster.search_indexes().get_all_indexes(**by),
            lambda by: cluster.analytics_indexes().get_all_datasets(**by),
            lambda by: cluster.eventing_functions().get_all_functions(**by),
            lambda by: bucket.collections().create_scope("s", **by),
            lambda by: bucket.view_indexes().get_all_design_documents(
                DesignDocumentNamespace.PRODUCTION, **by
            ),
            lambda by: bucket.bucket_manager().design_list(**by),
        ]
        for ask in [*(call for _, call in calls), *others]:
            with pytest.raises(ArgumentError, match="retry_after"):
                loop.wait(ask({"retry_strategy": 5}))


def test_in_threads(loop: Loop) -> None:
    """Handles for threads take it as what they stand for does."""
    with asking(loop, AGAIN) as there, at(loop, there, None) as bucket:
        handle, cluster = bucket.threadsafe(), there.cluster.threadsafe()
        strategy = Noting(None)

        def query() -> None:
            with pytest.raises(QueryInternalError):
                list(handle.n1ql_query("SELECT 1", retry_strategy=strategy))
            with pytest.raises(QueryInternalError):
                cluster.query_indexes().get_all_indexes("b", retry_strategy=FailFast())
            for wrong in (handle.n1ql_query, handle.search):
                arguments = ("i", "a") if wrong == handle.search else ("SELECT 1",)
                with pytest.raises(ArgumentError):
                    wrong(*arguments, retry_strategy=5)
            with pytest.raises(ArgumentError):
                cluster.query_indexes().get_all_indexes("b", retry_strategy=5)

        loop.in_thread(query)
        assert len(strategy.asked) == 1
        assert len(there.server.asked) == 2


def test_managers_go_on(loop: Loop) -> None:
    """What did not run a manager asks anew, after the strategy's pauses, and tells of each try."""
    strategy = Noting(0.0, 0.001, ZeroDivisionError("mine"))
    with asking(loop, AGAIN) as there:
        indexes = there.cluster.query_indexes()
        with pytest.raises(QueryInternalError) as raised:
            loop.wait(indexes.create_primary_index("b", retry_strategy=strategy))
        assert len(there.server.asked) == 3
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    why = RetryReason.QUERY_ERROR_RETRYABLE
    assert strategy.asked == [
        ("create_primary_index", False, 1, (), why),
        ("create_primary_index", False, 2, (why,), why),
        ("create_primary_index", False, 3, (why,), why),
    ]
    strategy = Noting(None)
    with asking(loop, REFUSED, key="cbas") as there:
        datasets = there.cluster.analytics_indexes()
        with pytest.raises(AnalyticsError):
            loop.wait(datasets.get_all_datasets(retry_strategy=strategy))
        assert len(there.server.asked) == 1
    assert [each[-1] for each in strategy.asked] == [RetryReason.ANALYTICS_TEMPORARY_FAILURE]
