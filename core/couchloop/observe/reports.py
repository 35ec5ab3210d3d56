"""What is logged now and then: slow operations, late answers, percentiles (RFC 0035, 0067)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any, Final, Protocol

from couchloop.observation import Completed, LateAnswer, Observer
from couchloop.observe.histogram import Histogram
from couchloop.safety.printable import printable
from couchloop.settings.values import Reports

_METRICS_INTERVAL: Final = 600.0
_OTHERWISE: Final = 1.0
"""Seconds from which on a request of managers is slow (RFC 0067)."""
_LONGEST_STATEMENT: Final = 1024
"""Characters of one that a report shows."""


class Reporter(Observer, Protocol):
    """An observer that has something to say now and then."""

    title: str
    interval: float
    """Seconds from the first thing worth a report to that report."""

    @property
    def pending(self) -> bool:
        """Whether there is something to say."""

    def take(self) -> dict[str, Any]:
        """Return it, and begin anew."""

    def heed(self, reports: Reports, /) -> None:
        """Go by other settings from now on; when a report is due already stays as it is."""


SERVICES: Final = ("kv", "query", "views", "search", "analytics", "management")
"""In the order in which reports have them."""


class _Top:
    """The longest of many."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self._size = size
        self._heap: list[tuple[float, int, dict[str, Any]]] = []

    def add(self, duration: float, entry: dict[str, Any]) -> None:
        # The count decides between equals: entries cannot be compared.
        self.count += 1
        heapq.heappush(self._heap, (duration, -self.count, entry))
        self._shorten()

    def resize(self, size: int) -> None:
        self._size = size
        self._shorten()

    def _shorten(self) -> None:
        while len(self._heap) > self._size:
            heapq.heappop(self._heap)

    def take(self) -> dict[str, Any]:
        top = [entry for _, _, entry in sorted(self._heap, key=lambda each: each[:2], reverse=True)]
        report = {"total_count": self.count, "top_requests": top}
        self.count = 0
        self._heap.clear()
        return report


def _entry(what: Completed | LateAnswer) -> dict[str, Any]:
    """Return the RFC's fields, without those that are unknown."""
    server = None if what.server_duration is None else round(what.server_duration * 1e6)
    dispatch = what.dispatch_duration if isinstance(what, Completed) else None
    fields = {
        "operation_name": what.name,
        "total_duration_us": None if what.duration is None else round(what.duration * 1e6),
        "last_dispatch_duration_us": None if dispatch is None else round(dispatch * 1e6),
        "last_server_duration_us": server,
        "last_local_id": what.connection_id,
        "operation_id": _id(what),
        "last_local_socket": what.local,
        "last_remote_socket": what.node,
        "timeout_ms": None if what.timeout is None else round(what.timeout * 1e3),
    }
    if isinstance(what, Completed) and what.statement is not None:
        fields["statement"] = printable(what.statement, _LONGEST_STATEMENT)
    return {name: value for name, value in fields.items() if value is not None}


def _id(what: Completed | LateAnswer) -> str | None:
    """Return by which name a server's log has it; None: it has none."""
    if what.opaque is not None:
        return f"0x{what.opaque:x}"
    return what.request_id if isinstance(what, Completed) else None


class ThresholdLogger:
    """Reports the slowest of the operations and requests that took longer than they may.

    Args:
        reports: how long that is.
    """

    title = "Operations over threshold"

    def __init__(self, reports: Reports) -> None:
        self._tops: dict[str, _Top] = {}
        self.heed(reports)

    @property
    def pending(self) -> bool:
        """See `Reporter`."""
        return bool(self._tops)

    def completed(self, operation: Completed, /) -> None:
        """See `Observer`."""
        service = operation.service
        if operation.duration > self._thresholds.get(service, _OTHERWISE):
            top = self._tops.get(service)
            if top is None:
                top = self._tops[service] = _Top(self._size)
            top.add(operation.duration, _entry(operation))

    def answered_late(self, answer: LateAnswer, /) -> None:
        """See `Observer`."""

    def heed(self, reports: Reports, /) -> None:
        """See `Reporter`."""
        self.interval, self._size = reports.threshold_interval, reports.threshold_size
        self._thresholds = {
            "kv": reports.threshold,
            "query": reports.query_threshold,
            "views": reports.views_threshold,
            "search": reports.search_threshold,
            "analytics": reports.analytics_threshold,
        }
        for top in self._tops.values():
            top.resize(self._size)

    def take(self) -> dict[str, Any]:
        """See `Reporter`."""
        tops, self._tops = self._tops, {}
        return {name: tops[name].take() for name in SERVICES if name in tops}


class OrphanReporter:
    """Counts the late answers, and reports those that came latest."""

    title = "Orphaned responses observed"

    def __init__(self, interval: float = 10.0, size: int = 10) -> None:
        self.interval = interval
        self._top = _Top(size)

    @property
    def pending(self) -> bool:
        """See `Reporter`."""
        return self._top.count > 0

    def completed(self, operation: Completed, /) -> None:
        """See `Observer`."""

    def answered_late(self, answer: LateAnswer, /) -> None:
        """See `Observer`."""
        self._top.add(answer.duration or 0.0, _entry(answer))

    def heed(self, reports: Reports, /) -> None:
        """See `Reporter`."""
        self.interval = reports.orphaned_interval
        self._top.resize(reports.orphaned_size)

    def take(self) -> dict[str, Any]:
        """See `Reporter`."""
        return {"kv": self._top.take()}


class LatencyMeter:
    """Histograms of all operations and requests, by service, name and node."""

    title = "Metrics"

    def __init__(self, interval: float = _METRICS_INTERVAL) -> None:
        self.interval = interval
        self._histograms: dict[str, dict[str, dict[str, Histogram]]] = {}

    @property
    def pending(self) -> bool:
        """See `Reporter`."""
        return bool(self._histograms)

    def completed(self, operation: Completed, /) -> None:
        """See `Observer`."""
        by_name = self._histograms.setdefault(operation.service, {})
        by_node = by_name.setdefault(operation.name, {})
        node = operation.node or "none"
        histogram = by_node.get(node)
        if histogram is None:
            histogram = by_node[node] = Histogram()
        histogram.add(round(operation.duration * 1e6))

    def answered_late(self, answer: LateAnswer, /) -> None:
        """See `Observer`."""

    def heed(self, reports: Reports, /) -> None:
        """See `Reporter`: no setting concerns it."""

    def take(self) -> dict[str, Any]:
        """See `Reporter`."""
        found, self._histograms = self._histograms, {}
        operations = {name: _summaries(found[name]) for name in SERVICES if name in found}
        return {"meta": {"emit_interval_s": self.interval}, "operations": operations}


def _summaries(by_name: Mapping[str, Mapping[str, Histogram]]) -> dict[str, Any]:
    """Return the RFC's fields of each operation, as a whole and by node."""
    summaries = {}
    for name, by_node in sorted(by_name.items()):
        whole = Histogram()
        for histogram in by_node.values():
            whole.merge(histogram)
        nodes = {node: histogram.summary() for node, histogram in sorted(by_node.items())}
        summaries[name] = {**whole.summary(), "nodes": nodes}
    return summaries


def reporters(reports: Reports) -> list[Reporter]:
    """Return what *reports* asks for."""
    made: list[Reporter] = []
    if reports.tracing:
        made += [
            ThresholdLogger(reports),
            OrphanReporter(reports.orphaned_interval, reports.orphaned_size),
        ]
    if reports.metrics:
        made.append(LatencyMeter())
    return made
