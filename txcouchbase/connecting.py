"""Makes the connections of a driver: endpoints, TLS or none, and why one came to nothing."""

from __future__ import annotations

from collections.abc import Callable
from socket import gaierror
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError as TwistedConnectError
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IProtocol, IReactorFDSet, IStreamClientEndpoint
from twisted.python.failure import Failure

from couchloop.client.driver import Driver
from couchloop.exceptions import ArgumentError, CouchbaseError, caused
from couchloop.neighbours import need
from couchloop.session.events import OpenConnection
from couchloop.settings.values import Address, Settings, Tls
from couchloop.transport.connecting import only_family, system_error, unexpected, unknown_host
from txcouchbase.dialling import HostEndpoint, system_words
from txcouchbase.protocol import CouchbaseFactory, dead_end

if TYPE_CHECKING:
    from txcouchbase.tls import TlsAttempt, TlsFactory

EndpointFactory = Callable[[Any, Address, bool], IStreamClientEndpoint]
"""Makes the endpoint for (reactor, address, tls)."""

_OWN_TLS: Final = (
    "an endpoint_factory does the TLS itself: give it, or say what TLS trusts and shows "
    "(tls_factory, certificates, tls_verify, LCB_SSL_… in the environment), not both"
)
_ATTEMPTS: Final = 16
"""How many addresses of a name can be tried, each with a head start, in the time of one node."""

_FAMILIES: Final = {"IPv4": IPv4Address, "IPv6": IPv6Address}


class Dialler:
    """What connections are made with. It does not hold the driver.

    Args:
        reactor: what they are made on.
        settings: say whether there is TLS, and what files it needs.
        endpoint_factory: the user's.
        tls_factory: likewise; None: the files make one.

    Raises ArgumentError where both the user's endpoints and ours would do the TLS,
    CertificateFileError.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        endpoint_factory: EndpointFactory | None,
        tls_factory: TlsFactory | None,
    ) -> None:
        self.reactor = reactor
        self._endpoint_factory = endpoint_factory
        self._tls_factory = tls_factory
        self.makes_tls = False
        """Whether the files say what TLS trusts and shows."""
        if endpoint_factory is not None:
            if tls_factory is not None or settings.tls_files != Tls():
                raise ArgumentError(_OWN_TLS)
        elif settings.tls and tls_factory is None:
            self.makes_tls = True
            self.make_tls(settings)()

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """See `Driver`."""
        if self._endpoint_factory is not None:
            raise ArgumentError(_OWN_TLS)
        # Here, so that those who use plain TCP need no TLS library.
        for name in ("OpenSSL", "cryptography", "service_identity"):
            need(name, "TLS on Twisted", "twisted")
        from txcouchbase.tls import make_tls_factory  # noqa: PLC0415

        factory = make_tls_factory(settings.tls_files)

        def use() -> None:
            self._tls_factory = factory

        return use

    def endpoint(
        self, address: Address, tls: bool, settings: Settings, dialled: list[Any]
    ) -> tuple[IStreamClientEndpoint, TlsAttempt | None]:
        """Return what connects to *address*, and what explains its TLS (None: the user's does it).

        *dialled* takes the connectors of what it dials, unless an endpoint of the user's does that.
        """
        if self._endpoint_factory is not None:
            return self._endpoint_factory(self.reactor, address, tls), None
        family = only_family(settings)
        # Short enough for a dozen addresses that say nothing.
        head_start = settings.config_node_timeout / _ATTEMPTS
        endpoint: IStreamClientEndpoint = HostEndpoint(
            self.reactor, address, family and _FAMILIES[family], head_start, dialled
        )
        if not tls:
            return endpoint, None
        from txcouchbase.tls import TlsAttempt, TlsEndpoint  # noqa: PLC0415 - as above

        assert self._tls_factory is not None, "no TLS in the settings"
        attempt = TlsAttempt(address.host, self._tls_factory(address.host))
        return TlsEndpoint(self.reactor, endpoint, attempt), attempt


class Attempt:
    """A connection that is being made; the Protocol takes its place once it is."""

    def __init__(self, dialler: Dialler, driver: Driver, event: OpenConnection) -> None:
        self._dialler = dialler
        self._driver = driver
        self._event = event
        self._connecting: Deferred[Any] | None = None
        self._dialled: list[Any] = []

    def open(self) -> None:
        """Begin to connect."""
        # Endpoints and their factories may be the user's, and may raise.
        self._connecting = maybeDeferred(self._connect)
        self._connecting.addErrback(self._failed)

    def _connect(self) -> Deferred[IProtocol]:
        driver, event = self._driver, self._event
        settings = driver.session.settings
        endpoint, tls = self._dialler.endpoint(event.address, event.tls, settings, self._dialled)
        return endpoint.connect(CouchbaseFactory(driver, event.id, tls, event.address.host))

    def _failed(self, failure: Failure) -> None:
        driver, event = self._driver, self._event
        error = _translated(failure, event.address, driver.session.settings)
        driver.connect_failed(event.id, error)

    def write(self, data: bytes) -> None:
        """Do nothing: the session says nothing before it is connected."""

    def pause_reading(self) -> None:
        """Do nothing: nothing is read yet."""

    def resume_reading(self) -> None:
        """Do nothing: likewise."""

    def finish(self) -> None:
        """Give up connecting."""
        if self._connecting is not None:
            self._connecting.cancel()

    def drop(self) -> None:
        """Lead to nowhere what the reactor is connecting: see `dead_end`."""
        for connector in self._dialled:
            # The reactor knows nothing of it yet if it was dialled in this turn.
            if hasattr(connector.transport, "fileno"):
                dead_end(connector.transport.fileno())
        reactor = self._dialler.reactor
        if not IReactorFDSet.providedBy(reactor):
            return
        for each in [*reactor.getReaders(), *reactor.getWriters()]:
            # Endpoints keep their sockets to themselves, but wrap the factory that they are given.
            factory = getattr(getattr(each, "connector", None), "factory", None)
            while factory is not None and not isinstance(factory, CouchbaseFactory):
                wrapped = getattr(factory, "_wrappedFactory", None)
                factory = wrapped or getattr(factory, "wrappedFactory", None)
            if factory is not None and factory.is_of(self._driver):
                dead_end(each.fileno())


def _translated(failure: Failure, address: Address, settings: Settings) -> BaseException:
    """Return in the core's terms why a connection could not be made."""
    why: Any = failure.value
    if isinstance(why, CouchbaseError):
        return why
    error: CouchbaseError
    if isinstance(why, DNSLookupError | gaierror):
        error = unknown_host(why, address, settings)
    elif isinstance(why, TwistedConnectError):
        error = system_error(why.osError, system_words(why), address, settings)
    else:
        error = unexpected(why, address, settings)
    caused(error, why)
    return error
