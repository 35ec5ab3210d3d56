"""Requests to services in metrics and traces: what Prometheus counts, which spans there are."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from couchloop.embedded import administrator
from couchloop.exceptions import (
    BucketNotFoundError,
    NotAuthorizedError,
    QueryParsingError,
    ScopeExistsError,
)
from tests.conformance.loops import PASSWORD, Loop, cluster_at, opened
from tests.conformance.test_hostile_services import asking
from tests.conformance.test_observed_requests import failed
from tests.conformance.test_queries import FINE, refused, said
from tests.conformance.test_rows import taker
from tests.webserver import Asked

pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry

from couchloop.contrib.otel import SpanObserver
from couchloop.contrib.prometheus import MetricsObserver

DURATION = "db_client_operation_duration_seconds"


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a node with all services, to a user who may do all."""
    with loop.serving(loop.embedded(1, users=[administrator("user", PASSWORD)])) as served:
        yield served
        left(loop, served)


def left(loop: Loop, served: Any) -> None:
    """Wait until nobody asks any more."""
    nodes = served.cluster.nodes
    loop.until(lambda: not any(node.http_connections for node in nodes), "a connection was left")


def counted(registry: CollectorRegistry) -> dict[tuple[str, str, str, str, str], float]:
    """Return how many calls were counted: bucket, service, operation, scope, error."""
    found = {}
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name == f"{DURATION}_count":
                each = sample.labels
                names = ("db_namespace", "couchbase_service", "db_operation_name")
                others = ("couchbase_scope_name", "error_type")
                found[tuple(each[name] for name in (*names, *others))] = sample.value
    return found  # type: ignore[return-value]  # five of them


def test_counted(loop: Loop, served: Any) -> None:
    """Each request is one, under its service's name, and each call of a manager, by its own."""
    registry = CollectorRegistry()
    cluster = cluster_at(loop, served.connection_string)
    cluster.add_observer(MetricsObserver(registry))
    with opened(loop, cluster) as bucket:
        bucket.add_observer(MetricsObserver(registry))
        for _ in range(2):
            loop.take(bucket.n1ql_query("SELECT 1 AS a"))
        failed(loop, bucket.n1ql_query("SELEC"))
        loop.take(bucket.scope("_default").query("SELECT 1 AS a"))
        manager = bucket.collections()
        loop.wait(manager.create_scope("t"))
        with pytest.raises(ScopeExistsError):
            loop.wait(manager.create_scope("t"))
        loop.take(cluster.query("SELECT 1 AS a"))
        loop.wait(cluster.buckets().get_all_buckets())
        with pytest.raises(BucketNotFoundError):
            loop.wait(cluster.buckets().get_bucket("none"))
    assert counted(registry) == {
        ("default", "query", "query", "", ""): 2,
        ("default", "query", "query", "", "ParsingFailure"): 1,
        ("default", "query", "query", "_default", ""): 1,
        ("default", "management", "create_scope", "", ""): 1,
        ("default", "management", "create_scope", "", "ScopeExists"): 1,
        ("", "query", "query", "", ""): 1,
        ("", "management", "get_all_buckets", "", ""): 1,
        ("", "management", "get_bucket", "", "BucketNotFound"): 1,
    }
    buckets = [
        sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == f"{DURATION}_bucket"
        and sample.labels["le"] == "+Inf"
        and sample.labels["db_operation_name"] == "query"
    ]
    assert sorted(buckets) == [1, 1, 1, 2]


def test_under_way_and_again(loop: Loop) -> None:
    """What is under way counts as pending until its last row; what was asked anew as a retry."""
    registry = CollectorRegistry()

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"couchbase_client_{name}", {"db_namespace": ""})

    go_on = Event()

    def two(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results": [1')
        asked.chunk(b",")
        go_on.wait(20)
        asked.chunk(b'2], "status": "success"}')
        asked.chunk(b"")

    again = refused(1, retry=True)
    with asking(loop, again, two, again, again, said({**FINE, "results": []})) as there:
        cluster = there.cluster
        cluster.add_observer(MetricsObserver(registry))
        request = cluster.query("SELECT 1")
        take = taker(loop, request)
        assert value("pending_calls") is None
        assert (take(), value("pending_calls")) == (1, 1)
        go_on.set()
        assert take() == 2
        # The row may come before the end of its answer.
        loop.until(lambda: value("pending_calls") == 0)
        assert loop.take(cluster.query("SELECT 2")) == []
        assert (value("pending_calls"), value("retries_total")) == (0, 3)
    with asking(loop, again, said({**FINE, "results": []})) as there:
        there.cluster.add_observer(MetricsObserver(registry))
        assert loop.wait(there.cluster.query_indexes().get_all_indexes("b")) == []
        assert (value("pending_calls"), value("retries_total")) == (0, 4)
        request = there.cluster.query("SELECT 1")
        assert value("pending_calls") == 0
        request.close()
    assert counted(registry) == {
        ("", "query", "query", "", ""): 2,
        ("", "management", "get_all_indexes", "", ""): 1,
    }


class Traced:
    """What is traced, and a program's own spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("a program")
        self.observer = SpanObserver(provider)

    def spans(self) -> list[ReadableSpan]:
        """Return those that have ended since it was asked last."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found


def test_spans_of_managers(loop: Loop, served: Any) -> None:
    """A manager's call is one span, within its caller's, with name, place, node and outcome."""
    traced = Traced()
    cluster = cluster_at(loop, served.connection_string)
    cluster.add_observer(traced.observer)
    with traced.tracer.start_as_current_span("outer"):
        loop.wait(cluster.buckets().get_all_buckets())
        with pytest.raises(BucketNotFoundError):
            loop.wait(cluster.buckets().get_bucket("none"))
    loop.wait(cluster.cluster_info())
    with opened(loop, cluster) as bucket:
        bucket.add_observer(traced.observer)
        with traced.tracer.start_as_current_span("of a bucket"):
            loop.wait(bucket.collections().create_scope("s"))
        handle = bucket.threadsafe()
        loop.in_thread(lambda: handle.collections().drop_scope("s"))
    spans = {span.name: span for span in traced.spans()}
    assert set(spans) == {
        "outer",
        "of a bucket",
        "get_all_buckets",
        "get_bucket",
        "cluster_info",
        "create_scope default",
        "drop_scope default",
    }
    parents = {
        name: None if span.parent is None else span.parent.span_id for name, span in spans.items()
    }
    ids = {name: span.get_span_context().span_id for name, span in spans.items()}  # type: ignore[union-attr]
    assert parents == {
        "outer": None,
        "of a bucket": None,
        "get_all_buckets": ids["outer"],
        "get_bucket": ids["outer"],
        "cluster_info": None,
        "create_scope default": ids["of a bucket"],
        # It begins on the loop, where the thread's context is not.
        "drop_scope default": None,
    }
    (node,) = served.cluster.nodes
    usual = {
        "db.system.name": "couchbase",
        "couchbase.service": "management",
        "couchbase.retries": 0,
        "server.address": "127.0.0.1",
        "server.port": node.ports["mgmt"],
    }
    attributes = {name: dict(span.attributes or {}) for name, span in spans.items()}
    assert attributes["get_all_buckets"] == {**usual, "db.operation.name": "get_all_buckets"}
    assert attributes["get_bucket"] == {
        **usual,
        "db.operation.name": "get_bucket",
        "db.response.status_code": "404",
        "error.type": "BucketNotFound",
    }
    assert attributes["create_scope default"] == {
        **usual,
        "db.operation.name": "create_scope",
        "db.namespace": "default",
    }
    for name, span in spans.items():
        is_ours = name not in {"outer", "of a bucket"}
        assert span.kind is (SpanKind.CLIENT if is_ours else SpanKind.INTERNAL)
        expected = StatusCode.ERROR if name == "get_bucket" else StatusCode.UNSET
        assert span.status.status_code is expected
    assert spans["get_bucket"].status.description == "BucketNotFound"


def test_spans_of_queries(loop: Loop) -> None:
    """A query's span ends with its last row; it says what it failed with, and of asking anew."""
    traced = Traced()
    with asking(loop, refused(1, retry=True), said(FINE), refused(3000)) as there:
        cluster = there.cluster
        cluster.add_observer(traced.observer)
        with traced.tracer.start_as_current_span("outer") as outer:
            assert loop.take(cluster.query("SELECT 1")) == [1]
            assert isinstance(failed(loop, cluster.query("SELEC")), QueryParsingError)
            with pytest.raises(QueryParsingError):
                loop.wait(cluster.query_indexes().get_all_indexes("b"))
        good, bad, of_manager, _ = traced.spans()
        for span in (good, bad, of_manager):
            assert span.parent is not None
            assert span.parent.span_id == outer.get_span_context().span_id
            assert dict(span.attributes or {})["server.port"] == there.server.port
    assert [each.name for each in (good, bad, of_manager)] == ["query", "query", "get_all_indexes"]
    assert (good.attributes or {})["couchbase.retries"] == 1
    assert good.status.status_code is StatusCode.UNSET
    for span in (bad, of_manager):
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "ParsingFailure"
        assert (span.attributes or {})["db.response.status_code"] == "404"
        assert (span.attributes or {})["couchbase.retries"] == 0


def test_who_may_not(loop: Loop) -> None:
    """A refusal of the cluster manager is told with its status, and counted by its kind."""
    registry, traced = CollectorRegistry(), Traced()
    with loop.serving(loop.embedded(1)) as served:
        cluster = cluster_at(loop, served.connection_string)
        cluster.add_observer(MetricsObserver(registry))
        cluster.add_observer(traced.observer)
        with pytest.raises(NotAuthorizedError):
            loop.wait(cluster.users().get_all_users())
        del cluster
        left(loop, served)
    assert counted(registry) == {
        ("", "management", "get_all_users", "", "AuthenticationFailure"): 1
    }
    (span,) = traced.spans()
    assert (span.attributes or {})["db.response.status_code"] == "403"
    assert span.status.status_code is StatusCode.ERROR
