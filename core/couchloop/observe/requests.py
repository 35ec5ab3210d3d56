"""Who asks services, observed: queries, searches, views, analytics, and what managers ask.

Services are asked by the cluster's session, which many Buckets and Clusters share (see
`docs/architecture.md`, "HTTP services"). So each request finds those who want to know of it by what
made it: the defaults of its Bucket or Cluster (`ServiceDefaults.watching`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakSet

from couchloop.exceptions import RequestCanceledError
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service
from couchloop.observation import MANAGEMENT, Completed, Ended, Started
from couchloop.observe.calls import Calls, Told
from couchloop.observe.dispatcher import ObservedDispatcher
from couchloop.observe.reporting import Reporting
from couchloop.operations.procedure import Procedure
from couchloop.operations.rows import RowStream
from couchloop.operations.stream import Pull
from couchloop.session.dispatcher import Dispatcher

if TYPE_CHECKING:
    from couchloop.hot.batch import Batch
    from couchloop.operations.service_call import ServiceCall
    from couchloop.session.session import Session
    from couchloop.session.shared import Shared
    from couchloop.session.timers import Timers
    from couchloop.settings.values import Reports

_NAMES: Final = {
    Service.QUERY: "query",
    Service.SEARCH: "search",
    Service.VIEWS: "views",
    Service.ANALYTICS: "analytics",
}
"""RFC 0067's names of services; all else is management."""


class Requests:
    """Whom a Bucket or a Cluster has told of what it asks services.

    Args:
        settings: gives those that count now.
        calls: who observes.
        reporting: the reports that it is part of.
        schedule: has the loop look again when the next thing is due: a report may be.
    """

    def __init__(
        self,
        settings: Callable[[], Any],
        calls: Calls,
        reporting: Reporting,
        schedule: Callable[[], object],
    ) -> None:
        self.settings = settings
        self.calls = calls
        self.reporting = reporting
        self.schedule = schedule
        self.generation = 0
        """Counts the processes: what was begun in another is not told of."""

    def at(self, shared: Shared, clock: Callable[[], float]) -> None:
        """Take note of the session that asks for it, and of its loop's time."""
        self.clock = clock
        self._come_to(shared)

    def _come_to(self, shared: Shared) -> None:
        """Take note of who asks."""

    def end(self) -> None:
        """Take note that the session ends that has asked."""

    def forked(self) -> None:
        """Take note that this is a child process."""
        self.generation += 1

    def begin(self, what: RowStream[Any] | Procedure[Any], defaults: Defaults) -> Watch:
        """Tell that a request begins: this is the caller's frame, and his context."""
        settings, of = self.settings(), defaults.services
        is_stream = isinstance(what, RowStream)
        service, statement = MANAGEMENT, None
        if isinstance(what, RowStream):
            service = _NAMES.get(what.asked.service, MANAGEMENT)
            statement = what.statement if settings.reports.statements else None
        wall_clock = self.calls.wall_clock
        started = Started(
            what.name,
            of.bucket or getattr(defaults, "bucket", ""),
            of.scope or getattr(defaults, "scope", "") or None,
            None if is_stream or defaults.collection is None else defaults.collection.collection,
            what.timeout,
            None if wall_clock is None else wall_clock(),
            is_redacted=settings.log_redaction,
            service=service,
            statement=statement,
        )
        return Watch(self, started, self.calls.announce(started))


class Watch:
    """A request that is under way, and what is known of it.

    Args:
        requests: who tells of it.
        started: what was told of its begin.
        told: whom.
    """

    __slots__ = (
        "_begun",
        "_generation",
        "_requests",
        "_started",
        "_told",
        "failure",
        "node",
        "retries",
        "status",
    )

    def __init__(self, requests: Requests, started: Started, told: Told) -> None:
        self._requests: Requests | None = requests
        self._started = started
        self._told = told
        self._begun = requests.clock()
        self._generation = requests.generation
        self.node: str | None = None
        self.status: int | None = None
        self.retries = 0
        self.failure: type[BaseException] | None = None
        """What it has failed with before it was let go of."""

    def answered(self, call: ServiceCall) -> None:
        """Take note of what became of one of its requests of HTTP."""
        self.retries += max(0, call.attempts - 1)
        reply, error = call.reply, call.error
        if reply is not None:
            self.node, self.status = reply.node, reply.status
        elif error is not None and error.context is not None:
            self.node, self.status = error.context.node or self.node, None

    def end(
        self,
        kind: type[BaseException] | None,
        *,
        is_cancelled: bool = False,
        request_id: str | None = None,
    ) -> None:
        """Tell that it is over; *kind* is the class of its error."""
        requests, self._requests = self._requests, None
        if requests is None or requests.generation != self._generation:
            return
        now = requests.clock()
        duration = max(0.0, now - self._begun)
        if is_cancelled:
            kind, is_cancelled = (self.failure or RequestCanceledError), self.failure is None
        done = None if is_cancelled else self._completed(duration, kind, request_id)
        if done is not None:
            requests.reporting.completed(done, requests.calls.of_operations, now)
        retries = self.retries
        ended = Ended(self._started, duration, kind, is_cancelled, retries, done)
        requests.calls.tell(self._told, ended)
        requests.schedule()

    def _completed(
        self, duration: float, kind: type[Any] | None, request_id: str | None
    ) -> Completed:
        started = self._started
        statement = started.statement
        if statement is not None and started.is_redacted:
            statement = f"<ud>{statement}</ud>"
        return Completed(
            name=started.name,
            node=self.node,
            connection_id=None,
            opaque=None,
            duration=duration,
            server_duration=None,
            attempts=self.retries + 1,
            timeout=started.timeout,
            outcome=kind,
            scope=started.scope,
            collection=started.collection,
            bucket=started.bucket,
            status=self.status,
            service=started.service,
            request_id=request_id,
            statement=statement,
        )


class ReportSettings(NamedTuple):
    """What of a Cluster's options says how it is observed."""

    reports: Reports
    log_redaction: bool


class ClusterRequests(Requests):
    """Those of a Cluster, which has no session of its own: reports are logged by who asks.

    Args:
        settings: what of its options counts.
    """

    def __init__(self, settings: ReportSettings) -> None:
        self._stand_in = stand_in = _StandIn(settings)
        calls = Calls(stand_in)
        super().__init__(lambda: settings, calls, Reporting(stand_in, calls.call), lambda: None)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants to know."""
        return self.calls.is_wanted or bool(self.reporting)

    def _come_to(self, shared: Shared) -> None:
        self._stand_in.shared = shared

    def end(self) -> None:
        """See `Requests`: what is left is reported."""
        self.reporting.report()

    def forked(self) -> None:
        """See `Requests`: what was observed is the parent's to report."""
        super().forked()
        self.reporting.forget()


class _StandIn:
    """What stands for the session of a Cluster: that of its cluster, as it asks.

    Args:
        settings: of the Cluster.
    """

    def __init__(self, settings: ReportSettings) -> None:
        self.settings = settings
        self.shared: Shared | None = None

    @property
    def timers(self) -> Timers:
        assert self.shared is not None, "it is told only of what was asked"
        return self.shared.timers

    def log(self, level: str, text: str, **fields: object) -> None:
        if self.shared is not None:
            self.shared.log(level, text, **fields)


class RequestsDispatcher(Dispatcher):
    """The dispatcher of a session that asks services: it tells of requests those who made them."""

    _clock: Callable[[], float]
    _known: WeakSet[Requests]

    def begun(self, batch: Batch[Any], now: float) -> None:
        """See `Dispatcher`."""
        del now
        if isinstance(batch, Pull):
            stream = batch.stream
            if isinstance(stream, RowStream) and stream.watch is None and not stream.attempts:
                stream.watch = self._begin(stream, stream.defaults)
        elif isinstance(batch, Procedure) and batch.defaults is not None:
            batch.watch = self._begin(batch, batch.defaults)

    def _begin(self, what: RowStream[Any] | Procedure[Any], defaults: Defaults) -> Watch | None:
        requests: Requests | None = defaults.services.watching.by
        if requests is None:
            return None
        requests.at(self._shared, self._clock)
        self._known.add(requests)
        return requests.begin(what, defaults)

    def hand_over(self, batch: Batch[Any], now: float) -> None:
        """See `Dispatcher`."""
        if isinstance(batch, Procedure) and batch.watch is not None:
            error = batch.broken or batch.error
            batch.watch.end(None if error is None else type(error))
        super().hand_over(batch, now)

    def given_up(self, batch: Batch[Any]) -> None:
        """See `Dispatcher`."""
        if isinstance(batch, Procedure) and batch.watch is not None:
            batch.watch.end(None, is_cancelled=True)

    def ended(self) -> None:
        """See `Dispatcher`."""
        for requests in list(self._known):
            requests.end()

    def forked(self) -> list[Any]:
        """See `Dispatcher`: what was observed so far is the parent process's to report."""
        for requests in list(self._known):
            requests.forked()
        return super().forked()


def tell_of_requests(session: Session, clock: Callable[[], float]) -> None:
    """Have *session*, which asks services, tell of requests; *clock* gives its loop's time."""
    dispatcher = session.dispatcher
    # As `couchloop.observe.dispatcher.add_observer` does it, and for its reasons. Drivers make
    # their sessions, also anew in a forked child, and need not know of this kind.
    dispatcher.__class__ = RequestsDispatcher
    assert isinstance(dispatcher, RequestsDispatcher)
    dispatcher._clock = clock  # noqa: SLF001 - the two are one
    dispatcher._known = WeakSet()  # noqa: SLF001


def requests_of(session: Session, schedule: Callable[[], object]) -> Requests | None:
    """Return who is told of what the Bucket of *session* asks services; None: nobody is."""
    dispatcher = session.dispatcher
    if not isinstance(dispatcher, ObservedDispatcher):
        return None
    shared = session.shared
    return Requests(lambda: shared.settings, dispatcher.calls, dispatcher.reporting, schedule)
