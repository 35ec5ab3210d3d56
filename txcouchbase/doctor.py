"""Serves a diagnosis (couchloop.doctor) on a reactor: names, transports, TLS, threads."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.doctor import Answer, Diagnosis, Request, Service, Task
from couchloop.kv.scram import KeyDerivation
from couchloop.safety.secret import strip_frames
from couchloop.session.events import ResolveSrv
from couchloop.settings.values import Address, Tls
from couchloop.transport.tls import PeerTls, cut_off
from txcouchbase.dialling import system_words
from txcouchbase.workers import workers

if TYPE_CHECKING:
    from twisted.python.threadpool import ThreadPool

    from txcouchbase.tls import TlsAttempt

T = TypeVar("T")


def loop_name() -> str:
    """Return the loop's name and version."""
    return f"Twisted {twisted.__version__}"


async def serve(reactor: Any, diagnosis: Diagnosis, nameserver: Address | None = None) -> None:
    """Serve *diagnosis* to its end.

    Args:
        reactor: what it runs on.
        diagnosis: what asks.
        nameserver: answers SRV look-ups; None: the system's.
    """
    runner = _Runner(reactor, nameserver)
    try:
        await runner.serve(diagnosis.run(reactor.seconds()))
    except BaseException as error:
        # They hold what is being sent, a login for instance.
        strip_frames(error)
        raise
    finally:
        runner.close()


class _Runner(Service["_Link"]):
    """Answers requests; a task that waits does not keep the others waiting."""

    def __init__(self, reactor: Any, nameserver: Address | None) -> None:
        super().__init__(nameserver)
        self._reactor = reactor
        self._tls_factory: Callable[[str], Any] | None = None

    async def serve(self, task: Task[None]) -> None:
        """Answer what *task* asks until it ends."""
        try:
            request = next(task)
            while True:
                request = task.send(await self._answer(request))
        except StopIteration:
            return
        finally:
            task.close()

    async def _answer(self, request: Request) -> Answer:
        value: Any = None
        error: BaseException | None = None
        try:
            work = Deferred.fromCoroutine(self._perform(request))
            limit: float | None = getattr(request, "limit", None)
            if limit is not None:
                work.addTimeout(limit, self._reactor, onTimeoutCancel=_too_late)
            value = await _ends_when_cancelled(work)
        except CancelledError:
            raise
        except Exception as why:  # noqa: BLE001 - the task says what it means
            error = why
        return Answer(value, error, self._reactor.seconds())

    async def _perform(self, request: Request) -> Any:
        answer = self.perform(request)
        return await answer if isawaitable(answer) else answer

    def read_tls(self, files: Tls) -> None:
        """See `Service`."""
        # Here, so that those who use plain TCP need no TLS library.
        from txcouchbase.tls import make_tls_factory  # noqa: PLC0415

        self._tls_factory = make_tls_factory(files)

    async def resolve(self, host: str) -> list[str]:
        """See `Service`."""
        found = await self._in_thread(lambda: socket.getaddrinfo(host, 0, 0, socket.SOCK_STREAM))
        return [str(where[0]) for *_, where in found]

    def derive(self, derivation: KeyDerivation) -> Deferred[bytes]:
        """See `Service`."""
        return self._in_thread(derivation.derive)

    def _in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, cast("ThreadPool", workers), work)

    def look_up_srv(self, event: ResolveSrv) -> Deferred[Any]:
        """See `Service`."""
        # Here, so that those who name their nodes need no DNS client.
        from twisted.names.client import Resolver  # noqa: PLC0415

        from txcouchbase.dns import Lookup  # noqa: PLC0415

        resolver: Any = None
        if self.nameserver is not None:
            make: Any = Resolver
            resolver = make(servers=[self.nameserver], reactor=self._reactor)
        deferred: Deferred[Any] = Deferred(lambda _: lookup.end())

        def done(answer: Any) -> None:
            if isinstance(answer, BaseException):
                deferred.errback(answer)
            else:
                deferred.callback(answer)

        lookup = Lookup(self._reactor, event, resolver, done)
        return deferred

    async def dial(self, address: Address, limit: float) -> int:
        """See `Service`."""
        kind = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(
            self._reactor, address.host, address.port, timeout=limit
        )
        try:
            link: Any = await endpoint.connect(Factory.forProtocol(_Link))
        except ConnectTimeoutError:
            raise TimeoutError from None
        except ConnectError as why:
            raise OSError(why.osError, system_words(why)) from why
        return self.enter(link)

    async def start_tls(self, link: _Link, host: str) -> PeerTls:
        """See `Service`."""
        assert self._tls_factory is not None
        return await link.start_tls(self._reactor, host, self._tls_factory(host))

    async def gather(self, tasks: Sequence[Task[None]]) -> None:
        """See `Service`."""
        served = [Deferred.fromCoroutine(self.serve(task)) for task in tasks]
        await gatherResults(served, consumeErrors=True)


def _ends_when_cancelled(work: Deferred[T]) -> Deferred[T]:
    """Return what fires as *work* does, and when it is cancelled fails with CancelledError.

    By itself that is so of few things that are under way: a cancelled endpoint fails with an error
    of connecting, a list of Deferreds with an error around the first one's.
    """
    is_cancelled = False

    def cancel(_: object) -> None:
        nonlocal is_cancelled
        is_cancelled = True
        work.cancel()

    def end(result: Any) -> None:
        if not is_cancelled:
            outcome.callback(result)
        # Else it fails by itself once `cancel` returns.

    outcome: Deferred[T] = Deferred(cancel)
    work.addBoth(end)
    return outcome


def _too_late(_result: object, _limit: float) -> Any:
    raise TimeoutError


@implementer(IHandshakeListener)
class _Link(Protocol):
    """A connection, with TLS or without: bytes come to whoever waits for them."""

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._waiting: Deferred[None] | None = None
        self._established = False
        self._end: BaseException | None = None
        self._tls: TlsAttempt | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._received.append(data)
        self._wake()

    def handshakeCompleted(self) -> None:
        self._established = True
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end = reason.value or ConnectionClosed()
        self._wake()

    async def start_tls(self, reactor: Any, host: str, creator: Any) -> PeerTls:
        from txcouchbase.tls import TlsAttempt, start_tls  # noqa: PLC0415 - as above

        attempt = self._tls = TlsAttempt(host, creator)
        self.transport = start_tls(reactor, self, attempt)
        while not self._established:
            if isinstance(self._end, ConnectionClosed):
                raise cut_off(host)
            if self._end is not None:
                raise self._explain(self._end)
            await self._wait()
        attempt.check()
        return attempt.peer()

    async def exchange(self, data: bytes) -> bytes:
        transport: Any = self.transport
        if data and self._end is None:
            transport.write(data)
        while not self._received and self._end is None:
            await self._wait()
        received = b"".join(self._received)
        self._received.clear()
        if not received and self._end is not None and not isinstance(self._end, ConnectionClosed):
            # With TLS 1.3 a server refuses a client's certificate only now.
            raise self._explain(self._end)
        return received

    def _explain(self, why: BaseException) -> BaseException:
        """Return what ended the connection, in the words of TLS if that did."""
        tls = self._tls
        return why if tls is None else tls.explain(Failure(why))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def _wait(self) -> Deferred[None]:
        self._waiting = Deferred()
        return self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
