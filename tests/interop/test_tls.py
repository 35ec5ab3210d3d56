"""TLS as the standard library's clients see it, on both loops."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from couchloop.hot.frames import Frame, FrameDecoder, ResponseFrame, encode_request
from couchloop.wire import Opcode, Status
from tests.interop.conftest import Certificates
from tests.interop.served import environment, served


@pytest.fixture(scope="module", params=["twisted", "gevent"])
def node(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[tuple[str, int]]:
    """Address of a node that speaks TLS."""
    with served(f"--loop={request.param}", "--nodes=1", *certificates.arguments) as announced:
        scheme, _, address = announced["connection_string_tls"].partition("://")
        assert scheme == "couchbases"
        host, _, port = address.rpartition(":")
        yield host, int(port)


def ask(connection: socket.socket, request: bytes) -> Frame:
    """Send a request and give its answer."""
    connection.sendall(request)
    decoder = FrameDecoder(ResponseFrame)
    while True:
        data = connection.recv(65536)
        assert data, "the node closed the connection"
        for frame in decoder.receive(data):
            return frame


def select_bucket(node: tuple[str, int], context: ssl.SSLContext) -> int:
    """Select a bucket without logging in; give the status."""
    with (
        socket.create_connection(node, timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=node[0]) as connection,
    ):
        return ask(connection, encode_request(Opcode.SELECT_BUCKET, key=b"default")).status


def cluster_config(node: tuple[str, int]) -> Any:
    """Log in without TLS, and give the global configuration."""
    login = encode_request(Opcode.SASL_AUTH, key=b"PLAIN", value=b"\0user\0password")
    with socket.create_connection(node, timeout=10) as connection:
        assert ask(connection, login).status == Status.SUCCESS
        return json.loads(ask(connection, encode_request(Opcode.GET_CLUSTER_CONFIG)).value)


def test_the_chain_is_served(node: tuple[str, int], certificates: Certificates) -> None:
    """A client that knows the root alone trusts the node, and must log in."""
    context = ssl.create_default_context(cafile=certificates.ca)
    assert select_bucket(node, context) == Status.EACCESS


def test_a_certificate_logs_in(node: tuple[str, int], certificates: Certificates) -> None:
    """A client with a certificate that the CA signed is whom its common name says."""
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.user)
    assert select_bucket(node, context) == Status.SUCCESS


def test_a_stranger_is_refused(
    node: tuple[str, int], certificates: Certificates, tmp_path: Path
) -> None:
    """A certificate of another CA ends the connection, and the node serves on."""
    stranger = tmp_path / "stranger.pem"
    issued = trustme.CA().issue_cert("x@example.com", common_name="user")
    issued.private_key_and_cert_chain_pem.write_to_path(stranger)
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(stranger)
    with pytest.raises((OSError, AssertionError)):
        select_bucket(node, context)
    test_a_certificate_logs_in(node, certificates)


def test_no_tls(node: tuple[str, int], certificates: Certificates) -> None:
    """A client that speaks no TLS is disconnected, and the node serves on."""
    with socket.create_connection(node, timeout=10) as connection:
        connection.sendall(encode_request(Opcode.NOOP) * 4)
        received = bytearray()
        try:
            while data := connection.recv(4096):
                received += data
        except ConnectionResetError:
            pass
    # A TLS alert at most.
    assert not received or received[0] == 21
    test_a_certificate_logs_in(node, certificates)


@pytest.mark.parametrize("loop", ["twisted", "gevent"])
@pytest.mark.parametrize("bad", ["--tls-cert", "--tls-key", "--tls-client-ca"])
def test_bad_files(loop: str, bad: str, certificates: Certificates, tmp_path: Path) -> None:
    """A file that is missing or holds something else is an error in words, not a traceback."""
    arguments = [f"--loop={loop}", *certificates.arguments]
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for path in (nonsense, tmp_path / "missing.pem"):
        done = subprocess.run(
            [sys.executable, "-m", "couchloop.embedded", *arguments, f"{bad}={path}"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("cannot listen on 127.0.0.1: ")
        assert len(done.stderr.splitlines()) == 1
