"""What the cluster manager tells of the cluster."""

from __future__ import annotations

import json

import pytest

from couchloop.exceptions import ProtocolError
from couchloop.management import cluster
from tests.core.management.manager import DEFAULTS, Manager, answered


def test_cluster_info() -> None:
    """Nodes, how they are, and the buckets that the user sees."""
    manager = Manager()
    manager.cluster.hang(manager.cluster.nodes[1])
    info = manager.do(cluster.cluster_info(DEFAULTS))
    assert [(node.hostname, node.status) for node in info.nodes] == [
        ("127.0.0.1:2000", "healthy"),
        ("127.0.0.1:2001", "unhealthy"),
        ("127.0.0.1:2002", "healthy"),
    ]
    assert (info.name, info.buckets) == ("embedded", ("default",))
    assert info.server_version.startswith("7.6")
    assert info.nodes[0].services == ("kv",)


def test_the_lowest_version_counts() -> None:
    """While nodes are being upgraded, the oldest says what can be relied on."""
    nodes = [
        {"hostname": "a", "status": "healthy", "version": version}
        for version in ("7.10.0-1-enterprise", "7.6.2-3721-enterprise", "7.6.10-1-enterprise")
    ]
    body = json.dumps({"nodes": nodes}).encode()
    info = answered(cluster.cluster_info(DEFAULTS), [(200, body)])
    assert info.server_version == "7.6.2-3721-enterprise"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"nodes":[{}]}'])
def test_unreadable(body: bytes) -> None:
    """An answer that describes no cluster is told as such."""
    with pytest.raises(ProtocolError):
        answered(cluster.cluster_info(DEFAULTS), [(200, body)])
