"""What a `Bucket` is on either loop; the adapters add what differs.

A public Bucket is a handle: it holds its driver, and nothing holds it but its user, so that the
last reference going away ends it (docs/architecture.md, "Lifetime").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self
from weakref import WeakValueDictionary, finalize

from couchloop import LOCKMODE_NONE
from couchloop.arguments.exact import is_quiet
from couchloop.arguments.times import exact_seconds
from couchloop.auth import Authenticator
from couchloop.client import notices
from couchloop.client.blocks import DurabilityBlocks
from couchloop.client.collections import CollectionsOfBucket
from couchloop.client.driver import Driver
from couchloop.client.identity import OneOfEach
from couchloop.client.managers import service_defaults
from couchloop.client.registry import Registry
from couchloop.client.sdk25 import Sdk25Names
from couchloop.client.services import ClusterKey, ClusterServices, key_of, services_for
from couchloop.exceptions import BucketAlreadyOpenError
from couchloop.formats import check_format
from couchloop.hot.durable import DurableDefaults
from couchloop.hot.encoding import Passthrough, transcoder_of
from couchloop.hot.operation import Defaults
from couchloop.later import Module
from couchloop.session.diagnostics import DiagnosticsReport, diagnostics_of
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.events import LogRecord
from couchloop.session.health import ClusterState, cluster_state
from couchloop.session.parking import Queued
from couchloop.session.session import SessionState
from couchloop.session.shared import weakly
from couchloop.settings.configure import (
    one_string,
    without_login,
)
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Settings
from couchloop.transcoder import Transcoder

if TYPE_CHECKING:
    from couchloop.observation import AnyObserver
    from couchloop.observe import calls
    from couchloop.observe import dispatcher as observing
    from couchloop.observe import requests as observed
else:
    # Few programs have observers.
    calls = Module("couchloop.observe.calls", globals())
    observing = Module("couchloop.observe.dispatcher", globals())
    observed = Module("couchloop.observe.requests", globals())

_config_of: Final = attrgetter("_driver.session.config")


_NO_SETTINGS: Final = frozenset({"self", "__class__", "connstr", "shared"})
"""Variables of a constructor, at its begin, of which no settings are made."""


class BucketBase(Sdk25Names, DurabilityBlocks, OneOfEach, CollectionsOfBucket):
    """One open bucket; the documents' methods come with the adapters.

    Two openings with equal settings on one loop give the same object, as long as it is in use
    anywhere. With other settings they raise BucketAlreadyOpenError. `shared=False` is the way out:
    such a Bucket is nobody else's, and there may be several.
    """

    _registry: ClassVar[Registry[Any]]
    _wall_clock: Callable[[], float]
    """Gives the seconds since 1970."""
    _driver: Driver
    _settings: Settings
    _opened_with: dict[str, Any]
    """The constructor's arguments, without who connects."""
    _observers: tuple[AnyObserver, ...] = ()
    """Those of callers, beside the one that it was opened with."""
    _held_services: ClusterServices | None = None
    """What it has asked services through, if it has."""

    def __init__(self, connection_string: str | ConnectionString, **keywords: Any) -> None:
        """Open the bucket, or give the Bucket that is there (`_give`)."""
        raise NotImplementedError

    @classmethod
    def _identify(cls, **keywords: Any) -> tuple[Any, Settings]:
        """Return the loop and the settings that the constructor's arguments mean."""
        raise NotImplementedError

    @classmethod
    def _make_settings(cls, *arguments: Any, **keywords: Any) -> Settings:
        """Return the settings that the constructor's arguments mean."""
        raise NotImplementedError

    @staticmethod
    def _make_driver(loop: Any, settings: Settings, given: Mapping[str, Any]) -> Driver:
        """Return a driver for the loop; *given* are the constructor's arguments."""
        raise NotImplementedError

    def _find_or_open(self, variables: dict[str, Any]) -> Self | None:
        """Return the Bucket that is open with these arguments; None: this one is being opened.

        Args:
            variables: what a constructor has at its begin (`locals()`): its arguments.
        """
        given = {name: value for name, value in variables.items() if name not in _NO_SETTINGS}
        shared, connstr = variables["shared"], variables["connstr"]
        # The constructor's frame keeps it, and is part of the errors that it raises.
        variables.clear()
        given["connection_string"] = one_string(given["connection_string"], connstr)
        loop, settings = self._identify(**given)
        found: Self | None = self._registry.find(loop, settings, type(self)) if shared else None
        if found is None:
            self._opened_with = without_login(given)
            driver = self._make_driver(loop, settings, given)
            self._attach(settings, loop, driver, shared=shared)
        return found

    def _attach(self, settings: Settings, loop: object, driver: Driver, *, shared: bool) -> None:
        """Begin to open: enter the registry, tie the driver's end to ours."""
        if settings.observer is not None:
            calls.check_observer(settings.observer)
        self._settings = settings
        self._shared = shared
        self._loop = loop
        self._defaults = Defaults(
            transcoder_of(settings.transcoder),
            settings.default_format,
            settings.quiet,
            settings.operation_timeout,
            self._wall_clock,
            settings.past_expiry != "send",
            pauses_collector=not settings.gc_while_decoding,
            durable=DurableDefaults(
                settings.durable_timeout,
                settings.watch_timeout,
                settings.watch_interval,
                settings.watch_by_token,
            ),
            services=service_defaults(settings),
        )
        self._collections = WeakValueDictionary()
        self._use(driver)
        self._open()

    def _durable_target(self) -> Self:
        return self

    def _use(self, driver: Driver) -> None:
        """Tie the end of *driver* to ours."""
        self._driver = driver
        self._hand_on(driver)
        given = self._settings.observer
        for observer in self._observers if given is None else (given, *self._observers):
            observing.add_observer(driver.session, observer, self._wall_clock)
        self._watch()
        # The finaliser may run in any thread: the driver only schedules the end.
        self._finalizer = finalize(self, driver.abandon)
        self._finalizer.atexit = False

    def _open(self) -> None:
        """Open, or try again where that failed: at once where a pause was to come first."""
        driver, registry, loop, settings = self._driver, self._registry, self._loop, self._settings
        state = driver.session.state
        if state not in {SessionState.NEW, SessionState.FAILED, SessionState.WAITING}:
            return
        if self._shared and state is not SessionState.WAITING:
            if registry.find(loop, settings, type(self)) is not None:
                raise BucketAlreadyOpenError(
                    f"bucket {self.bucket!r} has been opened again meanwhile: use that Bucket"
                )
            driver.leave = registry.add(loop, settings, self)
            if remark := registry.remark(loop, settings):
                driver.log(LogRecord("warning", "{remark}", {"remark": remark}))
            driver.session.opening.admit = partial(registry.rival, loop, settings, _config_of)
        driver.start()

    def _renewal(self, authenticator: Authenticator) -> Callable[[], None]:
        """Check *authenticator*, and read its files; return what makes it count from now on.

        That only stores values, so that it may run in any thread.
        """
        wanted = self._make_settings(**{**self._opened_with, "authenticator": authenticator})
        settings = replace(self._settings, login=wanted.login, tls_files=wanted.tls_files)
        renew_driver = self._driver.renewal(settings)
        services = self._held_services
        renew_services = None if services is None else services.renewal(settings)

        def renew() -> None:
            self._settings = settings
            self._registry.renew(self._loop, settings, self)
            renew_driver()
            if renew_services is not None:
                renew_services()

        return renew

    @property
    def _services_key(self) -> ClusterKey:
        """Which services it asks."""
        return key_of(self._settings)

    def _ask_services(self) -> ClusterServices:
        """Return the services of the cluster, which it shares with others who ask them.

        Raises FeatureNotAvailableError where there are none: plain memcached servers,
        ObjectDestroyedError if the Bucket is closed.
        """
        if self.closed:
            raise self._driver.session.failure()
        held = self._held_services
        if held is None or not held.serves(self._services_key):
            held = self._held_services = services_for(
                self,
                self._loop,
                self._settings,
                self._opened_with,
                self._make_driver,
                self._registry,
            )
        return held

    def _leave_services(self) -> Driver | None:
        """Ask services no more; return what ends with that, and is to be waited for."""
        held, self._held_services = self._held_services, None
        if held is None:
            return None
        held.leave(self)
        return held._driver if held.is_closed else None  # noqa: SLF001 - ours

    def __repr__(self) -> str:
        seeds = ",".join(map(str, self._settings.places))
        state = self._driver.session.state.name.lower()
        return (
            f"<{type(self).__module__}.{type(self).__name__} {self.bucket!r} at {seeds}: {state}>"
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # What copy.copy, copy.deepcopy and pickle ask.
        raise TypeError(
            "a Bucket is not copied or pickled: it is the connections of one loop. Let both places "
            "refer to the same Bucket; in another thread use bucket.threadsafe(), in another "
            "process open the bucket there"
        )

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._settings.bucket

    @property
    def connected(self) -> bool:
        """Whether the bucket is open."""
        return self._driver.session.state is SessionState.OPEN

    @property
    def closed(self) -> bool:
        """Whether the Bucket was closed."""
        return self._driver.session.state is SessionState.CLOSED

    @property
    def queued(self) -> Queued:
        """What waits to be sent: for a connection, or because the network or a node is slow."""
        return self._driver.session.queued

    @property
    def is_ssl(self) -> bool:
        """Whether connections use TLS."""
        return self._settings.tls

    @property
    def server_nodes(self) -> list[str]:
        """The data nodes as "host:port"; empty before the bucket is open."""
        return [str(address) for address in self._driver.session.addresses]

    @property
    def lockmode(self) -> int:
        """LOCKMODE_NONE, as SDK 2.5 had it on loops: a Bucket is its thread's alone."""
        return LOCKMODE_NONE

    @property
    def unlock_gil(self) -> bool:
        """False, as SDK 2.5 had it on loops."""
        return False

    @property
    def configured_replica_count(self) -> int:
        """How many replicas the bucket has; 0 before it is open."""
        config = self._driver.session.config
        return 0 if config is None else config.replicas

    @property
    def quiet(self) -> bool:
        """Whether operations on missing documents give a result instead of raising.

        Raises InvalidSettingError (a TypeError) when set to what is neither a bool nor a number.
        """
        return self._defaults.quiet

    @quiet.setter
    def quiet(self, value: bool) -> None:
        self._set_default(quiet=is_quiet(value))

    @property
    def default_format(self) -> int:
        """The format of values that are stored without one.

        Raises InvalidSettingError (an ArgumentError) when set to what is no number.
        """
        return self._defaults.format

    @default_format.setter
    def default_format(self, value: int) -> None:
        self._set_default(format=check_format(value))

    @property
    def transcoder(self) -> Transcoder:
        """What turns keys and values into bytes and back.

        Set to None or False, it is the usual one again; set to a class, one of that. Raises
        ArgumentError when set to what is no transcoder.
        """
        transcoder = self._defaults.transcoder
        return transcoder.behind if isinstance(transcoder, Passthrough) else transcoder

    @transcoder.setter
    def transcoder(self, value: Transcoder | type[Transcoder] | None) -> None:
        is_passed_through = self.data_passthrough
        self._set_default(transcoder=transcoder_of(value))
        self.data_passthrough = is_passed_through

    @property
    def timeout(self) -> float:
        """Seconds that an operation has, waiting and retrying included.

        Raises InvalidTimeoutError (a ValueError) when set to what is not positive, or more than a
        year.
        """
        return self._defaults.timeout

    @timeout.setter
    def timeout(self, value: float) -> None:
        self._set_default(timeout=exact_seconds(value))
        self._doubt("timeout", value)

    def _set_default(self, **changed: Any) -> None:
        self._set_defaults(self._defaults, changed)

    def _doubt(self, name: str, value: float) -> None:
        """Log that seconds may be milliseconds, if they may."""
        if record := notices.of_seconds(name, value):
            self._driver.log(record)

    def _set(self, **changed: Any) -> None:
        """Make settings count from now on; what the Bucket was opened with stays what it was."""
        self._driver.check_thread()
        self._settings = replace(self._settings, **changed)
        session = self._driver.session
        session.renew(replace(session.settings, **changed))
        for connection in session.connections:
            connection.compress(self._settings.wire)

    def add_observer(self, observer: AnyObserver) -> None:
        """Have *observer* told of what goes on in this Bucket from now on, beside others.

        It has the methods of one of the observers of `couchloop.observation`, or of several. The
        Bucket holds it, whoever else uses the Bucket, and also after a fork. It is no setting: who
        opens the bucket without it is given the same Bucket.

        Raises ArgumentError for what has none of these methods, ObjectDestroyedError if the Bucket
        is closed, WrongLoopError in another thread than the loop's.
        """
        self._driver.check_thread()
        calls.check_observer(observer)
        if self.closed:
            raise self._driver.session.failure()
        if not any(each is observer for each in (*self._observers, self._settings.observer)):
            self._observers = (*self._observers, observer)
            observing.add_observer(self._driver.session, observer, self._wall_clock)
            self._watch()

    def remove_observer(self, observer: AnyObserver) -> None:
        """Tell *observer* no more, but of the end of calls that it saw begin.

        Nothing happens if it was not added, or is the one that the Bucket was opened with.

        Raises WrongLoopError in another thread than the loop's.
        """
        self._driver.check_thread()
        if any(each is observer for each in self._observers):
            self._observers = tuple(each for each in self._observers if each is not observer)
            observing.remove_observer(self._driver.session, observer)
            self._watch()

    def _watch(self) -> None:
        """Have what is asked of services tell of itself if anybody wants to know."""
        session, by = self._driver.session, None
        if type(session.dispatcher) is not Dispatcher:
            by = observed.requests_of(session, weakly(self._driver.schedule))
        self._defaults.services.watching.by = by

    @property
    def cluster_state(self) -> ClusterState:
        """How many data nodes can be used now, without any I/O."""
        return cluster_state(self._driver.session.health)

    def diagnostics(self, report_id: str | None = None, *, version: int = 2) -> DiagnosticsReport:
        """Return how each connection is, without any I/O (RFC 0061).

        Args:
            report_id: goes into the report; None: one that nobody else has.
            version: of the report's form; 1 is SDK 2.5's.

        Raises ArgumentError for another version, WrongLoopError in another thread than the loop's.
        """
        self._driver.check_thread()
        own = self._driver.session.health
        held = self._held_services
        # Services are asked by the cluster's session, and pinged by the Bucket's.
        services = [own] if held is None or held.is_closed else [own, held.health]
        return diagnostics_of([own], services, self._driver.now(), report_id, version)

    def _close(self) -> None:
        """Close at once: SDK 2.5's last resort.

        What was issued is still written; what is pending fails with RequestCanceledError (an
        AmbiguousError where the server may have done it), later calls with ObjectDestroyedError.

        Raises WrongLoopError in another thread than the loop's.
        """
        self._driver.check_thread()
        self._leave_services()
        self._driver.close()
