"""What both adapters do after anything: perform the session's events, write, arm one timer.

An adapter subclasses `Driver` with what differs between loops: transports, a timer, threads for key
derivation, a log, and how a caller is woken. Nothing here knows the public Bucket.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from errno import EMFILE, ENFILE
from functools import partial
from ipaddress import IPv4Address
from math import inf
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from couchloop.exceptions import (
    ClientTemporaryFailError,
    CouchbaseError,
    NodeUnreachableError,
    TooManyOpenFilesError,
    UnknownHostError,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation, Pending
from couchloop.kv.scram import ADVISED_ITERATIONS, KeyDerivation, SaltedPasswords
from couchloop.observe.session import make_session
from couchloop.safety.printable import printable
from couchloop.session.connections import Random
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
    ResolveSrv,
    StoreConfig,
)
from couchloop.session.session import SessionState
from couchloop.session.standstill import LATE, CatchUp
from couchloop.settings.values import Address, Settings
from couchloop.topology import config_cache as configcache

T = TypeVar("T")

_salted_passwords: Final = SaltedPasswords()
"""One derivation serves all connections: a user's salt is the same on every node."""


_said: Final[set[str]] = set()
"""Notices that this process has logged."""

_UNVERIFIED: Final = (
    "{subject}: the servers' certificates are not verified (ssl=no_verify, "
    "tls_verify=none or LCB_SSL_MODE), so anybody on the way can read the password and the data"
)


_of_few: Final[set[object]] = set()
"""Salts and seeds of clusters that were said to ask for few iterations."""
_MOST_MARKS: Final = 10_000
_LONGEST_DERIVATION: Final = 5.0
"""Seconds after which a derivation that has not ended counts as one that never will."""


class _Job(NamedTuple):
    """A derivation that runs in a thread."""

    since: float
    done: list[Callable[[bytes | BaseException], None]]


_deriving: Final[WeakKeyDictionary[Any, dict[bytes, _Job]]] = WeakKeyDictionary()
"""The derivations that run, by loop: a hundred Buckets that are opened at once need one."""


def _derived(
    under_way: dict[bytes, _Job], derivation: KeyDerivation, job: _Job, key: bytes | BaseException
) -> None:
    """Take a derived key, or why there is none: keep it for later, and tell all who wait for it."""
    digest = derivation.digest()
    if under_way.get(digest) is job:
        del under_way[digest]
    if not isinstance(key, BaseException):
        _salted_passwords.put(derivation, key)
    first: Exception | None = None
    for done in job.done:
        try:
            done(key)
        except Exception as error:  # noqa: BLE001 - raised below, when all were told
            first = first or error
    if first is not None:
        raise first


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

    def finish(self) -> object:
        """Send what was written, then close; or give up connecting."""

    def drop(self) -> object:
        """Let go of the descriptor; nothing reaches the peer, and the driver hears nothing."""


class Driver(ABC):
    """One session on one loop.

    Args:
        settings: handed to the session.
        random: likewise.
        entropy: likewise.
    """

    def __init__(self, settings: Settings, random: Random, entropy: Callable[[int], bytes]) -> None:
        self.session = make_session(settings, self.wake, random, entropy)
        self.transports: dict[int, Transport] = {}
        self.leave: Callable[[], None] = _nothing
        """Takes the Bucket out of the registry."""
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
        """Give the loop's monotonic time in seconds."""

    @abstractmethod
    def check_thread(self) -> None:
        """Raise WrongLoopError if this is not the thread that the loop runs in."""

    @abstractmethod
    def wake(self, completed: Operation[Any] | Batch[Any]) -> None:
        """Hand *completed* to the caller that waits for it."""

    @abstractmethod
    def call_soon(self) -> None:
        """Have the loop call `flush` in its next turn."""

    @abstractmethod
    def abandon(self) -> None:
        """Have the loop call `close`, from whatever thread this is called in."""

    @abstractmethod
    def arm(self, when: float | None) -> None:
        """Have the loop call `deadline` at *when*, and at no other time."""

    @abstractmethod
    def make_transport(self, event: OpenConnection) -> Transport:
        """Give a transport for the connection; it is entered before it is opened."""

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
        """Read what TLS trusts and shows by *settings*; give what makes connections use it.

        Raises CertificateFileError, or ArgumentError if the user's own things do the TLS.
        """

    @abstractmethod
    def loaded(self, *, is_high: bool) -> None:
        """Take note that so much waits that producers should pause, or no longer so much."""

    @abstractmethod
    def opened(self) -> None:
        """Tell those who wait for the Bucket that it is open."""

    @abstractmethod
    def open_failed(self, error: CouchbaseError) -> None:
        """Tell those who wait for the Bucket why it is not open, and the registry to forget it."""

    @abstractmethod
    def ended(self) -> None:
        """Tell those who still wait for the Bucket that it is closed."""

    @abstractmethod
    def closed(self) -> None:
        """Take note that the last transport is gone."""

    # What a Bucket calls

    def start(self) -> None:
        """Begin to open the bucket, if it is not open or being opened."""
        settings = self.session.settings
        if settings.tls and not settings.tls_files.verify:
            self.log(LogRecord("warning", _UNVERIFIED, {"subject": settings.subject}))
        for notice in settings.notices:
            if notice.once:
                if notice.text in _said:
                    continue
                _said.add(notice.text)
            self.log(LogRecord(notice.level, "{notice}", {"notice": notice.text}))
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
        """Read what *settings* with other credentials need; give what makes them count.

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
        _deriving.clear()
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
        """Let the session do what is due, once all is read that came while the loop stood still."""
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
        """Have a key derived: once for all that want the same on this loop at the same time."""
        derivation = event.derivation
        self._warn_of_few(derivation)
        salted_password = _salted_passwords.get(derivation)
        if salted_password is not None:
            self.key_derived(event, salted_password)
            return
        under_way = _deriving.setdefault(self.home, {})
        digest = derivation.digest()
        now = self.now()
        job = under_way.get(digest)
        if job is not None and now - job.since < _LONGEST_DERIVATION:
            job.done.append(partial(self.key_derived, event))
            return
        # Whoever began before may never tell: its thread could not be had, or was killed.
        job = under_way[digest] = _Job(now, [partial(self.key_derived, event)])
        self.in_thread(derivation.derive, partial(_derived, under_way, derivation, job))

    def _warn_of_few(self, derivation: KeyDerivation) -> None:
        """Say, once for each cluster, that it asks for fewer iterations than is advised."""
        if derivation.iterations >= ADVISED_ITERATIONS:
            return
        settings = self.session.settings
        # One user has one salt on all nodes of a cluster, whatever seeds led there.
        marks = {derivation.salt, *settings.places}
        if _of_few.isdisjoint(marks):
            text = (
                "{subject}: the nodes ask for {count} SCRAM iterations, and {advised} are the "
                "least that RFC 7677 allows: raise scramShaIterations of the cluster"
            )
            fields = {"subject": settings.subject, "count": derivation.iterations}
            self.log(LogRecord("warning", text, {**fields, "advised": ADVISED_ITERATIONS}))
        if len(_of_few) > _MOST_MARKS:
            _of_few.clear()
        _of_few.update(marks)

    def key_derived(self, event: DeriveKey, salted_password: bytes | BaseException) -> None:
        """Pass on a derived key, or why there is none."""
        if isinstance(salted_password, BaseException):
            # Each has its own: it becomes part of what happened to one connection.
            error = ClientTemporaryFailError(
                "the key for the login could not be derived in this process "
                f"({type(salted_password).__name__}): it may be out of memory or of threads"
            )
            error.__cause__ = salted_password
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
        """Report an error of a hook; give it if it is none, but meant to end the program."""
        if not isinstance(error, Exception):
            return error
        self.report(error)
        return None

    def _not_performed(self, event: object, error: BaseException) -> None:
        """Tell the session that what it waits for does not come."""
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


def kind_of_error(number: int | None) -> type[CouchbaseError]:
    """Give the class for the number of a system's error while connecting."""
    return TooManyOpenFilesError if number in {EMFILE, ENFILE} else NodeUnreachableError


def connect_error(
    kind: type[CouchbaseError], address: Address, reason: str, settings: Settings
) -> CouchbaseError:
    """Say why a transport could not be connected; *kind* is UnknownHostError and the like."""
    text = _CURES.get(kind, "{reason}").format(
        host=address.host, node=address, reason=printable(reason)
    )
    family = _ONLY.get(settings.ipv6)
    if kind is UnknownHostError and family is not None and settings.connector is None:
        text += f"; it may have no {family} address, and others are not used: ipv6={settings.ipv6}"
    return kind(text)


def wrong_family(address: Address, settings: Settings) -> CouchbaseError | None:
    """Say why *address*, a numeric one, is not to be used; None: it is."""
    if settings.connector is not None:
        # What the user brings decides by itself.
        return None
    family = "IPv6" if ":" in address.host else "IPv4" if _is_ipv4(address.host) else None
    wanted = _ONLY.get(settings.ipv6)
    if wanted is None or family is None or family == wanted:
        return None
    error = NodeUnreachableError(
        f"{address} is an {family} address, and only {wanted} is used: ipv6={settings.ipv6}; "
        "ipv6=allow uses both"
    )
    error.may_pass = False
    return error


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


_ONLY: Final = {"disabled": "IPv4", "only": "IPv6"}
"""The one family of addresses that is used, by the option `ipv6`."""

_CURES: Final[Mapping[type[CouchbaseError], str]] = {
    UnknownHostError: "host {host} is unknown: {reason}",
    NodeUnreachableError: "nothing reachable at {node}: {reason}; is a data node listening there?",
    TooManyOpenFilesError: (
        "no connection to {node}: {reason}; this process, or this machine, may open no more files "
        "and connections: raise the limit (ulimit -n), or open fewer Buckets "
        "(cluster.connection_budget() counts their connections)"
    ),
}
