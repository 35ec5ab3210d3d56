"""Opening by HTTP over sockets: seeds whose data port is closed, with TLS and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as gsocket
from gevent.server import StreamServer

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    NodeTimeoutError,
    NodeUnreachableError,
    TlsError,
    WrongProtocolError,
)
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import CertAuthenticator, Cluster
from gcouchbase.testing import ServedCluster, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import until


@pytest.fixture(name="mixed")
def _mixed(served: ServedCluster) -> ServedCluster:
    """Give a cluster whose last node has no data service."""
    served.cluster.add_node(serves_data=False)
    return served


def web_port(served: ServedCluster, service: str = "mgmt") -> int:
    """Give the web port of the node that has no data service."""
    return served.cluster.nodes[-1].ports[service]


def opened(text: str, **changes: Any) -> Bucket:
    """Open the bucket that the string names."""
    keywords: dict[str, Any] = {"username": "user", "password": "password"}
    return Bucket(text, **{**keywords, **changes})


def failure(text: str, **changes: Any) -> CouchbaseError:
    """Give the error with which a bucket does not open."""
    with pytest.raises(CouchbaseError) as raised:
        opened(text, **changes)
    return raised.value


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:{}", "127.0.0.1:{}", "couchbase://127.0.0.1:1,127.0.0.1:{}=http"]
)
def test_closed_data_port(mixed: ServedCluster, text: str) -> None:
    """A node without data service is a seed by its web port; the stream ends with the search."""
    with opened(text.format(web_port(mixed)) + "/default") as bucket:
        bucket.upsert("k", 1)
        assert bucket.get("k").value == 1
        assert len(bucket.server_nodes) == 3
        until(lambda: not mixed.cluster.nodes[-1].http_connections)


def test_stream_is_kept(mixed: ServedCluster) -> None:
    """With bootstrap_on=http the stream stays, is opened again when it is cut, and ends with us."""
    text = f"http://127.0.0.1:{web_port(mixed)}/default?bootstrap_on=http"
    node = mixed.cluster.nodes[-1]
    with opened(text) as bucket:
        bucket.upsert("k", 1)
        (stream,) = node.http_connections
        stream.close()
        stream.wakeup()  # type: ignore[misc]
        until(lambda: node.http_connections not in ([], [stream]))
        mixed.cluster.add_node()
        mixed.cluster.rebalance()
        until(lambda: len(bucket.server_nodes) == 4)
    until(lambda: not node.http_connections)


def test_tls(tmp_path: Path) -> None:
    """With TLS the web port's certificate is verified like any other, and may want a client's."""
    certificates = Certificates(tmp_path)
    with serve(tls=certificates.server(clients=True)) as served:
        port = web_port(served, "mgmtSSL")
        text = f"couchbases://127.0.0.1:{port}=https/default"
        with opened(f"{text}?certpath={certificates.ca}") as bucket:
            bucket.upsert("k", 1)
        assert isinstance(failure(text), TlsError)
        cert, key = certificates.client()
        cluster = Cluster(f"couchbases://127.0.0.1:{port}=https")
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        with cluster.open_bucket("default") as bucket:
            bucket.upsert("k", 2)


def test_refusals(mixed: ServedCluster) -> None:
    """A wrong password and an unknown bucket have their classes; every seed is told."""
    text = f"couchbase://127.0.0.1:1,127.0.0.1:{web_port(mixed)}=http"
    assert type(failure(f"{text}/default", password="not-it")) is AuthError
    error = failure(f"{text}/beer")
    assert type(error) is BucketNotFoundError
    assert error.context is not None
    assert [(seed, type(why)) for seed, why in error.context.seeds] == [
        ("127.0.0.1:1", NodeUnreachableError),
        (f"http://127.0.0.1:{web_port(mixed)}", BucketNotFoundError),
    ]


@contextmanager
def peer(answer: bytes) -> Iterator[int]:
    """Listen; say *answer* to whoever says something, a byte at a time."""

    def handle(sock: gsocket.socket, _: object) -> None:
        with suppress(OSError):
            sock.recv(65536)
            for byte in answer:
                sock.sendall(bytes([byte]))
                gevent.sleep(0.01)
            sock.recv(1)

    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    assert server.server_port is not None
    yield server.server_port
    server.stop()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", NodeTimeoutError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, NodeTimeoutError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 1000, NodeTimeoutError),
        (b"SSH-2.0-nothing\r\n", WrongProtocolError),
    ],
)
def test_bad_peers(answer: bytes, kind: type[CouchbaseError]) -> None:
    """Silence, a head or a body that never ends, another protocol: given up in time."""
    with peer(answer) as port:
        error = failure(f"http://127.0.0.1:{port}/default?config_node_timeout=0.2")
        assert type(error) is kind
        assert f"127.0.0.1:{port}" in str(error)
