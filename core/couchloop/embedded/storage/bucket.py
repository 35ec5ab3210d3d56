"""A bucket: its documents, and which nodes have copies of which vbucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from couchloop.embedded.clock import Clock
from couchloop.embedded.generator import Generator
from couchloop.embedded.storage.design_documents import DesignDocuments
from couchloop.embedded.storage.manifest import Collection, Manifest
from couchloop.embedded.storage.partition import NO_NODE, Conditions, Partition
from couchloop.embedded.storage.properties import BucketProperties
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.wire.constants import Status


@dataclass(frozen=True)
class BucketSettings:
    """How to make a bucket; None takes the cluster's default."""

    name: str
    replicas: int | None = None
    vbuckets: int | None = None
    ephemeral: bool = False
    quota: int = 0
    """Bytes of values after which writes are refused, 0 for no limit."""
    memcached: bool = False
    """Whether it is of type memcached: no vbuckets and no copies, and clients spread the keys over
    the nodes themselves. On a node with *quota* bytes the oldest documents give way."""


class Bucket:
    """A bucket: its documents, and which nodes own which of its vbuckets.

    Args:
        settings: its name and kind.
        replicas, vbuckets: how many of each.
        generator: gives the vbuckets their uuids.
        clock: the cluster's.
        uuid: the bucket's own.
    """

    def __init__(
        self,
        settings: BucketSettings,
        replicas: int,
        vbuckets: int,
        generator: Generator,
        clock: Clock,
        uuid: str,
    ) -> None:
        self.name = settings.name
        self.uuid = uuid
        self.ephemeral = settings.ephemeral
        self.memcached = settings.memcached
        self.servers: list[int] = []
        """Of a memcached bucket: the ids of the nodes over which clients spread keys."""
        self._stores: dict[int, VBucket] = {}
        self.replicas = replicas
        self.quota = settings.quota
        """Bytes of values that fit, 0 for no limit; see `full`."""
        self.properties = BucketProperties(
            eviction_policy="noEviction" if self.ephemeral else "valueOnly",
            backend="undefined" if self.ephemeral or self.memcached else "couchstore",
        )
        self.conditions = Conditions(clock, generator)
        count = 0 if self.memcached else vbuckets
        self.partitions = [Partition(number, self.conditions) for number in range(count)]
        self.config_only: set[int] = set()
        """Ids of nodes that have the configuration, but no data."""
        self.ready = True
        """Whether there are vbuckets and a configuration; a bucket just made has none."""
        self.takes_traffic = True
        """Whether documents can be written; not so while a node warms up."""
        self.ingress_refusal: Status | None = None
        """What is answered to writes while the cluster manager has stopped them."""
        self.paused = False
        self.design_documents = DesignDocuments()

    @property
    def chains(self) -> list[list[int]]:
        """For each vbucket the ids of active and replica nodes, -1 for none."""
        return [partition.chain for partition in self.partitions]

    @property
    def manifest(self) -> Manifest:
        """The newest scopes and collections; a node may lag behind, see `manifest_at`."""
        return self.conditions.manifest

    def manifest_at(self, node_id: int) -> Manifest:
        """Return the scopes and collections that a node knows."""
        return self.conditions.manifest_at(node_id)

    def copy(self, number: int, node_id: int) -> VBucket | None:
        """Return the copy of a vbucket that a node has, as it is now."""
        if self.memcached:
            return self._store(node_id) if number == 0 else None
        if number >= len(self.partitions):
            return None
        partition = self.partitions[number]
        partition.settle()
        return partition.copies.get(node_id)

    def copies(self, node_id: int) -> Iterator[VBucket]:
        """Return all copies that a node has, as they are now."""
        if self.memcached:
            yield self._store(node_id)
        for partition in self.partitions:
            partition.settle()
            copy = partition.copies.get(node_id)
            if copy is not None:
                yield copy

    def active(self, number: int) -> VBucket | None:
        """Return the active copy of a vbucket, as it is now."""
        partition = self.partitions[number]
        partition.settle()
        return partition.leader

    def used(self) -> int:
        """Bytes of all values."""
        if self.memcached:
            return sum(store.size for store in self._stores.values())
        leaders = (partition.leader for partition in self.partitions if partition.used)
        return sum(leader.size for leader in leaders if leader is not None)

    def full(self, size: int) -> bool:
        """Whether *size* more bytes do not fit any more."""
        return bool(self.quota) and self.used() + size > self.quota

    def make_room(self, node_id: int, size: int) -> None:
        """Evict the oldest documents of a node, as in a memcached bucket."""
        store = self._store(node_id)
        while self.quota and store.documents and store.size + size > self.quota:
            store.evict()

    def longest_life(self, collection: Collection) -> int:
        """Return how many seconds documents of a collection live at most, 0 for ever."""
        if collection.max_ttl < 0:
            # For ever, whatever the bucket says.
            return 0
        return collection.max_ttl or self.properties.max_ttl

    @property
    def documents(self) -> int:
        """How many documents there are."""
        if self.memcached:
            return sum(len(store.documents) for store in self._stores.values())
        leaders = (partition.leader for partition in self.partitions if partition.used)
        return sum(len(leader.documents) for leader in leaders if leader is not None)

    def settle(self) -> None:
        """Do what was due until now: see `Partition`."""
        for partition in self.partitions:
            partition.settle()

    # --- what an administrator does -------------------------------------------------------------

    def lay_out(self, node_ids: Sequence[int]) -> None:
        """Put vbucket v on node v % n, its replicas on the nodes after that."""
        if self.memcached:
            self._serve_from(node_ids)
        count = len(node_ids)
        for partition in self.partitions:
            partition.assign(
                [
                    node_ids[(partition.number + index) % count] if index < count else NO_NODE
                    for index in range(self.replicas + 1)
                ]
            )

    def fail_over(self, node_id: int) -> None:
        """Remove a node: its replicas take over, or what it had is gone."""
        if self.memcached:
            self._serve_from([each for each in self.servers if each != node_id])
        for partition in self.partitions:
            partition.fail_over(node_id)

    def halt(self, node_id: int) -> None:
        """Stop a node: it takes and writes nothing more."""
        self.settle()
        self.conditions.down.add(node_id)
        for partition in self.partitions:
            partition.halt(node_id)

    def go_on(self, node_id: int) -> None:
        """Let a node that has halted, and has lost nothing, write again."""
        for partition in self.partitions:
            partition.go_on(node_id)

    def crash(self, node_id: int) -> bool:
        """Restart a node with what was on its disk; return whether a chain has changed."""
        self._stores.pop(node_id, None)
        before = [chain[0] for chain in self.chains]
        for partition in self.partitions:
            partition.crash(node_id, persistent=not self.ephemeral)
        return before != [chain[0] for chain in self.chains]

    def flush(self) -> None:
        """Delete every document: vbuckets begin anew, with other histories."""
        self._stores.clear()
        for partition in self.partitions:
            if partition.used and partition.leader is not None:
                # Whoever waits for a write to be durable never knows.
                partition.leader.resign()
        chains = self.chains
        self.partitions = [Partition(number, self.conditions) for number in range(len(chains))]
        for partition, chain in zip(self.partitions, chains, strict=True):
            partition.assign(chain)

    def _serve_from(self, node_ids: Sequence[int]) -> None:
        self.servers = list(node_ids)
        for node_id in set(self._stores) - set(node_ids):
            del self._stores[node_id]

    def _store(self, node_id: int) -> VBucket:
        """Return what a node of a memcached bucket has: one set of documents, which clients use."""
        store = self._stores.get(node_id)
        if store is None:
            conditions = self.conditions
            disk = conditions.disks[node_id]
            store = VBucket(0, 0, conditions.clock, conditions.manifest_at(node_id), disk, seqno=0)
            self._stores[node_id] = store
        return store

    def set_manifest(
        self, manifest: Manifest, node_ids: Iterable[int], others: Sequence[int]
    ) -> None:
        """Set the manifest of the nodes *node_ids*; *others* keep theirs and lag behind."""
        conditions = self.conditions
        manifest.last_id = max(manifest.last_id, conditions.manifest.last_id)
        lagging = {node_id: conditions.manifest_at(node_id) for node_id in others}
        conditions.manifest, conditions.manifests = manifest, lagging
        for partition in self.partitions:
            partition.settle()
            partition.set_manifest(list(node_ids))
