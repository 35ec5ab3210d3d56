"""Drives a session on a reactor: transports from endpoints, one DelayedCall, Deferreds."""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Callable
from functools import partial
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakSet

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFromThreads,
    IReactorThreads,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from couchloop.client.driver import Driver
from couchloop.exceptions import (
    CouchbaseError,
    WrongLoopError,
    without_frames,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation, Pending
from couchloop.session.events import LogRecord, OpenConnection, ResolveSrv
from couchloop.session.session import SessionState
from couchloop.session.standstill import CatchUp
from couchloop.settings.values import Settings
from txcouchbase.connecting import Attempt, Dialler, EndpointFactory
from txcouchbase.producers import Producers
from txcouchbase.workers import workers

if TYPE_CHECKING:
    from twisted.python.threadpool import ThreadPool

    from txcouchbase.tls import TlsFactory

T = TypeVar("T")

_log: Final = Logger()
"""Of the module, not of the class: an event that is kept must not hold a driver."""

_INSTALLED: Final = "twisted.internet.reactor"

_LEVELS: Final = {"debug": LogLevel.debug, "info": LogLevel.info, "warning": LogLevel.warn}


_drivers: Final[WeakSet[TwistedDriver]] = WeakSet()


def _after_fork() -> None:
    for driver in list(_drivers):
        driver.forked()


os.register_at_fork(after_in_child=_after_fork)


class TwistedDriver(Driver):
    """One Bucket's session on *reactor*."""

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        endpoint_factory: EndpointFactory | None = None,
        tls_factory: TlsFactory | None = None,
    ) -> None:
        super().__init__(settings, Random(), os.urandom)
        self.session.opening.heals = True
        self.reactor = reactor
        self._dialler = Dialler(reactor, settings, endpoint_factory, tls_factory)
        self.makes_tls = self._dialler.makes_tls
        self._thread: int | None = None
        """The reactor's thread; None: it has not run us yet, and may be started in any."""
        self._has_run = False
        """Whether the reactor was seen to run: one that is moved by hand, as in tests, never is."""
        self.now = reactor.seconds  # type: ignore[method-assign]  # a call less per operation
        self.producers: Callable[[], Producers | None] = lambda: None
        """Gives those who want to know when too much waits: the Bucket's, which holds them."""
        if not IReactorFromThreads.providedBy(reactor):
            # A clock for tests is not late: it is set forward.
            self._catch_up = CatchUp(self.session, inf)
        self._delayed: IDelayedCall | None = None
        self._opening: list[tuple[Deferred[None], object]] = []
        self._lasting: list[Deferred[None]] = []
        """Of those who wait through failures that pass."""
        self._closing: list[Deferred[None]] = []
        _drivers.add(self)

    def forked(self) -> None:
        """See `Driver`; another Bucket can be opened in its place, on a reactor of the child's."""
        # Its thread may be no more.
        self._thread = None
        self.leave()
        super().forked()

    @property
    def home(self) -> object:
        """See `Driver`."""
        return self.reactor

    # Threads

    def check_thread(self) -> None:
        """See `Driver`."""
        here = self.in_own_thread()
        if here is None and self.reactor is sys.modules.get(_INSTALLED):
            _check_asyncio(self.reactor)
        elif here is False:
            raise WrongLoopError(
                "this Bucket belongs to the thread of its reactor: in another (of deferToThread, "
                "WSGIResource, crochet, a server that answers in threads) use "
                "bucket.threadsafe(), or reactor.callFromThread"
            )

    def in_own_thread(self) -> bool | None:
        """Whether this is the reactor's thread; None: it has not run us yet, so who knows."""
        return None if self._thread is None else self._thread == get_ident()

    # Deferreds

    def run(self, pending: Pending[T], owner: object) -> Deferred[T]:
        """Submit an operation (or a batch); *owner* lives until its callbacks ran.

        Raises WrongLoopError in another thread than the reactor's.
        """
        if get_ident() != self._thread:
            try:
                self.check_thread()
            except WrongLoopError:
                # This frame is part of the traceback, which must not keep the Bucket open.
                del owner
                raise
        deferred: Deferred[T] = Deferred(partial(self._cancelled, pending))
        pending.waiter = deferred
        pending.owner = owner
        self.submit(pending)
        return deferred

    def _cancelled(self, pending: Pending[Any], _: Deferred[Any]) -> None:
        self.check_thread()
        # The Deferred itself errbacks with CancelledError when this returns.
        pending.waiter = pending.owner = None
        self.cancel(pending)

    def deliver(self, completed: Operation[Any] | Batch[Any]) -> None:
        """Fire the Deferred."""
        deferred = completed.waiter
        completed.waiter = None
        try:
            result = completed.result()
        except CouchbaseError as error:
            deferred.errback(without_frames(error))
        except BaseException:  # noqa: BLE001 - as Deferreds do: it must not end others' answers
            deferred.errback(Failure())  # type: ignore[no-untyped-call]
        else:
            deferred.callback(result)
        completed.owner = None

    def when_open(self, owner: object) -> Deferred[None]:
        """Return a new Deferred: None once the bucket is open, or why it is not.

        *owner* lives until it fires.
        """
        state = self.session.state
        deferred: Deferred[None] = Deferred(self._stop_waiting)
        if state is SessionState.OPEN:
            deferred.callback(None)
        elif state is not SessionState.OPENING:
            deferred.errback(without_frames(self.session.failure()))
        else:
            self._opening.append((deferred, owner))
        return deferred

    @property
    def is_opening(self) -> bool:
        """Whether the bucket is being opened, or will be after a pause."""
        return self.session.state in {SessionState.OPENING, SessionState.WAITING}

    def when_open_at_last(self) -> Deferred[None]:
        """Return a new Deferred: None once the bucket is open, however many tries that takes.

        It fails with why no more is tried. It keeps nothing alive.
        """
        if not self.is_opening:
            return self.when_open(None)
        deferred: Deferred[None] = Deferred(lambda _: self._lasting.remove(deferred))
        self._lasting.append(deferred)
        return deferred

    def _stop_waiting(self, deferred: Deferred[None]) -> None:
        self.check_thread()
        self._opening = [entry for entry in self._opening if entry[0] is not deferred]

    def loaded(self, *, is_high: bool) -> None:
        """See `Driver`."""
        producers = self.producers()
        if producers is not None:
            producers.load(is_high=is_high)

    def close(self, wait: float = 0.0) -> None:
        """See `Driver`."""
        super().close(wait)
        producers = self.producers()
        if producers is not None:
            producers.stop()

    def opened(self) -> None:
        """See `Driver`."""
        waiting, self._opening = self._opening, []
        lasting, self._lasting = self._lasting, []
        for deferred in [*(deferred for deferred, _ in waiting), *lasting]:
            deferred.callback(None)

    def open_failed(self, error: CouchbaseError) -> None:  # noqa: ARG002 - each has its own
        """See `Driver`."""
        if self.session.state is SessionState.FAILED:
            self.leave()
            self.ended()
        else:
            # It is opened again after a pause.
            self._fail_waiting([])

    def ended(self) -> None:
        """See `Driver`."""
        lasting, self._lasting = self._lasting, []
        self._fail_waiting(lasting)

    def _fail_waiting(self, lasting: list[Deferred[None]]) -> None:
        waiting, self._opening = self._opening, []
        deferreds = [*(deferred for deferred, _ in waiting), *lasting]
        # All errors before any callback: that may start anew.
        errors = [without_frames(self.session.failure()) for _ in deferreds]
        for deferred, error in zip(deferreds, errors, strict=True):
            deferred.errback(error)

    def when_closed(self) -> Deferred[None]:
        """Return a new Deferred: None once the last transport is gone."""
        deferred: Deferred[None] = Deferred()
        if self._is_closed:
            deferred.callback(None)
        else:
            self._closing.append(deferred)
        return deferred

    def closed(self) -> None:
        """See `Driver`."""
        waiting, self._closing = self._closing, []
        for deferred in waiting:
            deferred.callback(None)

    # Loop

    def now(self) -> float:
        """Return the reactor's time."""
        return float(self.reactor.seconds())

    def call_soon(self) -> None:
        """See `Driver`."""
        self.reactor.callLater(0, self.flush)

    def abandon(self) -> None:
        """See `Driver`."""
        if self.session.state is SessionState.CLOSED and not self.transports:
            # In a forked child a call would wake the parent: the two share what does it.
            return
        if IReactorFromThreads.providedBy(self.reactor):
            self.reactor.callFromThread(self.close)
        else:
            # A reactor for tests.
            self.reactor.callLater(0, self.close)

    def arm(self, when: float | None) -> None:
        """See `Driver`."""
        delayed = self._delayed
        if delayed is not None and delayed.active():
            if when is None:
                self._delayed = None
                delayed.cancel()
            else:
                delayed.reset(max(0.0, when - self.now()))
        elif when is not None:
            self._delayed = self.reactor.callLater(max(0.0, when - self.now()), self.deadline)

    def deadline(self) -> None:
        """See `Driver`."""
        # A DelayedCall that has run still holds what it called.
        self._delayed = None
        super().deadline()

    def make_transport(self, event: OpenConnection) -> Attempt:
        """See `Driver`."""
        # The reactor runs us, wherever we were made.
        self._thread = get_ident()
        self._has_run = self._has_run or bool(getattr(self.reactor, "running", False))
        return Attempt(self._dialler, self, event)

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """See `Driver`."""
        return self._dialler.make_tls(settings)

    def in_thread(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """See `Driver`."""
        reactor = self.reactor
        if IReactorThreads.providedBy(reactor):
            deferred = deferToThreadPool(reactor, cast("ThreadPool", workers), work)
        else:
            # A reactor for tests: there is nobody to keep waiting.
            deferred = maybeDeferred(work)
        deferred.addErrback(lambda failure: failure.value)
        deferred.addCallback(done)

    def resolve(self, event: ResolveSrv) -> Callable[[], object]:
        """See `Driver`."""
        # Here, so that those who name their nodes need not load a DNS client.
        from txcouchbase.dns import Lookup  # noqa: PLC0415

        return Lookup(self.reactor, event, self.session.settings.resolver, self.srv_answered).end

    def report(self, error: Exception) -> None:
        """See `Driver`."""
        _log.failure("while a Bucket's loop was asked for something", Failure(error))  # type: ignore[no-untyped-call]

    def log(self, record: LogRecord) -> None:
        """See `Driver`."""
        if self._has_run and not self.reactor.running:
            # It has been stopped, and closes all connections: what becomes of ours is no news, and
            # twistd writes lines of any level.
            return
        _log.emit(_LEVELS[record.level], record.text, **record.fields)


def find_reactor(given: Any) -> Any:
    """Return the reactor of what is to be used here: *given*, or Twisted's own.

    Raises WrongLoopError if that is Twisted's own and runs in another thread than this, or if it
    does not run where a loop of asyncio does: nobody would ever run it.
    """
    installed = sys.modules.get(_INSTALLED)
    if given is not None and given is not installed:
        return given
    # Before it is imported, which would install one: then only a new process could be cured.
    _check_asyncio(installed)
    from twisted.internet import reactor  # noqa: PLC0415 - only where a user wants it

    if reactor.running and not isInIOThread():  # type: ignore[no-untyped-call]
        raise WrongLoopError(
            "a Bucket is opened in the thread of its reactor, not in one of deferToThread, "
            "WSGIResource or crochet: use reactor.callFromThread, or open it there and hand "
            "bucket.threadsafe() to threads"
        )
    return reactor


def _check_asyncio(reactor: object) -> None:
    """Raise WrongLoopError if *reactor* (None: there is none yet) stands by while asyncio runs."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or getattr(reactor, "running", False):
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if getattr(reactor, "_asyncioEventloop", None) is not loop:
        raise WrongLoopError(
            "a loop of asyncio runs here that is not the reactor's, so that nothing would ever be "
            "sent: call twisted.internet.asyncioreactor.install(asyncio.get_running_loop()) before "
            "anything imports twisted.internet.reactor, and then "
            "reactor.startRunning(installSignalHandlers=False)"
        )
