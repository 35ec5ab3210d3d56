"""A session that tells observers of each operation; one without them pays nothing for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from couchloop.exceptions import ProtocolError
from couchloop.hot.batch import Batch
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.hot.request import Request
from couchloop.kv.connection import Connection, connection_of
from couchloop.observation import Completed, LateAnswer, Observer
from couchloop.observe.reports import Reporter, reporters
from couchloop.session.connections import Random
from couchloop.session.events import LogRecord
from couchloop.session.session import Session
from couchloop.settings.values import Settings
from couchloop.wire import Opcode, server_duration

_OPCODES: Final = frozenset(int(opcode) for opcode in Opcode)
_MOST_REMEMBERED: Final = 1024


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
        self._sent: dict[Request, float] = {}
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

    def _note_sent(self, op: Request, now: float) -> None:
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

    def completed(self, op: Request) -> None:
        """See `Session`."""
        # What was never taken has no deadline.
        if isinstance(op, Operation) and op.deadline and op.opcode >= 0:
            self._tell(op)
        super().completed(op)

    def _tell(self, op: Request) -> None:
        connection, error, answer = connection_of(op), op.error, op.answer
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

    def cancel(self, op: Request) -> None:
        """See `Session`."""
        self._remember(op)
        self._sent.pop(op, None)
        super().cancel(op)

    def _expire(self, op: Request, now: float) -> None:
        self._remember(op)
        super()._expire(op, now)

    def _remember(self, op: Request) -> None:
        connection = connection_of(op)
        if op.queue is None or connection is None or not isinstance(op, Operation):
            return
        # Not the operation itself: it holds the value, and its waiter.
        begun = op.deadline - op.timeout
        self._given_up[connection.id, op.opaque] = op.name, begun, op.timeout
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
