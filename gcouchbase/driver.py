"""Drives a session on a gevent hub: loop watchers move the bytes, greenlets wait.

User greenlets never touch a socket, so killing one cannot leave half a frame on the wire. Watchers'
callbacks run in the hub, must not block and must not raise: an exception in one would stop it for
good.
"""

from __future__ import annotations

import _socket  # nothing of it that blocks: see _Socket and _look_up
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EAGAIN, EINPROGRESS, ETIMEDOUT
from functools import partial
from random import Random
from time import monotonic
from typing import Any, Final, TypeVar, cast
from weakref import WeakSet

from gevent import Greenlet, Timeout, get_hub, getcurrent, reinit, ssl
from gevent import socket as gsocket
from gevent.event import Event
from gevent.exceptions import BlockingSwitchOutError
from gevent.monkey import get_original

from couchloop.client.backlog import Backlog
from couchloop.client.driver import Driver, Transport, connect_error, kind_of_error
from couchloop.exceptions import (
    CouchbaseError,
    NodeUnreachableError,
    TlsError,
    UnknownHostError,
    WrongLoopError,
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.operation import Operation, Pending
from couchloop.operations.procedure import Procedure
from couchloop.safety.printable import general
from couchloop.session.events import LogRecord, OpenConnection, ResolveSrv
from couchloop.session.session import SessionState
from couchloop.session.standstill import LATE, LEAST_TURNS
from couchloop.settings.values import Address, Settings
from gcouchbase.dns import look_up
from gcouchbase.tls import TlsStream, make_context

T = TypeVar("T")

_READ, _WRITE = 1, 2
_CONNECTING: Final = frozenset({EINPROGRESS, EAGAIN})
_INTERNET: Final = frozenset({gsocket.AF_INET, gsocket.AF_INET6})
_CHUNK: Final = 65536
_GRACE: Final = 2.0
"""Seconds that a peer has to take what is still to be sent once a connection is closing."""

_TICK: Final = 0.001
"""Seconds of the shortest timer: libuv's resolution, and it warns of less."""

_FAMILIES: Final = {"disabled": gsocket.AF_INET, "only": gsocket.AF_INET6}
"""What the option `ipv6` means where one family of addresses alone is used."""

_thread_ident: Final[Callable[[], int]] = get_original("_thread", "get_ident")
# gevent takes the one that could block out of the module.
_poll: Final[Callable[[], Any]] = get_original("select", "poll")
_POLLOUT: Final = 4


_IN_USE: Final = frozenset({SessionState.OPENING, SessionState.OPEN, SessionState.WAITING})
_NOTHING_TO_CLOSE: Final = frozenset({SessionState.NEW, SessionState.CLOSED})

_TO_START: Final = frozenset({SessionState.NEW, SessionState.WAITING})

SocketFactory = Callable[[Address], _socket.socket]
"""Gives a connected socket; it runs in a greenlet of its own, and may block that."""


_drivers: Final[WeakSet[GeventDriver]] = WeakSet()


class _ThreadEnd:
    """Ends with its thread, and sees to the drivers whose hub never runs again from then on."""

    def __init__(self) -> None:
        self.drivers: WeakSet[GeventDriver] = WeakSet()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            for driver in list(self.drivers):
                driver.thread_ended()


_of_thread: Final[Any] = get_original("_thread", "_local")()
"""What this thread has: its `_ThreadEnd`."""


def _after_fork() -> None:
    """In a forked child, drop the connections of the parent.

    The loop first gets a kernel object of its own, for on libuv a watcher that is stopped would
    take its descriptor out of the parent's; and the thread pool its threads.
    """
    drivers = list(_drivers)
    hubs: set[Any] = {driver.hub for driver in drivers if driver.is_here()}
    for hub in hubs:
        pool = hub._threadpool  # noqa: SLF001 - the property would make one
        if pool is not None:
            # On libuv gevent would free it while the loop still has it in a list.
            pool.fork_watcher.stop()
            pool.fork_watcher.close()
        reinit()
    for driver in drivers:
        driver.forked()


os.register_at_fork(after_in_child=_after_fork)


class GeventDriver(Driver):
    """One Bucket's session on the hub of the thread that makes it."""

    def __init__(
        self,
        settings: Settings,
        log: Callable[[LogRecord], None],
        ssl_context: ssl.SSLContext | None = None,
        socket_factory: SocketFactory | None = None,
    ) -> None:
        super().__init__(settings, Random(), os.urandom)
        self.socket_factory = socket_factory
        # User code, and so transcoders, runs in greenlets, never in the hub.
        self.session.give_turn = self._give_turn  # type: ignore[method-assign]
        self.hub = get_hub()
        self.now = monotonic  # type: ignore[method-assign]  # a call less per operation
        self._thread = _thread_ident()
        self._loop = self.hub.loop
        self._waiting = 0
        """Greenlets that wait for this driver: they must not meet a loop that has ended."""
        self._log = log
        self._ssl_context = ssl_context
        if settings.tls and ssl_context is None:
            self.makes_tls = True
            self.make_tls(settings)()
        # Only now: libuv aborts the process if a timer is forgotten, as when certificates fail.
        self._timer: Any = self._loop.timer(0)  # its type lacks `ref`
        self._settled = Event()
        self._ended = Event()
        self.renew: Callable[[], Callable[[], None] | None] = lambda: None
        """Gives (weakly) what has the Bucket use a driver made by `renewed`."""
        self._thread_is_over = False
        _drivers.add(self)
        if not hasattr(_of_thread, "end"):
            _of_thread.end = _ThreadEnd()
        _of_thread.end.drivers.add(self)

    # Processes

    @property
    def home(self) -> object:
        """See `Driver`."""
        return self.hub

    def is_here(self) -> bool:
        """Tell whether this is the thread of the hub, and the hub lives."""
        return _thread_ident() == self._thread and self.hub.loop is not None

    def forked(self) -> None:
        """See `Driver`; the Bucket gets a driver that connects at its next use."""
        session = self.session
        was_in_use = session.state in _IN_USE or (
            # Inherited once more, and not used in between.
            session.lazy and session.state is SessionState.NEW
        )
        is_here = self.is_here()
        if is_here:
            for transport in self.transports.values():
                if isinstance(transport, _Attempt | _Socket):
                    transport.unwatch()
        else:
            # Its thread is no more, and its loop stands still: it must not be touched.
            self._scheduled = True
        super().forked()
        renew = self.renew()
        if is_here and was_in_use and renew is not None:
            renew()

    def renewed(self) -> GeventDriver:
        """Give a driver that opens the same bucket when it is used."""
        driver = GeventDriver(
            self.session.settings, self._log, self._ssl_context, self.socket_factory
        )
        driver.makes_tls = self.makes_tls
        driver.session.lazy = driver.session.heals = True
        driver.session.admit = self.session.admit
        driver.leave = self.leave
        return driver

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What TLS trusts and shows."""
        assert self._ssl_context is not None, "no TLS in the settings"
        return self._ssl_context

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """See `Driver`."""
        context = make_context(settings.tls_files)

        def use() -> None:
            self._ssl_context = context

        return use

    # Greenlets

    def check_thread(self) -> None:
        """Raise WrongLoopError if this is not the thread of the hub, or the hub is no more."""
        if _thread_ident() != self._thread:
            raise WrongLoopError(
                "this Bucket belongs to the hub of another thread: open one in this thread, or use "
                "bucket.threadsafe()"
            )
        if self.hub.loop is None:
            raise WrongLoopError("the hub of this Bucket was destroyed: open the bucket again")

    def hub_is_there(self) -> bool:
        """Tell whether the hub has neither been destroyed nor left behind by its thread."""
        # A thread may end without destroying its hub, whose loop then just stands still.
        return self.hub.loop is not None and not self._thread_is_over

    def thread_ended(self) -> None:
        """Take note that the hub never runs again: what it has not closed is closed here."""
        self._thread_is_over = True
        if self.renew() is None:
            # The Bucket has gone before.
            self._drop_all()

    def _drop_all(self) -> None:
        for transport in list(self.transports.values()):
            if isinstance(transport, _Attempt | _Socket):
                transport.drop()

    def run(self, pending: Pending[T]) -> T:
        """Submit an operation (or a batch), and wait for it in this greenlet alone.

        The operation's owner is let go when that is over.
        """
        hub = self.hub
        greenlet: Any = getcurrent()
        try:
            if _thread_ident() != self._thread or hub.loop is None:
                self.check_thread()
            if greenlet is hub:
                raise BlockingSwitchOutError(
                    "the hub itself must not wait: spawn a greenlet for operations on a Bucket"
                )
            self.submit(pending)
            if not pending.done:
                pending.waiter = greenlet
                if not self._waiting:
                    self._timer.ref = True
                self._waiting += 1
                try:
                    # Whoever switches to this greenlet without reason finds it waiting again.
                    while pending.waiter is not None:
                        hub.switch()
                    if isinstance(pending, Bulk | Procedure):
                        self._go_on(pending)
                except BaseException:
                    # Killed, or a Timeout: the answer, if one comes, belongs to nobody. What ends
                    # a greenlet is kept by it, and this frame with it.
                    pending.waiter = greenlet = None
                    self.cancel(pending)
                    # What was cancelled must not keep the timer, and with it the loop, going.
                    self.schedule()
                    raise
                finally:
                    self._waiting -= 1
        finally:
            pending.owner = None
        return pending.result()

    def _give_turn(self, batch: Batch[Any], now: float) -> None:  # noqa: ARG002 - as others have it
        self.wake(batch)

    def _go_on(self, batch: Batch[Any]) -> None:
        """Go on with a large batch or a procedure in the greenlet that waits for it, by turns."""
        hub, session = self.hub, self.session
        while not batch.done:
            session.go_on(batch, self.now())
            self.schedule()
            if batch.done:
                return
            if session.state is SessionState.CLOSED:
                # No turn comes any more.
                continue
            batch.waiter = getcurrent()
            while batch.waiter is not None:
                hub.switch()

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

    @contextmanager
    def _keeping_loop(self) -> Iterator[None]:
        """Let the loop go on as long as this waits, whatever the timer is for."""
        self._timer.ref = True
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def wait_open(self) -> None:
        """Wait until the bucket is open; raise why it is not."""
        if self.session.state in _TO_START:
            self.start()
        with self._keeping_loop():
            while self.session.state is SessionState.OPENING:
                self._settled.wait()
        if self.session.state is not SessionState.OPEN:
            raise self.session.failure()

    def loaded(self, *, is_high: bool) -> None:
        """Do nothing: greenlets wait for their operations anyway."""

    def opened(self) -> None:
        """See `Driver`."""
        self._settled.set()

    def open_failed(self, error: CouchbaseError) -> None:  # noqa: ARG002 - each gets its own
        """See `Driver`."""
        if not self.session.lazy:
            self.leave()
        settled, self._settled = self._settled, Event()
        settled.set()

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
        with self._keeping_loop():
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
        self._loop.run_callback(self.guarded, self.flush)

    def abandon(self) -> None:
        """See `Driver`."""
        if not self.transports and self.session.state in _NOTHING_TO_CLOSE:
            # In a forked child the loop may not be there to close anything.
            return
        if not self.hub_is_there():
            self._drop_all()
            return
        self._loop.run_callback_threadsafe(self.guarded, self.close)

    def arm(self, when: float | None) -> None:
        """See `Driver`."""
        self._timer.stop()
        if when is not None:
            self._timer.close()
            # Unreferenced when nobody waits: a node that stays away must not keep the loop going.
            delay = max(_TICK, when - self.now())
            self._timer = self._loop.timer(delay, ref=self._waiting > 0)
            self._timer.start(self.guarded, self.deadline)

    def guarded(self, call: Callable[..., object], *arguments: object) -> None:
        """Call from the loop: an error is reported, and the hub goes on."""
        try:
            call(*arguments)
        except BaseException:  # noqa: BLE001 - see above
            self.hub.handle_error(self, *sys.exc_info())

    def make_transport(self, event: OpenConnection) -> _Attempt:
        """See `Driver`."""
        return _Attempt(self, event)

    def in_thread(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """See `Driver`."""

        def run() -> T | BaseException:
            try:
                return work()
            except Exception as why:  # noqa: BLE001 - the pool would print it as well
                return _bare(why)

        def ask() -> T | BaseException:
            try:
                return cast("T | BaseException", self.hub.threadpool.spawn(run).get())
            except Exception as why:  # noqa: BLE001 - no thread can be started, for instance
                return _bare(why)

        def tell(over: Greenlet[[], T | BaseException]) -> None:
            # Killed, it has a GreenletExit for its value, or with another exception none.
            outcome = over.value if over.exception is None else over.exception
            if isinstance(outcome, BaseException):
                _bare(outcome)
            self.guarded(done, outcome)

        # In a greenlet: while all threads are busy the pool blocks, and the hub must not. It tells
        # by a link, for it may be killed before it has begun.
        greenlet = Greenlet(ask)
        greenlet.rawlink(tell)
        greenlet.start()

    def resolve(self, event: ResolveSrv) -> Callable[[], object]:
        """See `Driver`."""
        self.in_thread(partial(look_up, event, self.session.settings.resolver), self.srv_answered)
        # A thread cannot be stopped; the lookup has a limit of its own.
        return lambda: None

    def report(self, error: Exception) -> None:
        """See `Driver`."""
        self.hub.handle_error(self, type(error), error, error.__traceback__)

    def log(self, record: LogRecord) -> None:
        """See `Driver`."""
        self._log(record)


class _Attempt(Transport):
    """A connection that is being made, by a greenlet of its own: name lookups need one."""

    def __init__(self, driver: GeventDriver, event: OpenConnection) -> None:
        self._driver = driver
        self._event = event
        self._sock: _socket.socket | None = None
        self._watcher: Any = None
        self._greenlet: Greenlet[[], None] = Greenlet(self._connect)
        self._greenlet.name = f"couchbase-connect-{event.id}"

    def open(self) -> None:
        self._greenlet.rawlink(self._not_begun)
        self._greenlet.start()

    def _not_begun(self, _: object) -> None:
        """Take note that the application has killed the greenlet before it has begun."""
        driver, event = self._driver, self._event
        if driver.transports.get(event.id) is self:
            why, settings = "the greenlet was killed", driver.session.settings
            error = connect_error(NodeUnreachableError, event.address, why, settings)
            driver.guarded(driver.connect_failed, event.id, error)

    def _connect(self) -> None:
        self._greenlet.unlink(self._not_begun)
        driver, event = self._driver, self._event
        address, settings = event.address, driver.session.settings
        try:
            sock = self._dial(address, settings)
            if sock.family in _FAMILIES.values():
                settings.sockets.apply(sock, gsocket)
        except (gsocket.gaierror, UnicodeError) as why:
            # UnicodeError: a name that IDNA cannot express.
            reason = getattr(why, "strerror", None) or str(why)
            error = connect_error(UnknownHostError, address, reason, settings)
            error.__cause__ = _bare(why)
        except OSError as why:
            reason = why.strerror or general(str(why))
            error = connect_error(kind_of_error(why.errno), address, reason, settings)
            error.__cause__ = _bare(why)
        except BaseException as why:
            # Killed, by us when nobody wants the connection any more, or by the application.
            reason = general(f"{type(why).__name__}: {why}")
            error = connect_error(NodeUnreachableError, address, reason, settings)
            driver.connect_failed(event.id, error)
            raise
        else:
            if driver.transports.get(event.id) is not self:
                # Given up a moment ago.
                sock.close()
                return
            kind = _TlsSocket if event.tls else _Socket
            try:
                transport = driver.transports[event.id] = kind(driver, event, sock)
            except (OSError, ValueError) as why:
                # A context that is for servers, for instance.
                sock.close()
                error = TlsError(f"TLS with {address} cannot begin: {general(str(why))}")
                error.__cause__ = _bare(why)
            else:
                transport.open()
                return
        driver.connect_failed(event.id, error)

    def _dial(self, address: Address, settings: Settings) -> _socket.socket:
        """Connect to the first of a host's addresses that answers.

        config_node_timeout is for all: one that stays silent leaves the others their share.

        Raises gaierror or UnicodeError if the name means nothing, else OSError.
        """
        factory = self._driver.socket_factory
        if factory is not None:
            # Its own watchers, if it is gevent's, are of no use to us.
            sock = self._sock = _socket.socket(fileno=factory(address).detach())
            sock.setblocking(False)
            return sock
        found = _look_up(address, _FAMILIES.get(settings.ipv6, gsocket.AF_UNSPEC))
        failures: list[OSError] = []
        share: float | None = settings.config_node_timeout / len(found) if found else None
        for family, kind, protocol, _, where in found:
            if len(failures) == len(found) - 1:
                # The session gives the last one up, and says why.
                share = None
            sock = self._sock = _socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                status = sock.connect_ex(where)
                if status in _CONNECTING:
                    status = self._connected(sock, share)
                if status:
                    failures.append(OSError(status, os.strerror(status)))
                    sock.close()
                else:
                    return sock
            except BaseException:
                sock.close()
                raise
        raise failures[-1] if failures else OSError("the host has no address")

    def _connected(self, sock: _socket.socket, limit: float | None) -> int:
        """Wait until *sock* is connected; give 0, or the number of the error."""
        hub = self._driver.hub
        watcher = self._watcher = _io_watcher(hub.loop, sock, _WRITE)
        try:
            with Timeout(limit) as patience:
                hub.wait(watcher)
        except Timeout as timeout:
            if timeout is not patience:
                raise
            # The loop may have stood still, and the timer have come before the socket.
            if not _is_settled(sock):
                return ETIMEDOUT
        finally:
            watcher.close()
        return sock.getsockopt(gsocket.SOL_SOCKET, gsocket.SO_ERROR)

    def write(self, data: bytes) -> None:
        """Do nothing: the session says nothing before it is connected."""

    def finish(self) -> None:
        self._driver.connection_lost(self._event.id, None)
        self._greenlet.kill(block=False)

    def unwatch(self) -> None:
        """See `_Socket.unwatch`."""
        if self._watcher is not None:
            self._watcher.close()
        self._greenlet.kill(block=False)

    def drop(self) -> None:
        if self._sock is not None:
            self._sock.close()


def _is_settled(sock: _socket.socket) -> bool:
    """Tell whether a socket that was being connected is so, or has failed; without waiting."""
    poll = _poll()
    poll.register(sock.fileno(), _POLLOUT)
    return bool(poll.poll(0))


def _look_up(address: Address, family: int) -> list[Any]:
    """Give a host's addresses, as getaddrinfo does, by the resolver that gevent is set to."""
    where = (address.host, address.port, family, gsocket.SOCK_STREAM)
    with suppress(gsocket.gaierror):
        # A numeric address needs no resolver, nor its threads.
        return _socket.getaddrinfo(*where, 0, gsocket.AI_NUMERICHOST)
    return list(gsocket.getaddrinfo(*where))


def _io_watcher(loop: Any, sock: _socket.socket, events: int) -> Any:
    """Give a watcher that does not keep the loop going: an idle connection must not.

    Whoever waits has a deadline, and the driver's timer is referenced as long as that is so.
    """
    watcher = loop.io(sock.fileno(), events, ref=False)
    # On libuv gevent ignores `ref` here: what counts is the watcher that all of a descriptor share.
    shared = getattr(watcher, "_watcher_ref", None)
    if shared is not None:
        shared.ref = False
    return watcher


def _bare(error: BaseException) -> BaseException:
    """Take from *error* its traceback and origin: their frames would keep the driver alive."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class _Socket(Transport):
    """A connected socket and its watchers.

    The socket is the plain one below gevent's, never waited on but by our watchers: gevent's own
    would bring two watchers more, and could not be closed once its hub is gone.
    """

    def __init__(self, driver: GeventDriver, event: OpenConnection, sock: _socket.socket) -> None:
        self._sock = sock
        self._driver = driver
        self._id = event.id
        self._backlog = Backlog()
        self._finishing = False
        loop = driver.hub.loop
        self._reader = _io_watcher(loop, sock, _READ)
        self._writer = _io_watcher(loop, sock, _WRITE)
        self._grace = loop.timer(_GRACE)
        self._grace_ends = 0.0
        self._turns = LEAST_TURNS

    def open(self) -> None:
        self._reader.start(self._guarded, self._readable)
        self._driver.connected(self._id, self._local())

    def _local(self) -> str | None:
        """Give the socket's own end; None: it has no host and port."""
        if self._sock.family not in _INTERNET:
            return None
        host, port = self._sock.getsockname()[:2]
        return str(Address(host, port))

    def _guarded(self, call: Callable[[], None]) -> None:
        """Call from the loop: an error ends the connection, and the hub goes on."""
        try:
            call()
        except BaseException as why:  # noqa: BLE001 - would stop the watcher for good
            self._driver.hub.handle_error(self, *sys.exc_info())
            self._driver.guarded(self.abort, _bare(why))

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as why:
            self.abort(_bare(why))
            return
        self._received(data)

    def _received(self, data: bytes) -> None:
        """Take what the network brought; nothing: the peer has closed."""
        if data:
            self._driver.receive_data(self._id, data)
        else:
            self.abort(None)

    def write(self, data: bytes) -> None:
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
            self._writer.start(self._guarded, self._writable)
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
            self.abort(_bare(why))
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
        if self._finishing:
            return
        self._finishing = True
        self._reader.stop()
        if self._backlog:
            self._grace_ends = self._driver.now() + _GRACE
            self._grace.start(self._guarded, self._grace_over)
        else:
            self.abort(None)

    def _grace_over(self) -> None:
        """Give up what the peer has not taken, once it had the chance to."""
        if self._turns and self._driver.now() - self._grace_ends > LATE:
            # The loop stood still: what the network takes goes first.
            self._turns -= 1
            self._grace.stop()
            self._grace.close()
            self._grace = self._driver.hub.loop.timer(_TICK)
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
        """Have the loop look at the socket no more."""
        for watcher in (self._reader, self._writer, self._grace):
            watcher.stop()
            watcher.close()

    def drop(self) -> None:
        # Nothing else: the loop may be gone.
        self._sock.close()
        self._backlog.clear()


class _TlsSocket(_Socket):
    """The same with TLS in between; the session hears of it once the handshake is done."""

    def __init__(self, driver: GeventDriver, event: OpenConnection, sock: _socket.socket) -> None:
        # First what can fail: watchers would have to be stopped again.
        self._tls = TlsStream(driver.ssl_context, event.address.host)
        super().__init__(driver, event, sock)

    def open(self) -> None:
        self._reader.start(self._guarded, self._readable)
        self._tls.start()
        self._send(self._tls.take_output())

    def _received(self, data: bytes) -> None:
        was_established = self._tls.established
        if not data:
            self.abort(None if was_established else self._tls.cut_off())
            return
        try:
            plain, goes_on = self._tls.receive(data)
        except TlsError as why:
            # What is left to say is why: an alert.
            self._send(self._tls.take_output())
            self.abort(_bare(why))
            return
        self._flush()
        if self._tls.established and not was_established:
            self._driver.connected(self._id, self._local())
        if plain:
            self._driver.receive_data(self._id, plain)
        if not goes_on and self._driver.transports.get(self._id) is self:
            self.abort(None)

    def abort(self, reason: BaseException | None) -> None:
        if isinstance(reason, OSError) and not self._tls.established:
            # As a node does that closes before it has read what was sent.
            error = self._tls.cut_off()
            error.__cause__ = reason
            reason = error
        super().abort(reason)

    def write(self, data: bytes) -> None:
        self._tls.send(data)
        self._flush()

    def _flush(self) -> None:
        data = self._tls.take_output()
        if data:
            self._send(data)

    def finish(self) -> None:
        if not self._finishing and self._tls.established:
            self._tls.finish()
            self._flush()
        super().finish()
