"""DNS SRV records, through twisted.names; loaded only where one is to be looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IResolver
from twisted.names import client, dns
from twisted.names.error import DNSNameError, DomainError
from twisted.python.failure import Failure

from couchloop.session.bootstrap.srv import SHARES, named, not_answered, not_known
from couchloop.session.events import ResolveSrv
from couchloop.settings.hosts import name_servers
from couchloop.settings.values import Address
from txcouchbase.patience import PatientCall

_SYSTEM: Final = Path("/etc/resolv.conf")
_PORT: Final = 53


class Lookup:
    """One question to a DNS server; it leaves nothing behind in the reactor.

    Args:
        reactor: what it runs on.
        event: the question, and how long the answer may take.
        resolver: whom to ask; None: the name servers of resolv.conf.
        done: called with the addresses that the record names (none, if there is no such record),
            or with why that is not known. Not called after `end`.
    """

    def __init__(
        self,
        reactor: Any,
        event: ResolveSrv,
        resolver: IResolver | None,
        done: Callable[[Sequence[Address] | BaseException], None],
    ) -> None:
        self._name = event.name
        self._timeout = event.timeout
        self._done: Callable[[Sequence[Address] | BaseException], None] | None = done
        self._opened = _Opened(reactor)
        self._opened.callLater(event.timeout, self._too_late)
        self._asking = maybeDeferred(self._ask, resolver)
        self._asking.addCallbacks(self._answered, self._failed)

    def end(self) -> None:
        """Ask no more."""
        self._done = None
        self._asking.cancel()
        self._opened.close()

    def _ask(self, resolver: IResolver | None) -> Deferred[Any]:
        timeout = self._timeout
        if resolver is None:
            servers = list(_name_servers(_SYSTEM))
            resolver = _resolver(self._opened, servers)
            timeout /= len(servers)
        pauses: Any = [timeout * share for share in SHARES]
        return resolver.lookupService(self._name, timeout=pauses)

    def _answered(self, sections: Any) -> None:
        records = [header.payload for header in sections[0] if header.type == dns.SRV]
        self._tell(named((_text(record.target), record.port) for record in records))

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, DNSNameError):
            self._tell([])
        elif not isinstance(failure.value, CancelledError):
            why = failure.value
            # Those of twisted.names hold the whole message.
            what = "" if isinstance(why, DomainError) else str(why)
            self._tell(not_known(self._name, what or type(why).__name__))

    def _too_late(self) -> None:
        error = not_answered(self._name)
        done = self._done
        self.end()
        if done is not None:
            done(error)

    def _tell(self, answer: Sequence[Address] | BaseException) -> None:
        done, self._done = self._done, None
        self._opened.close()
        if done is not None:
            done(answer)


class _Opened:
    """A reactor as a resolver needs it, that knows what it was asked for, and can end it.

    twisted.names keeps timers and TCP connections of a question that is cancelled.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: list[PatientCall] = []
        self._connectors: list[Any] = []

    def callLater(self, delay: float, call: Callable[..., Any], *arguments: Any) -> PatientCall:
        delayed = PatientCall(self._reactor, delay, call, *arguments)
        self._calls.append(delayed)
        return delayed

    def listenUDP(self, *arguments: Any, **keywords: Any) -> Any:
        # Its Deferred closes it, whether it fires or is cancelled.
        return self._reactor.listenUDP(*arguments, **keywords)

    def connectTCP(self, *arguments: Any, **keywords: Any) -> Any:
        connector = self._reactor.connectTCP(*arguments, **keywords)
        self._connectors.append(connector)
        return connector

    def close(self) -> None:
        """End timers and connections."""
        for delayed in self._calls:
            if delayed.active():
                delayed.cancel()
        for connector in self._connectors:
            connector.disconnect()
        self._calls, self._connectors = [], []


class _TcpFactory(client.DNSClientFactory):
    """Asks again what did not fit into a datagram, on the reactor that is ours."""

    def __init__(self, resolver: client.Resolver, reactor: Any) -> None:
        super().__init__(resolver)  # type: ignore[no-untyped-call]
        self.noisy = False
        self._reactor = reactor

    def buildProtocol(self, _: object) -> dns.DNSProtocol:
        return dns.DNSProtocol(self.controller, self._reactor)  # type: ignore[no-untyped-call]


def _resolver(reactor: _Opened, servers: Sequence[tuple[str, int]]) -> client.Resolver:
    resolver = client.Resolver(servers=servers, reactor=reactor)  # type: ignore[no-untyped-call]
    resolver.factory = _TcpFactory(resolver, reactor)
    return resolver


def _name_servers(path: Path) -> Iterable[tuple[str, int]]:
    """Return the servers that *path* names; the local one if there are none (resolv.conf(5))."""
    text = ""
    with suppress(OSError):
        text = path.read_text(errors="replace")
    return [(server, _PORT) for server in name_servers(text)]


def _text(name: dns.Name) -> str:
    return name.name.decode("ascii", "replace")
