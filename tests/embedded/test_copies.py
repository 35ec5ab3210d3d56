"""Whatever happens to copies and nodes: an acknowledged majority write is never lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Final

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, Node, NodeState
from couchloop.embedded.storage.partition import NO_NODE
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.wire import Opcode, Status
from tests.embedded.client import STORE, Client

KEYS: Final = (b"a", b"b")
GONE: Final = b""
"""Stands for a document that is not there."""
MAJORITY: Final = bytes([0x13, 1]) + (2000).to_bytes(2)

_WORLDS: Final = 300
_STEPS: Final = 40


@dataclass
class Pending:
    """A synchronous write that is not answered yet."""

    client: Client
    opaque: int
    key: bytes
    value: bytes


@dataclass
class Model:
    """What a document may be: what was acknowledged last, or anything that was written since."""

    sure: bytes = GONE
    perhaps: set[bytes] = field(default_factory=set)

    def allows(self, value: bytes) -> bool:
        return value == self.sure or value in self.perhaps


class World:
    """Four nodes, three copies of one vbucket, and two documents in it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        bucket = BucketSettings("default", replicas=2, vbuckets=1)
        self.cluster = EmbeddedCluster(4, [bucket], clock=self.clock)
        self.bucket = self.cluster.buckets["default"]
        self.models = {key: Model() for key in KEYS}
        self.clients: dict[int, Client] = {}
        self.pending: list[Pending] = []
        self.number = 0
        self.can_lose_a_node = True
        """Whether all copies were equal at some time since the chain was changed last."""

    # --- what clients do ------------------------------------------------------------------------

    def _active(self) -> Client | None:
        """Return a client of the node with the active copy, if that runs."""
        node_id = self.bucket.chains[0][0]
        node = next((node for node in self.cluster.nodes if node.node_id == node_id), None)
        if node is None or node.state is not NodeState.RUNNING:
            return None
        client = self.clients.get(node_id)
        if client is None or client.connection.closed:
            client = self.clients[node_id] = Client.ready(node)
        return client

    def _new_value(self) -> bytes:
        self.number += 1
        return f"v{self.number}".encode()

    def write(self) -> None:
        key = self.random.choice(KEYS)
        client, value = self._active(), self._new_value()
        if client is not None:
            answer = client.ask(Opcode.SET, key=b"\0" + key, value=value, extras=STORE)
            if answer.status == Status.SUCCESS:
                # One node alone has said so: a failover may lose it.
                self.models[key].perhaps.add(value)
                answer = client.ask(Opcode.GET_LOCKED, key=b"\0" + key)
                client.ask(Opcode.UNLOCK_KEY, key=b"\0" + key, cas=answer.cas)

    def write_durably(self) -> None:
        key, removes = self.random.choice(KEYS), self.random.random() < 0.3
        value = GONE if removes else self._new_value()
        if self._active() is None:
            return
        # One of its own: whatever comes after it on the same connection waits for it.
        client = Client.ready(self.cluster.nodes[self.bucket.chains[0][0]])
        if removes:
            opaque = client.send(Opcode.DELETE, key=b"\0" + key, framing=MAJORITY)
        else:
            opaque = client.send(
                Opcode.SET, key=b"\0" + key, value=value, extras=STORE, framing=MAJORITY
            )
        self.pending.append(Pending(client, opaque, key, value))
        self._take_answers()

    # --- what happens to the cluster ------------------------------------------------------------

    def time_passes(self) -> None:
        self.clock.advance(self.random.choice((0.5, 1.0, 3.0)))

    def delay(self) -> None:
        seconds, to = self.random.choice((0.0, 1.0, inf)), self._node_or_none()
        self.cluster.delay_replication("default", seconds, to=to)

    def hold(self) -> None:
        self.cluster.hold_replication("default", hold=self.random.random() < 0.3)

    def run_or_not(self) -> None:
        if not self._all_run():
            self._restart()
        else:
            end = self.random.choice((self.cluster.hang, self.cluster.stop))
            end(self.random.choice(self.cluster.nodes))

    def _restart(self) -> None:
        for node in self.cluster.nodes:
            if node.state is not NodeState.RUNNING:
                self.cluster.restart(node)

    def fail_over(self) -> None:
        self._restart()
        chain = self.bucket.chains[0]
        failed = self._node_or_none() or self.cluster.nodes[chain[0]]
        if not self.can_lose_a_node or failed.node_id not in chain or NO_NODE in chain[:2]:
            return
        self.can_lose_a_node = False
        if self.random.random() < 0.5:
            self.cluster.stop(failed)
        self.cluster.failover(failed)

    def reorganise(self) -> None:
        node = self._node_or_none()
        self._restart()
        # What a majority had may now be on one node alone, until the new replicas have it.
        self.can_lose_a_node = False
        if node is None:
            self.cluster.rebalance()
        else:
            self.cluster.move_vbucket("default", 0, node)

    def _node_or_none(self) -> Node | None:
        return self.random.choice((None, None, *self.cluster.nodes))

    @staticmethod
    def _runs(node: Node) -> bool:
        return node.state is NodeState.RUNNING

    def _all_run(self) -> bool:
        return all(map(self._runs, self.cluster.nodes))

    # --- what must hold -------------------------------------------------------------------------

    def _take_answers(self) -> None:
        waiting = []
        for each in self.pending:
            deadline = each.client.connection.next_deadline()
            if deadline is not None and deadline <= self.clock.now():
                each.client.connection.handle_deadline()
            answered = any(frame.opaque == each.opaque for frame in each.client.read())
            if not answered and not each.client.connection.closed:
                self.models[each.key].perhaps.add(each.value)
                waiting.append(each)
                continue
            status = each.client.answer(each.opaque).status if answered else None
            if status == Status.SUCCESS:
                self.models[each.key] = Model(each.value)
            elif status in {None, Status.SYNC_WRITE_AMBIGUOUS}:
                self.models[each.key].perhaps.add(each.value)
        self.pending = waiting

    def what_was_acknowledged_is_there(self) -> None:
        self._take_answers()
        client = self._active()
        for key in KEYS if client is not None else ():
            assert client is not None
            answer = client.ask(Opcode.GET, key=b"\0" + key)
            if answer.status == Status.KEY_ENOENT:
                assert self.models[key].allows(GONE)
            elif answer.status == Status.SUCCESS:
                assert self.models[key].allows(answer.value), (answer.value, self.models[key])
            else:
                assert answer.status == Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS
        self.can_lose_a_node |= self._are_equal()

    def _are_equal(self) -> bool:
        copies = [self.bucket.copy(0, node_id) for node_id in self.bucket.chains[0]]
        seqnos = {copy.seqno for copy in copies if copy is not None}
        return None not in copies and len(seqnos) == 1 and self._all_run()

    @staticmethod
    def _contents(copy: VBucket) -> dict[object, tuple[bytes, bool, int]]:
        # Not the CAS: a lock changes it, and of locks replicas hear nothing.
        return {
            name: (document.value, document.deleted, document.seqno)
            for name, document in copy.documents.items()
        }

    def end(self) -> None:
        """Whatever happened, in the end all copies are the same, and nothing waits."""
        self._restart()
        self.cluster.hold_replication("default", hold=False)
        self.cluster.delay_replication("default", 0)
        self.cluster.rebalance()
        self.clock.advance(10)
        self.what_was_acknowledged_is_there()
        assert not self.pending
        copies = [self.bucket.copy(0, node_id) for node_id in self.bucket.chains[0]]
        leader = copies[0]
        assert leader is not None
        assert not leader.prepared
        for copy in copies:
            assert copy is not None
            assert self._contents(copy) == self._contents(leader)
            assert (copy.seqno, copy.size) == (leader.seqno, leader.size)
            assert not copy.prepared

    def run(self) -> None:
        """Let things happen, and look after each."""
        steps = (
            *(self.write, self.write_durably, self.time_passes, self.delay),
            *(self.hold, self.run_or_not, self.fail_over, self.reorganise),
        )
        for _ in range(_STEPS):
            self.random.choice(steps)()
            self.what_was_acknowledged_is_there()
        self.end()


def test_an_acknowledged_majority_write_is_never_lost() -> None:
    """Nor is an ambiguous one half there, whatever lags, stops, moves and fails over."""
    for seed in range(_WORLDS):
        world = World(seed)
        try:
            world.run()
        except AssertionError as error:
            raise AssertionError(f"in the world of seed {seed}") from error
