"""gevent, for tests that run on either loop."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import pytest
from dns.resolver import Resolver
from gevent import socket
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer

from couchloop.embedded import EmbeddedCluster
from couchloop.settings.values import Address
from gcouchbase import doctor
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.pool import BucketPool
from gcouchbase.status import StatusApplication
from gcouchbase.testing import ServedCluster, SystemClock, _GeventPeer, serve
from tests.gcouchbase import support
from tests.sockets import Asked, addresses

T = TypeVar("T")


class Started:
    """See `tests.conformance.loops.Started`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._greenlet = support.start(call)

    @property
    def done(self) -> bool:
        """Whether the greenlet has ended."""
        return self._greenlet.ready()

    def outcome(self) -> Any:
        """Join it."""
        return self._greenlet.get(timeout=support.LIMIT)

    def cancel(self) -> None:
        """Kill it."""
        self._greenlet.kill()


class _Lines(logging.Handler):
    def __init__(self, lines: list[str], level: int) -> None:
        super().__init__(level)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


class _Names:
    """A gevent resolver."""

    def __init__(self) -> None:
        self.asked: Asked = []

    def getaddrinfo(self, host: str, port: int, family: int, *_: Any) -> list[Any]:
        families = [family] if family else [socket.AF_INET, socket.AF_INET6]
        self.asked.append((host, frozenset(families)))
        found = addresses(host, families)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(kind, socket.SOCK_STREAM, 6, "", (address, port)) for kind, address in found]


class _Reading:
    """Holds up the greenlets that have read what is for a node."""

    def __init__(self) -> None:
        self._is_on = Event()
        self._is_on.set()

    def stop(self) -> None:
        self._is_on.clear()

    def go_on(self) -> None:
        self._is_on.set()

    @contextmanager
    def of_all_peers(self) -> Iterator[None]:
        received = _GeventPeer.received

        def receive(peer: _GeventPeer, data: bytes) -> None:
            self._is_on.wait()
            received(peer, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_GeventPeer, "received", receive)
            try:
                yield
            finally:
                self.go_on()


class GeventLoop:
    """See `tests.conformance.loops.Loop`."""

    name = "gevent"
    Bucket: Any = Bucket
    Cluster: Any = Cluster
    BucketPool: Any = BucketPool
    StatusPage: Any = StatusApplication

    def cluster(self, connection_string: str, **keywords: Any) -> Any:
        """Return a Cluster."""
        return Cluster(connection_string, **keywords)

    def bucket(self, connection_string: str, **keywords: Any) -> Any:
        """The constructor waits by itself."""
        return Bucket(connection_string, **keywords)

    def wait(self, result: Any) -> Any:
        """It has been waited for."""
        return result

    def take(self, stream: Any) -> list[Any]:
        """Iterate."""
        return list(stream)

    def next(self, stream: Any) -> Any:
        """Iterate once."""
        return next(stream, None)

    def until(
        self, condition: Callable[[], object], what: str = "the condition never held"
    ) -> None:
        """Let other greenlets run."""
        support.until(condition, what)

    def turn(self) -> None:
        """Let the greenlets run that can."""
        gevent.sleep(0)

    def start(self, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Started:
        """Spawn a greenlet."""
        return Started(lambda: call(*arguments, **keywords))

    def in_thread(self, work: Callable[[], T]) -> T:
        """Let the hub go on meanwhile."""
        outcome: T = support.in_thread(work)
        return outcome

    def embedded(self, *arguments: Any, **keywords: Any) -> EmbeddedCluster:
        """Its clock is the system's."""
        return EmbeddedCluster(*arguments, clock=SystemClock(), **keywords)

    @contextmanager
    def serving(
        self, cluster: EmbeddedCluster | None = None, **keywords: Any
    ) -> Iterator[ServedCluster]:
        """Serve it on this hub."""
        with serve(cluster, **keywords) as served:
            yield served

    @contextmanager
    def reading(self, served: ServedCluster) -> Iterator[_Reading]:
        """Hold up the greenlets of all peers."""
        assert isinstance(served, ServedCluster)
        reading = _Reading()
        with reading.of_all_peers():
            yield reading

    def kept(self, bucket: Bucket) -> int:
        """Look into the sockets' backlogs."""
        return support.kept(bucket)

    @contextmanager
    def closing_server(self) -> Iterator[int]:
        """Close in the handler."""
        server = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.close())
        server.start()
        try:
            assert server.server_port is not None
            yield server.server_port
        finally:
            server.stop()

    @contextmanager
    def log(self, level: str = "info") -> Iterator[list[str]]:
        """Listen at the adapter's logger."""
        lines: list[str] = []
        lowest = logging.getLevelNamesMapping()[level.upper()]
        handler = _Lines(lines, lowest)
        logger = logging.getLogger("gcouchbase")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(min(lowest, logger.getEffectiveLevel()))
        try:
            yield lines
        finally:
            logger.setLevel(before)
            logger.removeHandler(handler)

    def opening(self, connection_string: str, **keywords: Any) -> Started:
        """Construct it in a greenlet."""
        return Started(lambda: Bucket(connection_string, **keywords))

    def failure(self, call: Callable[[], Any]) -> tuple[BaseException, str]:
        """Show the traceback."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - any, for the test to look at
            return error, "".join(traceback.format_exception(error))
        raise AssertionError("there was no error")

    @contextmanager
    def ticking(self) -> Iterator[support.Ticker]:
        """Count in a greenlet."""
        with support.ticking() as ticker:
            yield ticker

    @contextmanager
    def all_hosts_here(self) -> Iterator[dict[str, Any]]:
        """Connect in the Bucket's stead."""

        def dial(address: Address) -> socket.socket:
            return socket.create_connection(("127.0.0.1", address.port))

        yield {"socket_factory": dial}

    @contextmanager
    def names(self) -> Iterator[Asked]:
        """Have the hub use a resolver of ours; yield what it was asked."""
        hub: Any = gevent.get_hub()
        names, before = _Names(), hub.resolver
        hub.resolver = names
        try:
            yield names.asked
        finally:
            hub.resolver = before

    def resolver(self, port: int, *hosts: str) -> Any:
        """Return a resolver of dnspython's."""
        made = Resolver(configure=False)
        made.nameservers = list(hosts or ("127.0.0.1",))
        made.port = port
        return made

    def diagnose(self, diagnosis: Any) -> Any:
        """Run it in this greenlet."""
        doctor.run(diagnosis)

    @contextmanager
    def status_page(self, *sources: Any, **keywords: Any) -> Iterator[int]:
        """Serve it as a WSGI application."""
        application = StatusApplication(*sources, **keywords)
        server: Any = WSGIServer(("127.0.0.1", 0), application, log=None)
        server.start()
        try:
            yield server.server_port
        finally:
            server.stop()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """No error in the background, no socket, no Bucket, no greenlet that connects one."""
        with support.no_background_errors(), support.nothing_left():
            yield
        support.until(lambda: not support.connecting(), "a greenlet of a Bucket goes on")
