"""Metrics of Prometheus: `pip install "couchloop[prometheus]"`.

    bucket.add_observer(MetricsObserver())

The names are those that OpenTelemetry's metrics have in Prometheus, so that one dashboard fits
both; see docs/observability.md. There is no custom collector, so that all of it works with several
processes, too (`PROMETHEUS_MULTIPROC_DIR`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from couchloop.contrib import naming
from couchloop.observation import Ended, LateAnswer, NodeChange, NodeEvent, Started

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.multiprocess import MultiProcessCollector
except ImportError as error:
    raise ImportError(
        "couchloop.contrib.prometheus needs prometheus-client: pip install 'couchloop[prometheus]'"
    ) from error

__all__ = ["BUCKETS", "MetricsObserver", "page"]

BUCKETS: Final = (0.0001, 0.00025, 0.0005, *naming.BOUNDARIES)
"""Seconds where the histogram's buckets end: below a millisecond, too, for documents."""
_LABELS: Final = (
    "db_system_name",
    "db_namespace",
    "db_operation_name",
    "couchbase_service",
    "couchbase_scope_name",
    "couchbase_collection_name",
    "error_type",
)
_NAMESPACE: Final = ("db_namespace",)


class _Metrics:
    """The metrics of one registry, whatever the number of Buckets and observers."""

    def __init__(self, registry: CollectorRegistry, buckets: Sequence[float]) -> None:
        self.durations = Histogram(
            "db_client_operation_duration_seconds",
            "Duration of database client operations.",
            _LABELS,
            buckets=buckets,
            registry=registry,
        )
        self.pending = Gauge(
            "couchbase_client_pending_calls",
            "Calls that are under way.",
            _NAMESPACE,
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.nodes = Gauge(
            "couchbase_client_connected_nodes",
            "Data nodes that are connected.",
            _NAMESPACE,
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.changes = Counter(
            "couchbase_client_node_changes",
            "What has become of connections to data nodes.",
            (*_NAMESPACE, "change"),
            registry=registry,
        )
        self.retries = Counter(
            "couchbase_client_retries",
            "Operations that were sent again.",
            _NAMESPACE,
            registry=registry,
        )
        self.late = Counter(
            "couchbase_client_late_answers",
            "Answers that nobody waited for any more.",
            registry=registry,
        )


_known: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()


class MetricsObserver:
    """An observer that counts calls and nodes for Prometheus; several Buckets may share one.

    Args:
        registry: of the metrics, which are made once for each.
        buckets: seconds where the histogram's buckets end; what the first observer of a registry
            says counts.
    """

    def __init__(
        self, registry: CollectorRegistry = REGISTRY, buckets: Sequence[float] = BUCKETS
    ) -> None:
        metrics = _known.get(registry)
        if metrics is None:
            metrics = _known[registry] = _Metrics(registry, buckets)
        self._metrics = metrics
        self._durations: dict[tuple[str, str, str, str, str, str], Any] = {}
        """Of calls seen so far: to find one by its labels takes three times as long."""
        self._pending: dict[str, Gauge] = {}
        self._process = os.getpid()
        self._connected: dict[str, set[str]] = {}
        """The connections of each bucket that can be used."""

    def started(self, call: Started, /) -> Gauge:
        """Count a call that is under way."""
        pending = self._pending.get(call.bucket)
        if pending is None:
            pending = self._pending[call.bucket] = self._metrics.pending.labels(call.bucket)
        pending.inc()
        return pending

    def ended(self, call: Ended, begun: Gauge | None, /) -> None:
        """Count a call that is over."""
        if begun is not None:
            begun.dec()
        started = call.call
        labels = (
            started.bucket,
            naming.operation(started),
            started.service,
            naming.scope(started),
            naming.collection(started),
            naming.failed(call),
        )
        durations = self._durations.get(labels)
        if durations is None:
            bucket, operation, service, scope, collection, error = labels
            durations = self._durations[labels] = self._metrics.durations.labels(
                naming.SYSTEM, bucket, operation, service, scope, collection, error
            )
        durations.observe(call.duration)
        if call.retries:
            self._metrics.retries.labels(started.bucket).inc(call.retries)

    def answered_late(self, answer: LateAnswer, /) -> None:  # noqa: ARG002 - it is counted
        """Count an answer that nobody waits for."""
        self._metrics.late.inc()

    def node_changed(self, event: NodeEvent, /) -> None:
        """Count what has become of a node."""
        if self._process != os.getpid():
            # A forked child has connections of its own.
            self._process = os.getpid()
            self._connected.clear()
        connected = self._connected.setdefault(event.bucket, set())
        if event.change is NodeChange.CONNECTED:
            connected.add(event.connection_id)
        elif event.change in {NodeChange.LOST, NodeChange.CLOSED}:
            connected.discard(event.connection_id)
        self._metrics.nodes.labels(event.bucket).set(len(connected))
        self._metrics.changes.labels(event.bucket, event.change.value).inc()


def page(accept: str = "", registry: CollectorRegistry = REGISTRY) -> tuple[str, bytes]:
    """Return the content type and the text of the page that Prometheus asks for.

    It is made in the thread that calls, and asks no Bucket. With several processes
    (`PROMETHEUS_MULTIPROC_DIR`) it tells of all of them, instead of *registry*.

    Args:
        accept: the header of the request; empty: none.
        registry: whose metrics.
    """
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        # It has no types where it is installed, and any where it is not.
        collector: Any = MultiProcessCollector
        collector(registry)
    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(registry)
