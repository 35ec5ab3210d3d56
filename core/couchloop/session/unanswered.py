"""What a node that is being connected has not done so far: for whoever can wait no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from couchloop.exceptions import ErrorContext, NodeTimeoutError
from couchloop.kv.connection import State
from couchloop.transport.connecting import SILENCE

if TYPE_CHECKING:
    from couchloop.exceptions import CouchbaseError
    from couchloop.kv.connection import Connection
    from couchloop.settings.values import Address

_NOT_ACCEPTED: Final = "has not accepted so far"


def not_ready(connection: Connection) -> CouchbaseError:
    """Return what the node of *connection* has not done so far, which nothing has failed."""
    text = "the node has not answered the handshake so far"
    if connection.state is State.OPENING:
        text = f"the node {_NOT_ACCEPTED}: {SILENCE}"
    elif connection.state is State.READY:
        text = "the bucket was not ready so far: it is being created, or warming up"
    return NodeTimeoutError(text, context=ErrorContext(node=str(connection.address)))


def not_told(address: Address, *, accepted: bool) -> CouchbaseError:
    """Likewise of a web port, which is asked for a configuration."""
    text = "the web port has not told a configuration so far"
    if not accepted:
        text = f"the web port {_NOT_ACCEPTED}: {SILENCE}"
    return NodeTimeoutError(text, context=ErrorContext(node=str(address)))
