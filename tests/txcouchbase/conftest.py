"""What every Twisted test must leave behind: a clean reactor and no error that nobody saw."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

# trial runs these, in a process for each reactor (tools/check.py): its asynchronous TestCases run
# the reactor themselves, which pytest-twisted does already.
collect_ignore = ["test_reactors.py"]


@pytest.fixture(autouse=True)
def logged_errors(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Errors that were logged: each fails the test unless the test removes it from this list.

    That includes the unhandled errors of Deferreds. Timers and sockets left in the reactor fail
    the test as well. trial's TestCases check all this by themselves, under pytest too.
    """
    if isinstance(request.instance, SynchronousTestCase):
        yield []
        return
    from twisted.internet import reactor as installed  # noqa: PLC0415 - pytest installed it

    reactor = cast("ReactorBase", installed)
    errors: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            errors.append(failure.getTraceback())

    timers, sockets = set(reactor.getDelayedCalls()), _sockets(reactor)
    globalLogPublisher.addObserver(observe)
    try:
        yield errors
        # A Deferred reports an unhandled error when it is collected.
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not errors, "\n".join(["errors were logged:", *errors])
    assert not set(reactor.getDelayedCalls()) - timers, "a timer was left in the reactor"
    assert not _sockets(reactor) - sockets, "a socket was left in the reactor"


def _sockets(reactor: Any) -> set[Any]:
    # The waker is always there, and is made when the reactor first runs.
    return {*reactor.getReaders(), *reactor.getWriters()}.difference(reactor._internalReaders)
