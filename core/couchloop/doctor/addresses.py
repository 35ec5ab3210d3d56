"""Where a node of the map is to be reached, and what it means if that is nowhere."""

from __future__ import annotations

from dataclasses import replace

from couchloop.doctor.report import Part, Step, Verdict
from couchloop.settings.values import Settings
from couchloop.topology.configuration import Node


def service_of(settings: Settings) -> str:
    """Return the data service, as configurations call it."""
    return "kvSSL" if settings.tls else "kv"


def without_address(node: Node, network: str, service: str) -> Step:
    """Return the step of a node that has no data port on *network*."""
    ways = node.networks
    step = Step(
        part=Part.NODES,
        name="node",
        subject=next((way.host for way in ways.values()), ""),
        verdict=Verdict.SKIPPED,
        text="no data service: nothing to examine",
    )
    if not any({"kv", "kvSSL"} & way.services.keys() for way in ways.values()):
        return step
    having = [name for name in ways if node.address(name, service)]
    if having:
        cure = f"Add network={having[0]} to the connection string."
    elif service == "kvSSL":
        cure = "Use couchbase://, or have TLS set up on the cluster."
    else:
        cure = "Use couchbases://: the node takes data over TLS only."
    port = "TLS data port" if service == "kvSSL" else "data port"
    return replace(
        step,
        verdict=Verdict.FAILED,
        text="no address",
        cause=f"The configuration has no {port} for it on network {network}.",
        cure=cure,
    )
