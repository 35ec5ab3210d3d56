"""A client of few words, to talk to an embedded cluster in memory."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from couchloop.embedded import Node
from couchloop.hot.frames import Frame, FrameDecoder, ResponseFrame, encode_request
from couchloop.wire import Feature, Opcode

FEATURES = (
    Feature.MUTATION_SEQNO,
    Feature.XATTR,
    Feature.XERROR,
    Feature.SELECT_BUCKET,
    Feature.JSON,
    Feature.COLLECTIONS,
)
STORE = bytes(8)
"""Extras of a store: no flags, no expiry."""


def vbucket_of(key: bytes, vbuckets: int = 1024) -> int:
    """Return the vbucket of a key."""
    return (crc32(key) >> 16 & 0x7FFF) % vbuckets


def on_node(node: int, prefix: str = "key") -> str:
    """Return a key whose vbucket is active on a node of three."""
    return next(
        key
        for number in range(100)
        if vbucket_of((key := f"{prefix}{number}").encode()) % 3 == node
    )


class Client:
    """One connection. `frames` holds what came and was not asked for."""

    def __init__(self, node: Node, *features: Feature, tls: bool = False) -> None:
        self.connection = node.accept("test", tls=tls)
        self.connection.wakeup = self._wake
        self.woken = 0
        self.frames: list[Frame] = []
        self._decoder = FrameDecoder(ResponseFrame)
        self._opaque = 0
        self._vbuckets = 1024
        if features:
            self.ask(Opcode.HELLO, value=b"".join(each.to_bytes(2) for each in features))

    @classmethod
    def ready(cls, node: Node, *more: Feature, bucket: str = "default") -> Client:
        """Return a client that is logged in and has selected a bucket."""
        client = cls(node, *FEATURES, *more)
        client.log_in()
        assert client.ask(Opcode.SELECT_BUCKET, key=bucket.encode()).status == 0
        return client

    def _wake(self) -> None:
        self.woken += 1

    def log_in(self, user: str = "user", password: str = "password") -> Frame:  # noqa: S107
        return self.ask(Opcode.SASL_AUTH, key=b"PLAIN", value=f"\0{user}\0{password}".encode())

    def send(self, opcode: int, **parts: Any) -> int:
        """Send a request; give its opaque."""
        self._opaque += 1
        self.connection.receive_data(encode_request(opcode, opaque=self._opaque, **parts))
        self.read()
        return self._opaque

    def read(self) -> list[Frame]:
        self.frames += self._decoder.receive(self.connection.data_to_send())
        return self.frames

    def ask(self, opcode: int, **parts: Any) -> Frame:
        """Send a request and give its answer."""
        opaque = self.send(opcode, **parts)
        return self.answer(opaque)

    def answer(self, opaque: int) -> Frame:
        """Return the answer with an opaque."""
        self.read()
        (frame,) = [each for each in self.frames if each.opaque == opaque and each.magic != 0x82]
        self.frames.remove(frame)
        return frame

    def document(self, opcode: int, name: str, **parts: Any) -> Frame:
        """Do something with a document, on this node."""
        return self.ask(opcode, **self.parts(name, **parts))

    def parts(self, name: str, collection: int = 0, **parts: Any) -> dict[str, Any]:
        """Return the parts of a request for a document."""
        key = name.encode()
        return {"key": bytes([collection]) + key, "vbucket": vbucket_of(key), **parts}

    def set(self, name: str, value: bytes, **parts: Any) -> Frame:
        return self.document(Opcode.SET, name, value=value, extras=STORE, **parts)

    def get(self, name: str, **parts: Any) -> Frame:
        return self.document(Opcode.GET, name, **parts)


def configuration(client: Client) -> dict[str, object]:
    """Ask for the configuration of the selected bucket."""
    document: dict[str, object] = json.loads(client.ask(Opcode.GET_CLUSTER_CONFIG).value)
    return document
