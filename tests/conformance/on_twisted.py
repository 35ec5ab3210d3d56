"""Twisted, on the reactor that pytest-twisted has installed, for tests that run on either loop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from pytest_twisted import blockon  # type: ignore[import-untyped]
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress, IHostnameResolver, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.names.client import Resolver
from twisted.python.failure import Failure
from twisted.web.server import Site
from zope.interface import implementer, provider

from couchloop.embedded import EmbeddedCluster
from couchloop.settings.values import Address
from tests.conformance.loops import LIMIT
from tests.sockets import Asked, addresses
from tests.txcouchbase import support
from txcouchbase import doctor
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster
from txcouchbase.pool import BucketPool
from txcouchbase.status import StatusResource
from txcouchbase.testing import ReactorClock, ServedCluster, serve

T = TypeVar("T")


class Started:
    """See `tests.conformance.loops.Started`."""

    def __init__(self, loop: TwistedLoop, deferred: Deferred[Any]) -> None:
        self._loop = loop
        self._deferred = deferred
        self._outcomes = support.outcome(deferred)

    @property
    def done(self) -> bool:
        """Whether the Deferred has fired."""
        return bool(self._outcomes)

    def outcome(self) -> Any:
        """Wait until it has."""
        self._loop.until(lambda: self._outcomes)
        return self._outcomes[0]

    def cancel(self) -> None:
        """Cancel it."""
        self._deferred.cancel()


class _Closing(Protocol):
    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


class _Ticks:
    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1


@implementer(IHostnameResolver)
class _Names:
    """A name resolver; numeric addresses, which it is asked for too, are their own."""

    def __init__(self) -> None:
        self.asked: Asked = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        kinds: dict[int, Any] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}
        families = [
            family for family, kind in kinds.items() if addressTypes is None or kind in addressTypes
        ]
        if hostName not in {"127.0.0.1", "::1"}:
            self.asked.append((hostName, frozenset(families)))
        receiver: Any = resolutionReceiver
        receiver.resolutionBegan(None)
        for family, address in addresses(hostName, families):
            receiver.addressResolved(kinds[family](transportSemantics, address, portNumber))
        receiver.resolutionComplete()


class _Noting:
    """A reactor that notes the timers that are made through it."""

    def __init__(self, reactor: Any, calls: list[Any]) -> None:
        self._reactor = reactor
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def callLater(self, *arguments: Any, **keywords: Any) -> Any:
        call = self._reactor.callLater(*arguments, **keywords)
        self._calls.append(call)
        return call


class TwistedLoop:
    """See `tests.conformance.loops.Loop`."""

    name = "twisted"
    Bucket: Any = Bucket
    Cluster: Any = Cluster
    BucketPool: Any = BucketPool
    StatusPage: Any = StatusResource

    def __init__(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

        self.reactor: Any = reactor
        self._of_resolvers: list[Any] = []
        """Timers of users' resolvers."""

    def cluster(self, connection_string: str, **keywords: Any) -> Any:
        """Return a Cluster."""
        return Cluster(connection_string, reactor=self.reactor, **keywords)

    def bucket(self, connection_string: str, **keywords: Any) -> Any:
        """Wait for `connect`."""
        bucket = Bucket(connection_string, reactor=self.reactor, **keywords)
        try:
            self.wait(bucket.connect())
        except BaseException:
            # It might be tried again.
            self.wait(bucket.close())
            raise
        return bucket

    def wait(self, result: Any) -> Any:
        """Wait for the Deferred; code behind it runs in a turn of the reactor of its own."""
        if isinstance(result, Deferred):
            try:
                return blockon(result)
            finally:
                self.turn()
        return result

    def turn(self) -> None:
        """Let one turn of the reactor pass: the test is no callback of what it waited for."""
        blockon(support.turn(self.reactor, lambda: True))

    def take(self, stream: Any) -> list[Any]:
        """Iterate in a coroutine."""

        async def taken() -> list[Any]:
            return [each async for each in stream]

        found: list[Any] = self.wait(ensureDeferred(taken()))
        return found

    def next(self, stream: Any) -> Any:
        """Ask for a Deferred."""
        return stream.next()

    def until(
        self, condition: Callable[[], object], what: str = "the condition never held"
    ) -> None:
        """Look in each turn."""
        holding = support.turn(self.reactor, condition)
        holding.addTimeout(
            LIMIT, self.reactor, onTimeoutCancel=lambda *_: _refuse(AssertionError(what))
        )
        blockon(holding)

    def start(self, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Started:
        """Keep the Deferred."""
        return Started(self, maybeDeferred(call, *arguments, **keywords))

    def in_thread(self, work: Callable[[], T]) -> T:
        """Use a thread of the reactor's."""
        outcome: T = self.wait(deferToThread(work))
        return outcome

    def embedded(self, *arguments: Any, **keywords: Any) -> EmbeddedCluster:
        """Its clock is the reactor's."""
        return EmbeddedCluster(*arguments, clock=ReactorClock(self.reactor), **keywords)

    @contextmanager
    def serving(
        self, cluster: EmbeddedCluster | None = None, **keywords: Any
    ) -> Iterator[ServedCluster]:
        """Serve it on this reactor."""
        served = serve(cluster, reactor=self.reactor, **keywords)
        try:
            yield served
        finally:
            self.wait(served.stop())

    @contextmanager
    def reading(self, served: ServedCluster) -> Iterator[support.Reading]:
        """Pause the nodes' transports."""
        reading = support.Reading(served)
        try:
            yield reading
        finally:
            reading.go_on()

    def kept(self, bucket: Bucket) -> int:
        """Look into the transports."""
        return support.kept(bucket)

    @contextmanager
    def closing_server(self) -> Iterator[int]:
        """Close where the connection is made."""
        factory = Factory.forProtocol(_Closing)
        factory.noisy = False
        listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        try:
            yield listening.getHost().port
        finally:
            self.wait(maybeDeferred(listening.stopListening))

    @contextmanager
    def log(self, level: str = "info") -> Iterator[list[str]]:
        """Listen at the publisher of all logs."""
        lines: list[str] = []
        lowest = LogLevel.levelWithName("warn" if level == "warning" else level)

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_level"] >= lowest:
                lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        try:
            yield lines
        finally:
            globalLogPublisher.removeObserver(observe)

    def opening(self, connection_string: str, **keywords: Any) -> Started:
        """Wait for `connect`; close what does not open, for it might be tried again."""
        bucket = Bucket(connection_string, reactor=self.reactor, **keywords)

        def close(failure: Failure) -> Any:
            return bucket.close().addCallback(lambda _: failure)

        def connect() -> Deferred[Any]:
            return bucket.connect().addCallbacks(lambda _: bucket, close)

        return Started(self, maybeDeferred(connect))

    def failure(self, call: Callable[[], Any]) -> tuple[BaseException, str]:
        """Show the Failure, with the variables of its frames."""
        failures: list[Failure] = []
        self.wait(maybeDeferred(call).addErrback(failures.append))
        (failure,) = failures
        assert failure.value is not None
        return failure.value, failure.getTraceback(detail="verbose")

    @contextmanager
    def ticking(self) -> Iterator[_Ticks]:
        """Count in turns of the reactor."""
        counted = _Ticks()
        counting = LoopingCall(counted.tick)
        counting.clock = self.reactor
        counting.start(0.001)
        try:
            yield counted
        finally:
            counting.stop()

    @contextmanager
    def all_hosts_here(self) -> Iterator[dict[str, Any]]:
        """Let the adapter dial another address: endpoints of a user's do TLS by themselves."""

        def here(reactor: Any, address: Address, *_: object) -> TCP4ClientEndpoint:
            return TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("txcouchbase.connecting.HostEndpoint", here)
            yield {}

    @contextmanager
    def names(self) -> Iterator[Asked]:
        """Install a resolver in the reactor."""
        names = _Names()
        before = self.reactor.installNameResolver(names)
        try:
            yield names.asked
        finally:
            self.reactor.installNameResolver(before)

    def resolver(self, port: int, *hosts: str) -> Any:
        """Return a resolver of Twisted Names."""
        make: Any = Resolver
        servers = [(host, port) for host in hosts or ("127.0.0.1",)]
        return make(servers=servers, reactor=_Noting(self.reactor, self._of_resolvers))

    def diagnose(self, diagnosis: Any) -> Any:
        """Return its Deferred."""
        return ensureDeferred(doctor.serve(self.reactor, diagnosis))

    @contextmanager
    def status_page(self, *sources: Any, **keywords: Any) -> Iterator[int]:
        """Serve it as the Resource of a Site."""
        site: Any = Site(StatusResource(*sources, **keywords))  # type: ignore[no-untyped-call]
        site.noisy = False
        listening = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        try:
            yield listening.getHost().port
        finally:
            self.wait(maybeDeferred(listening.stopListening))

    @contextmanager
    def guard(self) -> Iterator[None]:
        """No error in the log, no timer, no socket."""
        with support.clean_reactor():
            try:
                yield
            finally:
                # A resolver of Twisted Names keeps the timer of a question that is cancelled.
                for call in self._of_resolvers:
                    if call.active():
                        call.cancel()
                self._of_resolvers.clear()


def _refuse(error: BaseException) -> None:
    raise error
