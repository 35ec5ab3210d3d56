"""Spans nest as their callers' do, on whatever reactor runs: `trial --reactor=NAME` runs each."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import copy_context
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from tests.txcouchbase.test_reactors import SocketTests

try:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from couchloop.contrib.otel import SpanObserver
except ImportError:
    MISSING: str | None = "opentelemetry-sdk is not installed"
else:
    MISSING = None


class TracingTests(SocketTests):
    """Two requests at once, each with operations in a span of its own."""

    skip = MISSING

    def setUp(self) -> None:
        super().setUp()
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("a program")
        self.bucket = self.cluster.open_bucket("default")
        self.bucket.add_observer(SpanObserver(provider))

    def nested(self) -> dict[str, list[str]]:
        """Return the names of the spans within each span of the program, in their order."""
        spans = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        outer = {span.context.span_id: span.name for span in spans if span.parent is None}
        found: dict[str, list[str]] = {name: [] for name in outer.values()}
        for span in spans:
            if span.parent is not None:
                found[outer[span.parent.span_id]].append(span.name)
        return found

    EXPECTED: ClassVar = ["upsert default", "get default", "BATCH get default"]

    async def test_coroutines(self) -> None:
        """Within coroutines they are the children of what is current there."""

        async def request(name: str) -> None:
            with self.tracer.start_as_current_span(name):
                await self.bucket.upsert(name, 1)
                await self.bucket.get(name)
                await self.bucket.get_multi(["one", "two"], quiet=True)

        calls = [Deferred.fromCoroutine(request(name)) for name in ("one", "two")]
        await gatherResults(calls)
        assert self.nested() == {"one": self.EXPECTED, "two": self.EXPECTED}
        await self.bucket.close()

    async def test_inline_callbacks(self) -> None:
        """So they are within generators."""

        @inlineCallbacks
        def request(name: str) -> Generator[Deferred[Any], Any, None]:
            with self.tracer.start_as_current_span(name):
                yield self.bucket.upsert(name, 1)
                yield self.bucket.get(name)
                yield self.bucket.get_multi(["one", "two"], quiet=True)

        await gatherResults([request("one"), request("two")])
        assert self.nested() == {"one": self.EXPECTED, "two": self.EXPECTED}
        await self.bucket.close()

    async def test_callbacks(self) -> None:
        """A callback runs in the context of whoever fires: one that is carried along helps."""
        await self.bucket.wait_until_ready(10)
        with self.tracer.start_as_current_span("one"):
            context = copy_context()
            called = self.bucket.upsert("k", 1)
        called.addCallback(lambda _: context.run(self.bucket.get, "k"))
        await called
        assert self.nested() == {"one": ["upsert default", "get default"]}
        await self.bucket.close()

    async def test_services(self) -> None:
        """A request to a service, too, is within the span in which its first row is asked for."""
        request = self.bucket.n1ql_query("SELECT 1 AS a")
        with self.tracer.start_as_current_span("one"):
            assert [row async for row in request] == [{"a": 1}]
        assert self.nested() == {"one": ["query default"]}
        await self.bucket.close()
