"""Drives a session on a reactor: transports from endpoints, one DelayedCall, Deferreds."""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Callable
from functools import partial
from math import inf
from random import Random
from socket import gaierror
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakSet

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError as TwistedConnectError
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorThreads,
    IStreamClientEndpoint,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from couchloop.client.driver import Driver, connect_error, kind_of_error
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    NodeUnreachableError,
    UnknownHostError,
    WrongLoopError,
    without_frames,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation, Pending
from couchloop.safety.printable import general
from couchloop.session.events import LogRecord, OpenConnection, ResolveSrv
from couchloop.session.session import SessionState
from couchloop.session.standstill import CatchUp
from couchloop.settings.values import Address, Settings, Tls
from txcouchbase.dialling import HostEndpoint
from txcouchbase.producers import Producers
from txcouchbase.protocol import CouchbaseFactory, dead_end
from txcouchbase.workers import workers

if TYPE_CHECKING:
    from twisted.python.threadpool import ThreadPool

    from txcouchbase.tls import TlsAttempt, TlsFactory

T = TypeVar("T")

EndpointFactory = Callable[[Any, Address, bool], IStreamClientEndpoint]
"""Makes the endpoint for (reactor, address, tls)."""


_log: Final = Logger()
"""Of the module, not of the class: an event that is kept must not hold a driver."""

_OWN_TLS: Final = (
    "an endpoint_factory does the TLS itself: give it, or say what TLS trusts and shows "
    "(tls_factory, certificates, tls_verify, LCB_SSL_… in the environment), not both"
)
_ATTEMPTS: Final = 16
"""How many addresses of a name can be tried, each with a head start, in the time of one node."""

_FAMILIES: Final = {"disabled": IPv4Address, "only": IPv6Address}
"""What the option `ipv6` means where one family of addresses alone is used."""

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
        self.session.heals = True
        self.reactor = reactor
        self.endpoint_factory = endpoint_factory
        self._tls_factory = tls_factory
        if endpoint_factory is not None:
            if tls_factory is not None or settings.tls_files != Tls():
                raise ArgumentError(_OWN_TLS)
        elif settings.tls and tls_factory is None:
            self.makes_tls = True
            self.make_tls(settings)()
        self._thread: int | None = None
        """The reactor's thread; None: it has not run us yet, and may be started in any."""
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
        if self.in_own_thread() is False:
            raise WrongLoopError(
                "this Bucket belongs to the thread of its reactor: use bucket.threadsafe() here, "
                "or reactor.callFromThread"
            )

    def in_own_thread(self) -> bool | None:
        """Tell whether this is the reactor's thread; None: it has not run us yet, so who knows."""
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

    def wake(self, completed: Operation[Any] | Batch[Any]) -> None:
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
        """Give a new Deferred: None once the bucket is open, or why it is not.

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
        """Give a new Deferred: None once the bucket is open, however many tries that takes.

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
        """Give a new Deferred: None once the last transport is gone."""
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
        """Give the reactor's time."""
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

    def make_transport(self, event: OpenConnection) -> _Attempt:
        """See `Driver`."""
        # The reactor runs us, wherever we were made.
        self._thread = get_ident()
        return _Attempt(self, event)

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """See `Driver`."""
        if self.endpoint_factory is not None:
            raise ArgumentError(_OWN_TLS)
        # Here, so that those who use plain TCP need no TLS library.
        from txcouchbase.tls import make_tls_factory  # noqa: PLC0415

        factory = make_tls_factory(settings.tls_files)

        def use() -> None:
            self._tls_factory = factory

        return use

    def endpoint(
        self, address: Address, tls: bool, dialled: list[Any]
    ) -> tuple[IStreamClientEndpoint, TlsAttempt | None]:
        """Give what connects to *address*, and what explains its TLS (None: the user's does it).

        *dialled* takes the connectors of what it dials, unless an endpoint of the user's does that.
        """
        if self.endpoint_factory is not None:
            return self.endpoint_factory(self.reactor, address, tls), None
        settings = self.session.settings
        # Short enough for a dozen addresses that say nothing.
        head_start = settings.config_node_timeout / _ATTEMPTS
        endpoint: IStreamClientEndpoint = HostEndpoint(
            self.reactor, address, _FAMILIES.get(settings.ipv6), head_start, dialled
        )
        if not tls:
            return endpoint, None
        from txcouchbase.tls import TlsAttempt, TlsEndpoint  # noqa: PLC0415 - as above

        assert self._tls_factory is not None, "no TLS in the settings"
        attempt = TlsAttempt(address.host, self._tls_factory(address.host))
        return TlsEndpoint(self.reactor, endpoint, attempt), attempt

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
        _log.emit(_LEVELS[record.level], record.text, **record.fields)


def check_reactor(reactor: Any) -> None:
    """Raise WrongLoopError if *reactor* is Twisted's own, and runs in another thread than this."""
    is_installed = sys.modules.get("twisted.internet.reactor") is reactor
    if is_installed and reactor.running and not isInIOThread():  # type: ignore[no-untyped-call]
        raise WrongLoopError(
            "a Bucket is opened in the thread of its reactor: use reactor.callFromThread, or open "
            "it there and hand bucket.threadsafe() to threads"
        )


class _Attempt:
    """A connection that is being made; the Protocol takes its place once it is."""

    def __init__(self, driver: TwistedDriver, event: OpenConnection) -> None:
        self._driver = driver
        self._event = event
        self._connecting: Deferred[Any] | None = None
        self._dialled: list[Any] = []

    def open(self) -> None:
        # Endpoints and their factories may be the user's, and may raise.
        self._connecting = maybeDeferred(self._connect)
        self._connecting.addErrback(self._failed)

    def _connect(self) -> Deferred[IProtocol]:
        driver, event = self._driver, self._event
        endpoint, tls = driver.endpoint(event.address, event.tls, self._dialled)
        return endpoint.connect(CouchbaseFactory(driver, event.id, tls, event.address.host))

    def _failed(self, failure: Failure) -> None:
        driver, event = self._driver, self._event
        error = _translated(failure, event.address, driver.session.settings)
        driver.connect_failed(event.id, error)

    def write(self, data: bytes) -> None:
        """Do nothing: the session says nothing before it is connected."""

    def finish(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()

    def drop(self) -> None:
        """Lead to nowhere what the reactor is connecting: see `dead_end`."""
        for connector in self._dialled:
            # The reactor knows nothing of it yet if it was dialled in this turn.
            if hasattr(connector.transport, "fileno"):
                dead_end(connector.transport.fileno())
        reactor = self._driver.reactor
        if not IReactorFDSet.providedBy(reactor):
            return
        for each in [*reactor.getReaders(), *reactor.getWriters()]:
            # Endpoints keep their sockets to themselves, but wrap the factory that they are given.
            factory = getattr(getattr(each, "connector", None), "factory", None)
            while factory is not None and not isinstance(factory, CouchbaseFactory):
                wrapped = getattr(factory, "_wrappedFactory", None)
                factory = wrapped or getattr(factory, "wrappedFactory", None)
            if factory is not None and factory.is_of(self._driver):
                dead_end(each.fileno())


def _translated(failure: Failure, address: Address, settings: Settings) -> BaseException:
    """Say in the core's terms why a connection could not be made."""
    why = failure.value
    if isinstance(why, CouchbaseError):
        return why
    if isinstance(why, DNSLookupError | gaierror):
        reason = getattr(why, "strerror", None) or str(why)
        error = connect_error(UnknownHostError, address, reason, settings)
    elif isinstance(why, TwistedConnectError):
        kind = kind_of_error(why.osError)
        error = connect_error(kind, address, str(why).rstrip("."), settings)
    else:
        reason = general(f"{type(why).__name__}: {why}")
        error = connect_error(NodeUnreachableError, address, reason, settings)
    error.__cause__ = why
    return error
