"""Ways to the nodes: by which of the networks in a configuration they are reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from couchloop.settings.hosts import one_form
from couchloop.settings.values import AUTO_NETWORK, DEFAULT_NETWORK, EXTERNAL_NETWORK, Address
from couchloop.topology.configuration import ClusterConfig


class NetworkChoice(NamedTuple):
    """The network on which the nodes are reached, and why that one."""

    name: str
    why: str


def _listed_on(config: ClusterConfig, address: Address, *, exactly: bool) -> str | None:
    """Return the network on which *address* is listed, *exactly* with its port; None: on none."""
    wanted = one_form(address.host)
    # `default` stands first in each node, and wins over alternates of every other node.
    for alternates in (False, True):
        for node in config.nodes:
            for name, way in node.networks.items():
                if (name != DEFAULT_NETWORK) is not alternates:
                    continue
                if one_form(way.host) != wanted:
                    continue
                if not exactly or address.port in way.services.values():
                    return name
    return None


def select_network(
    config: ClusterConfig,
    seed: Address,
    wanted: str = AUTO_NETWORK,
    others: Sequence[Address] = (),
) -> NetworkChoice:
    """Choose the network on which to reach the nodes, once per bootstrap.

    A name other than `auto` wins. Otherwise: the network on which *seed* (the address that gave
    the configuration) or one of *others* is listed, by host and port first, then by host; failing
    that `external` if every data node has it, else `default`.
    """
    if wanted != AUTO_NETWORK:
        return NetworkChoice(wanted, f"network={wanted} was given")
    if not any(node.networks.keys() - {DEFAULT_NETWORK} for node in config.nodes):
        return NetworkChoice(DEFAULT_NETWORK, "there is no other")
    for exactly in (True, False):
        for address in (seed, *others):
            name = _listed_on(config, address, exactly=exactly)
            if name is not None:
                return NetworkChoice(
                    name, f"{address if exactly else address.host} is listed there"
                )
    data_nodes = config.nodes[: config.data_nodes]
    if data_nodes and all(EXTERNAL_NETWORK in node.networks for node in data_nodes):
        return NetworkChoice(
            EXTERNAL_NETWORK,
            f"{seed} is not listed anywhere, and every data node has an external address",
        )
    return NetworkChoice(DEFAULT_NETWORK, f"{seed} is not listed anywhere")


def data_networks(config: ClusterConfig, service: str) -> list[str]:
    """Return the networks on which *service* of some data node can be reached, `default` first."""
    names = {
        name
        for node in config.nodes[: config.data_nodes]
        for name, way in node.networks.items()
        if service in way.services
    }
    return sorted(names, key=lambda name: (name != DEFAULT_NETWORK, name))
