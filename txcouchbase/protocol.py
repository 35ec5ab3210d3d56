"""The Twisted Protocol that carries one key-value connection.

A Bucket makes these by itself, one for each data node. They are public for those who bring their
own endpoints (`endpoint_factory`), test with a `StringTransport`, or look at the transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from couchloop.exceptions import TlsError

if TYPE_CHECKING:
    from txcouchbase.driver import TwistedDriver

_GRACE: Final = 2.0
"""Seconds that a peer has to take what is still to be written once a connection is closing."""


class CouchbaseProtocol(Protocol):
    """Bytes between a transport and one connection of a Bucket's session.

    Args:
        driver: the Bucket's driver.
        connection_id: the connection's number in the session.
    """

    def __init__(self, driver: TwistedDriver, connection_id: int) -> None:
        self.connection_id = connection_id
        self._driver = driver
        self._grace: IDelayedCall | None = None
        self._writer: Any = None

    def connectionMade(self) -> None:
        """Let the session begin its handshake."""
        transport: Any = self.transport
        self._writer = transport
        if self.connection_id not in self._driver.transports:
            # Given up meanwhile.
            self._abort()
            return
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self._driver.transports[self.connection_id] = self
        self._driver.connected(self.connection_id)

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes to the session; Deferreds of answered operations fire within this call."""
        self._driver.receive_data(self.connection_id, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the session, which fails or repeats what was in flight."""
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        self._writer = None
        self._driver.connection_lost(self.connection_id, _translated(reason))

    def logPrefix(self) -> str:
        """Give the name under which Twisted logs what goes wrong in here."""
        return f"couchbase-{self.connection_id}"

    # What the driver needs of a transport

    def open(self) -> None:
        """Do nothing: it is open."""

    def write(self, data: bytes) -> None:
        """Send *data*."""
        if self._writer is not None:
            self._writer.write(data)

    def finish(self) -> None:
        """Close once everything is written; abort if the peer does not take it in time."""
        if self._grace is None and self._writer is not None:
            # The timer first: connectionLost may come from within.
            self._grace = self._driver.reactor.callLater(_GRACE, self._abort)
            self._writer.loseConnection()

    def _abort(self) -> None:
        # Not all transports can be aborted, a pipe to a process for one.
        transport = self._writer
        getattr(transport, "abortConnection", transport.loseConnection)()


def _translated(failure: Failure) -> BaseException | None:
    """Say in the core's terms why a connection was lost, where more is known than that it was."""
    reason = failure.value
    if reason is None or isinstance(reason, ConnectionClosed):
        return reason
    # TLS transports give the error of the TLS library.
    error = TlsError(
        f"TLS failed: {reason}; is this a TLS port, and does its certificate name this host and "
        "come from an issuer that is trusted?"
    )
    error.__cause__ = reason
    return error


class CouchbaseFactory(Factory):
    """Makes the Protocol of one connection."""

    noisy = False

    def __init__(self, driver: TwistedDriver, connection_id: int) -> None:
        self._driver = driver
        self._connection_id = connection_id

    def buildProtocol(self, addr: IAddress | None) -> CouchbaseProtocol:  # noqa: ARG002
        """Give a new Protocol."""
        return CouchbaseProtocol(self._driver, self._connection_id)
