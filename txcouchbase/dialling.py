"""How a host is dialled: its name is looked up, and its addresses are tried one after the other.

Twisted's own endpoint for host names refuses names that are legal elsewhere (`my_node`, as in every
docker compose), waits in the reactor's threads, which may all be waiting for a Bucket, and gives
each address its head start even if that has refused (RFC 8305 has the next one tried at once).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.settings.hosts import host_to_dial, is_address
from couchloop.settings.values import Address
from txcouchbase.workers import workers

if TYPE_CHECKING:
    from twisted.python.threadpool import ThreadPool

Family = type[IPv4Address] | type[IPv6Address]

_FAMILIES = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}


def system_words(why: ConnectError) -> str:
    """Return why no connection could be made, in the system's words: the other loop has no more."""
    number: object = why.osError
    return os.strerror(number) if isinstance(number, int) else str(why).rstrip(".")


@implementer(IStreamClientEndpoint)
class HostEndpoint:
    """Connects to the first of a host's addresses that accepts.

    Args:
        reactor: what it runs on; it may have a name resolver of the user's.
        address: host and port.
        family: of the only addresses that count; None: both.
        head_start: seconds after which the next address is tried as well.
        dialled: takes the connector of each connection that is made.
    """

    def __init__(
        self,
        reactor: Any,
        address: Address,
        family: Family | None,
        head_start: float,
        dialled: list[Any],
    ) -> None:
        self._reactor = reactor
        self._connecting = _Connecting(reactor, dialled)
        self._address = address
        self._family = family
        self._head_start = head_start

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See IStreamClientEndpoint.

        Fails with gaierror or DNSLookupError where the name has no address, else with what the
        last address gave.
        """
        address = self._address
        found: Deferred[Sequence[IAddress]]
        if is_address(address.host):
            kind = IPv6Address if ":" in address.host else IPv4Address
            found = succeed([kind("TCP", address.host, address.port)])
        else:
            found = _look_up(self._reactor, address, self._family)
        return found.addCallback(self._try, protocolFactory)

    def _try(self, found: Sequence[IAddress], factory: IProtocolFactory) -> Deferred[IProtocol]:
        if not found:
            raise DNSLookupError(f"no results for hostname lookup: {self._address.host}")
        return _Race(self._reactor, self._connecting, found, factory, self._head_start).won


class _Connecting:
    """A reactor as an endpoint needs it, that gives the connectors too."""

    def __init__(self, reactor: Any, dialled: list[Any]) -> None:
        self._reactor = reactor
        self._dialled = dialled

    def connectTCP(self, *arguments: Any, **keywords: Any) -> Any:
        connector = self._reactor.connectTCP(*arguments, **keywords)
        self._dialled.append(connector)
        return connector


class _Race:
    """Connections to several addresses, of which the first that comes about counts."""

    def __init__(
        self,
        reactor: Any,
        connecting: _Connecting,
        found: Sequence[IAddress],
        factory: IProtocolFactory,
        head_start: float,
    ) -> None:
        self.won: Deferred[IProtocol] = Deferred(lambda _: self._end())
        self._reactor = reactor
        self._connecting: Any = connecting
        self._left: list[Any] = list(found)
        self._factory = factory
        self._head_start = head_start
        self._running: list[Deferred[IProtocol]] = []
        self._next: IDelayedCall | None = None
        self._start()

    def _start(self) -> None:
        """Try the next address; and the one behind it a little later."""
        self._next = None
        where = self._left.pop(0)
        kind = TCP6ClientEndpoint if isinstance(where, IPv6Address) else TCP4ClientEndpoint
        # The session has a limit of its own, which knows of loops that stand still.
        endpoint = kind(self._connecting, where.host, where.port, timeout=None)  # type: ignore[arg-type]
        running = endpoint.connect(self._factory)
        self._running.append(running)
        self._start_later(self._head_start)
        running.addCallback(self._connected, running)
        running.addErrback(self._failed, running)

    def _start_later(self, delay: float) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._left:
            self._next = self._reactor.callLater(delay, self._start)

    def _connected(self, protocol: IProtocol, running: Deferred[IProtocol]) -> None:
        self._running.remove(running)
        self._end()
        self.won.callback(protocol)

    def _failed(self, failure: Failure, running: Deferred[IProtocol]) -> None:
        if running not in self._running:
            # Too late.
            return
        self._running.remove(running)
        if self._left:
            # In a turn of its own: there may be many that fail at once.
            self._start_later(0)
        elif not self._running:
            self.won.errback(failure)

    def _end(self) -> None:
        self._left.clear()
        self._start_later(0)
        running, self._running = self._running, []
        for each in running:
            each.cancel()


def _look_up(reactor: Any, address: Address, family: Family | None) -> Deferred[Sequence[IAddress]]:
    """Return the addresses of a name, by the resolver that the reactor has by now."""
    resolver = getattr(reactor, "nameResolver", None)
    if resolver is None or type(resolver).__name__ == "GAIResolver":
        # Twisted's own would do the same in the reactor's threads.
        number = next((n for n, kind in _FAMILIES.items() if kind is family), socket.AF_UNSPEC)
        pool = cast("ThreadPool", workers)
        return deferToThreadPool(reactor, pool, _ask_system, address, number)
    receiver = _Receiver()
    families = None if family is None else [family]
    resolver.resolveHostName(receiver, host_to_dial(address.host), address.port, families, "TCP")
    return receiver.complete


def _ask_system(address: Address, family: int) -> Sequence[IAddress]:
    # As bytes, which nobody encodes: names that are ASCII go as they are.
    name = host_to_dial(address.host).encode("ascii")
    found = socket.getaddrinfo(name, address.port, family, socket.SOCK_STREAM)
    return [
        _FAMILIES[family]("TCP", str(where[0]), address.port)
        for family, _, _, _, where in found
        if family in _FAMILIES
    ]


@implementer(IResolutionReceiver)
class _Receiver:
    """Takes what a resolver finds."""

    def __init__(self) -> None:
        self.complete: Deferred[Sequence[IAddress]] = Deferred()
        self._found: list[IAddress] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See IResolutionReceiver."""

    def addressResolved(self, address: IAddress) -> None:
        """See IResolutionReceiver."""
        self._found.append(address)

    def resolutionComplete(self) -> None:
        """See IResolutionReceiver."""
        self.complete.callback(self._found)
