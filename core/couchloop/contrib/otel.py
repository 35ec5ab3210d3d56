"""Spans and metrics of OpenTelemetry: `pip install "couchloop[otel]"`, which is its API alone.

    bucket.add_observer(SpanObserver())
    bucket.add_observer(DurationObserver())

Which names they write, and why, is in docs/observability.md.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from couchloop import __version__
from couchloop.contrib import naming
from couchloop.observation import KV, Completed, Ended, Started

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ImportError(
        "couchloop.contrib.otel needs opentelemetry-api: pip install 'couchloop[otel]'"
    ) from error

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["DurationObserver", "SpanObserver"]

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
_NANOSECONDS: Final = 1_000_000_000
_REFUSALS: Final = 400
"""Statuses of HTTP from there on say that something has failed."""


class SpanObserver:
    """An observer that makes a span of each call, within the span that its caller is in.

    Args:
        tracer_provider: whose spans they are; None: the one that counts in this process.
        dispatch_spans: whether a call that is one operation has a span in it for what was sent
            last, from sending to answer.
        with_keys: whether spans have the document's key (`couchbase.document.key`, no name of the
            conventions): a hash of it where the option `log_redaction` asks.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        dispatch_spans: bool = False,
        with_keys: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer(
            "couchloop", __version__, tracer_provider, schema_url=_SCHEMA
        )
        self._dispatch_spans = dispatch_spans
        self._with_keys = with_keys

    def started(self, call: Started, /) -> Span:
        """Begin a span in the caller's context, with what samplers ask for."""
        attributes = _place(call)
        if call.batch_size not in {None, 1}:
            attributes["db.operation.batch.size"] = call.batch_size
        level = naming.durability(call)
        if level is not None:
            attributes["couchbase.durability"] = level
        if call.statement is not None and not call.is_redacted:
            attributes["db.query.text"] = call.statement
        if self._with_keys and call.key is not None:
            attributes["couchbase.document.key"] = call.key
        target = call.collection or call.bucket
        name = f"{attributes['db.operation.name']} {target}".rstrip()
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def ended(self, call: Ended, begun: Span | None, /) -> None:
        """End the span of a call; whose context this is does not matter."""
        if begun is None:
            # Beginning it has failed, and that is logged.
            return
        now = time_ns()
        try:
            if begun.is_recording():
                self._describe(begun, call, now)
        finally:
            begun.end(now)

    def _describe(self, begun: Span, call: Ended, now: int) -> None:
        """Say in a span what has become of its call."""
        if call.retries is not None:
            begun.set_attribute("couchbase.retries", call.retries)
        operation = call.operation
        if operation is not None:
            begun.set_attributes(_node(operation))
            if self._dispatch_spans and operation.dispatch_duration is not None:
                self._dispatched(begun, operation, operation.dispatch_duration, now)
        kind = naming.failed(call)
        if kind:
            begun.set_attribute("error.type", kind)
            begun.set_status(Status(StatusCode.ERROR, kind))

    def _dispatched(self, parent: Span, operation: Completed, duration: float, now: int) -> None:
        """Make the span of what was sent last."""
        attributes = _node(operation)
        attributes["db.system.name"] = naming.SYSTEM
        attributes["network.transport"] = "tcp"
        if operation.connection_id is not None:
            attributes["couchbase.local_id"] = operation.connection_id
        if operation.opaque is not None:
            attributes["couchbase.operation_id"] = f"{operation.opaque:#x}"
        if operation.server_duration is not None:
            attributes["couchbase.server_duration"] = round(operation.server_duration * 1e6)
        self._tracer.start_span(
            "dispatch_to_server",
            context=trace.set_span_in_context(parent, contexts.Context()),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=now - round(duration * _NANOSECONDS),
        ).end(now)


class DurationObserver:
    """An observer that records how long calls took: the metric `db.client.operation.duration`.

    Args:
        meter_provider: whose metric it is; None: the one that counts in this process.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = metrics.get_meter("couchloop", __version__, meter_provider, schema_url=_SCHEMA)
        self._durations = meter.create_histogram(
            naming.DURATION,
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=list(naming.BOUNDARIES),
        )

    def started(self, call: Started, /) -> Context:  # noqa: ARG002 - what all observers are given
        """Return the caller's context, to which an exemplar belongs."""
        return contexts.get_current()

    def ended(self, call: Ended, begun: Context | None, /) -> None:
        """Record a call."""
        attributes = _place(call.call)
        kind = naming.failed(call)
        if kind:
            attributes["error.type"] = kind
        self._durations.record(call.duration, attributes, begun or contexts.Context())


def _place(call: Started) -> dict[str, Any]:
    """Return what a call does, and where."""
    collection = naming.collection(call)
    place = {
        "db.system.name": naming.SYSTEM,
        "db.namespace": call.bucket,
        "db.operation.name": naming.operation(call),
        "db.collection.name": collection,
        "couchbase.service": call.service,
        "couchbase.scope.name": naming.scope(call),
        "couchbase.collection.name": collection,
    }
    if call.service != KV:
        # What a request to a service does not name is left out.
        return {name: value for name, value in place.items() if value}
    return place


def _node(operation: Completed) -> dict[str, Any]:
    """Return the node that was asked last, and what it answered."""
    attributes: dict[str, Any] = {}
    if operation.node is not None:
        host, _, port = operation.node.rpartition(":")
        attributes["server.address"] = host.strip("[]")
        if port.isdecimal():
            attributes["server.port"] = int(port)
    status = operation.status
    if operation.service != KV:
        if status is not None and status >= _REFUSALS:
            attributes["db.response.status_code"] = str(status)
    elif status:
        attributes["db.response.status_code"] = f"{status:#04x}"
    return attributes
