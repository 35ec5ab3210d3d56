"""The services of a cluster, as all Buckets and Clusters of a loop share them.

Who asks a service needs the cluster's session (`docs/architecture.md`, "HTTP services"): its driver
is held by a `ClusterServices`, and this by whoever has asked through it. The last reference going
away ends it, as it is with a Bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary, WeakMethod, finalize, ref

from couchloop.client.driver import Driver
from couchloop.exceptions import FeatureNotAvailableError, ForkedProcessError
from couchloop.hot.encoding import transcoder_of
from couchloop.hot.operation import Defaults
from couchloop.later import Module
from couchloop.session.session import SessionState
from couchloop.settings.hosts import is_loopback
from couchloop.settings.values import Address, Http, Login, Reports, Settings, Tls, one_forms

if TYPE_CHECKING:
    from couchloop.client.registry import Registry
    from couchloop.observe import requests as observed
    from couchloop.session.health import HealthView
    from couchloop.session.services.services import Topology
else:
    # Who asks no services needs none of it.
    observed = Module("couchloop.observe.requests", globals())

MakeDriver = Callable[[Any, Settings, Mapping[str, Any]], Driver]
"""Makes the driver of a loop, for settings and for the arguments of a Bucket or Cluster."""


class ClusterKey(NamedTuple):
    """What makes two Buckets, or a Cluster, ask the same services: where, as whom, and how."""

    seeds: frozenset[Address]
    web_seeds: frozenset[Address]
    srv: str
    login: Login
    tls: bool
    tls_files: Tls
    tls_context: Any
    connector: Any
    resolver: Any
    network: str
    http: Http


def key_of(settings: Settings) -> ClusterKey:
    """Return what of *settings* says which services are meant."""
    return ClusterKey(
        one_forms(settings.seeds),
        one_forms(settings.web_seeds),
        settings.srv,
        settings.login,
        settings.tls,
        settings.tls_files,
        settings.tls_context,
        settings.connector,
        settings.resolver,
        settings.network,
        settings.http,
    )


def of_cluster(settings: Settings) -> Settings:
    """Return *settings* without what is of one Bucket: how its cluster is connected to.

    Data nodes before 6.5 tell nobody of the cluster, web ports do. Where none is to be asked for a
    Bucket, those on this machine are: services there are told the password anyway.
    """
    web = tuple(
        Address(seed.host, settings.web_port)
        for seed in settings.seeds
        if seed.port == settings.data_port and is_loopback(seed.host)
    )
    return replace(
        settings,
        bucket="",
        web_seeds=settings.web_seeds or web,
        quiet=False,
        default_format=0,
        transcoder=None,
        observer=None,
        reports=Reports(),
        config_cache="",
        bootstrap_on="all" if settings.config_cache else settings.bootstrap_on,
        operation_timeout=settings.http.management_timeout,
        notices=(),
    )


class Lender(Protocol):
    """A Bucket, as far as it is of use here: it knows its cluster's topology."""

    _driver: Any
    _settings: Settings


class ClusterServices:
    """The services of one cluster, on one loop, for all who ask with the same credentials.

    Args:
        loop: the reactor, or hub.
        settings: of a Bucket or Cluster.
        given: its constructor's arguments, without who connects.
        make_driver: makes the loop's driver.
        buckets: those that are open on loops.
    """

    def __init__(
        self,
        loop: Any,
        settings: Settings,
        given: Mapping[str, Any],
        make_driver: MakeDriver,
        buckets: Registry[Any],
    ) -> None:
        if settings.is_plain:
            raise FeatureNotAvailableError(
                "plain memcached servers have no services beside the data service"
            )
        self.key = key_of(settings)
        self._loop = loop
        self._buckets = buckets
        self._users: dict[int, ref[Any]] = {}
        """Who asks through it; threads may look, so no set."""
        self._lender: Callable[[], Any] = _gone
        """The Bucket's session whose topology is used."""
        cluster = of_cluster(settings)
        self._defaults = Defaults(transcoder_of(None), 0, timeout=settings.http.management_timeout)
        self._use(make_driver(loop, cluster, given))

    def _use(self, driver: Driver) -> None:
        self._driver = driver
        borrow = WeakMethod(self._borrow)
        driver.session.services.borrow = lambda: None if (method := borrow()) is None else method()
        # It looks for the cluster where no Bucket knows it, and again where it is not found.
        driver.session.opening.lazy = True
        here = ref(driver)
        observed.tell_of_requests(
            driver.session, lambda: 0.0 if (its := here()) is None else its.now()
        )
        driver.renew = WeakMethod(self._renew)
        self._finalizer = finalize(self, driver.abandon)
        self._finalizer.atexit = False

    def _renew(self) -> None:
        """Install a new driver: in a forked child the old one's connections are its parent's."""
        self._finalizer.detach()
        driver: Any = self._driver
        self._use(driver.renewed())

    @property
    def is_closed(self) -> bool:
        """Whether it asks no more."""
        return self._driver.session.state is SessionState.CLOSED

    def serves(self, key: ClusterKey) -> bool:
        """Whether who has that *key* can ask through it.

        Raises ForkedProcessError in a child process that has no loop of its own for it.
        """
        error = self._driver.session.error
        if self.is_closed and isinstance(error, ForkedProcessError):
            raise self._driver.session.failure()
        return not self.is_closed and (self.key is key or self.key == key)

    @property
    def health(self) -> HealthView:
        """How its session is."""
        return self._driver.session.health

    @property
    def is_unused(self) -> bool:
        """Whether its session has looked for no cluster by itself: a Bucket's topology is used."""
        return self._driver.session.state is SessionState.NEW

    def now(self) -> float:
        """Return the loop's monotonic time in seconds."""
        return self._driver.now()

    # Whose topology

    def _borrow(self) -> Topology | None:
        """Return the topology that an open Bucket of the same cluster knows."""
        session = self._lender()
        if session is None or not session.is_open or session.config is None:
            session = self._find_lender()
            if session is None:
                return None
        return session.config, session.network

    def _find_lender(self) -> Any:
        self._lender = _gone
        users = [user for each in list(self._users.values()) if (user := each()) is not None]
        for lender in [*users, *self._buckets.buckets(self._loop)]:
            session = getattr(getattr(lender, "_driver", None), "session", None)
            if session is None or session is self._driver.session or not session.is_open:
                continue
            if session.config is not None and key_of(session.settings) == self.key:
                changed = WeakMethod(self._topology_changed)
                session.services.on_changed = partial(_tell, changed)
                self._lender = ref(session)
                return session
        return None

    def _topology_changed(self, now: float) -> None:
        if not self.is_closed:
            self._driver.session.services.changed(now)
            self._driver.schedule()

    # Who asks, and as whom

    def join(self, user: Any) -> None:
        """Take note that *user*, a Bucket or a Cluster, asks through it."""
        users, number = self._users, id(user)
        users[number] = ref(user, lambda _: users.pop(number, None))

    def leave(self, user: Any) -> None:
        """Take note that *user* asks no more, on the loop: with the last one it ends."""
        self._users.pop(id(user), None)
        if not self._users:
            self._driver.close()

    def renewal(self, settings: Settings) -> Callable[[], None]:
        """Read what *settings* with other credentials need; return what makes them count.

        They count once all who ask here have them: until then, and for those who have them before,
        the old ones stay what this asks with. It only stores values.
        """
        key = key_of(settings)
        renew_driver = self._driver.renewal(
            replace(
                self._driver.session.settings, login=settings.login, tls_files=settings.tls_files
            )
        )

        def renew() -> None:
            users = [user for each in list(self._users.values()) if (user := each()) is not None]
            if all(user._services_key == key for user in users):  # noqa: SLF001 - ours
                self.key = key
                renew_driver()

        return renew


def _gone() -> None:
    """Be the reference to what is not there."""


def _tell(method: WeakMethod[Any], now: float) -> None:
    call = method()
    if call is not None:
        call(now)


class ServicesRegistry:
    """Those that are in use, by loop; it keeps none alive."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[Any, list[ref[ClusterServices]]] = WeakKeyDictionary()

    def find(self, loop: Any, key: ClusterKey) -> ClusterServices | None:
        """Return those with that *key* on *loop*, if they are in use."""
        known = self._loops.setdefault(loop, [])
        known[:] = [each for each in known if (there := each()) is not None and not there.is_closed]
        for each in known:
            services = each()
            if services is not None and services.key == key:
                return services
        return None

    def add(self, loop: Any, services: ClusterServices) -> None:
        """Take note of them."""
        self._loops.setdefault(loop, []).append(ref(services))


_registry = ServicesRegistry()


def services_for(
    user: Any,
    loop: Any,
    settings: Settings,
    given: Mapping[str, Any],
    make_driver: MakeDriver,
    buckets: Registry[Any],
) -> ClusterServices:
    """Return the services that *user* asks, a Bucket or a Cluster: those that others use, or new.

    The other arguments are those of `ClusterServices`.
    """
    found = _registry.find(loop, key_of(settings))
    if found is None:
        found = ClusterServices(loop, settings, given, make_driver, buckets)
        _registry.add(loop, found)
    found.join(user)
    return found
