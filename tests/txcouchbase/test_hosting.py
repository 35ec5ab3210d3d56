"""What `serve` listens for on a reactor: TLS that ends when it must."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.python.failure import Failure

from couchloop.embedded.hosting import ServerCertificate
from tests.txcouchbase.support import turn
from txcouchbase.testing import serve


class Reader(protocol.Protocol):
    """Waits for the end."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.gone.callback(None)


async def _reader(port: int) -> Reader:
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    reader = Reader()
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), reader)  # type: ignore[no-untyped-call]
    return reader


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
