"""A service that answers whatever a test wants, from threads, on this machine."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_SMALL: Final = 32 * 1024
"""Bytes that the system may keep of what is sent: so that a reader who pauses is noticed."""


class Asked:
    """One request, and the connection on which it came."""

    def __init__(self, server: WebServer, sock: socket.socket, number: int, head: bytes) -> None:
        self.server = server
        self.number = number
        """Of the connection, from 0."""
        self.head = head
        self.body = b""
        self._sock = sock

    @property
    def line(self) -> str:
        """The first line."""
        return self.head.partition(b"\r\n")[0].decode()

    def header(self, name: str) -> str:
        """Return a header; empty: it is not there."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name:
                return value.decode().strip()
        return ""

    def send(self, data: bytes) -> None:
        """Send; OSError once the client is gone. It is counted as far as the system took it."""
        view = memoryview(data)
        while view:
            sent = self._sock.send(view)
            self.server.sent += sent
            view = view[sent:]

    def answer(self, body: bytes = b"", status: str = "200 OK", *headers: str) -> None:
        """Send an answer that is as it should be."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def begin(self, *headers: str) -> None:
        """Send the head of an answer in chunks."""
        lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def chunk(self, data: bytes) -> None:
        """Send one; an empty one ends the answer."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self) -> None:
        """Close the connection, at once."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def finish(self) -> None:
        """Close it in order: TLS says that nothing more comes."""
        if isinstance(self._sock, ssl.SSLSocket):
            with suppress(OSError):
                self._sock.unwrap()
        self.close()

    def wait_for_end(self) -> None:
        """Wait until the client closes the connection."""
        with suppress(OSError):
            while self._sock.recv(4096):
                pass


Script = Callable[[Asked], None]


class WebServer:
    """Answers as its scripts say: the first request by the first, all further ones by the last."""

    def __init__(self, scripts: tuple[Script, ...], context: ssl.SSLContext | None) -> None:
        self.asked: list[Asked] = []
        self.accepted = 0
        self.sent = 0
        """Bytes."""
        self._scripts = scripts
        self._context = context
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(64)
        self.port: int = self._listening.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            number, self.accepted = self.accepted, self.accepted + 1
            self._sockets.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        plain.settimeout(20)
        sock = plain
        try:
            with suppress(OSError):
                if self._context is not None:
                    sock = self._context.wrap_socket(plain, server_side=True)
                    self._sockets.add(sock)
                    self._sockets.discard(plain)
                while (asked := self._read(sock, number)) is not None:
                    script = self._scripts[min(len(self.asked), len(self._scripts) - 1)]
                    self.asked.append(asked)
                    script(asked)
        finally:
            self._sockets.discard(sock)
            sock.close()

    def _read(self, sock: socket.socket, number: int) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        asked = Asked(self, sock, number, head)
        while len(body) < int(asked.header("content-length") or 0):
            body += sock.recv(65536)
        asked.body = body
        return asked

    def stop(self) -> None:
        """Accept no more, close what is open, and wait for the threads."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@contextmanager
def web_server(*scripts: Script, context: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Serve for as long as the context lasts."""
    server = WebServer(scripts, context)
    try:
        yield server
    finally:
        server.stop()


def rows_of(count: int, size: int = 200) -> Iterator[bytes]:
    """Yield the pieces of a query's answer with so many rows of about so many bytes."""
    yield b'{"requestID":"r","results":['
    for number in range(count):
        row = {"number": number, "text": "x" * size}
        yield (b"," if number else b"") + json.dumps(row).encode()
    yield b'],"status":"success","metrics":{"resultCount":%d}}' % count


def in_chunks(pieces: Iterator[bytes], least: int = 16384) -> Script:
    """Return a script that answers with *pieces*, in chunks of so many bytes at least."""

    def script(asked: Asked) -> None:
        asked.begin("Content-Type: application/json")
        kept = bytearray()
        for piece in pieces:
            kept += piece
            if len(kept) >= least:
                asked.chunk(bytes(kept))
                kept.clear()
        asked.chunk(bytes(kept))
        asked.chunk(b"")

    return script
