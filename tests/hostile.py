"""Peers that would keep a client waiting for ever, as both loops' tests serve them."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from couchloop.exceptions import CouchbaseError, NodeTimeoutError, ProtocolError, WrongProtocolError
from couchloop.hot.frames import Frame, encode_response
from couchloop.wire import Opcode

OPTIONS = "?config_node_timeout=0.1"
PACE = 0.001
"""Seconds between two things that a peer says: no record of TLS is whole before it is given up."""


class Peer(NamedTuple):
    """What a server says once it has heard something, and what comes of it."""

    name: str
    kind: type[CouchbaseError]
    text: str
    first: bytes = b""
    """What it says at once."""
    then: bytes = b""
    """What it says after that again and again, without end."""
    scheme: str = "couchbase"
    options: str = OPTIONS


def _announcing(length: int) -> bytes:
    """Return the header of an answer to HELLO that has a body of so many bytes."""
    header = bytearray(encode_response(Opcode.HELLO))
    header[8:12] = length.to_bytes(4)
    return bytes(header)


_PUSH = Frame(0x82, 1, 0, 0, 0, 0, b"", bytes(16), b"other", b"{}").encode()
_HELLO = encode_response(Opcode.HELLO)
_TLS_RECORD = bytes.fromhex("1603034000 02 003ffc 0303")
"""The beginning of 16 KiB of TLS handshake: a ServerHello of that size."""

_HEAD = b"HTTP/1.1 200 OK\r\n"
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"
_WEB = f"{OPTIONS}&bootstrap_on=http"
_WEB_LONG = "?config_node_timeout=20&config_total_timeout=30&bootstrap_on=http"

PEERS = (
    Peer("silent", NodeTimeoutError, "config_node_timeout"),
    Peer("silent TLS", NodeTimeoutError, "not finish TLS, within", scheme="couchbases"),
    Peer("silent after HELLO", NodeTimeoutError, "config_node_timeout", first=_HELLO),
    Peer("trickle", NodeTimeoutError, "config_node_timeout", _announcing(20_000_000), b"\0"),
    Peer(
        "trickled TLS", NodeTimeoutError, "not finish TLS, within", _TLS_RECORD, b"\0", "couchbases"
    ),
    Peer("endless pushes", NodeTimeoutError, "config_node_timeout", _PUSH, _PUSH),
    Peer(
        "4 GiB",
        WrongProtocolError,
        "body of a frame exceeds the limit",
        _announcing(2**32 - 1),
        b"\0" * 65536,
    ),
    Peer("garbage", WrongProtocolError, "data port", b"\0\1\2\3", b"\xff" * 4096),
    Peer("wrong answer", ProtocolError, "0x0a", encode_response(Opcode.NOOP), _PUSH),
    Peer("silent web port", NodeTimeoutError, "config_node_timeout", b"", b"", "http", _WEB),
    Peer("trickled head", NodeTimeoutError, "config_node_timeout", _HEAD, b"x", "http", _WEB),
    Peer(
        "trickled configuration",
        NodeTimeoutError,
        "config_node_timeout",
        _HEAD + b"\r\n{",
        b" ",
        "http",
        _WEB,
    ),
    Peer("page for people", ProtocolError, "web port", _PAGE, b"", "http", _WEB_LONG),
    Peer("endless head", ProtocolError, "HTTP", _HEAD, b"x" * 4096, "http", _WEB_LONG),
    Peer(
        "endless configuration",
        ProtocolError,
        "bytes",
        _HEAD + b"\r\n{",
        b" " * 65536,
        "http",
        _WEB_LONG,
    ),
)


@contextmanager
def unanswering() -> Iterator[int]:
    """Yield a port where connections are neither made nor refused: its queue of them is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        where = listening.getsockname()
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(where)
        yield where[1]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open no more files and connections."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)
