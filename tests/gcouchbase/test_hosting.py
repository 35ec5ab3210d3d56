"""What `serve` listens for on a hub: TLS that ends when it must, sockets that answer at once."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import trustme
from gevent import socket

from couchloop.embedded.hosting import ServerCertificate
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster, serve
from tests.gcouchbase.support import LIMIT, until


@pytest.mark.parametrize("service", ["kvSSL", "mgmtSSL"])
def test_stop_does_not_wait_for_handshakes(service: str, tmp_path: Path) -> None:
    """A client that never says anything does not keep a cluster with TLS from stopping."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    path = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    served = serve(tls=ServerCertificate(path, path))
    address = ("127.0.0.1", served.cluster.nodes[0].ports[service])
    with socket.create_connection(address, LIMIT) as client:
        until(lambda: served._in_handshake)
        served.stop()
        assert not client.recv(1)


def test_answers_do_not_wait_for_one_another(served: ServedCluster, bucket: Bucket) -> None:
    """Accepted sockets have TCP_NODELAY, as a real server's: an answer does not wait for an ACK."""
    assert bucket.upsert("key", 1).success
    ports = {node.ports["kv"] for node in served.cluster.nodes}
    accepted = [
        each
        for each in gc.get_objects()
        if isinstance(each, socket.socket)
        and each.fileno() >= 0
        and each.getsockname()[1] in ports
        and not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ]
    assert len(accepted) == 3
    assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in accepted)
