"""How a plain memcached server is greeted: it knows no names, no users and no buckets.

It must not know HELLO either: who does is a data node of Couchbase, which spreads keys otherwise.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from couchloop.exceptions import (
    AuthError,
    ErrorContext,
    ProtocolError,
    WrongProtocolError,
    status_error,
)
from couchloop.hot.frames import Frame, encode_request
from couchloop.kv.handshake import Negotiated
from couchloop.wire import Opcode, Status


def greet() -> Generator[bytes, Any, Negotiated]:
    """Run the dialogue: HELLO, which is to be refused, and NOOP, in one write.

    Raises WrongProtocolError if it is a data node, AuthError if the server wants a login,
    ProtocolError, or the error of whatever else the server says.
    """
    hello: Frame = yield encode_request(Opcode.HELLO) + encode_request(Opcode.NOOP)
    _check(hello, Opcode.HELLO)
    if not hello.status:
        raise WrongProtocolError(
            "this is a data node of a Couchbase cluster, no plain memcached server: use "
            "couchbase:// or couchbases://"
        )
    noop: Frame = yield b""
    _check(noop, Opcode.NOOP)
    if noop.status:
        kind = status_error(noop.status, Opcode.NOOP, 0)
        text = "the server refuses NOOP: is it a memcached?"
        raise kind(text, context=ErrorContext(status=noop.status))
    return Negotiated(frozenset(), {}, b"", gives_config=False)


def _check(reply: Frame, opcode: int) -> None:
    if reply.status == Status.AUTH_ERROR:
        raise AuthError(
            "the server wants a login (it was started with -S), and memcached:// has none: let it "
            "do without one, behind a firewall",
            context=ErrorContext(status=reply.status),
        )
    if reply.opcode != opcode:
        raise ProtocolError(
            f"the server answered opcode 0x{reply.opcode:02x} where 0x{opcode:02x} was due"
        )
