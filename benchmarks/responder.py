"""A canned data node: answers each read at once, so that it is never the bottleneck.

Handshakes, configurations and whatever is rare go through the embedded cluster; a GET or a SET gets
prepared bytes with its opaque put in, and a TOUCH nothing at all: it waits for ever. Queries get
canned rows (`benchmarks.rows_responder`).

    python -m benchmarks.responder CPU [NODES [BYTES]]

prints the port, and serves until it is killed. NODES: of the cluster, 1. BYTES: of each document;
as many as `document.json` has.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from struct import Struct

from benchmarks import rows_responder
from benchmarks.measure import DOCUMENT_BYTES, document_of
from couchloop.embedded import EmbeddedCluster, Node, ServerConnection
from couchloop.hot.frames import encode_response
from couchloop.wire import Feature

_GET, _SET, _TOUCH = 0x00, 0x01, 0x1C
_CHUNK = 1 << 20
_HEAD = Struct(">BB6xI")
"""Magic, opcode and body length of a request."""


class SystemClock:
    """The system's time, as the embedded cluster wants it."""

    @staticmethod
    def now() -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    @staticmethod
    def wall() -> float:
        """Return seconds since the epoch."""
        return time.time()


class Client:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, node: Node, document: bytes) -> None:
        self.sock = sock
        self._document = document
        self.server: ServerConnection = node.accept()
        self._rest = bytearray()
        self._needed = 0
        """Bytes of it that complete a request."""
        self._got: tuple[bytes, bytes] | None = None
        self._stored: tuple[bytes, bytes] | None = None

    def answer(self, data: bytes) -> bytes:
        """Return the answers to what *data* completes."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return b""
            data = bytes(self._rest)
        position, end = 0, len(data)
        out: list[bytes] = []
        append, unpack = out.append, _HEAD.unpack_from
        if self._got is None and self.server.bucket is not None:
            self._prepare()
        while end - position >= 24:
            magic, opcode, body = unpack(data, position)
            begin, position = position, position + 24 + body
            if position > end:
                self._needed = position - begin
                position = begin
                break
            if opcode == _GET and self._got is not None:
                append(self._got[0])
                append(data[begin + 12 : begin + 16])
                append(self._got[1])
            elif opcode == _SET and self._stored is not None:
                append(self._stored[0])
                append(data[begin + 12 : begin + 16])
                append(self._stored[1])
            elif opcode != _TOUCH:
                del magic
                self.server.receive_data(data[begin:position])
                append(self.server.data_to_send())
                if self._got is None and self.server.bucket is not None:
                    self._prepare()
        else:
            self._needed = 0
        self._rest = bytearray(data[position:])
        return b"".join(out)

    def _prepare(self) -> None:
        """Make the prepared answers, split where the opaque stands."""
        token = b"\0" * 16 if Feature.MUTATION_SEQNO in self.server.features else b""
        framing = b"\x02\x00\x01" if Feature.TRACING in self.server.features else b""
        flags = b"\x02\x00\x00\x00"
        got = encode_response(
            _GET, extras=flags, value=self._document, cas=1, datatype=1, framing=framing
        )
        stored = encode_response(_SET, extras=token, cas=1, framing=framing)
        self._got = got[:12], got[16:]
        self._stored = stored[:12], stored[16:]


def serve(cpu: int, nodes: int = 1, size: int = 0) -> None:
    """Serve so many nodes, each on a free port."""
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    document = document_of(size) if size else DOCUMENT_BYTES
    cluster = EmbeddedCluster(nodes=nodes, replicas=0, clock=SystemClock())
    selector = selectors.DefaultSelector()
    for node in cluster.nodes:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        node.ports["kv"] = listener.getsockname()[1]
        selector.register(listener, selectors.EVENT_READ, node)
    web = socket.create_server(("127.0.0.1", 0), backlog=128)
    cluster.nodes[0].ports["n1ql"] = web.getsockname()[1]
    threading.Thread(target=rows_responder.serve, args=(web,), daemon=True).start()
    cluster.changed()
    print(cluster.nodes[0].ports["kv"], flush=True)
    while True:
        for key, _ in selector.select():
            client: Client | Node = key.data
            if isinstance(client, Node):
                sock, _address = key.fileobj.accept()  # type: ignore[union-attr]
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ, Client(sock, client, document))
                continue
            try:
                data = client.sock.recv(_CHUNK)
                if data:
                    client.sock.sendall(client.answer(data))
            except OSError:
                data = b""
            if not data or client.server.closed:
                selector.unregister(client.sock)
                client.server.connection_lost()
                client.sock.close()


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
