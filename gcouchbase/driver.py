"""Drives a session on a gevent hub: loop watchers move the bytes, greenlets wait.

User greenlets never touch a socket, so killing one cannot leave half a frame on the wire. Watchers'
callbacks run in the hub, must not block and must not raise: an exception in one would stop it for
good.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from random import Random
from time import monotonic
from typing import Any, Final, TypeVar

from gevent import Greenlet, get_hub, getcurrent
from gevent import socket as gsocket
from gevent.event import Event

from couchloop.driver import Driver, Transport, connect_error
from couchloop.exceptions import (
    CouchbaseError,
    NodeUnreachableError,
    UnknownHostError,
    WrongLoopError,
)
from couchloop.operations import Batch, Operation, Pending
from couchloop.session import DeriveKey, LogRecord, OpenConnection, SessionState
from couchloop.settings import Settings

T = TypeVar("T")

_READ, _WRITE = 1, 2
_CHUNK: Final = 65536
_GRACE: Final = 2.0
"""Seconds that a peer has to take what is still to be written once a connection is closing."""


class GeventDriver(Driver):
    """One Bucket's session on the hub of the thread that makes it."""

    def __init__(self, settings: Settings, log: Callable[[LogRecord], None]) -> None:
        super().__init__(settings, Random(), os.urandom)
        self.hub = get_hub()
        self.now = monotonic  # type: ignore[method-assign]  # a call less per operation
        self._loop = self.hub.loop
        self._timer = self._loop.timer(0)
        self._log = log
        self._settled = Event()
        self._ended = Event()

    # Greenlets

    def run(self, pending: Pending[T], owner: object) -> T:
        """Submit an operation (or a batch), and wait for it in this greenlet alone."""
        hub = self.hub
        if get_hub() is not hub:
            raise WrongLoopError(
                "this Bucket belongs to the hub of another thread: open one in this thread"
            )
        self.submit(pending)
        if not pending.done:
            pending.owner = owner
            del owner
            pending.waiter = getcurrent()
            try:
                while pending.waiter is not None:
                    hub.switch()
            except BaseException:
                # Killed, or a Timeout: the answer, if one comes, belongs to nobody.
                pending.waiter = None
                self.cancel(pending)
                raise
            finally:
                pending.owner = None
        return pending.result()

    def wake(self, completed: Operation[Any] | Batch[Any]) -> None:
        """Switch to the greenlet that waits."""
        if completed.waiter is None:
            return
        if getcurrent() is self.hub:
            self._resume(completed)
        else:
            # Only the hub may switch to a greenlet and be sure that control comes back.
            self._loop.run_callback(self._resume, completed)

    def _resume(self, completed: Operation[Any] | Batch[Any]) -> None:
        greenlet = completed.waiter
        if greenlet is None:
            return
        completed.waiter = None
        try:
            greenlet.switch()
        except BaseException:  # noqa: BLE001 - a raw greenlet's error ends in its parent, the hub
            self.hub.handle_error(greenlet, *sys.exc_info())

    def wait_open(self) -> None:
        """Wait until the bucket is open; raise why it is not."""
        self._settled.wait()
        if self.session.state is not SessionState.OPEN:
            raise self.session.failure()

    def opened(self) -> None:
        """See `Driver`."""
        self._settled.set()

    def open_failed(self, error: CouchbaseError) -> None:  # noqa: ARG002 - each gets its own
        """See `Driver`."""
        self.leave()
        self._settled.set()

    def ended(self) -> None:
        """See `Driver`."""
        self._settled.set()

    def closed(self) -> None:
        """See `Driver`."""
        self._timer.stop()
        self._timer.close()
        self._ended.set()

    def wait_closed(self) -> None:
        """Wait until the last socket is closed."""
        self._ended.wait()

    @property
    def close_event(self) -> Event:
        """Set once the last socket is closed."""
        return self._ended

    # Loop

    def now(self) -> float:
        """Give the monotonic time in seconds."""
        return monotonic()

    def call_soon(self) -> None:
        """See `Driver`."""
        self._loop.run_callback(self._guarded, self.flush)

    def abandon(self) -> None:
        """See `Driver`."""
        self._loop.run_callback_threadsafe(self._guarded, self.close)

    def arm(self, when: float | None) -> None:
        """See `Driver`."""
        self._timer.stop()
        if when is not None:
            self._timer.close()
            self._timer = self._loop.timer(max(0.0, when - self.now()))
            self._timer.start(self._guarded, self.deadline)

    def _guarded(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except BaseException:  # noqa: BLE001 - the hub must go on
            self.hub.handle_error(self, *sys.exc_info())

    def make_transport(self, event: OpenConnection) -> _Attempt:
        """See `Driver`."""
        return _Attempt(self, event)

    def derive(self, event: DeriveKey) -> None:
        """See `Driver`."""

        def derived(result: Any) -> None:
            if result.successful():
                self.key_derived(event.id, result.get())
            else:
                self.connection_lost(event.id, result.exception)

        self.hub.threadpool.spawn(event.derivation.derive).rawlink(partial(self._guarded, derived))

    def log(self, record: LogRecord) -> None:
        """See `Driver`."""
        self._log(record)


class _Attempt(Transport):
    """A connection that is being made, by a greenlet of its own: name lookups need one."""

    def __init__(self, driver: GeventDriver, event: OpenConnection) -> None:
        self._driver = driver
        self._event = event
        self._greenlet: Greenlet[[], None] = Greenlet(self._connect)
        self._greenlet.name = f"couchbase-connect-{event.id}"

    def open(self) -> None:
        self._greenlet.start()

    def _connect(self) -> None:
        driver, event = self._driver, self._event
        address = event.address
        error: CouchbaseError
        try:
            sock = gsocket.create_connection(address)
        except gsocket.gaierror as why:
            error = connect_error(UnknownHostError, address, why.strerror or str(why))
            error.__cause__ = why
        except OSError as why:
            error = connect_error(NodeUnreachableError, address, why.strerror or str(why))
            error.__cause__ = why
        except BaseException as why:
            error = connect_error(NodeUnreachableError, address, f"{type(why).__name__}: {why}")
            driver.connect_failed(event.id, error)
            raise
        else:
            if driver.transports.get(event.id) is self:
                driver.transports[event.id] = _Socket(driver, event.id, sock)
                driver.connected(event.id)
            else:
                sock.close()
            return
        driver.connect_failed(event.id, error.with_traceback(None))

    def write(self, data: bytes) -> None:
        """Do nothing: the session says nothing before it is connected."""

    def finish(self) -> None:
        self._driver.connection_lost(self._event.id, None)
        self._greenlet.kill(block=False)


class _Socket(Transport):
    """A connected socket and its watchers."""

    def __init__(self, driver: GeventDriver, connection_id: int, sock: gsocket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
        sock.setsockopt(gsocket.SOL_SOCKET, gsocket.SO_KEEPALIVE, 1)
        self._driver = driver
        self._id = connection_id
        self._sock = sock
        self._backlog: list[bytes | memoryview] = []
        self._finishing = False
        loop = driver.hub.loop
        # Unreferenced: an idle connection must not keep the loop from ending. Whoever waits for
        # an answer has a deadline, and the driver's timer is referenced.
        self._reader = loop.io(sock.fileno(), _READ, ref=False)
        self._writer = loop.io(sock.fileno(), _WRITE)
        self._grace = loop.timer(_GRACE)
        self._reader.start(self._readable)

    def open(self) -> None:
        """Do nothing: it is open."""

    def _readable(self) -> None:
        try:
            try:
                data = self._sock.recv(_CHUNK)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as why:
                self._close(why)
                return
            if data:
                self._driver.receive_data(self._id, data)
            else:
                self._close(None)
        except BaseException as why:  # noqa: BLE001 - must not leave a watcher's callback
            self._driver.hub.handle_error(self, *sys.exc_info())
            self._close(why)

    def write(self, data: bytes) -> None:
        if self._backlog:
            self._backlog.append(data)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # The reader will see it too, and tell the session in a turn of its own.
            return
        if sent < len(data):
            self._backlog.append(memoryview(data)[sent:])
            self._writer.start(self._writable)

    def _writable(self) -> None:
        backlog = self._backlog
        try:
            while backlog:
                data = backlog[0]
                sent = self._sock.send(data)
                if sent < len(data):
                    backlog[0] = memoryview(data)[sent:]
                    return
                del backlog[0]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as why:
            self._driver._guarded(self._close, why)  # noqa: SLF001 - same file
            return
        self._writer.stop()
        if self._finishing:
            self._driver._guarded(self._close, None)  # noqa: SLF001 - same file

    def finish(self) -> None:
        if self._finishing:
            return
        self._finishing = True
        self._reader.stop()
        if self._backlog:
            self._grace.start(self._driver._guarded, self._close, None)  # noqa: SLF001 - same file
        else:
            self._close(None)

    def _close(self, reason: BaseException | None) -> None:
        # Watchers first: libuv aborts the process if a watched descriptor goes.
        for watcher in (self._reader, self._writer, self._grace):
            watcher.stop()
            watcher.close()
        self._sock.close()
        self._backlog.clear()
        self._driver.connection_lost(self._id, reason)
