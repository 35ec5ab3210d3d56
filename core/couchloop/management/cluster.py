"""What the cluster manager tells of the cluster itself: nodes, versions, names of buckets."""

from __future__ import annotations

from typing import Any

from couchloop.hot.operation import Defaults
from couchloop.http.service import Service
from couchloop.management.answers import check, get, read_json, unreadable
from couchloop.operations.procedure import Procedure, Steps
from couchloop.records import record

__all__ = [
    "ClusterInfo",
    "NodeInfo",
]


@record(frozen=True, slots=True)
class NodeInfo:
    """A node, as the cluster manager describes it."""

    hostname: str
    """`host:port` of its manager."""
    status: str
    """`healthy`, `warmup` or `unhealthy`."""
    version: str
    membership: str = ""
    services: tuple[str, ...] = ()
    otp_node: str = ""
    os: str = ""


@record(frozen=True, slots=True)
class ClusterInfo:
    """A cluster, as its manager describes it."""

    name: str
    nodes: tuple[NodeInfo, ...]
    buckets: tuple[str, ...] = ()
    """Those that the user may see."""
    is_balanced: bool = True
    rebalance_status: str = ""

    @property
    def server_version(self) -> str:
        """The lowest version of all nodes: what can be relied on."""
        return min((node.version for node in self.nodes), key=_version, default="")


def _version(text: str) -> tuple[tuple[int, str], ...]:
    parts = text.replace("-", ".").split(".")
    return tuple((int(each), "") if each.isdecimal() else (-1, each) for each in parts)


def cluster_info(defaults: Defaults, *, timeout: float | None = None) -> Procedure[ClusterInfo]:
    """Return the cluster's nodes, their versions and services, and the names of its buckets.

    Raises NotAuthorizedError.
    """
    return Procedure("cluster_info", defaults, None, timeout, _info(), idempotent=True)


def _info() -> Steps[ClusterInfo]:
    answer = check((yield get(Service.MANAGEMENT, "/pools/default")), Service.MANAGEMENT)
    document = read_json(answer)
    try:
        return ClusterInfo(
            str(document.get("clusterName", "")),
            tuple(_node(each) for each in document["nodes"]),
            tuple(str(each["bucketName"]) for each in document.get("bucketNames", [])),
            bool(document.get("balanced", True)),
            str(document.get("rebalanceStatus", "")),
        )
    except (LookupError, TypeError, AttributeError):
        raise unreadable(answer) from None


def _node(document: Any) -> NodeInfo:
    return NodeInfo(
        str(document["hostname"]),
        str(document["status"]),
        str(document["version"]),
        str(document.get("clusterMembership", "")),
        tuple(map(str, document.get("services", []))),
        str(document.get("otpNode", "")),
        str(document.get("os", "")),
    )
