"""Drives a session on a gevent hub: loop watchers move the bytes, greenlets wait.

User greenlets never touch a socket, so killing one cannot leave half a frame on the wire.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from time import monotonic
from typing import Any, Final, TypeVar, cast

from gevent import Greenlet, get_hub, getcurrent, ssl
from gevent.event import Event
from gevent.exceptions import BlockingSwitchOutError

from couchloop.client.driver import Driver
from couchloop.exceptions import CouchbaseError, WrongLoopError
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation, Pending
from couchloop.session.events import LogRecord, OpenConnection, ResolveSrv
from couchloop.session.session import SessionState
from couchloop.settings.values import Settings
from gcouchbase.dialling import Attempt, Dialler, SocketFactory
from gcouchbase.dns import look_up, prepare
from gcouchbase.endings import watch_for_end
from gcouchbase.internals import TICK, NoTimer, guarded, is_destroyed, thread_ident
from gcouchbase.sockets import Socket, bare

T = TypeVar("T")

_IN_USE: Final = frozenset({SessionState.OPENING, SessionState.OPEN, SessionState.WAITING})

_TO_START: Final = frozenset({SessionState.NEW, SessionState.WAITING})

_NO_THREAD: Final = 0
"""The number of no thread; those of threads that have ended are given to new ones."""


class GeventDriver(Driver):
    """One Bucket's session on the hub of the thread that makes it."""

    def __init__(
        self,
        settings: Settings,
        log: Callable[[LogRecord], None],
        ssl_context: ssl.SSLContext | None = None,
        socket_factory: SocketFactory | None = None,
    ) -> None:
        # User code, and so transcoders, runs in greenlets, never in the hub.
        super().__init__(settings, Random(), os.urandom, self._give_turn)
        self.hub = get_hub()
        self.now = monotonic  # type: ignore[method-assign]  # a call less per operation
        self._thread = thread_ident()
        self._loop = self.hub.loop
        self._waiting = 0
        """Greenlets that wait for this driver: they must not meet a loop that has ended."""
        self._log = log
        self._dialler = Dialler(self.hub, settings, socket_factory, ssl_context)
        self.makes_tls = self._dialler.makes_tls
        # None before there is a use for it: a driver that does not start is closed by nobody.
        self._timer: Any = NoTimer()  # gevent's type lacks `ref`
        self._settled = Event()
        self._ended = Event()
        self._thread_is_over = False
        watch_for_end(self)

    # Processes

    @property
    def home(self) -> object:
        """See `Driver`."""
        return self.hub

    def is_here(self) -> bool:
        """Whether this is the thread of the hub, and the hub lives."""
        return thread_ident() == self._thread and not is_destroyed(self.hub)

    def forked(self) -> None:
        """See `Driver`; the Bucket gets a driver that connects at its next use."""
        session = self.session
        was_in_use = session.state in _IN_USE or (
            # Inherited once more, and not used in between.
            session.opening.lazy and session.state is SessionState.NEW
        )
        is_here = self.is_here()
        if is_here:
            for transport in self.transports.values():
                if isinstance(transport, Attempt | Socket):
                    transport.unwatch()
        else:
            # Its thread is no more, and its loop stands still: it must not be touched.
            self._scheduled = True
            if thread_ident() != self._thread:
                self._thread = _NO_THREAD
        super().forked()
        renew = self.renew()
        if is_here and was_in_use and renew is not None:
            renew()

    def renewed(self) -> GeventDriver:
        """Return a driver that opens the same bucket when it is used."""
        dialler = self._dialler
        driver = GeventDriver(
            self.session.settings, self._log, dialler.ssl_context, dialler.socket_factory
        )
        driver.makes_tls = self.makes_tls
        driver.session.opening.lazy = driver.session.opening.heals = True
        driver.session.opening.admit = self.session.opening.admit
        driver.leave = self.leave
        return driver

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """See `Driver`."""
        return self._dialler.make_tls(settings)

    # Greenlets

    def check_thread(self) -> None:
        """Raise WrongLoopError if this is not the thread of the hub, or the hub is no more."""
        if thread_ident() != self._thread:
            whose = (
                "a thread that has ended: open it in one that stays"
                if self._thread_is_over
                else "another thread: open one in this thread, or use bucket.threadsafe()"
            )
            raise WrongLoopError(
                f"this Bucket belongs to the hub of {whose}; a server that answers in threads "
                "wants gevent's workers (gunicorn -k gevent, celery -P gevent), or "
                "gevent.monkey.patch_all() before it starts"
            )
        if is_destroyed(self.hub):
            raise WrongLoopError("the hub of this Bucket was destroyed: open the bucket again")

    def hub_is_there(self) -> bool:
        """Whether the hub has neither been destroyed nor left behind by its thread."""
        # A thread may end without destroying its hub, whose loop then just stands still.
        return not is_destroyed(self.hub) and not self._thread_is_over

    def thread_ended(self) -> None:
        """Record that the hub never runs again: what it has not closed is closed here."""
        self._thread_is_over = True
        # The next thread may be given the same number.
        self._thread = _NO_THREAD
        if self.renew() is None:
            # The Bucket has gone before.
            self._drop_all()

    def _drop_all(self) -> None:
        for transport in list(self.transports.values()):
            if isinstance(transport, Attempt | Socket):
                transport.drop()

    def run(self, pending: Pending[T]) -> T:
        """Submit an operation (or a batch), and wait for it in this greenlet alone.

        The operation's owner is let go when that is over.
        """
        hub = self.hub
        greenlet: Any = getcurrent()
        try:
            # As `is_destroyed` has it, without the call.
            if thread_ident() != self._thread or hub.loop is None:
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
                    if isinstance(pending, Batch):
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

    def _give_turn(self, batch: Batch[Any], _: float) -> None:
        self.deliver(batch)

    def _go_on(self, batch: Batch[Any]) -> None:
        """Go on with a batch or a procedure, by turns, in the greenlet that waits for it."""
        hub, session = self.hub, self.session
        while not batch.done:
            session.go_on(batch, self.now())
            self.schedule()
            if batch.done:
                return
            batch.waiter = getcurrent()
            if session.state is SessionState.CLOSED:
                # No turn comes any more; but others may be in the way, in code of the user's.
                self._loop.run_callback(self._resume, batch)
            while batch.waiter is not None:
                hub.switch()

    def deliver(self, completed: Operation[Any] | Batch[Any]) -> None:
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
        """Keep the loop running as long as this waits, whatever the timer is for."""
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
        if not self.session.opening.lazy:
            self.leave()
        settled, self._settled = self._settled, Event()
        settled.set()

    def ended(self) -> None:
        """See `Driver`."""
        self._settled.set()

    def closed(self) -> None:
        """See `Driver`."""
        self._close_timer()
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
        """Return the monotonic time in seconds."""
        return monotonic()

    def call_soon(self) -> None:
        """See `Driver`."""
        self._loop.run_callback(guarded, self.hub, self, self.flush)

    def abandon(self) -> None:
        """See `Driver`."""
        if not self.transports and self._has_nothing_to_close():
            # In a forked child the loop may not be there to close anything.
            return
        if not self.hub_is_there():
            self._drop_all()
            return
        self._loop.run_callback_threadsafe(guarded, self.hub, self, self.close)

    def _has_nothing_to_close(self) -> bool:
        state = self.session.state
        if state is SessionState.NEW:
            # What opens at its first use may be so once more, with what an opening has left.
            return isinstance(self._timer, NoTimer)
        return state is SessionState.CLOSED

    def arm(self, when: float | None) -> None:
        """See `Driver`."""
        self._close_timer()
        if when is not None:
            # Unreferenced when nobody waits: a node that stays away must not keep the loop going.
            delay = max(TICK, when - self.now())
            self._timer = self._loop.timer(delay, ref=self._waiting > 0)
            self._timer.start(guarded, self.hub, self, self.deadline)

    def deadline(self) -> None:
        """See `Driver`."""
        self._close_timer()
        super().deadline()

    def _close_timer(self) -> None:
        # There is one only as long as it is armed: who is let go then has none to close.
        self._timer.stop()
        self._timer.close()
        self._timer = NoTimer()

    def make_transport(self, event: OpenConnection) -> Attempt:
        """See `Driver`."""
        return Attempt(self._dialler, self, event)

    def in_thread(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """See `Driver`."""

        def run() -> T | BaseException:
            try:
                return work()
            except Exception as why:  # noqa: BLE001 - the pool would print it as well
                return bare(why)

        def ask() -> T | BaseException:
            try:
                return cast("T | BaseException", self.hub.threadpool.spawn(run).get())
            except Exception as why:  # noqa: BLE001 - no thread can be started, for instance
                return bare(why)

        def tell(over: Greenlet[[], T | BaseException]) -> None:
            # Killed, it has a GreenletExit for its value, or with another exception none.
            outcome = over.value if over.exception is None else over.exception
            if isinstance(outcome, BaseException):
                bare(outcome)
            guarded(self.hub, self, done, outcome)

        # In a greenlet: while all threads are busy the pool blocks, and the hub must not. It tells
        # by a link, for it may be killed before it has begun.
        greenlet = Greenlet(ask)
        greenlet.rawlink(tell)
        greenlet.start()

    def resolve(self, event: ResolveSrv) -> Callable[[], object]:
        """See `Driver`."""
        prepare()
        self.in_thread(partial(look_up, event, self.session.settings.resolver), self.srv_answered)
        # A thread cannot be stopped; the lookup has a limit of its own.
        return lambda: None

    def report(self, error: Exception) -> None:
        """See `Driver`."""
        self.hub.handle_error(self, type(error), error, error.__traceback__)

    def log(self, record: LogRecord) -> None:
        """See `Driver`."""
        self._log(record)
