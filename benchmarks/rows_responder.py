"""A canned query service: as many rows as the statement says, as fast as they are taken.

`ROWS 1000000` gives so many rows of 200 bytes, in the layout of the query service; any other
statement gives one row, and so does whatever else is asked. As there, an answer that fits into the
service's buffer is written at once, with its length; others come in chunks.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

ROW: Final = {
    "id": "order::2026-11-22::000042",
    "n": 1234567,
    "customer": "A. Lovelace",
    "total": 142.75,
    "paid": True,
    "note": None,
    "tags": ["new", "gift"],
    "city": "London",
    "street": "12 Saint James Square, second floor left",
}
TEXT: Final = json.dumps(ROW, separators=(",", ":")).encode()
SIZE: Final = 200
assert len(TEXT) == SIZE, len(TEXT)
_HEAD: Final = b'{\n"requestID": "r",\n"signature": {"*":"*"},\n"results": [\n'
_PIECE: Final = 200
"""Rows that are sent together."""
_BUFFER: Final = 16 * 1024
"""Bytes of the largest answer that has a length: `keep-alive-length` of the query service."""


def answer(count: int) -> Iterator[bytes]:
    """Yield the pieces of an answer with so many rows."""
    yield _HEAD
    whole, rest = divmod(count, _PIECE)
    many = b",\n".join([TEXT] * _PIECE)
    for number in range(whole):
        yield many if not number else b",\n" + many
    if rest:
        yield (b",\n" if whole else b"") + b",\n".join([TEXT] * rest)
    metrics = {
        "elapsedTime": "1ms",
        "executionTime": "1ms",
        "resultCount": count,
        "resultSize": count * SIZE,
    }
    yield b'\n],\n"status": "success",\n"metrics": %s\n}\n' % json.dumps(metrics).encode()


def serve(listener: socket.socket) -> None:
    """Serve each connection in a thread, for as long as the program runs."""
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(sock,), daemon=True).start()


def _serve(sock: socket.socket) -> None:
    data = b""
    with suppress(OSError), sock:
        while True:
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, data = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            size = int(length[1]) if length else 0
            while len(data) < size:
                data += sock.recv(65536)
            body, data = data[:size], data[size:]
            wanted = re.search(rb"ROWS (\d+)", body)
            _answer(sock, int(wanted[1]) if wanted else 1)


def _answer(sock: socket.socket, count: int) -> None:
    """Send an answer with so many rows."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if count * SIZE < _BUFFER // 2:
        whole = b"".join(answer(count))
        sock.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(whole), whole))
        return
    sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for piece in answer(count):
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    sock.sendall(b"0\r\n\r\n")
