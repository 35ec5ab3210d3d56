"""What `serve` listens for on a hub: HTTP streams, and TLS that ends when it must."""

from __future__ import annotations

import gc
from base64 import b64encode
from pathlib import Path

import pytest
import trustme
from gevent import socket

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.hosting import ServerCertificate
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster, serve
from tests.gcouchbase.support import LIMIT, until


def test_stream() -> None:
    """Each new revision reaches an open stream unasked, and stopping ends the stream."""
    with serve() as served:
        address = ("127.0.0.1", served.cluster.nodes[0].ports["mgmt"])
        with socket.create_connection(address, LIMIT) as client:
            login = b64encode(b"user:password")
            client.sendall(
                b"GET /pools/default/bs/default HTTP/1.1\r\nHost: x\r\n"
                b"Authorization: Basic %b\r\n\r\n" % login
            )
            data = b""
            for count in range(1, 4):
                while data.count(b"\n\n\n\n") < count:
                    more = client.recv(65536)
                    assert more
                    data += more
                assert b'"rev":%d,' % served.cluster.rev in data
                served.cluster.bump()
            served.cluster.stop(served.cluster.nodes[0])
            while client.recv(65536):
                pass


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


def test_no_certificate() -> None:
    """Without a certificate there is no connection string for TLS, and the error tells the cure."""
    with serve() as served, pytest.raises(LookupError, match="tls="):
        _ = served.connection_string_tls


def test_taken_port() -> None:
    """Where one node cannot listen, none is left listening."""
    with serve() as served:
        cluster = EmbeddedCluster(2)
        cluster.nodes[1].ports["kv"] = served.cluster.nodes[0].ports["kv"]
        with pytest.raises(OSError, match="in use"):
            serve(cluster)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", cluster.nodes[0].ports["kv"]), LIMIT)


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
