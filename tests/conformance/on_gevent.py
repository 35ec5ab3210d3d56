"""gevent, for tests that run on either loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gevent.server import StreamServer

from couchloop.embedded import EmbeddedCluster
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.pool import BucketPool
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.gcouchbase import support

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
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


class GeventLoop:
    """See `tests.conformance.loops.Loop`."""

    name = "gevent"
    Bucket: Any = Bucket
    Cluster: Any = Cluster
    BucketPool: Any = BucketPool

    def cluster(self, connection_string: str) -> Any:
        """Give a Cluster."""
        return Cluster(connection_string)

    def bucket(self, connection_string: str, **keywords: Any) -> Any:
        """The constructor waits by itself."""
        return Bucket(connection_string, **keywords)

    def wait(self, result: Any) -> Any:
        """It has been waited for."""
        return result

    def until(
        self, condition: Callable[[], object], what: str = "the condition never held"
    ) -> None:
        """Let other greenlets run."""
        support.until(condition, what)

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
    def log(self) -> Iterator[list[str]]:
        """Listen at the adapter's logger."""
        lines: list[str] = []
        handler = _Lines(lines)
        logger = logging.getLogger("gcouchbase")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield lines
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """No error in the background, no socket, no Bucket."""
        with support.no_background_errors(), support.nothing_left():
            yield
