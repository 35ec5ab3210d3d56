"""Cluster maps (configurations) as a server writes them: terse JSON with nodesExt and vbuckets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.partition import NO_NODE
from couchloop.wire import snappy

_CAPABILITIES: Final = (
    "collections",
    "durableWrite",
    "tombstonedUserXAttrs",
    "couchapi",
    "subdoc.ReplaceBodyWithXattr",
    "subdoc.DocumentMacroSupport",
    "subdoc.ReviveDocument",
    "dcp.IgnorePurgedTombstones",
    "preserveExpiry",
    "querySystemCollection",
    "mobileSystemCollection",
    "subdoc.ReplicaRead",
    "rangeScan",
    "dcp",
    "cbhello",
    "touch",
    "cccp",
    "xdcrCheckpointing",
    "nodesExt",
    "xattr",
)
_NOT_EPHEMERAL: Final = frozenset({"couchapi", "rangeScan"})
_MGMT: Final = 8091

CAPABILITIES: Final[Mapping[str, Sequence[str]]] = {
    "n1ql": ("enhancedPreparedStatements", "readFromReplica"),
    "search": ("vectorSearch", "scopedSearchIndex"),
}
"""What services can do, as 7.6 tells it, by the names of both."""


@dataclass(frozen=True)
class AlternateAddress:
    """How a node is reached on another network than its own, behind port mapping for one."""

    host: str
    ports: Mapping[str, int] | None = None
    """Port by service; a service without one is not reached there. None: the ports inside."""


@dataclass(frozen=True)
class NodeAddress:
    """How a configuration names one node."""

    host: str
    services: tuple[tuple[str, int], ...]
    """Service (`kv`, `kvSSL`, `mgmt`, …) and port."""
    serves_data: bool = True
    alternates: tuple[tuple[str, AlternateAddress], ...] = ()
    """Name of each other network, and where the node is there."""

    @property
    def ports(self) -> dict[str, int]:
        """Port by service."""
        return dict(self.services)

    @property
    def bracketed(self) -> str:
        """The host as it stands in `host:port`."""
        return f"[{self.host}]" if ":" in self.host else self.host


def _listed(node: NodeAddress, ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports that a configuration lists: a node without data answers, unnamed."""
    return {
        service: port
        for service, port in ports.items()
        if node.serves_data or service not in {"kv", "kvSSL"}
    }


def _alternates(node: NodeAddress) -> dict[str, Any]:
    if not node.alternates:
        return {}
    networks = {
        network: {
            "hostname": where.host,
            **({} if where.ports is None else {"ports": _listed(node, where.ports)}),
        }
        for network, where in node.alternates
    }
    return {"alternateAddresses": networks}


@dataclass(frozen=True)
class Configuration:
    """One revision of the global configuration, or of a bucket's if *bucket* is set.

    The node that hands it out is marked in the text, so there is one text for each node.
    """

    rev: int
    epoch: int
    cluster_uuid: str
    cluster_name: str
    nodes: tuple[NodeAddress, ...]
    node_ids: tuple[int, ...]
    """Number of each node, in the order of `nodes`: numbers are never used again."""
    bucket: str | None = None
    bucket_uuid: str = ""
    ephemeral: bool = False
    memcached: bool = False
    """Whether the bucket has no vbuckets: clients spread keys over the nodes themselves."""
    capabilities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What services can do, by the names of both."""
    manifest_uid: int = 0
    replicas: int = 0
    chains: tuple[tuple[int, ...], ...] = ()
    """For each vbucket the positions in `nodes` of active and replicas, -1 for none."""
    _texts: dict[tuple[int | None, bool], bytes] = field(
        default_factory=dict, compare=False, repr=False
    )

    def text(self, node_id: int | None, *, compressed: bool = False) -> bytes:
        """Return the JSON as the node with that number hands it out (None: without a mark)."""
        text = self._texts.get((node_id, compressed))
        if text is None:
            if compressed:
                text = snappy.compress(self.text(node_id))
            else:
                text = json.dumps(self.document(node_id), separators=(",", ":")).encode()
            self._texts[node_id, compressed] = text
        return text

    def of_bucket(self, bucket: Bucket) -> Configuration:
        """Return a bucket's configuration, of the same revision as this global one."""
        nodes = self.nodes
        if bucket.memcached:
            nodes = tuple(
                replace(node, serves_data=node_id in bucket.servers)
                for node_id, node in zip(self.node_ids, nodes, strict=True)
            )
        position = {node_id: index for index, node_id in enumerate(self.node_ids)}
        return Configuration(
            self.rev,
            self.epoch,
            self.cluster_uuid,
            self.cluster_name,
            nodes,
            self.node_ids,
            bucket=bucket.name,
            bucket_uuid=bucket.uuid,
            ephemeral=bucket.ephemeral,
            memcached=bucket.memcached,
            capabilities=self.capabilities,
            manifest_uid=bucket.manifest.uid,
            replicas=bucket.replicas,
            chains=tuple(
                tuple(position.get(node_id, NO_NODE) for node_id in chain)
                for chain in bucket.chains
            ),
        )

    def newer_than(self, epoch: int, rev: int) -> bool:
        """Compare with a revision that a client knows."""
        return (self.epoch, self.rev) > (epoch, rev)

    def document(self, node_id: int | None = None) -> dict[str, Any]:
        """Return what `text` says."""
        document: dict[str, Any] = {
            "rev": self.rev,
            "revEpoch": self.epoch,
            "nodesExt": [
                {
                    "services": _listed(node, node.ports),
                    "hostname": node.host,
                    **_alternates(node),
                    **({"thisNode": True} if number == node_id else {}),
                }
                for number, node in zip(self.node_ids, self.nodes, strict=True)
            ],
            "clusterCapabilitiesVer": [1, 0],
            "clusterCapabilities": {
                service: list(names) for service, names in self.capabilities.items()
            },
            "clusterUUID": self.cluster_uuid,
            "clusterName": self.cluster_name,
        }
        if self.bucket is not None:
            document |= self._bucket_members(self.bucket)
        return document

    def _bucket_members(self, name: str) -> dict[str, Any]:
        capabilities = [
            capability
            for capability in _CAPABILITIES
            if not (self.ephemeral and capability in _NOT_EPHEMERAL)
        ]
        query = f"?bucket_uuid={self.bucket_uuid}"
        data_nodes = [node for node in self.nodes if node.serves_data]
        nodes = [
            {
                "hostname": f"{node.bracketed}:{node.ports.get('mgmt', _MGMT)}",
                "ports": {"direct": node.ports.get("kv", 0)},
            }
            for node in data_nodes
        ]
        uris = {
            "uuid": self.bucket_uuid,
            "uri": f"/pools/default/buckets/{name}{query}",
            "streamingUri": f"/pools/default/bucketsStreaming/{name}{query}",
        }
        if self.memcached:
            return {
                "name": name,
                "nodeLocator": "ketama",
                "bucketType": "memcached",
                **uris,
                "bucketCapabilitiesVer": "",
                "bucketCapabilities": ["cbhello", "nodesExt"],
                "nodes": nodes,
            }
        return {
            "name": name,
            "nodeLocator": "vbucket",
            "bucketType": "ephemeral" if self.ephemeral else "membase",
            "storageBackend": "undefined" if self.ephemeral else "couchstore",
            **uris,
            "numVBuckets": len(self.chains),
            "bucketCapabilitiesVer": "",
            "bucketCapabilities": capabilities,
            "collectionsManifestUid": f"{self.manifest_uid:x}",
            "nodes": nodes,
            "vBucketServerMap": {
                "hashAlgorithm": "CRC",
                "numReplicas": self.replicas,
                "serverList": [
                    f"{node.bracketed}:{node.ports.get('kv', 0)}" for node in data_nodes
                ],
                "vBucketMap": [list(chain) for chain in self.chains],
            },
        }
