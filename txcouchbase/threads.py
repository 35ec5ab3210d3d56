"""The ways between plain threads and a reactor."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadable import isInIOThread

from couchloop.client.crossing import Call, Crossing, Lock
from couchloop.exceptions import CouchbaseError, FeatureNotAvailableError
from couchloop.hot.operation import Pending
from txcouchbase.driver import TwistedDriver
from txcouchbase.services import ServicesDriver

_services: Final = ServicesDriver()


def check_threads(reactor: Any) -> None:
    """Raise FeatureNotAvailableError if *reactor*, one for tests, takes no calls from threads."""
    if not IReactorFromThreads.providedBy(reactor):
        raise FeatureNotAvailableError(
            "this reactor takes no calls from threads (IReactorFromThreads)"
        )


class ReactorCrossing(Crossing):
    """To and from the reactor of *driver*."""

    def __init__(self, driver: TwistedDriver) -> None:
        self._driver = driver
        self._reactor: Any = driver.reactor

    def make_lock(self) -> Lock:
        """See `Crossing`."""
        return allocate_lock()

    def is_here(self) -> bool:
        """See `Crossing`."""
        is_here = self._driver.in_own_thread()
        if is_here is None and self._reactor.running:
            # It has not run us yet, and says itself which its thread is.
            is_here = isInIOThread()  # type: ignore[no-untyped-call]
        return is_here is True

    def is_running(self) -> bool:
        """See `Crossing`."""
        # One that has not run us yet may be started later.
        return self._driver.in_own_thread() is None or self._reactor.running

    def thread(self) -> int:
        """See `Crossing`."""
        return get_ident()

    def soon(self, call: Callable[[], None]) -> None:
        """See `Crossing`."""
        self._reactor.callFromThread(call)

    def send(self, call: Call[Any]) -> None:
        """See `Crossing`."""
        self._reactor.callFromThread(self._begin, call)

    def _begin(self, call: Call[Any]) -> None:
        if call.given_up:
            return
        try:
            call.task = self._do(call.pending)
        except CouchbaseError as error:
            call.fail(error)
        else:
            call.task.addCallbacks(call.succeed, partial(_fail, call))

    def _do(self, pending: Pending[Any]) -> Deferred[Any]:
        """Do what a thread has asked for."""
        return self._driver.run(pending, pending.owner)

    def withdraw(self, call: Call[Any]) -> None:
        """See `Crossing`."""
        self._reactor.callFromThread(_cancel, call)


class ServicesCrossing(ReactorCrossing):
    """Likewise, for what is asked of services: the reactor's thread looks for their driver."""

    def to(self, driver: Any) -> ReactorCrossing:
        """See `Crossing`."""
        return ReactorCrossing(driver)

    def _do(self, pending: Pending[Any]) -> Deferred[Any]:
        return _services.run(pending, pending.owner)


def _fail(call: Call[Any], failure: Any) -> None:
    call.fail(failure.value)


def _cancel(call: Call[Any]) -> None:
    if call.task is not None:
        call.task.cancel()
