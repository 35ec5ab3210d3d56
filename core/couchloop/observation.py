"""What operations cost, told to whoever wants to know (RFC 0035, 0067).

A session that is observed is an `ObservedSession`; one that is not pays nothing, not even a test.
On top of `Observer`: a log of slow operations, one of late answers, and latency histograms.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Protocol

from couchloop.batches import Batch
from couchloop.events import LogRecord
from couchloop.exceptions import CouchbaseError, ProtocolError
from couchloop.nodes import Connection, ControlRequest, Random
from couchloop.operations import Operation
from couchloop.session import Session
from couchloop.settings import Reports, Settings
from couchloop.wire import Frame, Opcode, server_duration

_OPCODES: Final = frozenset(int(opcode) for opcode in Opcode)
_MOST_REMEMBERED: Final = 1024
_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 100.0)
_METRICS_INTERVAL: Final = 600.0
_FINE_BITS: Final = 6
"""A histogram's buckets are at most 1/64 of their value wide."""


@dataclass(frozen=True, slots=True)
class Completed:
    """One operation that is over. Times are in seconds; None: unknown."""

    name: str
    """Of the Bucket's method: `get`, `upsert`."""
    node: str | None
    """The last that it was sent to, as "host:port"."""
    connection_id: str | None
    opaque: int | None
    duration: float
    """From the call to the answer, waiting and retrying included."""
    server_duration: float | None
    """What the server says that the last try took it."""
    attempts: int
    """How often it was sent."""
    timeout: float
    outcome: type[CouchbaseError] | None
    """The error's class; None: it succeeded."""
    local: str | None = None
    """The connection's own end, as "host:port"."""
    dispatch_duration: float | None = None
    """From the last try's sending to its answer, or to the end without one."""


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """An answer whose operation had timed out, or was cancelled. Times are in seconds."""

    name: str
    """The operation's, or the opcode's if that is forgotten."""
    node: str
    connection_id: str
    opaque: int
    duration: float | None
    """From the call to the late answer; None: forgotten."""
    server_duration: float | None
    timeout: float | None
    local: str | None = None
    """The connection's own end, as "host:port"."""


class Observer(Protocol):
    """Whoever wants to know. Called on the loop: it must not block."""

    def completed(self, operation: Completed, /) -> None:
        """Take an operation that is over."""

    def answered_late(self, answer: LateAnswer, /) -> None:
        """Take an answer that nobody waits for."""


class Reporter(Observer, Protocol):
    """An observer that has something to say now and then."""

    title: str
    interval: float
    """Seconds from the first thing worth a report to that report."""

    @property
    def pending(self) -> bool:
        """Whether there is something to say."""

    def take(self) -> dict[str, Any]:
        """Give it, and begin anew."""


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
        if len(self._heap) > self._size:
            heapq.heappop(self._heap)

    def take(self) -> dict[str, Any]:
        top = [entry for _, _, entry in sorted(self._heap, key=lambda each: each[:2], reverse=True)]
        report = {"kv": {"total_count": self.count, "top_requests": top}}
        self.count = 0
        self._heap.clear()
        return report


def _entry(what: Completed | LateAnswer) -> dict[str, Any]:
    """Give the RFC's fields, without those that are unknown."""
    server = None if what.server_duration is None else round(what.server_duration * 1e6)
    dispatch = what.dispatch_duration if isinstance(what, Completed) else None
    fields = {
        "operation_name": what.name,
        "total_duration_us": None if what.duration is None else round(what.duration * 1e6),
        "last_dispatch_duration_us": None if dispatch is None else round(dispatch * 1e6),
        "last_server_duration_us": server,
        "last_local_id": what.connection_id,
        "operation_id": None if what.opaque is None else f"0x{what.opaque:x}",
        "last_local_socket": what.local,
        "last_remote_socket": what.node,
        "timeout_ms": None if what.timeout is None else round(what.timeout * 1e3),
    }
    return {name: value for name, value in fields.items() if value is not None}


class ThresholdLogger:
    """Reports the slowest of the operations that took longer than *threshold* seconds."""

    title = "Operations over threshold"

    def __init__(self, threshold: float = 0.5, interval: float = 10.0, size: int = 10) -> None:
        self.interval = interval
        self._threshold = threshold
        self._top = _Top(size)

    @property
    def pending(self) -> bool:
        """See `Reporter`."""
        return self._top.count > 0

    def completed(self, operation: Completed, /) -> None:
        """See `Observer`."""
        if operation.duration > self._threshold:
            self._top.add(operation.duration, _entry(operation))

    def answered_late(self, answer: LateAnswer, /) -> None:
        """See `Observer`."""

    def take(self) -> dict[str, Any]:
        """See `Reporter`."""
        return self._top.take()


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

    def take(self) -> dict[str, Any]:
        """See `Reporter`."""
        return self._top.take()


class Histogram:
    """How many durations fell where, to 1/64 of their length."""

    __slots__ = ("_buckets", "count", "longest")

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0
        """In microseconds."""
        self._buckets: dict[int, int] = {}

    def add(self, microseconds: int) -> None:
        """Count one duration."""
        self.count += 1
        self.longest = max(self.longest, microseconds)
        shift = max(0, microseconds.bit_length() - _FINE_BITS - 1)
        # The longest duration that falls into the same bucket stands for it.
        top = (((microseconds >> shift) + 1) << shift) - 1
        self._buckets[top] = self._buckets.get(top, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count what *other* has counted."""
        self.count += other.count
        self.longest = max(self.longest, other.longest)
        for top, count in other._buckets.items():
            self._buckets[top] = self._buckets.get(top, 0) + count

    def percentile(self, percent: float) -> int:
        """Give the duration in microseconds that so many per cent do not exceed; 0 if empty."""
        wanted = max(1, ceil(self.count * percent / 100))
        seen = 0
        for top in sorted(self._buckets):
            seen += self._buckets[top]
            if seen >= wanted:
                return min(top, self.longest)
        return 0

    def summary(self) -> dict[str, Any]:
        """Give the RFC's fields."""
        percentiles = {str(percent): self.percentile(percent) for percent in _PERCENTILES}
        return {"total_count": self.count, "percentiles_us": percentiles}


class LatencyMeter:
    """Histograms of all operations, by name and node."""

    title = "Metrics"

    def __init__(self, interval: float = _METRICS_INTERVAL) -> None:
        self.interval = interval
        self._histograms: dict[str, dict[str, Histogram]] = {}

    @property
    def pending(self) -> bool:
        """See `Reporter`."""
        return bool(self._histograms)

    def completed(self, operation: Completed, /) -> None:
        """See `Observer`."""
        by_node = self._histograms.setdefault(operation.name, {})
        node = operation.node or "none"
        histogram = by_node.get(node)
        if histogram is None:
            histogram = by_node[node] = Histogram()
        histogram.add(round(operation.duration * 1e6))

    def answered_late(self, answer: LateAnswer, /) -> None:
        """See `Observer`."""

    def take(self) -> dict[str, Any]:
        """See `Reporter`."""
        operations = {}
        for name, by_node in sorted(self._histograms.items()):
            whole = Histogram()
            for histogram in by_node.values():
                whole.merge(histogram)
            nodes = {node: histogram.summary() for node, histogram in sorted(by_node.items())}
            operations[name] = {**whole.summary(), "nodes": nodes}
        self._histograms.clear()
        return {"meta": {"emit_interval_s": self.interval}, "operations": {"kv": operations}}


def reporters(reports: Reports) -> list[Reporter]:
    """Give what *reports* asks for."""
    made: list[Reporter] = []
    if reports.tracing:
        made += [
            ThresholdLogger(reports.threshold, reports.threshold_interval, reports.threshold_size),
            OrphanReporter(reports.orphaned_interval, reports.orphaned_size),
        ]
    if reports.metrics:
        made.append(LatencyMeter())
    return made


class ObservedSession(Session):
    """A session that tells observers of each operation, and logs their reports."""

    def __init__(
        self,
        settings: Settings,
        wake: Callable[[Operation[Any] | Batch[Any]], None],
        random: Random,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(settings, wake, random, entropy)
        self._now = 0.0
        self._reporters = reporters(settings.reports)
        self._observers: list[Observer] = [*self._reporters]
        if settings.observer is not None:
            self._observers.append(settings.observer)
        self._armed: set[str] = set()
        self._sent: dict[Operation[Any], float] = {}
        """When each operation in flight was sent last."""
        self._given_up: dict[tuple[int, int], tuple[str, float, float]] = {}
        """Name, beginning and timeout of what may still be answered, by connection and opaque."""

    # The time of whatever completes an operation

    def submit(self, op: Operation[Any], now: float) -> None:
        """See `Session`."""
        self._now = now
        super().submit(op, now)
        self._note_sent(op, now)

    def _send_or_park(self, op: Operation[Any], now: float, *, is_new: bool = True) -> None:
        super()._send_or_park(op, now, is_new=is_new)
        self._note_sent(op, now)

    def _send(self, op: Operation[Any], connection: Connection, vbucket: int, now: float) -> None:
        super()._send(op, connection, vbucket, now)
        self._note_sent(op, now)

    def resumed(self, connection_id: int, now: float) -> None:
        """See `Session`."""
        self._now = now
        super().resumed(connection_id, now)

    def _note_sent(self, op: Operation[Any], now: float) -> None:
        if op.connection is not None and op.queue is not None:
            self._sent[op] = now

    def receive_data(self, connection_id: int, data: bytes, now: float) -> None:
        """See `Session`."""
        self._now = now
        super().receive_data(connection_id, data, now)

    def connection_lost(self, connection_id: int, reason: BaseException | None, now: float) -> None:
        """See `Session`."""
        self._now = now
        super().connection_lost(connection_id, reason, now)

    def handle_deadline(self, now: float) -> None:
        """See `Session`."""
        self._now = now
        super().handle_deadline(now)

    def forked(self) -> None:
        """See `Session`: what was observed so far is the parent process's to report."""
        self._observers.clear()
        self._reporters.clear()
        super().forked()

    def close(self, now: float, wait: float = 0.0) -> None:
        """See `Session`."""
        self._now = now
        super().close(now, wait)

    # What is observed

    def completed(self, op: Operation[Any]) -> None:
        """See `Session`."""
        # What was never taken has no deadline.
        if not isinstance(op, ControlRequest) and op.deadline:
            self._tell(op)
        super().completed(op)

    def _tell(self, op: Operation[Any]) -> None:
        connection, error, answer = op.connection, op.error, op.answer
        context = None if error is None else error.context
        node = connection_id = opaque = local = None
        attempts = op.attempts
        if connection is not None:
            node, connection_id = str(connection.address), connection.hello.connection_id
            opaque, local = op.opaque, connection.local
            attempts += 1
        elif context is not None:
            node, connection_id, opaque = context.node, context.connection_id, context.opaque
            attempts = context.attempts
        sent = self._sent.pop(op, None)
        done = Completed(
            name=op.name,
            node=node,
            connection_id=connection_id,
            opaque=opaque,
            duration=max(0.0, self._now - (op.deadline - op.timeout)),
            server_duration=_server_duration(answer),
            attempts=attempts,
            timeout=op.timeout,
            outcome=None if error is None else type(error),
            local=local,
            dispatch_duration=None if sent is None else max(0.0, self._now - sent),
        )
        for observer in self._observers:
            self._call(observer.completed, done)
        self._arm()

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        """See `couchloop.kv.connection.Owner`."""
        duration = timeout = None
        remembered = self._given_up.pop((connection.id, frame.opaque), None)
        if remembered is not None:
            name, begun, timeout = remembered
            duration = max(0.0, now - begun)
        elif frame.opcode in _OPCODES:
            name = Opcode(frame.opcode).name.lower()
        else:
            name = f"0x{frame.opcode:02x}"
        late = LateAnswer(
            name=name,
            node=str(connection.address),
            connection_id=connection.hello.connection_id,
            opaque=frame.opaque,
            duration=duration,
            server_duration=_server_duration(frame),
            timeout=timeout,
            local=connection.local,
        )
        for observer in self._observers:
            self._call(observer.answered_late, late)
        self._arm()

    def cancel(self, op: Operation[Any]) -> None:
        """See `Session`."""
        self._remember(op)
        self._sent.pop(op, None)
        super().cancel(op)

    def _expire(self, op: Operation[Any], now: float) -> None:
        self._remember(op)
        super()._expire(op, now)

    def _remember(self, op: Operation[Any]) -> None:
        if op.queue is None or op.connection is None or isinstance(op, ControlRequest):
            return
        # Not the operation itself: it holds the value, and its waiter.
        begun = op.deadline - op.timeout
        self._given_up[op.connection.id, op.opaque] = op.name, begun, op.timeout
        if len(self._given_up) > _MOST_REMEMBERED:
            del self._given_up[next(iter(self._given_up))]

    def _call(self, tell: Callable[[Any], None], what: object) -> None:
        try:
            tell(what)
        except Exception as error:  # noqa: BLE001 - an observer's error must not be an operation's
            reason = f"<ud>{error!r}</ud>" if self.settings.log_redaction else repr(error)
            fields = {"reason": reason}
            self._events.append(LogRecord("warning", "an observer has failed: {reason}", fields))

    # Reports

    def _arm(self) -> None:
        for reporter in self._reporters:
            if reporter.pending and reporter.title not in self._armed:
                self._armed.add(reporter.title)
                self._report_later(reporter)

    def _report_later(self, reporter: Reporter) -> None:
        def report(_now: float) -> None:
            self._armed.discard(reporter.title)
            self._report(reporter)

        self._timers.call_at(self._now + reporter.interval, report)

    def _report(self, reporter: Reporter) -> None:
        if reporter.pending:
            fields = {"title": reporter.title, "report": json.dumps(reporter.take())}
            self._events.append(LogRecord("info", "{title}: {report}", fields))

    def _end(self) -> None:
        super()._end()
        for reporter in self._reporters:
            self._report(reporter)


def _server_duration(answer: Frame | None) -> float | None:
    if answer is None or not answer.framing:
        return None
    try:
        microseconds = server_duration(answer.framing)
    except ProtocolError:
        return None
    return None if microseconds is None else microseconds / 1e6


def make_session(
    settings: Settings,
    wake: Callable[[Operation[Any] | Batch[Any]], None],
    random: Random,
    entropy: Callable[[int], bytes],
) -> Session:
    """Give a session that is observed as far as *settings* say so."""
    kind = ObservedSession if settings.is_observed else Session
    return kind(settings, wake, random, entropy)
