"""One vbucket on all nodes that have a copy: who leads, how the others follow, who takes over."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from couchloop.embedded.clock import Clock
from couchloop.embedded.generator import Generator
from couchloop.embedded.storage.manifest import Manifest
from couchloop.embedded.storage.vbucket import (
    Change,
    DocumentId,
    Lag,
    Preparation,
    Prepared,
    State,
    VBucket,
)

NO_NODE: Final = -1
"""Stands in a chain, and in a cluster map, where no node has the copy."""

_PERSIST_ON_ACTIVE: Final = 2
_PERSIST_TO_MAJORITY: Final = 3


@dataclass(slots=True)
class Conditions:
    """What holds for all vbuckets of a bucket: the way of changes, and who takes part."""

    clock: Clock
    generator: Generator
    """Gives histories their uuids."""
    manifest: Manifest = field(default_factory=Manifest)
    """The newest one."""
    manifests: dict[int, Manifest] = field(default_factory=dict)
    """Older ones, of the nodes that lag behind."""
    down: set[int] = field(default_factory=set)
    """Nodes that neither send nor take anything."""
    holds_acknowledgements: bool = False
    """Whether replicas keep to themselves what they have."""
    links: defaultdict[int, Lag] = field(default_factory=lambda: defaultdict(Lag))
    """How long changes are on their way to a node."""
    disks: defaultdict[int, Lag] = field(default_factory=lambda: defaultdict(Lag))
    """How long changes are on their way to a node's disk."""

    def manifest_at(self, node_id: int) -> Manifest:
        """Return the manifest that a node knows."""
        return self.manifests.get(node_id, self.manifest)


@dataclass(slots=True)
class _Stream:
    """Changes on their way to a replica."""

    node_id: int
    target: VBucket
    lag: Lag
    waiting: deque[tuple[float, Change]] = field(default_factory=deque)
    """When each was made, the oldest first."""

    def next_due(self) -> float | None:
        return self.waiting[0][0] + self.lag.seconds if self.waiting else None

    def deliver(self, until: float) -> None:
        while self.waiting and self.waiting[0][0] + self.lag.seconds <= until:
            self.waiting.popleft()[1].apply(self.target)


class Partition:
    """One vbucket on all nodes that have a copy of it.

    Changes travel by themselves, but only as far as somebody looks: whoever asks for a copy calls
    `settle` first, which does what was due until now, in the order of time.
    """

    __slots__ = ("_conditions", "_copies", "_streams", "_unsettled", "chain", "number")

    def __init__(self, number: int, conditions: Conditions) -> None:
        self.number = number
        self.chain: list[int] = []
        """Ids of the nodes with the active copy and with the replicas, -1 for none."""
        self._conditions = conditions
        # Of a thousand vbuckets most are never used: they cost nothing until then.
        self._copies: dict[int, VBucket] | None = None
        self._streams: dict[int, _Stream] = {}
        self._unsettled = False
        """Whether there may be changes on their way, or synchronous writes that wait."""

    @property
    def used(self) -> bool:
        """Whether there can be anything in it."""
        return self._copies is not None

    @property
    def copies(self) -> dict[int, VBucket]:
        """The copies by the id of the node."""
        if self._copies is None:
            self._copies = {}
            if self.chain and self.chain[0] != NO_NODE:
                self._copies[self.chain[0]] = self._new_copy(self.chain[0])
            self._lead(None)
        return self._copies

    @property
    def leader(self) -> VBucket | None:
        """The copy that clients use and replicas follow."""
        return self.copies.get(self.chain[0]) if self.chain else None

    # --- who has a copy -------------------------------------------------------------------------

    def assign(self, chain: Sequence[int]) -> None:
        """Move the vbucket to other nodes in an orderly way: nothing is lost."""
        if self._copies is None:
            self.chain = list(chain)
            return
        self.settle()
        former, self.chain = self.leader, list(chain)
        leader_id = self.chain[0]
        if leader_id != NO_NODE:
            leader = self.copies.get(leader_id)
            if leader is None:
                leader = self.copies[leader_id] = self._new_copy(leader_id)
            if former is not None and former is not leader:
                leader.take_over(former)
        self._lead(former)

    def fail_over(self, node_id: int) -> None:
        """Remove a node from the chain; the replica that knows most takes over from it.

        What has not arrived there is lost.
        """
        if node_id not in self.chain:
            return
        self.settle()
        former = self.leader if self.used else None
        rest = self._others(node_id)
        if self.chain[0] == node_id and rest:
            best = max(rest, key=self._merit)
            rest.remove(best)
            rest.insert(0, best)
            if self.used:
                self.copies[best].promote(self._new_uuid())
        self.chain = rest + [NO_NODE] * (len(self.chain) - len(rest))
        if self.used:
            self._lead(former)

    def halt(self, node_id: int) -> None:
        """Stop a node's copy from writing."""
        copy = self.copies.get(node_id) if self.used else None
        if copy is not None:
            copy.halt()

    def go_on(self, node_id: int) -> None:
        """Let a node's copy write again: it has lost nothing."""
        copy = self.copies.get(node_id) if self.used else None
        if copy is not None:
            copy.go_on()

    def crash(self, node_id: int, *, persistent: bool) -> None:
        """Restart a node's copy with what was on its disk.

        Without disks a replica takes over, as the cluster manager sees to it.
        """
        copy = self.copies.get(node_id) if self.used else None
        if copy is None:
            return
        is_lost = copy.crash(persistent=persistent)
        if node_id == self.chain[0] and is_lost:
            best = node_id if persistent else max(self.chain, key=self._knows)
            self.chain.remove(best)
            self.chain.insert(0, best)
            self.copies[best].promote(self._new_uuid())
        self._lead(None)

    def _knows(self, node_id: int) -> int:
        return self.copies[node_id].seqno if node_id in self.copies else -1

    def would_lose(self, node_id: int) -> bool:
        """Whether a failover of that node would lose a write."""
        leader = self.leader if self.used and self.chain[0] == node_id else None
        if leader is None:
            return False
        self.settle()
        rest = self._others(node_id)
        return not rest or self.copies[max(rest, key=self._merit)].seqno != leader.seqno

    def set_state(self, node_id: int, state: State | None) -> None:
        """Change what a node does with its copy (None: it has none), without telling anybody."""
        self.settle()
        if state is None:
            self.copies.pop(node_id, None)
            self._streams.pop(node_id, None)
            return
        if node_id not in self.copies:
            copy = self.copies[node_id] = self._new_copy(node_id)
            if copy is self.leader:
                self._lead(None)
            elif self.leader is not None:
                copy.take_over(self.leader)
        self.copies[node_id].state = state
        self.copies[node_id].scans.clear()

    def set_manifest(self, node_ids: Sequence[int]) -> None:
        """Apply the manifests of these nodes to their copies.

        Replicas hear of it from the node that leads.
        """
        for node_id in node_ids if self.used else ():
            copy = self.copies.get(node_id)
            manifest = self._conditions.manifest_at(node_id)
            if copy is not None and node_id not in self._streams and copy.manifest is not manifest:
                copy.set_manifest(manifest)

    def _others(self, node_id: int) -> list[int]:
        return [each for each in self.chain if each not in (node_id, NO_NODE)]

    def _merit(self, node_id: int) -> tuple[bool, int, int]:
        """What speaks for a replica; among equals the first of the chain is the best."""
        runs = node_id not in self._conditions.down
        if not self.used:
            return runs, 0, 0
        copy = self.copies[node_id]
        return runs, copy.high_prepared, copy.seqno

    def _new_uuid(self) -> int:
        return int.from_bytes(self._conditions.generator.randbytes(6))

    def _new_copy(self, node_id: int) -> VBucket:
        conditions = self._conditions
        return VBucket(
            self.number,
            self._new_uuid(),
            conditions.clock,
            conditions.manifest_at(node_id),
            conditions.disks[node_id],
        )

    def _lead(self, former: VBucket | None) -> None:
        """Make the replicas follow the first of the chain; whoever is not in it loses its copy."""
        leader = self.leader
        if former is not None and former is not leader:
            former.resign()
        for node_id in set(self.copies) - set(self.chain):
            del self.copies[node_id]
        streams, self._streams = self._streams, {}
        if leader is None:
            return
        leader.state = State.ACTIVE
        known = self._conditions.manifest_at(self.chain[0])
        if known.uid > leader.manifest.uid:
            # A replica hears of it from the copy that led, and so late.
            leader.set_manifest(known)
        for node_id in self.chain[1:]:
            if node_id == NO_NODE:
                continue
            stream = streams.get(node_id)
            if stream is None or former is not leader or node_id not in self.copies:
                stream = self._follow(node_id, leader)
            stream.target.state = State.REPLICA
            self._streams[node_id] = stream
        leader.tell = self._send
        self._unsettled = True
        self.settle()

    def _follow(self, node_id: int, leader: VBucket) -> _Stream:
        copy = self.copies.get(node_id)
        if copy is None or not copy.continues(leader):
            copy = self.copies[node_id] = self._new_copy(node_id)
            copy.manifest = leader.manifest
        copy.resign()
        copy.uuid, copy.failover_log = leader.uuid, list(leader.failover_log)
        stream = _Stream(node_id, copy, self._conditions.links[node_id])
        now = self._conditions.clock.now()
        if copy.manifest is not leader.manifest:
            copy.set_manifest(leader.manifest)
        if copy.seqno != leader.seqno:
            stream.waiting += ((now, change) for change in leader.missing_in(copy))
        return stream

    # --- how changes travel ---------------------------------------------------------------------

    def _send(self, change: Change) -> None:
        conditions = self._conditions
        self._unsettled |= type(change) is Preparation
        for stream in self._streams.values():
            if stream.waiting or stream.lag.seconds or stream.node_id in conditions.down:
                stream.waiting.append((conditions.clock.now(), change))
                self._unsettled = True
            else:
                change.apply(stream.target)

    def settle(self) -> None:
        """Do what was due until now: changes arrive, synchronous writes are decided."""
        if not self._unsettled:
            return
        leader = self.leader if self._copies is not None else None
        if leader is None or self.chain[0] in self._conditions.down:
            return
        now = self._conditions.clock.now()
        while True:
            due = self.next_event()
            at = now if due is None else min(now, due)
            for stream in self._streams.values():
                if stream.node_id not in self._conditions.down:
                    stream.deliver(at)
            self._decide(leader, at)
            if due is None or due > now:
                break
        waiting = any(stream.waiting for stream in self._streams.values())
        self._unsettled = waiting or bool(leader.prepared)

    def next_event(self) -> float | None:
        """Return when something happens by itself (monotonic seconds), None if nothing does."""
        return min(self._events(), default=None)

    def _events(self) -> Iterator[float]:
        leader, down = self.leader, self._conditions.down
        if leader is None or self.chain[0] in down:
            return
        for stream in self._streams.values():
            due = stream.next_due()
            if due is not None and stream.node_id not in down:
                yield due
        if not leader.prepared:
            return
        for node_id, copy in self.copies.items():
            due = copy.next_persisted() if node_id not in down else None
            if due is not None:
                yield due
        for prepared in leader.prepared.values():
            if prepared.deadline is not None and prepared.ready:
                yield prepared.deadline

    def _decide(self, leader: VBucket, at: float) -> None:
        for document_id, prepared in list(leader.prepared.items()):
            if not prepared.ready:
                continue
            if self._acknowledged(document_id, prepared):
                leader.commit(document_id)
            elif prepared.deadline is not None and prepared.deadline <= at:
                leader.abort(document_id)

    def _acknowledged(self, document_id: DocumentId, prepared: Prepared) -> bool:
        conditions, level = self._conditions, prepared.level
        count = 0
        for node_id in self.chain:
            copy = self.copies.get(node_id)
            if copy is None or node_id in conditions.down:
                continue
            leads = node_id == self.chain[0]
            if not leads:
                theirs = copy.prepared.get(document_id)
                if conditions.holds_acknowledgements or theirs is None:
                    continue
                if theirs.document.cas != prepared.document.cas:
                    continue
            on_disk = level >= _PERSIST_TO_MAJORITY or (leads and level >= _PERSIST_ON_ACTIVE)
            if not on_disk or copy.persisted() >= prepared.seqno:
                count += 1
            elif leads:
                # A level that waits for disks survives a restart of the node that leads.
                return False
        return count >= len(self.chain) // 2 + 1
