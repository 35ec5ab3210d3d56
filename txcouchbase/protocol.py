"""The Twisted Protocol that carries one key-value connection.

A Bucket makes these by itself, one for each data node. They are public for those who bring their
own endpoints (`endpoint_factory`), test with a `StringTransport`, or look at the transport.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHandshakeListener,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.client.backlog import Backlog
from couchloop.client.driver import Driver
from couchloop.client.patience import GRACE
from couchloop.exceptions import TlsError, caused
from couchloop.kv.connection import SIGN
from couchloop.later import Module
from couchloop.settings.values import Address
from txcouchbase.patience import PatientCall

if TYPE_CHECKING:
    from couchloop.transport import tls as tls_words
    from txcouchbase.tls import TlsAttempt
else:
    # Who uses TLS has it.
    tls_words = Module("couchloop.transport.tls", globals())

_AT_ONCE: Final = 1 << 16
"""Most bytes that are sent at once: what does not fit is copied."""
_PIECE: Final = 1 << 18
"""Bytes that a transport is given at once: it says that it has written them only when all are."""


@implementer(IHandshakeListener, IPushProducer)
class CouchbaseProtocol(Protocol):
    """Bytes between a transport and one connection of a Bucket's session.

    Args:
        driver: the Bucket's driver.
        connection_id: the connection's number in the session.
        tls: knows what went wrong if TLS fails; None: an endpoint of the user's does any TLS.
        host: the name or address of the node.
    """

    def __init__(
        self,
        driver: Driver,
        connection_id: int,
        tls: TlsAttempt | None = None,
        host: str = "",
    ) -> None:
        self.connection_id = connection_id
        self._tls = tls
        self._host = host
        self._is_tls = tls is not None
        """Whether the transport tells when a handshake of TLS is done."""
        self._tls_established = False
        self._refusal: TlsError | None = None
        """Why nothing may be said to this peer."""
        self._driver = driver
        self._grace: PatientCall | None = None
        self._writer: Any = None
        self._backlog = Backlog()
        self._is_held = False
        """Whether the transport has enough for now."""
        self._is_direct = False
        """Whether bytes can be sent without the transport's buffer."""
        self._is_paused = False
        """Whether the transport reads nothing for now."""

    def connectionMade(self) -> None:
        """Make the session begin its handshake, unless TLS comes first."""
        transport: Any = self.transport
        self._writer = transport
        self._is_direct = isinstance(transport, Connection) and hasattr(transport, "_tempDataLen")
        if self.connection_id not in self._driver.transports:
            # Given up meanwhile.
            self._abort()
            return
        sock = _tcp_socket(transport)
        if sock is not None:
            # One that is gone already says so by itself.
            with suppress(OSError):
                self._driver.session.settings.sockets.apply(sock, socket)
        if IConsumer.providedBy(transport):
            transport.registerProducer(self, streaming=True)
        self._driver.transports[self.connection_id] = self
        self._is_tls = self._tls is not None or _is_tls(transport)
        if not self._is_tls:
            self._driver.connected(self.connection_id, _local(transport))

    def handshakeCompleted(self) -> None:
        """Make the session begin its handshake, now that TLS is established."""
        transport: Any = self.transport
        if not self._is_tls or getattr(transport, "disconnecting", False):
            # In the latter case Twisted has refused the peer, and connectionLost says why.
            return
        try:
            if self._tls is not None:
                self._tls.check()
            else:
                from txcouchbase.tls import check_endpoint  # noqa: PLC0415 - who uses TLS has it

                check_endpoint(transport, self._host)
        except TlsError as why:
            self._refusal = why
            self._abort()
            return
        self._tls_established = True
        self._driver.connected(self.connection_id, _local(transport))

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes to the session; Deferreds of answered operations fire within this call."""
        self._driver.receive_data(self.connection_id, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Notify the session, which fails or repeats what was in flight."""
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        self._writer = None
        tls, self._tls = self._tls, None
        error: BaseException | None = self._refusal
        if error is None:
            is_plain = not self._driver.session.settings.tls
            error = _translated(reason, tls, established=self._tls_established, is_plain=is_plain)
        self._driver.connection_lost(self.connection_id, error)

    def logPrefix(self) -> str:
        """Return the name under which Twisted logs what goes wrong in here."""
        return f"couchbase-{self.connection_id}"

    # What the driver needs of a transport

    def open(self) -> None:
        """Do nothing: it is open."""

    def write(self, data: bytes) -> None:
        """Send *data*, or keep it as long as the transport has enough."""
        if self._writer is None:
            return
        if not self._is_held and len(data) <= _PIECE:
            if self._is_direct and len(data) <= _AT_ONCE:
                self._send(data)
            else:
                self._writer.write(data)
            return
        is_large = self._backlog.add(data)
        if not self._is_held:
            is_large = not self._write_kept() and is_large
        if is_large:
            self._driver.paused(self.connection_id)

    def _send(self, data: bytes) -> None:
        """Send *data* at once if nothing waits before it; the transport keeps what does not fit.

        To have the transport keep it first takes a turn of the loop, and three system calls more.
        """
        writer = self._writer
        # Whether anything waits is told by nobody else; TLS may have come by startTLS.
        if writer._tempDataLen or writer.dataBuffer or writer.TLS or not writer.connected:  # noqa: SLF001
            writer.write(data)
            return
        try:
            sent = writer.writeSomeData(data)
        except BaseException:
            # Interrupted: how much of it has gone is not known, so nothing may follow it.
            self._abort()
            raise
        if sent != len(data):
            # What is lost is told in a turn of its own: the transport meets it once more.
            writer.write(data[sent:] if isinstance(sent, int) else data)

    def _write_kept(self) -> bool:
        """Write what was kept, until the transport has enough; return whether little is left."""
        backlog = self._backlog
        is_small = False
        while backlog and not self._is_held:
            data = bytes(memoryview(backlog.first)[:_PIECE])
            is_small |= backlog.sent(len(data))
            self._writer.write(data)
        return is_small

    def pause_reading(self) -> None:
        """See `Transport`."""
        if IPushProducer.providedBy(self._writer):
            self._is_paused = True
            self._writer.pauseProducing()

    def resume_reading(self) -> None:
        """See `Transport`."""
        if self._is_paused and self._writer is not None:
            self._is_paused = False
            self._writer.resumeProducing()

    def finish(self) -> None:
        """Close once everything is written; abort if the peer does not take it in time."""
        if self._writer is None or self._grace is not None:
            return
        is_handshaking = self._is_tls and not self._tls_established
        if is_handshaking or self._is_paused:
            # Nothing can be written yet, and the peer may never let it be; or it is not heard.
            self._abort()
        else:
            # The timer first: connectionLost may come from within.
            self._grace = PatientCall(self._driver.home, GRACE, self._abort)
            if not self._backlog:
                self._end()

    def _end(self) -> None:
        # A transport waits for its producer.
        if IConsumer.providedBy(self._writer):
            self._writer.unregisterProducer()
        self._writer.loseConnection()

    # What a transport needs of a producer

    def pauseProducing(self) -> None:
        """Write no more for now: the transport has enough."""
        self._is_held = True

    def resumeProducing(self) -> None:
        """Write what was kept, until the transport has enough again."""
        self._is_held = False
        if self._writer is None:
            return
        # A transport that has enough has 64 KB at least, and now none.
        self._driver.progressed(self.connection_id, SIGN)
        is_small = self._write_kept()
        if self._grace is not None:
            # Closing, and the peer takes what is left.
            if not self._backlog:
                self._end()
        elif is_small:
            self._driver.resumed(self.connection_id)

    def stopProducing(self) -> None:
        """Do nothing: the transport is gone, and says so by connectionLost."""

    def _abort(self) -> None:
        # Not all transports can be aborted, a pipe to a process for one.
        transport = self._writer
        if transport is not None:
            getattr(transport, "abortConnection", transport.loseConnection)()

    def drop(self) -> None:
        """Lead the descriptor to nowhere: see `dead_end`."""
        transport, self._writer = self._writer, None
        while transport is not None:
            if hasattr(transport, "fileno"):
                dead_end(transport.fileno())
                return
            transport = getattr(transport, "transport", None)


def dead_end(descriptor: int) -> None:
    """Put a socket whose peer is gone in the place of a forked child's *descriptor*.

    The reactor must not be told that it is gone: it would take it out of the kernel object that it
    shares with the parent's. Whatever the child does with the transport ends here, not at the peer.
    """
    if descriptor < 0:
        return
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), descriptor, inheritable=False)


def _local(transport: Any) -> str | None:
    """Return a transport's own end; None: it has no host and port."""
    host = getattr(transport, "getHost", lambda: None)()
    if not isinstance(host, IPv4Address | IPv6Address):
        return None
    return str(Address(host.host, host.port))


def _is_tls(transport: Any) -> bool:
    """Whether *transport* is Twisted's TLS, of which the end of the handshake is told."""
    # Whoever has one has its module, and others need no TLS library.
    tls = sys.modules.get("twisted.protocols.tls")
    return tls is not None and isinstance(transport, tls.TLSMemoryBIOProtocol)


def _tcp_socket(transport: Any) -> socket.socket | None:
    """Return the socket below *transport*, TLS or not; None: there is none, or not of TCP."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if not (ITCPTransport.providedBy(transport) and ISystemHandle.providedBy(transport)):
        return None
    handle = transport.getHandle()
    return handle if isinstance(handle, socket.socket) else None


def _translated(
    failure: Failure, tls: TlsAttempt | None, *, established: bool, is_plain: bool
) -> BaseException | None:
    """Return in the core's terms why a connection was lost; None: the peer has closed in order."""
    reason = failure.value
    if reason is None or is_plain or isinstance(reason, ConnectionClosed):
        if tls is None or established:
            # What has no length ends so.
            return None if isinstance(reason, ConnectionDone) else reason
        error = tls_words.cut_off(tls.host)
    elif tls is not None:
        error = tls.explain(failure)
    else:
        error = TlsError(f"TLS failed: {reason}")
    caused(error, reason)
    return error


class CouchbaseFactory(Factory):
    """Makes the Protocol of one connection.

    It does not hold the driver: Twisted's transports and connectors, which are circles, keep it. As
    long as the connection is awaited whoever awaits it holds the driver.
    """

    noisy = False

    def __init__(
        self,
        driver: Driver,
        connection_id: int,
        tls: TlsAttempt | None = None,
        host: str = "",
    ) -> None:
        self._driver = ref(driver)
        self._connection_id = connection_id
        self._tls = tls
        self._host = host

    def is_of(self, driver: Driver) -> bool:
        """Whether it makes a connection of *driver*."""
        return driver is self._driver()

    def buildProtocol(self, addr: IAddress | None) -> CouchbaseProtocol | None:  # noqa: ARG002
        """Return a new Protocol; None (hang up): nobody awaits it any more."""
        driver = self._driver()
        if driver is None:
            return None
        return CouchbaseProtocol(driver, self._connection_id, self._tls, self._host)
