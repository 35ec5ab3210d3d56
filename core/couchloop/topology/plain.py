"""The configuration that plain memcached servers would give, if they gave any."""

from __future__ import annotations

from collections.abc import Sequence

from couchloop.settings.values import DEFAULT_NETWORK, Address
from couchloop.topology.configuration import KetamaConfig, Network, Node, Revision
from couchloop.topology.ketama import KETAMA, circle


def plain_config(servers: Sequence[Address]) -> KetamaConfig:
    """Return the configuration of *servers*, over which keys are spread; it never changes."""
    points, owners = circle((index, str(server)) for index, server in enumerate(servers))
    nodes = tuple(
        Node({DEFAULT_NETWORK: Network(host, {"kv": port, "kvSSL": port})})
        for host, port in servers
    )
    return KetamaConfig(
        Revision(0, 1),
        nodes,
        locator=KETAMA,
        data_nodes=len(nodes),
        active=owners,
        points=points,
    )
