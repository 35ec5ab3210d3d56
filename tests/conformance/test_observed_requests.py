"""Requests to services, observed: queries, searches, views, analytics and what managers ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from weakref import ref

import pytest

from couchloop.embedded import administrator
from couchloop.exceptions import (
    BucketNotFoundError,
    CouchbaseError,
    NoSuchBucketError,
    QueryParsingError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    ValueFormatError,
)
from couchloop.fulltext import MatchAllQuery
from couchloop.management.design_documents import DesignDocumentNamespace
from couchloop.n1ql import N1QLQuery
from couchloop.observation import Completed, Ended, Started
from tests.conformance.loops import PASSWORD, Loop, cluster_at, opened
from tests.conformance.test_hostile_services import asking
from tests.conformance.test_queries import FINE, refused, said
from tests.conformance.test_rows import taker
from tests.webserver import Asked

CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Notes:
    """An observer that takes note of all, and of whose context it was called in."""

    def __init__(self) -> None:
        self.begun: list[Started] = []
        self.callers: list[str] = []
        self.ended_: list[Ended] = []
        self.done: list[Completed] = []

    def started(self, call: Started, /) -> int:
        self.begun.append(call)
        self.callers.append(CALLER.get())
        return len(self.begun)

    def ended(self, call: Ended, begun: int, /) -> None:
        assert self.begun[begun - 1] is call.call
        self.ended_.append(call)

    def completed(self, operation: Completed, /) -> None:
        self.done.append(operation)

    def answered_late(self, answer: object, /) -> None:
        raise AssertionError(answer)


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve nodes with all services, to a user who may do all."""
    with loop.serving(loop.embedded(2, users=[administrator("user", PASSWORD)])) as served:
        yield served


def failed(loop: Loop, request: Any) -> CouchbaseError:
    """Return what ends the rows."""
    try:
        loop.take(request)
    except CouchbaseError as error:
        # What pytest keeps of an error would keep the request.
        return error.with_traceback(None)
    raise AssertionError("it has not failed")


def test_all_services(loop: Loop, served: Any) -> None:
    """Each is told of where the user calls, and at its end: service, names, node, status."""
    notes, others = Notes(), Notes()
    cluster = cluster_at(loop, served.connection_string)
    cluster.add_observer(others)
    with opened(loop, cluster) as bucket:
        bucket.add_observer(notes)
        CALLER.set("me")
        assert loop.take(bucket.scope("s").query("SELECT 1 AS a")) == [{"a": 1}]
        failed(loop, bucket.search("none", MatchAllQuery()))
        failed(loop, bucket.query("none", "none"))
        assert loop.take(bucket.analytics_query("SELECT 1 AS a", "127.0.0.1")) == [{"a": 1}]
        loop.wait(bucket.collections().create_scope("t"))
        loop.wait(
            bucket.view_indexes().get_all_design_documents(DesignDocumentNamespace.PRODUCTION)
        )
        loop.wait(cluster.buckets().get_all_buckets())
        bucket.remove_observer(notes)
        loop.take(bucket.n1ql_query("SELECT 1"))
    named = [(each.service, each.name, each.bucket, each.scope) for each in notes.begun]
    assert named == [
        ("query", "query", "default", "s"),
        ("search", "search", "default", None),
        ("views", "query", "default", None),
        ("analytics", "analytics_query", "default", None),
        ("management", "create_scope", "default", None),
        ("management", "get_all_design_documents", "default", None),
    ]
    assert notes.callers == ["me"] * len(named)
    assert [each.call for each in notes.ended_] == notes.begun
    assert [each.operation for each in notes.ended_] == notes.done
    assert [each.status for each in notes.done] == [200, 400, 404, 200, 200, 200]
    ports = {str(port) for node in served.cluster.nodes for port in node.ports.values()}
    for each in notes.done:
        assert each.node is not None
        assert each.node.rpartition(":")[2] in ports
        assert (each.retries, each.collection, each.statement) == (0, None, None)
        assert each.duration >= 0.0
    assert [each.outcome is None for each in notes.done] == [True, False, False, True, True, True]
    assert notes.done[0].request_id
    assert [(each.service, each.name) for each in others.begun] == [
        ("management", "get_all_buckets")
    ]
    services = ref(cluster._ask_services())
    del cluster
    # No observer, and nothing of what it was told, holds what has asked.
    assert services() is None


def test_failures(loop: Loop) -> None:
    """What fails says with what; what was asked anew, how often; who leaves, that he has left."""
    with asking(
        loop, refused(3000), refused(1, retry=True), said(FINE), said({**FINE, "results": ["x"]})
    ) as there:
        notes = Notes()
        there.cluster.add_observer(notes)
        assert isinstance(failed(loop, there.cluster.query("SELEC")), QueryParsingError)
        assert loop.take(there.cluster.query("SELECT 1")) == [1]
        assert isinstance(failed(loop, there.cluster.query("S", type=int)), ValueFormatError)
        # Nothing is sent before a row is asked for.
        there.cluster.query("SELECT 1").close()
    outcomes = [(each.outcome, each.retries, each.is_cancelled) for each in notes.ended_]
    assert outcomes == [
        (QueryParsingError, 0, False),
        (None, 1, False),
        (ValueFormatError, 0, False),
    ]
    assert [each.status for each in notes.done] == [404, 200, 200]


def test_who_leaves(loop: Loop) -> None:
    """Whoever closes before the end is told of as one who has gone, of whose outcome none knows."""

    def slow(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results": [1,')
        asked.wait_for_end()

    with asking(loop, slow) as there:
        notes = Notes()
        there.cluster.add_observer(notes)
        request = there.cluster.query("SELECT 1")
        take = taker(loop, request)
        assert take() == 1
        there.cluster.remove_observer(notes)
        request.close()
        (ended,) = notes.ended_
        assert (ended.is_cancelled, ended.outcome) == (True, RequestCanceledError)
        assert notes.done == []


def test_managers(loop: Loop, served: Any) -> None:
    """A manager's call is one, however many requests it takes; its errors are those of users."""
    notes = Notes()
    cluster = cluster_at(loop, served.connection_string)
    cluster.add_observer(notes)
    with pytest.raises(BucketNotFoundError):
        loop.wait(cluster.buckets().get_bucket("none"))
    with pytest.raises(UnambiguousTimeoutError):
        loop.wait(cluster.buckets().wait_ready("none", timeout=0.2))
    assert [(each.name, each.outcome) for each in notes.done] == [
        ("get_bucket", NoSuchBucketError),
        ("wait_ready", notes.done[1].outcome),
    ]
    assert len(notes.ended_) == 2


def reported(lines: list[str]) -> dict[str, Any]:
    """Return the one report of slow calls."""
    title = "Operations over threshold: "
    (line,) = [each.removeprefix(title) for each in lines if each.startswith(title)]
    found: dict[str, Any] = json.loads(line)
    return found


SLOW = "?enable_tracing=on&" + "&".join(
    f"tracing_threshold_{name}=0" for name in ("kv", "n1ql", "view", "fts", "analytics")
)


@pytest.mark.parametrize("shown", [False, True])
def test_thresholds(loop: Loop, served: Any, *, shown: bool) -> None:
    """Slow requests are reported by service, with their statements only where that is asked for."""
    options = f"{SLOW}&show_queries=on&log_redaction=on" if shown else SLOW
    cluster = cluster_at(loop, f"{served.connection_string}{options}")
    with loop.log() as lines, opened(loop, cluster) as bucket:
        assert bucket.tracing_threshold_n1ql == 0
        bucket.tracing_threshold_fts = bucket.TRACING_THRESHOLD_ANALYTICS = 100.0
        loop.wait(bucket.upsert("k", 1))
        loop.take(bucket.n1ql_query(N1QLQuery("SELECT $1 AS secret", 5)))
        failed(loop, bucket.query("none", "none"))
        failed(loop, bucket.search("none", MatchAllQuery()))
        loop.take(bucket.analytics_query("SELECT 1", "127.0.0.1"))
    report = reported(lines)
    assert list(report) == ["kv", "query", "views"]
    assert [each["total_count"] for each in report.values()] == [1, 1, 1]
    (entry,) = report["query"]["top_requests"]
    assert entry["operation_name"] == "n1ql_query"
    assert entry["operation_id"].count("-") == 4
    assert entry["timeout_ms"] == 75000
    assert ":" in entry["last_remote_socket"]
    assert entry.get("statement") == ("<ud>SELECT $1 AS secret</ud>" if shown else None)
    assert ("secret" in json.dumps(report)) is shown


def test_reports_of_a_cluster(loop: Loop, served: Any) -> None:
    """What a Cluster asks is reported by its own options, when its session ends at the latest."""
    with loop.log() as lines:
        cluster = cluster_at(loop, f"{served.connection_string}{SLOW}")
        loop.take(cluster.query("SELECT 1"))
        cluster._ask_services()._driver.close()
        loop.until(lambda: len(lines) > 1)
    assert reported(lines)["query"]["total_count"] == 1
