"""Opening by HTTP over sockets: seeds whose data port is closed, with TLS and without."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.auth import CertAuthenticator
from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    NodeTimeoutError,
    NodeUnreachableError,
    TlsError,
    WrongProtocolError,
)
from tests.certificates import Certificates, listening
from tests.conformance.loops import Loop, opened, opened_at, refusal_at


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster whose last node has no data service."""
    with loop.serving() as served:
        served.cluster.add_node(serves_data=False)
        yield served


def web_port(served: Any, service: str = "mgmt") -> int:
    """Return the web port of the node that has no data service."""
    port: int = served.cluster.nodes[-1].ports[service]
    return port


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:{}", "127.0.0.1:{}", "couchbase://127.0.0.1:1,127.0.0.1:{}=http"]
)
def test_closed_data_port(loop: Loop, served: Any, text: str) -> None:
    """A node without data service is a seed by its web port; the stream ends with the search."""
    with opened_at(loop, text.format(web_port(served)) + "/default") as bucket:
        loop.wait(bucket.upsert("k", 1))
        assert loop.wait(bucket.get("k")).value == 1
        assert len(bucket.server_nodes) == 3
        loop.until(lambda: not served.cluster.nodes[-1].http_connections)


def test_stream_is_kept(loop: Loop, served: Any) -> None:
    """With bootstrap_on=http the stream stays, is opened again when it is cut, and ends with us."""
    text = f"http://127.0.0.1:{web_port(served)}/default?bootstrap_on=http"
    node = served.cluster.nodes[-1]
    with opened_at(loop, text) as bucket:
        loop.wait(bucket.upsert("k", 1))
        (stream,) = node.http_connections
        stream.close()
        stream.wakeup()
        loop.until(lambda: node.http_connections not in ([], [stream]))
        served.cluster.add_node()
        served.cluster.rebalance()
        loop.until(lambda: len(bucket.server_nodes) == 4)
    loop.until(lambda: not node.http_connections)


def test_tls(loop: Loop, tmp_path: Path) -> None:
    """With TLS the web port's certificate is verified like any other, and may want a client's."""
    certificates = Certificates(tmp_path)
    with loop.serving(tls=certificates.server(clients=True)) as served:
        port = web_port(served, "mgmtSSL")
        text = f"couchbases://127.0.0.1:{port}=https/default"
        with opened_at(loop, f"{text}?certpath={certificates.ca}") as bucket:
            loop.wait(bucket.upsert("k", 1))
        assert isinstance(refusal_at(loop, text), TlsError)
        cert, key = certificates.client()
        cluster = loop.cluster(f"couchbases://127.0.0.1:{port}=https")
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        with opened(loop, cluster) as bucket:
            loop.wait(bucket.upsert("k", 2))


def test_refusals(loop: Loop, served: Any) -> None:
    """A wrong password and an unknown bucket have their classes; every seed is told."""
    text = f"couchbase://127.0.0.1:1,127.0.0.1:{web_port(served)}=http"
    assert type(refusal_at(loop, f"{text}/default", password="not-it")) is AuthError
    error = refusal_at(loop, f"{text}/beer")
    assert type(error) is BucketNotFoundError
    assert error.context is not None
    assert [(seed, type(why)) for seed, why in error.context.seeds] == [
        ("127.0.0.1:1", NodeUnreachableError),
        (f"http://127.0.0.1:{web_port(served)}", BucketNotFoundError),
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", NodeTimeoutError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, NodeTimeoutError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 1000, NodeTimeoutError),
        (b"SSH-2.0-nothing\r\n", WrongProtocolError),
    ],
)
def test_bad_peers(loop: Loop, answer: bytes, kind: type[CouchbaseError]) -> None:
    """Silence, a head or a body that never ends, another protocol: given up in time."""

    def serve(accepted: socket.socket) -> None:
        accepted.recv(65536)
        for byte in answer:
            accepted.sendall(bytes([byte]))
            time.sleep(0.01)
        accepted.recv(1)

    with listening(serve) as port:
        error = refusal_at(loop, f"http://127.0.0.1:{port}/default?config_node_timeout=0.2")
        assert type(error) is kind
        assert f"127.0.0.1:{port}" in str(error)
