"""How a plain memcached server is greeted, and what every kind of peer makes of it."""

from __future__ import annotations

import pytest

from couchloop.exceptions import (
    AuthError,
    CouchbaseError,
    HandshakeClosedError,
    ServerError,
    WrongProtocolError,
)
from couchloop.hot.frames import FrameDecoder, RequestFrame, encode_response
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import Hello
from couchloop.settings.values import Address, Login
from couchloop.wire import Opcode, Status
from tests.core.kv.test_handshake import Dialogue, Owner, Server, status

REFUSED = encode_response(Opcode.HELLO, status=Status.UNKNOWN_COMMAND, value=b"Unknown command")
KNOWN = encode_response(Opcode.HELLO)
NOOP = encode_response(Opcode.NOOP)


def greeted(answer: bytes) -> tuple[Connection, Owner, bytes]:
    """Return a connection that got *answer*, its owner, and what it wrote."""
    owner = Owner()
    hello = Hello("agent", "0/0", is_plain=True)
    connection = Connection(owner, 1, Address("10.0.0.1", 11211), "cache", hello, tls=False)
    connection.opened(Login("user", "s3cr3t-pass"), lambda: "nonce", 0.0)
    written = connection.take_output()
    for byte in answer:
        connection.receive_data(bytes([byte]), 1.0)
    return connection, owner, written


def test_one_write_without_names() -> None:
    """HELLO and NOOP go out together, with no body: no agent, no user, no bucket."""
    connection, owner, written = greeted(REFUSED + NOOP)
    frames = FrameDecoder(RequestFrame).receive(written)
    assert [frame.opcode for frame in frames] == [Opcode.HELLO, Opcode.NOOP]
    assert len(written) == 48
    assert connection.state is State.READY
    (negotiated,) = owner.ready
    assert not negotiated.features
    assert not negotiated.gives_config
    assert connection.prefix == b""


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (KNOWN + NOOP, WrongProtocolError, "use couchbase://"),
        (encode_response(Opcode.HELLO, status=Status.AUTH_ERROR), AuthError, "has none"),
        (REFUSED + encode_response(Opcode.NOOP, status=0x99), ServerError, "is it a memcached"),
        (NOOP, WrongProtocolError, "binary protocol"),
        (b"ERROR\r\n", WrongProtocolError, "-B binary"),
        (REFUSED + REFUSED, WrongProtocolError, "0x1f where 0x0a was due"),
        (b"ERROR\r\n" * 10, WrongProtocolError, "-B binary"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", WrongProtocolError, "speaks HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x46" * 8, WrongProtocolError, "ssl=on"),
    ],
)
def test_other_peers(answer: bytes, kind: type[CouchbaseError], text: str) -> None:
    """Whatever else listens there is told apart; the error says what to do."""
    _, owner, _ = greeted(answer)
    (error,) = owner.errors
    assert type(error) is kind
    assert text in str(error)
    assert "10.0.0.1:11211" in str(error)


def test_closed() -> None:
    """A server that hangs up is not said to want what memcached:// has not."""
    connection, owner, _ = greeted(b"")
    connection.lost(None, 1.0)
    (error,) = owner.errors
    assert type(error) is HandshakeClosedError
    assert "memcached's binary protocol" in str(error)
    assert "couchbases://" not in str(error)


def test_a_node_without_configurations() -> None:
    """A data node that has the bucket, and no configuration of it, is ready all the same."""
    server = Server()
    server.change[Opcode.GET_CLUSTER_CONFIG] = status(
        Opcode.GET_CLUSTER_CONFIG, Status.NOT_SUPPORTED
    )
    dialogue = Dialogue(server).run()
    (negotiated,) = dialogue.owner.ready
    assert not negotiated.gives_config
    assert negotiated.text is None
