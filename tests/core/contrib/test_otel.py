"""Spans and metrics of OpenTelemetry, kept in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from couchloop.durability import DurabilityLevel
from couchloop.hot.operation import CollectionName
from couchloop.operations import document as operations
from couchloop.wire import Opcode, Status
from tests.core.world import World

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode

from couchloop.contrib.otel import DurationObserver, SpanObserver


class Traced:
    """A world whose bucket is traced, and its spans."""

    def __init__(self, sampler: Any = ALWAYS_ON, **keywords: Any) -> None:
        settings = {name: keywords.pop(name) for name in ("log_redaction",) if name in keywords}
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.world = World(observer=SpanObserver(self.provider, **keywords), **settings)
        self.world.open()

    @property
    def spans(self) -> list[Any]:
        """The spans that are over, in the order of their ends."""
        return list(self.exporter.get_finished_spans())


def test_span() -> None:
    """A call is a span of a client, with the names of the conventions and of RFC 0067."""
    t = Traced()
    t.world.do(operations.upsert(t.world.defaults, "k", 1))
    (span,) = t.spans
    host, port = str(t.world.owner("k")).split(":")
    assert (span.name, span.kind, span.parent) == ("upsert default", SpanKind.CLIENT, None)
    assert dict(span.attributes) == {
        "db.system.name": "couchbase",
        "db.namespace": "default",
        "db.operation.name": "upsert",
        "db.collection.name": "_default",
        "couchbase.service": "kv",
        "couchbase.scope.name": "_default",
        "couchbase.collection.name": "_default",
        "couchbase.retries": 0,
        "server.address": host,
        "server.port": int(port),
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.name == "couchloop"


def test_failure() -> None:
    """A failure is an error by RFC 0058's name, with the server's status."""
    t = Traced()
    t.world.cluster.inject(opcode=Opcode.GET, status=Status.ETMPFAIL, count=2)
    t.world.submit(operations.get(t.world.defaults, "k"))
    t.world.advance(1.0)
    (span,) = t.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == span.attributes["error.type"] == "DocumentNotFound"
    assert span.attributes["db.response.status_code"] == "0x01"
    assert span.attributes["couchbase.retries"] == 2


def test_cancelled() -> None:
    """A call whose caller has gone has a span that is over."""
    t = Traced()
    t.world.cluster.inject(opcode=Opcode.GET, silent=True)
    t.world.session.cancel(t.world.submit(operations.get(t.world.defaults, "k")))
    (span,) = t.spans
    assert span.attributes["error.type"] == "RequestCanceled"


def test_batch() -> None:
    """A batch is one span, which says how many it is about."""
    t = Traced()
    t.world.submit(operations.upsert_multi(t.world.defaults, {"a": 1, "b": 2}))
    t.world.settle()
    t.world.submit(operations.get_multi(t.world.defaults, ["a"]))
    t.world.settle()
    batch, single = t.spans
    assert batch.name == "BATCH upsert default"
    assert batch.attributes["db.operation.batch.size"] == 2
    assert "server.address" not in batch.attributes
    assert single.name == "get default"
    assert "db.operation.batch.size" not in single.attributes


def test_collection() -> None:
    """A named collection is the span's target; a level is told by RFC 0067's name."""
    t = Traced()
    w = t.world
    w.cluster.create_collection("default", "zoo.birds")
    birds = replace(w.defaults, collection=CollectionName("zoo", "birds"), max_key=246)
    w.session.collections.attach(birds)
    level = DurabilityLevel.PERSIST_TO_MAJORITY
    w.submit(operations.upsert(birds, "k", 1, durability=level))
    w.settle()
    (span,) = t.spans
    assert span.name == "upsert birds"
    assert span.attributes["couchbase.scope.name"] == "zoo"
    assert span.attributes["db.collection.name"] == "birds"
    assert span.attributes["couchbase.durability"] == "persist_majority"


def test_dispatch() -> None:
    """Where that is asked for, what was sent last is a span within, which its parent outlives."""
    t = Traced(dispatch_spans=True)
    t.world.do(operations.upsert(t.world.defaults, "k", 1))
    inner, outer = t.spans
    assert (inner.name, inner.kind) == ("dispatch_to_server", SpanKind.CLIENT)
    assert inner.parent.span_id == outer.context.span_id
    assert inner.start_time <= inner.end_time <= outer.end_time
    attributes = dict(inner.attributes)
    assert attributes["network.transport"] == "tcp"
    assert attributes["couchbase.operation_id"].startswith("0x")
    assert "/" in attributes["couchbase.local_id"]
    assert attributes["couchbase.server_duration"] >= 0


@pytest.mark.parametrize(("redaction", "shown"), [(False, "k"), (True, "sha256:8254c329a92850f6")])
def test_keys(redaction: bool, shown: str) -> None:
    """Keys are told where that is asked for, and hashed where redaction asks."""
    t = Traced(with_keys=True, log_redaction=redaction)
    t.world.do(operations.upsert(t.world.defaults, "k", 1))
    assert t.spans[0].attributes["couchbase.document.key"] == shown


def test_not_sampled() -> None:
    """What a sampler leaves out costs no attributes, and harms nothing."""
    t = Traced(ALWAYS_OFF, dispatch_spans=True)
    assert t.world.do(operations.upsert(t.world.defaults, "k", 1)).success
    assert t.spans == []
    assert not any("observer" in line for line in t.world.logs)


def test_nobody_provides() -> None:
    """Without an SDK, the API alone does nothing."""
    w = World(observer=SpanObserver(dispatch_spans=True))
    w.open()
    assert w.do(operations.upsert(w.defaults, "k", 1)).success
    assert not any("observer" in line for line in w.logs)


def test_durations() -> None:
    """The metric has the buckets of the conventions, and a call's place and error."""
    reader = InMemoryMetricReader()
    w = World(observer=DurationObserver(MeterProvider([reader])))
    w.open()
    w.cluster.inject(opcode=Opcode.SET, delay=0.25, count=1)
    w.submit(operations.upsert(w.defaults, "k", 1))
    w.advance(0.25)
    w.submit(operations.get(w.defaults, "nothing"))
    w.settle()
    data: Any = reader.get_metrics_data()
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    stored, failed = sorted(
        metric.data.data_points, key=lambda point: str(point.attributes.get("error.type", ""))
    )
    assert stored.sum == pytest.approx(0.25)
    assert stored.explicit_bounds[0] == 0.001
    assert stored.attributes["db.operation.name"] == "upsert"
    assert "error.type" not in stored.attributes
    assert failed.attributes["error.type"] == "DocumentNotFound"


def test_names_of_the_conventions() -> None:
    """What begins with `db.` or `server.` is a stable name of the conventions."""
    db = pytest.importorskip("opentelemetry.semconv.attributes.db_attributes")
    server = pytest.importorskip("opentelemetry.semconv.attributes.server_attributes")
    values = [value for module in (db, server) for value in vars(module).values()]
    known = {value for value in values if isinstance(value, str)}
    t = Traced()
    t.world.submit(operations.upsert_multi(t.world.defaults, {"a": 1, "b": 2}))
    t.world.submit(operations.get(t.world.defaults, "nothing"))
    t.world.settle()
    found = {name for span in t.spans for name in span.attributes}
    ours = {name for name in found if name.startswith(("db.", "server."))}
    assert ours
    assert ours <= known
