"""Which node is asked: in turn those that have the service, on the network that is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from couchloop.exceptions import ErrorContext, NodeNotAvailableError, ServiceNotAvailableError
from couchloop.http.service import Service

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from couchloop.session.shared import Random
    from couchloop.settings.values import Address
    from couchloop.topology.configuration import ClusterConfig, Node

_TLS_KEYS: Final = {Service.EVENTING: "eventingSSL"}
"""Where the key of a service's TLS port is not its own with SSL behind it."""


def key_of(service: Service, *, tls: bool) -> str:
    """Return how configurations call the port of *service*: with TLS there is no other."""
    if not tls:
        return service.value
    return _TLS_KEYS.get(service, f"{service.value}SSL")


def nodes_of(
    config: ClusterConfig, network: str, service: Service, *, tls: bool, bucket: str = ""
) -> list[Address]:
    """Return where *service* is reached on *network*, in the order of the nodes.

    Of the nodes that lead a vbucket of *bucket*, if it is said and its vbuckets are known.
    """
    key = key_of(service, tls=tls)
    nodes: Iterable[Node] = config.nodes
    if bucket and config.bucket == bucket and config.has_vbuckets and config.is_ready:
        leading = set(config.active)
        nodes = (node for index, node in enumerate(config.nodes) if index in leading)
    found = (node.address(network, key) for node in nodes)
    return list(dict.fromkeys(address for address in found if address is not None))


def unavailable(
    config: ClusterConfig, network: str, service: Service, *, tls: bool
) -> ServiceNotAvailableError:
    """Return why nobody can be asked for *service*: what the cluster has instead."""
    there = [each for each in Service if nodes_of(config, network, each, tls=tls)]
    names = ", ".join(each.name.lower() for each in there) or "no service at all"
    by = "with TLS" if tls else "without TLS"
    return ServiceNotAvailableError(
        f"no node runs the {service.name.lower()} service, as reached on network {network!r} {by}: "
        f"the cluster has {names}"
    )


class Rotation:
    """Takes the nodes of each service in turn, from a random one on.

    Args:
        random: says with which to begin.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._turns: dict[Service, int] = {}

    def next(
        self, service: Service, nodes: Sequence[Address], avoided: Collection[Address]
    ) -> Address | None:
        """Return the next of *nodes*, of which there is one; None: all are *avoided*."""
        turn = self._turns.get(service)
        if turn is None:
            turn = self._random.getrandbits(16)
        for step in range(len(nodes)):
            node = nodes[(turn + step) % len(nodes)]
            if node not in avoided:
                self._turns[service] = turn + step + 1
                return node
        return None


def named(
    config: ClusterConfig, network: str, service: Service, name: str, *, tls: bool
) -> Address:
    """Return where the node is reached that is called *name*; nobody else is told who asks.

    That is `host:port`, or the host of the first that has it. What a service says of itself may be
    an address of another network, or the port without TLS: it is taken for the same node.

    Raises NodeNotAvailableError.
    """
    key = key_of(service, tls=tls)
    found = [(node, node.address(network, key)) for node in config.nodes]
    there = [(node, address) for node, address in found if address is not None]
    for _, address in there:
        if name in {str(address), address.host}:
            return address
    for node, address in there:
        keys = {key_of(service, tls=each) for each in (False, True)}
        if any(str(node.address(other, each)) == name for other in node.networks for each in keys):
            return address
    known = ", ".join(str(address) for _, address in there) or "none"
    raise NodeNotAvailableError(
        f"the node is none of those that run the {service.name.lower()} service: {known}",
        context=ErrorContext(node=name),
    )
