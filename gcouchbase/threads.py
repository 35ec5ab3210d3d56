"""The ways between plain threads (those of a hub's pool, or unpatched ones) and a hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gevent import Greenlet

from couchloop.client.crossing import Call, Crossing, Lock
from couchloop.hot.operation import Pending
from gcouchbase.driver import GeventDriver
from gcouchbase.internals import allocate_lock, call_in_hub, thread_ident
from gcouchbase.services import ServicesDriver

_services: Final = ServicesDriver()


class HubCrossing(Crossing):
    """To and from the hub of *driver*."""

    def __init__(self, driver: GeventDriver) -> None:
        self._driver = driver

    def make_lock(self) -> Lock:
        """See `Crossing`."""
        lock: Lock = allocate_lock()
        return lock

    def is_here(self) -> bool:
        """See `Crossing`."""
        return self._driver.is_here()

    def is_running(self) -> bool:
        """See `Crossing`."""
        return self._driver.hub_is_there()

    def thread(self) -> int:
        """See `Crossing`."""
        return thread_ident()

    def soon(self, call: Callable[[], None]) -> None:
        """See `Crossing`."""
        call_in_hub(self._driver.hub, self._driver, call)

    def send(self, call: Call[Any]) -> None:
        """See `Crossing`."""
        self._in_hub(self._begin, call)

    def _begin(self, call: Call[Any]) -> None:
        if not call.given_up:
            call.task = Greenlet(self._run, call)
            call.task.start()

    def _run(self, call: Call[Any]) -> None:
        try:
            result = self._do(call.pending)
        except BaseException as error:  # noqa: BLE001 - the thread raises it
            call.fail(error)
        else:
            call.succeed(result)

    def _do(self, pending: Pending[Any]) -> Any:
        """Do what a thread has asked for, in a greenlet."""
        return self._driver.run(pending)

    def withdraw(self, call: Call[Any]) -> None:
        """See `Crossing`."""
        self._in_hub(_kill, call)

    def _in_hub(self, what: Callable[[Call[Any]], None], call: Call[Any]) -> None:
        call_in_hub(self._driver.hub, self._driver, what, call)


class ServicesCrossing(HubCrossing):
    """Likewise, for what is asked of services: the hub looks for their driver."""

    def to(self, driver: Any) -> HubCrossing:
        """See `Crossing`."""
        return HubCrossing(driver)

    def _do(self, pending: Pending[Any]) -> Any:
        return _services.run(pending)


def _kill(call: Call[Any]) -> None:
    if call.task is not None:
        call.task.kill(block=False)
