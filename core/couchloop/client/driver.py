"""What both adapters do after anything: perform the session's events, write, arm one timer.

An adapter subclasses `Driver` with what differs between loops: transports, a timer, threads for key
derivation, a log, and how a caller is woken. Nothing here knows the public Bucket.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from couchloop import transcoder
from couchloop.client import derivations, notices
from couchloop.exceptions import ClientTemporaryFailError, CouchbaseError, caused
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation, Pending
from couchloop.later import Module
from couchloop.session.events import (
    CloseConnection,
    Closed,
    DeriveKey,
    Load,
    LoadConfig,
    LogRecord,
    OpenConnection,
    Opened,
    OpenFailed,
    PauseReading,
    ResolveSrv,
    ResumeReading,
    StoreConfig,
)
from couchloop.session.session import GiveTurn, Session, SessionState
from couchloop.session.shared import Random
from couchloop.session.standstill import LATE, CatchUp
from couchloop.settings.values import Address, Settings
from couchloop.transport.connecting import wrong_family

if TYPE_CHECKING:
    from couchloop.observe import dispatcher as observing
    from couchloop.topology import config_cache as configcache
else:
    # Few programs use them.
    observing = Module("couchloop.observe.dispatcher", globals())
    configcache = Module("couchloop.topology.config_cache", globals())

T = TypeVar("T")


def _nothing() -> None:
    pass


_GRACE: Final = 2.0
"""Seconds that a closing Bucket waits for the disk."""


class Transport(Protocol):
    """What a driver needs of a connection of its loop."""

    def open(self) -> object:
        """Begin to connect; the driver hears `connected` or `connect_failed`."""

    def write(self, data: bytes, /) -> object:
        """Send *data*, keeping what the network does not take yet.

        The driver hears `paused` when that is too much, and then `resumed`.
        """

    def pause_reading(self) -> object:
        """Read no more for now, so that the peer comes to wait."""

    def resume_reading(self) -> object:
        """Read on."""

    def finish(self) -> object:
        """Send what was written, then close; or give up connecting."""

    def drop(self) -> object:
        """Release the descriptor; nothing reaches the peer, and the driver hears nothing."""


class Driver(ABC):
    """One session on one loop.

    Args:
        settings: handed to the session.
        random: likewise.
        entropy: likewise.
        give_turn: likewise, where user code is not to run in the loop's own calls.
    """

    def __init__(
        self,
        settings: Settings,
        random: Random,
        entropy: Callable[[int], bytes],
        give_turn: GiveTurn | None = None,
    ) -> None:
        parts = (settings, self.deliver, random, entropy)
        if settings.is_observed:
            self.session = observing.make_session(*parts, give_turn)
        else:
            self.session = Session(*parts, give_turn=give_turn)
        self.transports: dict[int, Transport] = {}
        self.leave: Callable[[], None] = _nothing
        """Takes the Bucket out of the registry."""
        self.renew: Callable[[], Callable[[], None] | None] = lambda: None
        """Gives (weakly) what has its owner use another driver, where a forked child goes on."""
        self.makes_tls = False
        """Whether `make_tls` made what TLS trusts and shows, and the user did not bring it."""
        self._end_lookup: Callable[[], object] = _nothing
        self._in_turn = False
        self._scheduled = False
        self._has_ended = False
        self._is_closed = False
        self._storing = False
        self._patience: float | None = None
        """When no more is waited for the disk, once all else has ended."""
        self._armed: float | None = None
        self._due = inf
        """When the loop is to call `deadline`: at once, where that is over already."""
        self._asked = 0.0
        """When the loop was asked to call `flush`."""
        self._catch_up = CatchUp(self.session)

    # What an adapter brings

    @property
    @abstractmethod
    def home(self) -> object:
        """The reactor or hub: what it has in common with the other drivers there."""

    @abstractmethod
    def now(self) -> float:
        """Return the loop's monotonic time in seconds."""

    @abstractmethod
    def check_thread(self) -> None:
        """Raise WrongLoopError if this is not the thread that the loop runs in."""

    @abstractmethod
    def deliver(self, completed: Operation[Any] | Batch[Any]) -> None:
        """Hand *completed* to the caller that waits for it."""

    @abstractmethod
    def call_soon(self) -> None:
        """Make the loop call `flush` in its next turn."""

    @abstractmethod
    def abandon(self) -> None:
        """Make the loop call `close`, from whatever thread this is called in."""

    @abstractmethod
    def arm(self, when: float | None) -> None:
        """Make the loop call `deadline` at *when*, and at no other time."""

    @abstractmethod
    def make_transport(self, event: OpenConnection) -> Transport:
        """Return a transport for the connection; it is entered before it is opened."""

    @abstractmethod
    def in_thread(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """Run *work*, which may block, in a thread; the loop then calls *done*.

        *done* is given what *work* gave or raised. It may come after the session's end.
        """

    @abstractmethod
    def resolve(self, event: ResolveSrv) -> Callable[[], object]:
        """Look up a DNS SRV record; `srv_answered` follows, perhaps at once.

        Gives a function that ends the lookup, if it still runs.
        """

    @abstractmethod
    def log(self, record: LogRecord) -> None:
        """Write a line to the loop's log."""

    @abstractmethod
    def report(self, error: Exception) -> None:
        """Show an error that is nobody's: some hook has raised it."""

    @abstractmethod
    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """Read what TLS trusts and shows by *settings*; return what makes connections use it.

        Raises CertificateFileError, or ArgumentError if the user's own things do the TLS.
        """

    @abstractmethod
    def loaded(self, *, is_high: bool) -> None:
        """Record that so much waits that producers should pause, or no longer so much."""

    @abstractmethod
    def opened(self) -> None:
        """Notify those who wait for the Bucket that it is open."""

    @abstractmethod
    def open_failed(self, error: CouchbaseError) -> None:
        """Notify those who wait for the Bucket why it is not open; the registry forgets it."""

    @abstractmethod
    def ended(self) -> None:
        """Notify those who still wait for the Bucket that it is closed."""

    @abstractmethod
    def closed(self) -> None:
        """Record that the last transport is gone."""

    # What a Bucket calls

    def start(self) -> None:
        """Begin to open the bucket, if it is not open or being opened."""
        # Not with the first document, whose caller would wait for it, and all others with him.
        transcoder.load()
        for record in notices.of_settings(self.session.settings):
            self.log(record)
        self.session.start(self.now())
        self.schedule()

    def submit(self, pending: Pending[Any]) -> None:
        """Send an operation or a batch; what one turn of the loop sends leaves in one write."""
        now = self.now()
        if isinstance(pending, Operation):
            self.session.submit(pending, now)
        elif isinstance(pending, Batch):
            self.session.submit_batch(pending, now)
        if not (self._in_turn or self._scheduled):
            self._asked = now
            self._schedule()

    def cancel(self, pending: Pending[Any]) -> None:
        """Forget an operation or a batch whose caller has gone."""
        if isinstance(pending, Operation):
            self.session.cancel(pending)
        elif isinstance(pending, Batch):
            self.session.cancel_batch(pending)
        if self.session.state is SessionState.CLOSING:
            # It may have been what the end waits for.
            self.schedule()

    def renewal(self, settings: Settings) -> Callable[[], None]:
        """Read what *settings* with other credentials need; return what makes them count.

        That only stores values, so that it may run in any thread.
        """
        changes_files = settings.tls_files != self.session.settings.tls_files
        use_tls = self.make_tls(settings) if self.makes_tls or changes_files else None

        def renew() -> None:
            if use_tls is not None:
                use_tls()
            self.session.renew(settings)

        return renew

    def close(self, wait: float = 0.0) -> None:
        """End the session; operations in flight have *wait* seconds, then the transports close."""
        if self.session.state is SessionState.CLOSED:
            # In a forked child nobody may have been told yet.
            self.transmit()
            return
        self.leave()
        self._turn(self.session.close, self.now(), wait)

    def forked(self) -> None:
        """End in a forked child, without a word: the connections are its parent's.

        Nobody is called within the fork; those who wait are told in the loop's next turn, if it
        has one.
        """
        # The threads are the parent's.
        derivations.forget_running()
        if self._is_closed:
            return
        # First of all, so that nothing is written whatever happens to a transport.
        self.session.forked()
        # The thread that writes is the parent's.
        self._storing = False
        transports = list(self.transports.values())
        self.transports.clear()
        for transport in transports:
            # It may take a free descriptor: without one it stays open in the child, and silent.
            with suppress(OSError):
                transport.drop()
        if not self._scheduled:
            self._scheduled = True
            self.call_soon()

    # What the loop calls

    def schedule(self) -> None:
        """See to it that `transmit` runs when this turn is over."""
        if not (self._in_turn or self._scheduled):
            self._asked = self.now()
            self._schedule()

    def _schedule(self) -> None:
        if self.session.state in {SessionState.FAILED, SessionState.CLOSED}:
            # Nothing will be written: leave no call behind in the loop.
            self.transmit()
            return
        self._scheduled = True
        self.call_soon()

    def flush(self) -> None:
        """Run the `transmit` that `schedule` asked for."""
        self._scheduled = False
        now = self.now()
        if now - self._asked > LATE:
            self._catch_up.noticed(self._asked, now)
        self.transmit()

    def deadline(self) -> None:
        """Make the session do what is due, once all is read that came in a standstill."""
        self._armed = None
        now = self.now()
        self._catch_up.overdue(self._due, now)
        if self._catch_up.reads_first(now):
            self._arm(now, now)
            return
        if self._patience is not None:
            # The disk takes too long: closing must not take for ever.
            self._storing, self._patience = False, None
            self._check_closed()
            return
        self._turn(self.session.handle_deadline, now)

    def _rearm(self, when: float | None) -> None:
        if when is None:
            self._catch_up.end()
        if not self._catch_up.is_reading:
            now = self.now()
            self._catch_up.noticed(self._due, now)
            if when:
                # It may be over before it is armed: user code has blocked within this very turn.
                self._catch_up.overdue(when, now)
            self._arm(when, now)

    def _arm(self, when: float | None, now: float) -> None:
        self._armed = when
        self._due = inf if when is None else max(when, now)
        self.arm(when)

    def connected(self, connection_id: int, local: str | None = None) -> None:
        """Pass on that a transport is connected; *local* is its own end, as "host:port"."""
        self._turn(self.session.connected, connection_id, self.now(), local)

    def connect_failed(self, connection_id: int, error: BaseException) -> None:
        """Pass on that a transport could not be connected."""
        self._gone(connection_id)
        self._turn(self.session.connect_failed, connection_id, error, self.now())

    def receive_data(self, connection_id: int, data: bytes) -> None:
        """Pass on bytes."""
        self._turn(self.session.receive_data, connection_id, data, self.now())

    def paused(self, connection_id: int) -> None:
        """Pass on that a transport takes no more for now."""
        self._turn(self.session.paused, connection_id)

    def progressed(self, connection_id: int, count: int) -> None:
        """Pass on that the peer took *count* bytes of what a transport has kept."""
        self.session.progressed(connection_id, count, self.now())

    def resumed(self, connection_id: int) -> None:
        """Pass on that it takes more again."""
        self._turn(self.session.resumed, connection_id, self.now())

    def connection_lost(self, connection_id: int, reason: BaseException | None) -> None:
        """Pass on that a transport is gone."""
        self._gone(connection_id)
        self._turn(self.session.connection_lost, connection_id, reason, self.now())

    def _derive(self, event: DeriveKey) -> None:
        few = notices.of_few_iterations(event.derivation, self.session.settings)
        if few is not None:
            self.log(few)
        done = partial(self.key_derived, event)
        derivations.derive(event.derivation, self.home, self.now(), self.in_thread, done)

    def key_derived(self, event: DeriveKey, salted_password: bytes | BaseException) -> None:
        """Pass on a derived key, or why there is none."""
        if isinstance(salted_password, BaseException):
            # Each has its own: it becomes part of what happened to one connection.
            error = ClientTemporaryFailError(
                "the key for the login could not be derived in this process "
                f"({type(salted_password).__name__}): it may be out of memory or of threads"
            )
            caused(error, salted_password)
            self._turn(self.session.connection_lost, event.id, error, self.now())
            return
        self._turn(self.session.key_derived, event.id, salted_password, self.now())

    def srv_answered(self, answer: Sequence[Address] | BaseException) -> None:
        """Pass on the addresses that a DNS SRV record names, or why none are known."""
        self._end_lookup = _nothing
        if isinstance(answer, BaseException):
            self._turn(self.session.srv_failed, answer, self.now())
        else:
            self._turn(self.session.srv_resolved, answer, self.now())

    def _config_loaded(self, result: configcache.Cached | BaseException | None) -> None:
        self._turn(self.session.config_loaded, result, self.now())

    def _config_stored(self, result: int | BaseException | None) -> None:
        self._storing, self._patience = False, None
        self._turn(self.session.config_stored, result)
        self._check_closed()

    def _gone(self, connection_id: int) -> None:
        self.transports.pop(connection_id, None)
        self._check_closed()

    def _check_closed(self) -> None:
        # What short-lived processes have learned is kept before they go.
        is_idle = not self.transports and not self._storing
        if self._has_ended and is_idle and not self._is_closed:
            self._is_closed = True
            self.closed()

    def _turn(self, call: Callable[..., None], *arguments: Any) -> None:
        """Make one call into the session; what user code does meanwhile is transmitted once."""
        if self._in_turn:
            call(*arguments)
            return
        self._in_turn = True
        try:
            call(*arguments)
        finally:
            self._in_turn = False
            self.transmit()

    def transmit(self) -> None:
        """Do all that the session has decided: the one thing an adapter does after anything.

        A hook that raises spoils nothing but what it was for: all else that was decided is done,
        and the timer is armed. What is no Exception (SystemExit, say) is raised after that.
        """
        if self._in_turn:
            return
        session = self.session
        stop: BaseException | None = None
        self._in_turn = True
        try:
            while True:
                for connection_id, data in session.take_output():
                    transport = self.transports.get(connection_id)
                    if transport is not None:
                        try:
                            transport.write(data)
                        except BaseException as error:  # noqa: BLE001 - see above
                            stop = self._failed(error) or stop
                            self.connection_lost(connection_id, error)
                events = session.take_events()
                if not events:
                    break
                for event in events:
                    try:
                        self._perform(event)
                    except BaseException as error:  # noqa: BLE001 - see above
                        stop = self._failed(error) or stop
                        self._not_performed(event, error)
        finally:
            self._in_turn = False
            when = session.next_deadline()
            if when is None and self._storing:
                when = self._patience
            if when != self._armed:
                self._rearm(when)
        if stop is not None:
            raise stop

    def _failed(self, error: BaseException) -> BaseException | None:
        """Report an error of a hook; return it if it is none, but meant to end the program."""
        if not isinstance(error, Exception):
            return error
        self.report(error)
        return None

    def _not_performed(self, event: object, error: BaseException) -> None:
        """Notify the session that what it waits for does not come."""
        # It is kept and shown to others, and its frames hold whatever was a variable there.
        error = error.with_traceback(None)
        match event:
            case OpenConnection():
                self.connect_failed(event.id, error)
            case CloseConnection():
                self._gone(event.id)
            case DeriveKey():
                self.key_derived(event, error)
            case ResolveSrv():
                self.srv_answered(error)
            case LoadConfig():
                self._config_loaded(error)
            case StoreConfig():
                self._config_stored(error)

    def _perform(self, event: object) -> None:
        match event:
            case OpenConnection():
                error = wrong_family(event.address, self.session.settings)
                if error is not None:
                    self.connect_failed(event.id, error)
                    return
                transport = self.transports[event.id] = self.make_transport(event)
                transport.open()
            case Closed():
                self._end_lookup()
                self._has_ended = True
                # Whoever is told of the end finds no timer any more.
                if self._armed is not None:
                    self._rearm(None)
                if self._storing:
                    self._patience = self.now() + _GRACE
                self.ended()
                self._check_closed()
            case CloseConnection():
                if event.id in self.transports:
                    self.transports[event.id].finish()
            case PauseReading():
                if event.id in self.transports:
                    self.transports[event.id].pause_reading()
            case ResumeReading():
                if event.id in self.transports:
                    self.transports[event.id].resume_reading()
            case DeriveKey():
                self._derive(event)
            case ResolveSrv():
                self._end_lookup()
                self._end_lookup = self.resolve(event)
            case LoadConfig():
                work = partial(configcache.read, event.path, event.bucket, event.origin, event.seen)
                self.in_thread(work, self._config_loaded)
            case StoreConfig():
                self._storing = True
                configcache.prepare()
                store = partial(configcache.write, event.path, event.config, event.useless)
                self.in_thread(store, self._config_stored)
            case Opened():
                self.opened()
            case OpenFailed():
                self._end_lookup()
                self.open_failed(event.error)
            case Load():
                self.loaded(is_high=event.is_high)
            case LogRecord():
                self.log(event)
