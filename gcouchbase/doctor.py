"""Serves a diagnosis (couchloop.doctor) on this thread's hub: names, sockets, TLS, threads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import gevent
from gevent import GreenletExit, Timeout
from gevent import socket as gsocket
from gevent.greenlet import Greenlet
from gevent.hub import get_hub

from couchloop.doctor import Answer, Diagnosis, Request, Service, Task
from couchloop.kv.scram import KeyDerivation
from couchloop.safety.secret import sealed
from couchloop.session.events import ResolveSrv
from couchloop.settings.values import Address, Tls
from couchloop.transport.tls import PeerTls
from gcouchbase.dns import look_up, prepare
from gcouchbase.tls import TlsStream, make_context

_CHUNK: Final = 65536


def loop_name() -> str:
    """Return the loop's name and version."""
    return f"gevent {gevent.__version__}"


@sealed
def run(diagnosis: Diagnosis, nameserver: Address | None = None) -> None:
    """Serve *diagnosis* to its end.

    Args:
        diagnosis: what asks.
        nameserver: answers SRV look-ups; None: the system's.
    """
    runner = _Runner(nameserver)
    try:
        runner.serve(diagnosis.run(monotonic()))
    finally:
        runner.close()


class _Runner(Service["_Link"]):
    """Answers requests; a task that waits does not keep the others waiting."""

    _context: Any = None

    def serve(self, task: Task[None]) -> None:
        """Answer what *task* asks until it ends."""
        try:
            request = next(task)
            while True:
                request = task.send(self._answer(request))
        except StopIteration:
            return
        finally:
            task.close()

    def _answer(self, request: Request) -> Answer:
        # In a greenlet of its own: what is thrown into this one, of whatever class, is the end of
        # the diagnosis, and no answer.
        work: Greenlet[..., Answer] = Greenlet.spawn(self._performed, request)
        try:
            work.join()
        finally:
            work.kill()
        answer = work.value
        if isinstance(answer, Answer):
            return answer
        # Killed, by whoever found it, or with another end than an exception of a request.
        raise answer or work.exception or GreenletExit

    def _performed(self, request: Request) -> Answer:
        value: Any = None
        try:
            with Timeout(getattr(request, "limit", None)) as patience:
                value = self.perform(request)
        except Timeout as timeout:
            if timeout is not patience:
                raise
            return Answer(None, TimeoutError(), monotonic())
        except Exception as error:  # noqa: BLE001 - the task says what it means
            return Answer(None, error, monotonic())
        return Answer(value, None, monotonic())

    def read_tls(self, files: Tls) -> None:
        """See `Service`."""
        self._context = make_context(files)

    def resolve(self, host: str) -> list[str]:
        """See `Service`."""
        found = gsocket.getaddrinfo(host, 0, 0, gsocket.SOCK_STREAM)
        return [str(where[0]) for *_, where in found]

    def look_up_srv(self, event: ResolveSrv) -> list[Address]:
        """See `Service`."""
        found: list[Address]
        prepare()
        found = get_hub().threadpool.apply(_look_up_srv, (event, self.nameserver))
        return found

    def dial(self, address: Address, limit: float) -> int:
        """See `Service`."""
        del limit  # `_answer` sees to it.
        family = gsocket.AF_INET6 if ":" in address.host else gsocket.AF_INET
        sock = gsocket.socket(family, gsocket.SOCK_STREAM)
        try:
            sock.connect(address)
            sock.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return self.enter(_Link(sock))

    def start_tls(self, link: _Link, host: str) -> PeerTls:
        """See `Service`."""
        return link.start_tls(TlsStream(self._context, host))

    def derive(self, derivation: KeyDerivation) -> Any:
        """See `Service`."""
        return get_hub().threadpool.apply(derivation.derive)

    def gather(self, tasks: Sequence[Task[None]]) -> None:
        """See `Service`."""
        greenlets = [Greenlet.spawn(self.serve, task) for task in tasks]
        try:
            gevent.joinall(greenlets, raise_error=True)
        finally:
            gevent.killall(greenlets)


def _look_up_srv(event: ResolveSrv, nameserver: Address | None) -> list[Address]:
    """Look up an SRV record; it may block."""
    resolver: Any = None
    # Without dnspython `look_up` says what to install.
    with suppress(ImportError):
        from dns.resolver import Resolver  # noqa: PLC0415, TID251 - this runs in a thread

        if nameserver is not None:
            resolver = Resolver(configure=False)
            resolver.nameservers, resolver.port = [nameserver.host], nameserver.port
    return look_up(event, resolver)


class _Link:
    """A connected socket, with TLS or without."""

    def __init__(self, sock: gsocket.socket) -> None:
        self._sock = sock
        self._tls: TlsStream | None = None
        self._early = b""

    def close(self) -> None:
        self._sock.close()

    def start_tls(self, tls: TlsStream) -> PeerTls:
        self._tls = tls
        tls.start()
        self._flush()
        while not tls.established:
            data = b""
            # As a node does that closes before it has read what was sent.
            with suppress(ConnectionError):
                data = self._sock.recv(_CHUNK)
            if not data:
                raise tls.cut_off()
            try:
                plain, _ = tls.receive(data)
            finally:
                # Of a failure the peer is told by an alert.
                self._flush()
            self._early += plain
        return tls.peer()

    def exchange(self, data: bytes) -> bytes:
        tls = self._tls
        if data:
            if tls is not None:
                tls.send(data)
                data = tls.take_output()
            self._send(data)
        if tls is None:
            return self._sock.recv(_CHUNK)
        plain, self._early = self._early, b""
        goes_on = True
        while not plain and goes_on:
            received = self._sock.recv(_CHUNK)
            if not received:
                break
            plain, goes_on = tls.receive(received)
            self._flush()
        return plain

    def _flush(self) -> None:
        assert self._tls is not None
        self._send(self._tls.take_output())

    def _send(self, data: bytes) -> None:
        # What a peer said before it closed is still to be read, and says more than this error.
        with suppress(ConnectionError):
            if data:
                self._sock.sendall(data)
