"""Makes the connections of a driver, each by a greenlet of its own: names, addresses, sockets."""

from __future__ import annotations

import _socket  # nothing of it that blocks: see _look_up
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from errno import EAGAIN, EINPROGRESS, ETIMEDOUT
from typing import TYPE_CHECKING, Any, Final

from gevent import Greenlet, Timeout, ssl
from gevent import socket as gsocket

from couchloop.client.driver import Driver, Transport
from couchloop.exceptions import NodeUnreachableError, TlsError, caused
from couchloop.later import Module
from couchloop.safety.printable import general
from couchloop.session.events import OpenConnection
from couchloop.settings.values import Address, Settings
from couchloop.transport.connecting import (
    Family,
    connect_error,
    only_family,
    system_error,
    unexpected,
    unknown_host,
)
from gcouchbase.internals import WRITE, guarded, io_watcher, is_writable
from gcouchbase.sockets import INTERNET, Socket, TlsSocket, bare

if TYPE_CHECKING:
    from gcouchbase import tls
else:
    tls = Module("gcouchbase.tls", globals())

SocketFactory = Callable[[Address], _socket.socket]
"""Gives a connected socket; it runs in a greenlet of its own, and may block that."""

_CONNECTING: Final = frozenset({EINPROGRESS, EAGAIN})

_FAMILIES: Final[Mapping[Family | None, int]] = {
    "IPv4": gsocket.AF_INET,
    "IPv6": gsocket.AF_INET6,
    None: gsocket.AF_UNSPEC,
}


class Dialler:
    """What connections are made with. It does not hold the driver.

    Args:
        hub: what they are made on.
        settings: say whether there is TLS, and what files it needs.
        socket_factory: the user's.
        ssl_context: likewise; None: the files make one.

    Raises CertificateFileError.
    """

    def __init__(
        self,
        hub: Any,
        settings: Settings,
        socket_factory: SocketFactory | None,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.hub = hub
        self.socket_factory = socket_factory
        self.ssl_context = ssl_context
        self.makes_tls = False
        """Whether the files say what TLS trusts and shows."""
        if settings.tls and ssl_context is None:
            self.makes_tls = True
            self.make_tls(settings)()

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        """See `Driver`."""
        context = tls.make_context(settings.tls_files)

        def use() -> None:
            self.ssl_context = context

        return use

    def socket(self, driver: Driver, event: OpenConnection, sock: _socket.socket) -> Socket:
        """Return what carries the bytes of a connection that is made.

        Raises OSError or ValueError where TLS cannot begin.
        """
        if not event.tls:
            return Socket(driver, event, sock)
        assert self.ssl_context is not None, "no TLS in the settings"
        return TlsSocket(driver, event, sock, self.ssl_context)


class Attempt(Transport):
    """A connection that is being made, by a greenlet of its own: name lookups need one."""

    def __init__(self, dialler: Dialler, driver: Driver, event: OpenConnection) -> None:
        self._dialler = dialler
        self._driver = driver
        self._event = event
        self._sock: _socket.socket | None = None
        self._watcher: Any = None
        self._greenlet: Greenlet[[], None] = Greenlet(self._connect)
        self._greenlet.name = f"couchbase-connect-{event.id}"

    def open(self) -> None:
        """Begin to connect."""
        self._greenlet.rawlink(self._not_begun)
        self._greenlet.start()

    def _not_begun(self, _: object) -> None:
        """Record that the application has killed the greenlet before it has begun."""
        driver, event = self._driver, self._event
        if driver.transports.get(event.id) is self:
            why, settings = "the greenlet was killed", driver.session.settings
            error = connect_error(NodeUnreachableError, event.address, why, settings)
            guarded(driver.home, driver, driver.connect_failed, event.id, error)

    def _connect(self) -> None:
        self._greenlet.unlink(self._not_begun)
        driver, event = self._driver, self._event
        address, settings = event.address, driver.session.settings
        try:
            sock = self._dial(address, settings)
            if sock.family in INTERNET:
                settings.sockets.apply(sock, gsocket)
        except (gsocket.gaierror, UnicodeError) as why:
            # UnicodeError: a name that IDNA cannot express.
            error = unknown_host(why, address, settings)
            caused(error, bare(why))
        except OSError as why:
            reason = why.strerror or general(str(why))
            error = system_error(why.errno, reason, address, settings)
            caused(error, bare(why))
        except BaseException as why:
            # Killed, by us when nobody wants the connection any more, or by the application.
            driver.connect_failed(event.id, unexpected(why, address, settings))
            raise
        else:
            if driver.transports.get(event.id) is not self:
                # Given up a moment ago.
                sock.close()
                return
            try:
                transport = driver.transports[event.id] = self._dialler.socket(driver, event, sock)
            except (OSError, ValueError) as why:
                # A context that is for servers, for instance.
                sock.close()
                error = TlsError(f"TLS with {address} cannot begin: {general(str(why))}")
                caused(error, bare(why))
            else:
                transport.open()
                return
        driver.connect_failed(event.id, error)

    def _dial(self, address: Address, settings: Settings) -> _socket.socket:
        """Connect to the first of a host's addresses that answers.

        config_node_timeout is for all: one that stays silent leaves the others their share.

        Raises gaierror or UnicodeError if the name means nothing, else OSError.
        """
        factory = self._dialler.socket_factory
        if factory is not None:
            # Its own watchers, if it is gevent's, are of no use to us.
            sock = self._sock = _socket.socket(fileno=factory(address).detach())
            sock.setblocking(False)
            return sock
        found = _look_up(address, _FAMILIES[only_family(settings)])
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
        """Wait until *sock* is connected; return 0, or the number of the error."""
        hub = self._dialler.hub
        watcher = self._watcher = io_watcher(hub, sock.fileno(), WRITE)
        try:
            with Timeout(limit) as patience:
                hub.wait(watcher)
        except Timeout as timeout:
            if timeout is not patience:
                raise
            # The loop may have stood still, and the timer have come before the socket.
            if not is_writable(sock.fileno()):
                return ETIMEDOUT
        finally:
            watcher.close()
        return sock.getsockopt(gsocket.SOL_SOCKET, gsocket.SO_ERROR)

    def write(self, data: bytes) -> None:
        """Do nothing: the session says nothing before it is connected."""

    def pause_reading(self) -> None:
        """Do nothing: nothing is read yet."""

    def resume_reading(self) -> None:
        """Do nothing: likewise."""

    def finish(self) -> None:
        """Give up connecting."""
        self._driver.connection_lost(self._event.id, None)
        self._greenlet.kill(block=False)

    def unwatch(self) -> None:
        """See `Socket.unwatch`."""
        if self._watcher is not None:
            self._watcher.close()
        self._greenlet.kill(block=False)

    def drop(self) -> None:
        """Release the descriptor."""
        if self._sock is not None:
            self._sock.close()


def _look_up(address: Address, family: int) -> list[Any]:
    """Return a host's addresses, as getaddrinfo does, by the resolver that gevent is set to."""
    where = (address.host, address.port, family, gsocket.SOCK_STREAM)
    with suppress(gsocket.gaierror):
        # A numeric address needs no resolver, nor its threads.
        return _socket.getaddrinfo(*where, 0, gsocket.AI_NUMERICHOST)
    return list(gsocket.getaddrinfo(*where))
