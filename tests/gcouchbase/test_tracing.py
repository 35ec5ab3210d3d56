"""Spans nest as their callers' do: within a greenlet, and in new ones that are given a context."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import gevent
import pytest

from gcouchbase.bucket import Bucket
from gcouchbase.testing import serve

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from couchloop.contrib.otel import SpanObserver


class Traced:
    """A Bucket that is traced, and a program's own spans."""

    def __init__(self, bucket: Bucket) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("a program")
        self.bucket = bucket
        bucket.add_observer(SpanObserver(provider))

    def nested(self) -> dict[str, list[str]]:
        """Return the names of the spans within each span that has none above it."""
        spans = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        outer: dict[Any, str] = {
            span.context.span_id: span.name for span in spans if span.parent is None
        }
        found: dict[str, list[str]] = {name: [] for name in outer.values()}
        for span in spans:
            if span.parent is not None:
                found[outer[span.parent.span_id]].append(span.name)
        return found


@pytest.fixture
def traced() -> Iterator[Traced]:
    """Open a bucket of an embedded cluster, and trace it."""
    with serve() as served:
        string = f"{served.connection_string}/default"
        with Bucket(string, username="user", password="password") as bucket:
            yield Traced(bucket)


def test_greenlets(traced: Traced) -> None:
    """Two greenlets at once, each with a span of its own."""

    def request(name: str) -> None:
        with traced.tracer.start_as_current_span(name):
            traced.bucket.upsert(name, 1)
            traced.bucket.get(name)
            traced.bucket.get_multi(["one", "two"], quiet=True)

    gevent.joinall([gevent.spawn(request, name) for name in ("one", "two")], raise_error=True)
    expected = ["upsert default", "get default", "BATCH get default"]
    assert traced.nested() == {"one": expected, "two": expected}


def test_new_greenlets(traced: Traced) -> None:
    """A new greenlet has an empty context, unless it is run in a copy of its parent's."""
    with traced.tracer.start_as_current_span("one"):
        gevent.spawn(traced.bucket.upsert, "k", 1).get()
        gevent.spawn(copy_context().run, lambda: traced.bucket.get("k")).get()
    assert traced.nested() == {"upsert default": [], "one": ["get default"]}


def test_pipelines(traced: Traced) -> None:
    """What a pipeline issues is within the span that was current then."""
    with traced.bucket.pipeline():
        with traced.tracer.start_as_current_span("one"):
            traced.bucket.upsert("k", 1)
        traced.bucket.get("k")
    assert traced.nested() == {"one": ["upsert default"], "get default": []}


def test_services(traced: Traced) -> None:
    """A request to a service, too, is within the span in which its first row is asked for."""
    with traced.tracer.start_as_current_span("one"):
        request = traced.bucket.n1ql_query("SELECT 1 AS a")
    with traced.tracer.start_as_current_span("two"):
        assert list(request) == [{"a": 1}]
    assert traced.nested() == {"one": [], "two": ["query default"]}
