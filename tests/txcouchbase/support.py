"""What the tests of the Twisted adapter share."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import provider

from couchloop.embedded import EmbeddedCluster
from txcouchbase.bucket import Bucket
from txcouchbase.driver import TwistedDriver
from txcouchbase.protocol import CouchbaseProtocol
from txcouchbase.testing import MemoryCluster, ReactorClock, ServedCluster

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

T = TypeVar("T")

LIMIT: Final = 20.0
"""Seconds that what a test has left is waited for."""


def outcome(deferred: Deferred[T]) -> list[Any]:
    """Return a list of the Deferred's result or exception, empty as long as there is none.

    A failure counts as handled.
    """
    outcomes: list[Any] = []

    def take(result: T | Failure) -> None:
        outcomes.append(result.value if isinstance(result, Failure) else result)

    deferred.addBoth(take)
    return outcomes


def error_of(deferred: Deferred[Any]) -> BaseException:
    """Return the exception that a Deferred has failed with."""
    (error,) = outcome(deferred)
    assert isinstance(error, BaseException), f"no error, but {error!r}"
    return error


def in_thread(work: Callable[[], T]) -> T:
    """Run *work* in a thread of its own while this one waits; give what it gives, or raise it."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()


def turn(reactor: Any, condition: Callable[[], object]) -> Deferred[None]:
    """Return a Deferred that fires in the first turn of *reactor* in which *condition* holds.

    The test's own time limit is what ends it otherwise.
    """
    done: Deferred[None] = Deferred()

    def look() -> None:
        if condition():
            done.callback(None)
        else:
            reactor.callLater(0.001, look)

    reactor.callLater(0, look)
    return done


class Memory(MemoryCluster):
    """A cluster in memory on a clock of its own, and Buckets on it."""

    def __init__(self, cluster: EmbeddedCluster | None = None, **settings: Any) -> None:
        super().__init__(cluster, **settings)
        if cluster is not None:
            cluster.clock = ReactorClock(self.reactor)

    def open(
        self, name: str = "default", options: str = "", *, at: str = "", **settings: Any
    ) -> Bucket:
        """Open a Bucket; nothing moves before the clock is advanced."""
        arguments: dict[str, Any] = {
            "username": "user",
            "password": "password",
            "reactor": self.reactor,
            "endpoint_factory": self.endpoint_factory,
        }
        at = at or self.connection_string
        return Bucket(f"{at}/{name}{options}", **{**arguments, **settings})

    def result(self, deferred: Deferred[T]) -> T:
        """Let everything happen that takes no time; give the Deferred's result, which is there."""
        self.reactor.advance(0)
        (result,) = outcome(deferred)
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]

    def error(self, deferred: Deferred[Any]) -> BaseException:
        """Let everything happen that takes no time; give the Deferred's exception."""
        self.reactor.advance(0)
        return error_of(deferred)

    @property
    def idle(self) -> bool:
        """Whether there is no connection and no timer."""
        return not (self.cluster.connections() or self.reactor.getDelayedCalls())


class Reading:
    """Whether the nodes of a cluster on sockets read what clients send them."""

    def __init__(self, served: ServedCluster) -> None:
        self._served = served

    def stop(self) -> None:
        """Read nothing of the connections that there are."""
        for protocol in self._served.protocols:
            transport: Any = protocol.transport
            transport.pauseProducing()

    def go_on(self) -> None:
        """Read again."""
        for protocol in self._served.protocols:
            transport: Any = protocol.transport
            transport.resumeProducing()


def kept(bucket: Bucket) -> int:
    """Count the bytes that wait to be sent, wherever: in queues, connections and transports."""
    count = bucket.queued.bytes
    for connection in bucket._driver.session.connections:
        count += sum(map(len, connection._out))
    for protocol in bucket._driver.transports.values():
        assert isinstance(protocol, CouchbaseProtocol)
        count += protocol._backlog.size
        transport: Any = protocol.transport
        while isinstance(transport, ProtocolWrapper):
            transport = transport.transport
        count += len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return count


def _ending(calls: Iterable[Any], now: float) -> list[Any]:
    """Return the timers that are due, and those of Buckets."""
    return [
        call
        for call in calls
        if call.getTime() <= now or isinstance(getattr(call.func, "__self__", 0), TwistedDriver)
    ]


@contextmanager
def clean_reactor() -> Iterator[list[str]]:
    """Collect errors that are logged: each fails the test unless it is removed from this list.

    That includes the unhandled errors of Deferreds. Timers and sockets left in the reactor fail
    the test as well.
    """
    from pytest_twisted import (  # type: ignore[import-untyped]  # noqa: PLC0415 - trial has none
        blockon,
    )
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
        # A Deferred reports an unhandled error when it is collected. An exception that the test
        # has caught may refer to a frame that refers to it, and to a Bucket.
        gc.collect()

        def has_ended() -> bool:
            left = set(reactor.getDelayedCalls()) - timers
            return not _ending(left, reactor.seconds())

        blockon(
            turn(reactor, has_ended).addTimeout(LIMIT, reactor).addErrback(lambda failure: None)
        )
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not errors, "\n".join(["errors were logged:", *errors])
    left = set(reactor.getDelayedCalls()) - timers
    assert not left, f"a timer was left in the reactor: {left}"
    assert not _sockets(reactor) - sockets, "a socket was left in the reactor"


def _sockets(reactor: Any) -> set[Any]:
    # The waker is always there, and is made when the reactor first runs.
    return {*reactor.getReaders(), *reactor.getWriters()}.difference(reactor._internalReaders)
