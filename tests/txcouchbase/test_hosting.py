"""What `serve` listens for on a reactor: HTTP streams, and TLS that ends when it must."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.python.failure import Failure

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.hosting import ServerCertificate
from tests.txcouchbase.support import turn
from txcouchbase.testing import serve


class Reader(protocol.Protocol):
    """Collects what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.gone.callback(None)

    def has(self, count: int) -> bool:
        """Tell whether so many configurations have come."""
        return self.data.count(b"\n\n\n\n") == count

    def send(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)


async def _reader(port: int) -> Reader:
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    reader = Reader()
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), reader)  # type: ignore[no-untyped-call]
    return reader


async def test_stream() -> None:
    """Each new revision reaches an open stream unasked, and stopping ends the stream."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    served = serve(reactor=reactor)
    reader = await _reader(served.cluster.nodes[0].ports["mgmt"])
    login = b64encode(b"user:password")
    reader.send(
        b"GET /pools/default/bs/default HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %b\r\n\r\n"
        % login
    )
    for count in range(1, 4):
        await turn(reactor, partial(reader.has, count))
        assert b'"rev":%d,' % served.cluster.rev in reader.data
        served.cluster.bump()
    served.cluster.stop(served.cluster.nodes[0])
    await reader.gone
    await served.stop()


@pytest.mark.parametrize("service", ["kvSSL", "mgmtSSL"])
async def test_stop_does_not_wait_for_handshakes(service: str, tmp_path: Path) -> None:
    """A client that never says anything does not keep a cluster with TLS from stopping."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    issued = trustme.CA().issue_cert("127.0.0.1")
    path = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    served = serve(reactor=reactor, tls=ServerCertificate(path, path))
    reader = await _reader(served.cluster.nodes[0].ports[service])
    await turn(reactor, lambda: served.protocols)
    await served.stop()
    await reader.gone


async def test_no_certificate() -> None:
    """Without a certificate there is no connection string for TLS, and the error tells the cure."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    served = serve(reactor=reactor)
    with pytest.raises(LookupError, match="tls="):
        _ = served.connection_string_tls
    await served.stop()


async def test_taken_port() -> None:
    """Where one node cannot listen, none is left listening."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    served = serve(reactor=reactor)
    cluster = EmbeddedCluster(2)
    cluster.nodes[1].ports["kv"] = served.cluster.nodes[0].ports["kv"]
    with pytest.raises(OSError, match="in use"):
        serve(cluster, reactor=reactor)
    await served.stop()
