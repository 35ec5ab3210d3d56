"""The cluster manager's HTTP over sockets, as the standard library's client sees it."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import pytest

from tests.interop.conftest import Certificates
from tests.interop.served import served
from tests.interop.test_tls import cluster_config

LOGIN = {"Authorization": f"Basic {b64encode(b'user:password').decode()}"}


@pytest.fixture(scope="module", params=["twisted", "gevent"])
def services(
    request: pytest.FixtureRequest, certificates: Certificates
) -> Iterator[list[dict[str, int]]]:
    """Ports of each node by service, as the data service tells them."""
    program = (f"--loop={request.param}", "--nodes=2", *certificates.arguments)
    with served(*program) as announced:
        host, _, port = announced["connection_string"].partition("://")[2].partition(":")
        config = cluster_config((host, int(port.partition(",")[0])))
        yield [node["services"] for node in config["nodesExt"]]


def read_json(connection: HTTPConnection, path: str, headers: dict[str, str]) -> Any:
    """Ask for JSON."""
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert response.status == 200
    return json.loads(response.read())


def test_every_node_answers(services: list[dict[str, int]]) -> None:
    """Each node has a port of its own, keeps the connection, and marks itself."""
    for number, ports in enumerate(services):
        connection = HTTPConnection("127.0.0.1", ports["mgmt"], timeout=10)
        for _ in range(2):
            nodes = read_json(connection, "/pools/default/nodeServices", LOGIN)["nodesExt"]
            assert [node.get("thisNode", False) for node in nodes].index(True) == number
            assert [node["services"] for node in nodes] == services
        connection.close()


def test_tls(services: list[dict[str, int]], certificates: Certificates) -> None:
    """Under TLS the same; a client certificate stands for the password."""
    context = ssl.create_default_context(cafile=certificates.ca)
    port = services[0]["mgmtSSL"]
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    assert read_json(connection, "/pools/default/b/default", LOGIN)["name"] == "default"
    connection.close()
    context.load_cert_chain(certificates.user)
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    assert read_json(connection, "/pools/default/b/default", {})["name"] == "default"
    connection.close()


def test_stream(services: list[dict[str, int]]) -> None:
    """A stream brings a configuration and stays open; another connection is served meanwhile."""
    connection = HTTPConnection("127.0.0.1", services[0]["mgmt"], timeout=10)
    connection.request("GET", "/pools/default/bs/default", headers=LOGIN)
    response = connection.getresponse()
    text = b""
    while not text.endswith(b"\n\n\n\n"):
        data = response.read1()
        assert data
        text += data
    test_every_node_answers(services)
    assert json.loads(text)["name"] == "default"
    connection.close()
