"""A bucket: its documents, and which nodes have copies of which vbucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from couchloop.embedded.generator import Generator
from couchloop.embedded.storage.manifest import Manifest
from couchloop.embedded.storage.vbucket import State, VBucket
from couchloop.wire.constants import Status

NO_NODE: Final = -1
"""Stands in a chain, and in a cluster map, where no node has the copy."""


class Vault:
    """All documents of one bucket."""

    def __init__(self, vbuckets: int, generator: Generator, quota: int = 0) -> None:
        self.vbuckets = [
            VBucket(number, int.from_bytes(generator.randbytes(6))) for number in range(vbuckets)
        ]
        self.manifest = Manifest()
        self.quota = quota
        """Bytes of values that fit, 0 for no limit; see `full`."""

    def set_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest: what was in collections that are gone is gone."""
        self.manifest = manifest
        for vbucket in self.vbuckets:
            for document_id in list(vbucket.documents):
                if document_id[0] not in manifest.collections:
                    vbucket.size -= len(vbucket.documents.pop(document_id).value)

    def used(self) -> int:
        """Bytes of all values."""
        return sum(vbucket.size for vbucket in self.vbuckets)

    def full(self, size: int) -> bool:
        """Whether *size* more bytes do not fit any more."""
        return bool(self.quota) and self.used() + size > self.quota


@dataclass(frozen=True)
class BucketSettings:
    """How to make a bucket; None takes the cluster's default."""

    name: str
    replicas: int | None = None
    vbuckets: int | None = None
    ephemeral: bool = False
    quota: int = 0
    """Bytes of values after which writes are refused, 0 for no limit."""


class Bucket:
    """A bucket: its documents, and which nodes own which of its vbuckets."""

    def __init__(self, settings: BucketSettings, replicas: int, vault: Vault, uuid: str) -> None:
        self.name = settings.name
        self.uuid = uuid
        self.ephemeral = settings.ephemeral
        self.replicas = replicas
        self.vault = vault
        self.chains: list[list[int]] = []
        """For each vbucket the ids of active and replica nodes, -1 for none."""
        self.config_only: set[int] = set()
        """Ids of nodes that have the configuration, but no data."""
        self.holds_replication = False
        """Replicas do not acknowledge synchronous writes while this is set."""
        self.ready = True
        """Whether there are vbuckets and a configuration; a bucket just made has none."""
        self.takes_traffic = True
        """Whether documents can be written; not so while a node warms up."""
        self.ingress_refusal: Status | None = None
        """What is answered to writes while the cluster manager has stopped them."""
        self.paused = False

    def lay_out(self, node_ids: Sequence[int]) -> None:
        """Put vbucket v on node v % n, its replicas on the nodes after that."""
        count = len(node_ids)
        for vbucket in self.vault.vbuckets:
            chain = [
                node_ids[(vbucket.number + index) % count] if index < count else NO_NODE
                for index in range(self.replicas + 1)
            ]
            self.set_chain(vbucket.number, chain)

    def set_chain(self, number: int, chain: list[int]) -> None:
        """Move a vbucket to other nodes."""
        if number < len(self.chains):
            self.chains[number] = chain
        else:
            self.chains.append(chain)
        states = self.vault.vbuckets[number].states
        states.clear()
        for index, node_id in enumerate(chain):
            if node_id != NO_NODE:
                states[node_id] = State.REPLICA if index else State.ACTIVE
