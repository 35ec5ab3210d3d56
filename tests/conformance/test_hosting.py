"""What `serve` listens for on either loop: HTTP streams, certificates, ports that are taken."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from base64 import b64encode
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.conformance.loops import LIMIT, Loop
from tests.extras import allows_a_forgotten_socket

END = b"\n\n\n\n"
"""What ends a configuration."""


def more_of(client: socket.socket, data: bytes, count: int) -> bytes:
    """Read until *data* holds so many configurations; give all that was read."""
    while data.count(END) < count:
        more = client.recv(65536)
        assert more, "the stream has ended"
        data += more
    return data


def rest_of(client: socket.socket) -> None:
    """Read to the end."""
    while client.recv(65536):
        pass


def is_refused(port: int) -> bool:
    """Return whether nobody listens on that port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), LIMIT).close()
    except ConnectionRefusedError:
        return True
    return False


def test_stream(loop: Loop) -> None:
    """Each new revision reaches an open stream unasked, and stopping ends the stream."""
    with loop.serving(loop.embedded()) as served:
        node = served.cluster.nodes[0]
        with socket.create_connection(("127.0.0.1", node.ports["mgmt"]), LIMIT) as client:
            client.sendall(
                b"GET /pools/default/bs/default HTTP/1.1\r\nHost: x\r\n"
                b"Authorization: Basic %b\r\n\r\n" % b64encode(b"user:password")
            )
            data = b""
            for count in range(1, 4):
                data = loop.in_thread(partial(more_of, client, data, count))
                assert data.count(END) == count
                assert b'"rev":%d,' % served.cluster.rev in data
                served.cluster.bump()
            served.cluster.stop(node)
            loop.in_thread(partial(rest_of, client))


def test_no_certificate(loop: Loop) -> None:
    """Without a certificate there is no connection string for TLS, and the error tells the cure."""
    with loop.serving() as served, pytest.raises(LookupError, match="tls="):
        _ = served.connection_string_tls


@allows_a_forgotten_socket
def test_taken_port(loop: Loop) -> None:
    """Where one node cannot listen, none is left listening."""
    with loop.serving() as served:
        cluster = loop.embedded(2)
        cluster.nodes[1].ports["kv"] = served.cluster.nodes[0].ports["kv"]
        with pytest.raises(OSError, match="in use"), loop.serving(cluster):
            raise AssertionError("it listens")
        loop.until(lambda: is_refused(cluster.nodes[0].ports["kv"]), "it listens")


@pytest.mark.parametrize("service", ["kvSSL", "mgmtSSL"])
def test_stop_does_not_wait_for_handshakes(loop: Loop, service: str, tmp_path: Path) -> None:
    """A client that never says anything does not keep a cluster with TLS from stopping."""
    with ExitStack() as stack:
        served = stack.enter_context(loop.serving(tls=Certificates(tmp_path).server()))
        address = ("127.0.0.1", served.cluster.nodes[0].ports[service])
        with socket.create_connection(address, LIMIT) as client:
            begun = served.protocols if loop.name == "twisted" else served._in_handshake
            loop.until(lambda: begun, "it was not accepted")
            # It stops.
            stack.close()
            with suppress(ConnectionResetError):
                assert not client.recv(1)


def greet(port: int, ca: str) -> None:
    """Connect with TLS, and go."""
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        context.wrap_socket(client, server_hostname="127.0.0.1").close()


def test_reset_before_the_handshake(loop: Loop, tmp_path: Path) -> None:
    """A client that resets its connection before TLS begins is nobody's error, and leaves nothing.

    So do scans of ports.
    """
    certificates = Certificates(tmp_path)
    with loop.serving(tls=certificates.server()) as served:
        port = served.cluster.nodes[0].ports["kvSSL"]
        client = socket.create_connection(("127.0.0.1", port), LIMIT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        # It was accepted before this one.
        loop.in_thread(partial(greet, port, certificates.ca))


def test_ports_are_kept(loop: Loop) -> None:
    """The ports of a node that was stopped are nobody else's, until the cluster is stopped."""
    with loop.serving() as served:
        node = served.cluster.nodes[0]
        ports = list(node.ports.values())
        served.cluster.stop(node)
        for port in ports:
            loop.until(partial(is_refused, port), "it listens")
            # A socket that would not share it.
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        served.cluster.restart(node)
        assert list(node.ports.values()) == ports
    for port in ports:
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))


@allows_a_forgotten_socket
def test_a_port_that_is_taken(loop: Loop) -> None:
    """A node that starts again has another port for a service whose own is somebody else's now."""
    with loop.serving() as served:
        node = served.cluster.nodes[0]
        before = dict(node.ports)
        served.cluster.stop(node)
        loop.until(lambda: is_refused(before["n1ql"]))
        with socket.create_server(("127.0.0.1", before["n1ql"])):
            served.cluster.restart(node)
            assert node.ports["n1ql"] != before["n1ql"]
            assert {name: port for name, port in node.ports.items() if name != "n1ql"} == {
                name: port for name, port in before.items() if name != "n1ql"
            }
            told = json.loads(node.configurations[None].text(node.node_id))["nodesExt"][0]
            assert told["services"]["n1ql"] == node.ports["n1ql"]
