"""Where a node of the map is to be reached, and what it means if that is nowhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from couchloop.doctor.advice import Advice
from couchloop.doctor.report import Part, Step, Verdict
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Settings
from couchloop.topology.configuration import Node

_WEB_PORT: Final = ":8091"
_DATA_PORT: Final = 11210


def service_of(settings: Settings) -> str:
    """Return the data service, as configurations call it."""
    return "kvSSL" if settings.tls else "kv"


def web_port_taken(parsed: ConnectionString) -> Advice:
    """Return what to say of hosts with the web console's port, which the data port is taken for."""
    given = [host for host in map(str, parsed.hosts) if host.endswith(_WEB_PORT)]
    if not given or parsed.implicit_port != _DATA_PORT:
        return Advice("", "", "")
    return Advice(
        "",
        f"{given[0]} names the port of the web console. With {parsed.scheme}:// the data port "
        f"{_DATA_PORT} is taken instead, as in SDK 2.5.",
        f"Leave out {_WEB_PORT}. Where {_DATA_PORT} is mapped to another port, write that one; to "
        f"begin at the web port, write {_WEB_PORT}=http.",
    )


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
