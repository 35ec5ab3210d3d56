"""What observers hear of requests to services, told without a session and by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from couchloop.exceptions import (
    ErrorContext,
    NodeUnreachableError,
    QueryParsingError,
    RequestCanceledError,
)
from couchloop.hot.operation import Defaults
from couchloop.n1ql.queries import query
from couchloop.observation import Completed, Ended, Started
from couchloop.observe.requests import ClusterRequests, ReportSettings, Watch
from couchloop.session.timers import Timers
from couchloop.settings.values import Reports
from couchloop.transcoder import FMT_JSON, Transcoder


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.begun: list[Started] = []
        self.over: list[tuple[Ended, Any]] = []
        self.done: list[Completed] = []

    def started(self, call: Started, /) -> int:
        self.begun.append(call)
        return len(self.begun)

    def ended(self, call: Ended, begun: Any, /) -> None:
        self.over.append((call, begun))

    def completed(self, operation: Completed, /) -> None:
        self.done.append(operation)


class Asking:
    """A Cluster that asks, and the time and the log of the session by which it does."""

    def __init__(self, *, log_redaction: bool = False, **reports: Any) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.shared: Any = SimpleNamespace(timers=Timers(), log=self._log)
        self.requests = ClusterRequests(ReportSettings(Reports(**reports), log_redaction))
        shared: Any = self.shared
        self.requests.at(shared, lambda: self.now)
        self.notes = Notes()

    def _log(self, level: str, text: str, **fields: object) -> None:
        assert level
        self.lines.append(text.format(**fields))

    def observed(self) -> Asking:
        """Return itself, observed."""
        self.requests.calls.add(self.notes)
        return self

    def begin(self, statement: str = "SELECT 1") -> Watch:
        """Begin with a query."""
        defaults = Defaults(Transcoder(), FMT_JSON)
        stream = query(defaults, statement)
        return self.requests.begin(stream, defaults)


def answered(watch: Watch, status: int = 200, attempts: int = 1) -> None:
    """Have an answer come from a node."""
    reply = SimpleNamespace(node="host:8093", status=status)
    call: Any = SimpleNamespace(attempts=attempts, reply=reply, error=None)
    watch.answered(call)


def test_a_query() -> None:
    """Its begin and its end are told once, with what is known of its node and its time."""
    asking = Asking().observed()
    watch = asking.begin()
    asking.now = 1.5
    answered(watch, attempts=3)
    watch.end(None, request_id="r1")
    watch.end(QueryParsingError)
    (begun,) = asking.notes.begun
    assert (begun.service, begun.name, begun.statement) == ("query", "query", None)
    ((over, token),) = asking.notes.over
    (done,) = asking.notes.done
    assert (over.call, over.operation, token) == (begun, done, 1)
    assert (done.node, done.status, done.attempts) == ("host:8093", 200, 3)
    assert (done.duration, done.outcome, done.request_id) == (1.5, None, "r1")
    assert over.retries == 2


def test_a_failure() -> None:
    """Its class is told, and the node that was not reached."""
    asking = Asking().observed()
    watch = asking.begin()
    error = NodeUnreachableError("gone", context=ErrorContext(node="host:8094"))
    call: Any = SimpleNamespace(attempts=1, reply=None, error=error)
    watch.answered(call)
    watch.end(NodeUnreachableError)
    (done,) = asking.notes.done
    assert (done.node, done.status, done.outcome) == ("host:8094", None, NodeUnreachableError)


@pytest.mark.parametrize("failure", [None, QueryParsingError])
def test_cancelled(failure: type[Exception] | None) -> None:
    """Who lets go of it ends it as cancelled, unless it had failed by then."""
    asking = Asking().observed()
    watch = asking.begin()
    watch.failure = failure
    watch.end(None, is_cancelled=True)
    ((over, _),) = asking.notes.over
    assert over.is_cancelled is (failure is None)
    assert over.outcome is (failure or RequestCanceledError)
    assert bool(asking.notes.done) is (failure is not None)


def test_another_process() -> None:
    """A forked child tells nothing of what its parent began."""
    asking = Asking(metrics=True).observed()
    watch = asking.begin()
    asking.requests.forked()
    watch.end(None)
    assert not asking.notes.over
    assert not asking.notes.done
    asking.begin().end(None)
    assert len(asking.notes.done) == 1


@pytest.mark.parametrize("log_redaction", [False, True])
def test_statements(log_redaction: bool) -> None:
    """They are told of where that is wanted, marked for redaction where that is."""
    asking = Asking(statements=True, log_redaction=log_redaction).observed()
    asking.begin("SELECT secret").end(None)
    (done,) = asking.notes.done
    shown = "<ud>SELECT secret</ud>" if log_redaction else "SELECT secret"
    assert done.statement == shown


def test_a_report() -> None:
    """What was observed is logged in time, and what is left when who asks ends."""
    asking = Asking(metrics=True)
    assert asking.requests.is_wanted
    asking.begin().end(None)
    asking.requests.end()
    (line,) = asking.lines
    assert "query" in line
    asking.requests.end()
    assert len(asking.lines) == 1


def test_nobody() -> None:
    """Nobody is told where nobody observes, and an observer's error is logged alone."""
    asking = Asking()
    assert not asking.requests.is_wanted

    class Broken:
        """Raises."""

        def completed(self, operation: Completed, /) -> None:
            raise ValueError(operation.name)

    asking.requests.calls.add(Broken())
    asking.begin().end(None)
    (line,) = asking.lines
    assert line == "an observer has failed: ValueError('query')"
