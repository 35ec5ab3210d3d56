"""The cluster manager's endpoints about the cluster and its nodes.

GET /                                    sends browsers to the console
GET /pools, /pools/default               what there is
GET /pools/default/terseClusterInfo
GET /pools/default/tasks                 what takes long
GET /nodes/self, /whoami
GET /settings/autoFailover
"""

from __future__ import annotations

from typing import Any, Final

from couchloop.embedded.http.router import HttpRequest, Response, Route, answer_json
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.node import Node, NodeState

VERSION: Final = "7.6.2-3721-enterprise"
"""What nodes say they are."""
COMPATIBILITY: Final = 458758
"""7.6, as the cluster manager counts."""

_NAMES: Final = {
    "kv": "kv",
    "n1ql": "n1ql",
    "fts": "fts",
    "cbas": "cbas",
    "eventingAdminPort": "eventing",
}
"""Services by the key of their port."""
_HEALTH: Final = {
    NodeState.RUNNING: "healthy",
    NodeState.HUNG: "unhealthy",
    NodeState.STOPPED: "unhealthy",
}
_MEMORY: Final = 8 << 30


def root(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Send browsers to the console (which is not there)."""
    return Response(301, b"", (("Location", "/ui/index.html"),))


def pools(request: HttpRequest) -> Response:
    """Return what there is."""
    cluster = request.cluster
    return answer_json(
        {
            "isAdminCreds": request.user.is_admin,
            "isROAdminCreds": False,
            "isEnterprise": True,
            "configProfile": "default",
            "pools": [
                {
                    "name": "default",
                    "uri": f"/pools/default?uuid={cluster.uuid}",
                    "streamingUri": f"/poolsStreaming/default?uuid={cluster.uuid}",
                }
            ],
            "uuid": cluster.uuid,
            "implementationVersion": VERSION,
            "componentsVersion": {"ns_server": VERSION},
        }
    )


def pool(request: HttpRequest) -> Response:
    """Return the cluster's nodes, and how they are."""
    cluster = request.cluster
    return answer_json(
        {
            "name": "default",
            "nodes": nodes(request),
            "buckets": {"uri": f"/pools/default/buckets?uuid={cluster.uuid}"},
            "bucketNames": [
                {"bucketName": bucket.name, "uuid": bucket.uuid}
                for bucket in cluster.buckets.values()
                if request.user.sees(bucket.name)
            ],
            "clusterName": cluster.name,
            "memoryQuota": _MEMORY >> 20,
            "rebalanceStatus": "none",
            "balanced": True,
            "tasks": {"uri": f"/pools/default/tasks?v={cluster.rev}"},
            "serverGroupsUri": f"/pools/default/serverGroups?v={cluster.rev}",
            "counters": {},
        }
    )


def nodes(request: HttpRequest) -> list[dict[str, Any]]:
    """Return all nodes as the cluster manager describes them."""
    return [node_document(request.cluster, each, request.node) for each in request.cluster.nodes]


def node_document(cluster: Cluster, node: Node, asked: Node) -> dict[str, Any]:
    """Return one node as the cluster manager describes it."""
    address = node.address()
    ports = node.ports
    manager = f"{address.bracketed}:{ports.get('mgmt', 8091)}"
    optional = {"httpsMgmt": "mgmtSSL", "httpsCAPI": "capiSSL"}
    document: dict[str, Any] = {
        "clusterMembership": "active",
        "recoveryType": "none",
        "status": _HEALTH[node.state],
        "otpNode": f"ns_{node.node_id}@{node.host}",
        "hostname": manager,
        "configuredHostname": manager,
        "nodeUUID": f"{cluster.uuid[:24]}{node.node_id:08x}",
        "clusterCompatibility": COMPATIBILITY,
        "version": VERSION,
        "os": "x86_64-pc-linux-gnu",
        "cpuCount": 2,
        "ports": {
            "direct": ports.get("kv", 0),
            **{name: ports[key] for name, key in optional.items() if key in ports},
        },
        "services": [
            name
            for key, name in _NAMES.items()
            if key in ports and (key != "kv" or node.serves_data)
        ],
        "nodeEncryption": False,
        "addressFamily": "inet6" if ":" in node.host else "inet",
        "systemStats": {"cpu_utilization_rate": 0, "mem_total": _MEMORY, "mem_free": _MEMORY},
        "interestingStats": {},
        "uptime": str(int(cluster.clock.now())),
        "memoryTotal": _MEMORY,
        "memoryFree": _MEMORY,
    }
    if node is asked:
        document["thisNode"] = True
    return document


def node_self(request: HttpRequest) -> Response:
    """Return the node that is asked."""
    return answer_json(node_document(request.cluster, request.node, request.node))


def terse(request: HttpRequest) -> Response:
    """Return the cluster in few words."""
    cluster = request.cluster
    return answer_json(
        {
            "clusterUUID": cluster.uuid,
            "orchestrator": f"ns_{cluster.nodes[0].node_id}@{cluster.nodes[0].host}",
            "isBalanced": True,
            "clusterCompatVersion": "7.6",
        }
    )


def tasks(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Return what takes long: nothing does."""
    return answer_json([{"type": "rebalance", "status": "notRunning", "statusIsStale": False}])


def who_am_i(request: HttpRequest) -> Response:
    """Return who asks."""
    user = request.user
    roles = [{"role": "admin"}] if user.is_admin else []
    return answer_json({"id": user.name, "domain": "local", "roles": roles})


def auto_failover(request: HttpRequest) -> Response:
    """Return how failed nodes are dealt with."""
    request.need("cluster.settings.auto_failover!read", allowed=request.user.is_admin)
    return answer_json(
        {
            "enabled": True,
            "timeout": 120,
            "count": 0,
            "failoverOnDataDiskIssues": {"enabled": False, "timePeriod": 120},
            "maxCount": 1,
            "canAbortRebalance": True,
            "failoverPreserveDurabilityMajority": False,
        }
    )


ROUTES: Final = (
    Route("GET", "/", root),
    Route("GET", "/pools", pools),
    Route("GET", "/pools/default", pool),
    Route("GET", "/pools/default/terseClusterInfo", terse),
    Route("GET", "/pools/default/tasks", tasks),
    Route("GET", "/nodes/self", node_self),
    Route("GET", "/whoami", who_am_i),
    Route("GET", "/settings/autoFailover", auto_failover),
)
