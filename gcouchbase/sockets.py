"""Connected sockets, whose bytes the loop's watchers move: plain ones, and those with TLS.

Watchers' callbacks run in the hub, must not block and must not raise: an exception in one would
stop it for good.
"""

from __future__ import annotations

import _socket  # nothing of it that blocks
import sys
from collections.abc import Callable
from errno import ECONNABORTED
from typing import TYPE_CHECKING, Any, Final

from gevent import socket as gsocket
from gevent import ssl

from couchloop.client.backlog import Backlog
from couchloop.client.driver import Driver, Transport
from couchloop.client.patience import GRACE, Patience
from couchloop.exceptions import TlsError, caused
from couchloop.later import Module
from couchloop.session.events import OpenConnection
from couchloop.settings.values import Address
from gcouchbase.internals import READ, TICK, WRITE, guarded, io_watcher, start_io

if TYPE_CHECKING:
    from gcouchbase import tls
else:
    tls = Module("gcouchbase.tls", globals())

INTERNET: Final = frozenset({gsocket.AF_INET, gsocket.AF_INET6})
_CHUNK: Final = 65536


def bare(error: BaseException) -> BaseException:
    """Remove the traceback and origin of *error*: their frames would keep the driver alive."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class Socket(Transport):
    """A connected socket and its watchers.

    The socket is the plain one below gevent's, never waited on but by our watchers: gevent's own
    would bring two watchers more, and could not be closed once its hub is gone.
    """

    def __init__(self, driver: Driver, event: OpenConnection, sock: _socket.socket) -> None:
        self._sock = sock
        self._driver = driver
        self._id = event.id
        self._backlog = Backlog()
        self._finishing = False
        hub: Any = driver.home
        self._hub = hub
        self._reader = io_watcher(hub, sock.fileno(), READ)
        self._writer = io_watcher(hub, sock.fileno(), WRITE)
        self._grace = hub.loop.timer(GRACE)
        self._patience: Patience | None = None

    def open(self) -> None:
        """Read from now on, and say that the connection is there."""
        start_io(self._reader, self._guarded, self._readable)
        self._driver.connected(self._id, self._local())

    def _local(self) -> str | None:
        """Return the socket's own end; None: it has no host and port."""
        if self._sock.family not in INTERNET:
            return None
        host, port = self._sock.getsockname()[:2]
        return str(Address(host, port))

    def _guarded(self, call: Callable[[], None]) -> None:
        """Call from the loop: an error ends the connection, and the hub goes on."""
        try:
            call()
        except BaseException as why:  # noqa: BLE001 - would stop the watcher for good
            self._hub.handle_error(self, *sys.exc_info())
            guarded(self._hub, self._driver, self.abort, bare(why))

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as why:
            self.abort(bare(why))
            return
        self._received(data)

    def _received(self, data: bytes) -> None:
        """Receive what the network brought; nothing: the peer has closed."""
        if data:
            self._driver.receive_data(self._id, data)
        else:
            self.abort(None)

    def pause_reading(self) -> None:
        """See `Transport`."""
        self._reader.stop()

    def resume_reading(self) -> None:
        """See `Transport`."""
        if not self._finishing:
            start_io(self._reader, self._guarded, self._readable)

    def write(self, data: bytes) -> None:
        """Send *data*, or keep what the network does not take yet."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        """Send *data*, keeping what the network does not take yet."""
        if self._backlog:
            self._keep(data)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # The reader will see it too, and tell the session in a turn of its own.
            return
        if sent < len(data):
            start_io(self._writer, self._guarded, self._writable)
            self._keep(memoryview(data)[sent:])

    def _keep(self, data: bytes | memoryview) -> None:
        """Keep *data* for later; if that is too much, have no more come."""
        if self._backlog.add(data):
            self._driver.paused(self._id)

    def _writable(self) -> None:
        """Send what the network takes: one piece per turn, for other greenlets want theirs."""
        backlog = self._backlog
        try:
            sent = self._sock.send(backlog.first)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as why:
            self.abort(bare(why))
            return
        is_small = backlog.sent(sent)
        self._driver.progressed(self._id, sent)
        if not backlog:
            self._writer.stop()
            if self._finishing:
                self.abort(None)
        if is_small:
            self._driver.resumed(self._id)

    def finish(self) -> None:
        """Close once everything is sent; at once if the peer does not take it in time."""
        if self._finishing:
            return
        self._finishing = True
        self._reader.stop()
        if self._backlog:
            self._patience = Patience(self._driver.now() + GRACE)
            self._grace.start(self._guarded, self._grace_over)
        else:
            self.abort(None)

    def _grace_over(self) -> None:
        """Drop what the peer has not taken, once it had the chance to."""
        if self._patience is not None and self._patience.reads_first(self._driver.now()):
            # What the network takes goes first.
            self._grace.stop()
            self._grace.close()
            self._grace = self._hub.loop.timer(TICK)
            self._grace.start(self._guarded, self._grace_over)
        else:
            self.abort(None)

    def abort(self, reason: BaseException | None) -> None:
        """Close at once, and say so; *reason* None: in order."""
        # Watchers first: libuv aborts the process if a watched descriptor goes.
        self.unwatch()
        self.drop()
        self._driver.connection_lost(self._id, reason)

    def unwatch(self) -> None:
        """Stop watching the socket."""
        for watcher in (self._reader, self._writer, self._grace):
            watcher.stop()
            watcher.close()

    def drop(self) -> None:
        """Release the descriptor, and what was to be sent."""
        # Nothing else: the loop may be gone.
        self._sock.close()
        self._backlog.clear()


class TlsSocket(Socket):
    """The same with TLS in between; the session hears of it once the handshake is done."""

    def __init__(
        self,
        driver: Driver,
        event: OpenConnection,
        sock: _socket.socket,
        ssl_context: ssl.SSLContext,
    ) -> None:
        # First what can fail: watchers would have to be stopped again.
        self._tls = tls.TlsStream(ssl_context, event.address.host)
        super().__init__(driver, event, sock)

    def open(self) -> None:
        """Begin the handshake; the connection is there once that is done."""
        start_io(self._reader, self._guarded, self._readable)
        self._tls.start()
        self._send(self._tls.take_output())

    def _received(self, data: bytes) -> None:
        was_established = self._tls.established
        if not data:
            # The end of what was said is TLS's own; this one anybody on the way may have made.
            reason = ConnectionAbortedError(ECONNABORTED, "the peer closed without close_notify")
            self.abort(reason if was_established else self._tls.cut_off())
            return
        try:
            plain, goes_on = self._tls.receive(data)
        except TlsError as why:
            # What is left to say is why: an alert.
            self._send(self._tls.take_output())
            self.abort(bare(why))
            return
        self._flush()
        if self._tls.established and not was_established:
            self._driver.connected(self._id, self._local())
        if plain:
            self._driver.receive_data(self._id, plain)
        if not goes_on and self._driver.transports.get(self._id) is self:
            self.abort(None)

    def abort(self, reason: BaseException | None) -> None:
        """Close at once; who is cut off within the handshake says so."""
        if isinstance(reason, OSError) and not self._tls.established:
            # As a node does that closes before it has read what was sent.
            error = self._tls.cut_off()
            caused(error, reason)
            reason = error
        super().abort(reason)

    def write(self, data: bytes) -> None:
        """Send *data*, encrypted."""
        self._tls.send(data)
        self._flush()

    def _flush(self) -> None:
        data = self._tls.take_output()
        if data:
            self._send(data)

    def finish(self) -> None:
        """Send TLS's close_notify, then close as a plain one does."""
        if not self._finishing and self._tls.established:
            self._tls.finish()
            self._flush()
        super().finish()
