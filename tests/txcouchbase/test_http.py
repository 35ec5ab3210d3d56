"""Opening by HTTP over sockets: seeds whose data port is closed, with TLS and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.protocol import Factory, Protocol

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    NodeTimeoutError,
    NodeUnreachableError,
    TlsError,
    WrongProtocolError,
)
from tests.certificates import Certificates
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import CertAuthenticator, Cluster
from txcouchbase.testing import ServedCluster, serve


@pytest.fixture
def reactor() -> Any:
    """Give the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster whose last node has no data service."""
    served = serve(reactor=reactor)
    served.cluster.add_node(serves_data=False)
    yield served
    await served.stop()


def web_port(served: ServedCluster, service: str = "mgmt") -> int:
    """Give the web port of the node that has no data service."""
    return served.cluster.nodes[-1].ports[service]


def opened(reactor: Any, text: str, **changes: Any) -> Bucket:
    """Open the bucket that the string names."""
    keywords: dict[str, Any] = {"username": "user", "password": "password", "reactor": reactor}
    return Bucket(text, **{**keywords, **changes})


async def failure(bucket: Bucket) -> CouchbaseError:
    """Give the error with which a bucket does not open."""
    with pytest.raises(CouchbaseError) as raised:
        await bucket.connect()
    # It may be opened again.
    await bucket.close()
    return raised.value


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:{}", "127.0.0.1:{}", "couchbase://127.0.0.1:1,127.0.0.1:{}=http"]
)
async def test_closed_data_port(reactor: Any, served: ServedCluster, text: str) -> None:
    """A node without data service is a seed by its web port; the stream ends with the search."""
    async with opened(reactor, text.format(web_port(served)) + "/default") as bucket:
        await bucket.upsert("k", 1)
        assert (await bucket.get("k")).value == 1
        assert len(bucket.server_nodes) == 3
        await turn(reactor, lambda: not served.cluster.nodes[-1].http_connections)


async def test_stream_is_kept(reactor: Any, served: ServedCluster) -> None:
    """With bootstrap_on=http the stream stays, is opened again when it is cut, and ends with us."""
    text = f"http://127.0.0.1:{web_port(served)}/default?bootstrap_on=http"
    node = served.cluster.nodes[-1]
    async with opened(reactor, text) as bucket:
        await bucket.upsert("k", 1)
        (stream,) = node.http_connections
        stream.close()
        stream.wakeup()  # type: ignore[misc]
        await turn(reactor, lambda: node.http_connections not in ([], [stream]))
        served.cluster.add_node()
        served.cluster.rebalance()
        await turn(reactor, lambda: len(bucket.server_nodes) == 4)
    await turn(reactor, lambda: not node.http_connections)


async def test_tls(reactor: Any, tmp_path: Path) -> None:
    """With TLS the web port's certificate is verified like any other, and may want a client's."""
    certificates = Certificates(tmp_path)
    served = serve(reactor=reactor, tls=certificates.server(clients=True))
    port = web_port(served, "mgmtSSL")
    try:
        text = f"couchbases://127.0.0.1:{port}=https/default"
        async with opened(reactor, f"{text}?certpath={certificates.ca}") as bucket:
            await bucket.upsert("k", 1)
        error = await failure(opened(reactor, text))
        assert isinstance(error, TlsError)
        cert, key = certificates.client()
        cluster = Cluster(f"couchbases://127.0.0.1:{port}=https", reactor=reactor)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        async with cluster.open_bucket("default") as bucket:
            await bucket.upsert("k", 2)
    finally:
        await served.stop()


async def test_refusals(reactor: Any, served: ServedCluster) -> None:
    """A wrong password and an unknown bucket have their classes; every seed is told."""
    text = f"couchbase://127.0.0.1:1,127.0.0.1:{web_port(served)}=http"
    error = await failure(opened(reactor, f"{text}/default", password="not-it"))
    assert type(error) is AuthError
    error = await failure(opened(reactor, f"{text}/beer"))
    assert type(error) is BucketNotFoundError
    assert error.context is not None
    assert [(seed, type(why)) for seed, why in error.context.seeds] == [
        ("127.0.0.1:1", NodeUnreachableError),
        (f"http://127.0.0.1:{web_port(served)}", BucketNotFoundError),
    ]


class _Peer(Protocol):
    def __init__(self, reactor: Any, answer: bytes) -> None:
        self._reactor = reactor
        self._answer = answer
        self.is_open = False

    def connectionMade(self) -> None:
        self.is_open = True

    def dataReceived(self, data: bytes) -> None:
        self._drip(self._answer)

    def _drip(self, rest: bytes) -> None:
        if self.is_open and rest:
            self.transport.write(rest[:1])  # type: ignore[union-attr]
            self._reactor.callLater(0.01, self._drip, rest[1:])

    def connectionLost(self, _: object = None) -> None:
        self.is_open = False


@asynccontextmanager
async def peer(reactor: Any, answer: bytes) -> AsyncIterator[int]:
    """Listen; say *answer* to whoever says something, a byte at a time."""
    peers: list[_Peer] = []

    def make() -> _Peer:
        peers.append(_Peer(reactor, answer))
        return peers[-1]

    listening = reactor.listenTCP(0, Factory.forProtocol(make), interface="127.0.0.1")
    yield listening.getHost().port
    await turn(reactor, lambda: not any(each.is_open for each in peers))
    await listening.stopListening()
    await turn(reactor, lambda: not reactor.getDelayedCalls())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", NodeTimeoutError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, NodeTimeoutError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 1000, NodeTimeoutError),
        (b"SSH-2.0-nothing\r\n", WrongProtocolError),
    ],
)
async def test_bad_peers(reactor: Any, answer: bytes, kind: type[CouchbaseError]) -> None:
    """Silence, a head or a body that never ends, another protocol: given up in time."""
    async with peer(reactor, answer) as port:
        text = f"http://127.0.0.1:{port}/default?config_node_timeout=0.2"
        error = await failure(opened(reactor, text))
        assert type(error) is kind
        assert f"127.0.0.1:{port}" in str(error)
