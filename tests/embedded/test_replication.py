"""Replicas hold copies of their own, which come late, get lost, and take over."""

from __future__ import annotations

import json
from math import inf

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, administrator
from couchloop.embedded.__main__ import make_cluster, parse_arguments
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.hot.frames import Frame
from couchloop.wire import Opcode, Status
from tests.embedded.client import STORE, Client, configuration, on_node, vbucket_of

MAJORITY = bytes([0x13, 1]) + (4000).to_bytes(2)
PERSIST_ON_ACTIVE = bytes([0x13, 2]) + (4000).to_bytes(2)
PERSIST_TO_MAJORITY = bytes([0x13, 3]) + (4000).to_bytes(2)
KEY = on_node(0)
"""Active on node 0, its replica on node 1, a second one on node 2."""


def replica(client: Client, key: str = KEY) -> Frame:
    """Read from a replica."""
    return client.document(Opcode.GET_REPLICA, key)


def begin(client: Client, value: bytes, framing: bytes = MAJORITY, key: str = KEY) -> int:
    """Send a synchronous write; return its opaque."""
    return client.send(Opcode.SET, **client.parts(key, value=value, extras=STORE, framing=framing))


def copy_of(cluster: EmbeddedCluster) -> VBucket:
    """Return the copy that clients use of the vbucket of `KEY`."""
    copy = cluster.buckets["default"].active(vbucket_of(KEY.encode()))
    assert copy is not None
    return copy


def look_again(client: Client) -> None:
    """Do what whoever serves the connection does when its time has come."""
    client.connection.handle_deadline()
    client.read()


@pytest.fixture
def three(clock: ManualClock) -> EmbeddedCluster:
    """Three nodes, two replicas."""
    return EmbeddedCluster(3, replicas=2, clock=clock)


class TestLag:
    """Changes on their way."""

    def test_a_replica_has_what_arrived(self, cluster: EmbeddedCluster, clock: ManualClock) -> None:
        """A change is at the replica after the delay, not before."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        active.set(KEY, b"old")
        cluster.delay_replication("default", 2.0)
        active.set(KEY, b"new")
        assert (active.get(KEY).value, replica(other).value) == (b"new", b"old")
        clock.advance(1.9)
        assert replica(other).value == b"old"
        clock.advance(0.1)
        assert replica(other).value == b"new"

    def test_changes_arrive_in_order(self, cluster: EmbeddedCluster, clock: ManualClock) -> None:
        """Each after its own delay; a deletion is one of them."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        cluster.delay_replication("default", 2.0)
        active.set(KEY, b"1")
        clock.advance(1.0)
        active.document(Opcode.DELETE, KEY)
        clock.advance(1.0)
        assert replica(other).value == b"1"
        clock.advance(1.0)
        assert replica(other).status == Status.KEY_ENOENT

    def test_one_node_may_lag_alone(self, three: EmbeddedCluster) -> None:
        """The other replicas have what it lacks, until the delay ends."""
        clients = [Client.ready(node) for node in three.nodes]
        three.delay_replication("default", inf, to=three.nodes[2])
        clients[0].set(KEY, b"x")
        assert replica(clients[1]).value == b"x"
        assert replica(clients[2]).status == Status.KEY_ENOENT
        three.delay_replication("default", 0)
        assert replica(clients[2]).value == b"x"

    def test_an_orderly_move_loses_nothing(self, cluster: EmbeddedCluster) -> None:
        """What had not arrived is there all the same, with its CAS; a lock is not."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_replication("default", inf)
        active.set(KEY, b"x")
        cas = active.document(Opcode.GET_LOCKED, KEY).cas
        cluster.move_vbucket("default", vbucket_of(KEY.encode()), cluster.nodes[1])
        found = Client.ready(cluster.nodes[1]).get(KEY)
        assert (found.value, found.cas) == (b"x", cas)
        assert active.get(KEY).status == Status.NOT_MY_VBUCKET

    def test_a_new_replica_is_filled(self, cluster: EmbeddedCluster, clock: ManualClock) -> None:
        """What was there before is sent first, then what is new."""
        active, third = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[2])
        active.set(KEY, b"x")
        cluster.failover(cluster.nodes[1])
        cluster.delay_replication("default", 1.0)
        cluster.buckets["default"].partitions[vbucket_of(KEY.encode())].assign([0, 2])
        assert replica(third).status == Status.KEY_ENOENT
        clock.advance(1.0)
        assert replica(third).value == b"x"

    def test_a_lock_is_the_active_nodes_alone(self, cluster: EmbeddedCluster) -> None:
        """The replica shows the CAS from before, and a failover ends the lock."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        cas = active.set(KEY, b"x").cas
        active.document(Opcode.GET_LOCKED, KEY)
        assert replica(other).cas == cas
        cluster.failover(cluster.nodes[0])
        assert other.set(KEY, b"y").status == Status.SUCCESS

    def test_a_replica_does_not_delete_by_itself(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """What has expired is not shown, but deleted only when the active node says so."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        active.document(Opcode.SET, KEY, value=b"1", extras=bytes(4) + (10).to_bytes(4))
        clock.advance(11)
        copies = cluster.buckets["default"].partitions[vbucket_of(KEY.encode())].copies
        assert replica(other).status == Status.KEY_ENOENT
        assert not copies[1].documents[0, KEY.encode()].deleted
        assert active.get(KEY).status == Status.KEY_ENOENT
        assert copies[1].documents[0, KEY.encode()].deleted


class TestFailover:
    """A node leaves, and what it had not passed on is gone."""

    def test_what_was_not_replicated_is_lost(self, cluster: EmbeddedCluster) -> None:
        """The last write, acknowledged by one node alone; what was before it stays."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        active.set(KEY, b"old")
        cluster.delay_replication("default", inf)
        active.set(KEY, b"lost")
        cluster.stop(cluster.nodes[0])
        assert cluster.would_lose(cluster.nodes[0])
        assert not cluster.would_lose(cluster.nodes[1])
        cluster.failover(cluster.nodes[0])
        assert other.get(KEY).value == b"old"

    def test_the_new_history_tells_of_the_loss(self, cluster: EmbeddedCluster) -> None:
        """OBSERVE_SEQNO with the old uuid names the last seqno that was passed on."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        kept = active.set(KEY, b"old").extras
        cluster.delay_replication("default", inf)
        lost = active.set(KEY, b"lost").extras
        cluster.failover(cluster.nodes[0])
        vbucket = vbucket_of(KEY.encode())
        told = other.ask(Opcode.OBSERVE_SEQNO, vbucket=vbucket, value=lost[:8]).value
        assert told[0] == 1
        assert told[27:35] == lost[:8] == kept[:8]
        assert told[35:43] == kept[8:] < lost[8:]

    def test_the_replica_that_knows_most_takes_over(self, three: EmbeddedCluster) -> None:
        """Not simply the first of the chain."""
        active = Client.ready(three.nodes[0])
        three.delay_replication("default", inf, to=three.nodes[1])
        active.set(KEY, b"x")
        three.failover(three.nodes[0])
        assert Client.ready(three.nodes[2]).get(KEY).value == b"x"
        assert three.buckets["default"].chains[vbucket_of(KEY.encode())] == [2, 1, -1]

    def test_a_replica_that_knew_more_forgets_it(self, three: EmbeddedCluster) -> None:
        """A copy whose history has another end is made anew from the one that took over."""
        clients = [Client.ready(node) for node in three.nodes]
        clients[0].set(KEY, b"old")
        three.delay_replication("default", inf, to=three.nodes[1])
        clients[0].set(KEY, b"more")
        assert replica(clients[2]).value == b"more"
        three.stop(three.nodes[2])
        three.stop(three.nodes[0])
        three.failover(three.nodes[0])
        three.restart(three.nodes[2])
        three.delay_replication("default", 0)
        found = Client.ready(three.nodes[2])
        assert clients[1].get(KEY).value == replica(found).value == b"old"

    def test_a_stopped_replica_catches_up(self, cluster: EmbeddedCluster) -> None:
        """It takes nothing while it is stopped, and all when it runs again."""
        active = Client.ready(cluster.nodes[0])
        cluster.stop(cluster.nodes[1])
        active.set(KEY, b"x")
        copies = cluster.buckets["default"].partitions[vbucket_of(KEY.encode())].copies
        assert not copies[1].documents
        cluster.restart(cluster.nodes[1])
        assert replica(Client.ready(cluster.nodes[1])).value == b"x"


class TestSynchronousWrites:
    """Durability levels over copies that come late."""

    def test_an_acknowledged_write_survives(self, three: EmbeddedCluster) -> None:
        """Whatever the lag of one replica: the one that has it takes over."""
        active = Client.ready(three.nodes[0])
        three.delay_replication("default", inf, to=three.nodes[1])
        opaque = begin(active, b"x")
        assert active.answer(opaque).status == Status.SUCCESS
        three.stop(three.nodes[0])
        three.failover(three.nodes[0])
        assert Client.ready(three.nodes[2]).get(KEY).value == b"x"

    def test_a_write_takes_as_long_as_its_way(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """The connection names the moment in which the replica has it."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_replication("default", 1.5)
        opaque = begin(active, b"x")
        assert active.connection.next_deadline() == clock.now() + 1.5
        clock.advance(1.5)
        look_again(active)
        assert active.answer(opaque).status == Status.SUCCESS

    def test_too_long_a_way_is_ambiguous(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """Though nobody looks before the replica has it: the deadline was earlier."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_replication("default", 5)
        opaque = begin(active, b"x")
        clock.advance(20)
        look_again(active)
        assert active.answer(opaque).status == Status.SYNC_WRITE_AMBIGUOUS
        assert active.get(KEY).status == Status.KEY_ENOENT

    @pytest.mark.parametrize(
        ("framing", "slow", "waits"),
        [
            (MAJORITY, 0, False),
            (MAJORITY, 1, False),
            (PERSIST_ON_ACTIVE, 0, True),
            (PERSIST_ON_ACTIVE, 1, False),
            (PERSIST_TO_MAJORITY, 0, True),
            (PERSIST_TO_MAJORITY, 1, True),
        ],
    )
    def test_which_disks_a_level_waits_for(
        self,
        cluster: EmbeddedCluster,
        clock: ManualClock,
        framing: bytes,
        slow: int,
        *,
        waits: bool,
    ) -> None:
        """None, that of the active node, that of a majority."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_persistence("default", 1, at=cluster.nodes[slow])
        opaque = begin(active, b"x", framing)
        assert bool(active.frames) is not waits
        clock.advance(1)
        look_again(active)
        assert active.answer(opaque).status == Status.SUCCESS

    def test_a_node_that_loses_its_vbucket_says_that_it_does_not_know(
        self, cluster: EmbeddedCluster
    ) -> None:
        """The write may yet be committed where the vbucket is now, and is."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_replication("default", inf)
        opaque = begin(active, b"x")
        cluster.move_vbucket("default", vbucket_of(KEY.encode()), cluster.nodes[2])
        assert active.answer(opaque).status == Status.SYNC_WRITE_AMBIGUOUS
        third = Client.ready(cluster.nodes[2])
        assert third.get(KEY).status == Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS
        cluster.delay_replication("default", 0)
        assert third.get(KEY).value == b"x"

    def test_what_a_promoted_replica_found_prepared_is_committed_again(
        self, cluster: EmbeddedCluster
    ) -> None:
        """Nobody may see it before there is a majority again, then everybody does."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        active.set(KEY, b"old")
        cluster.hold_replication("default")
        begin(active, b"new")
        cluster.stop(cluster.nodes[0])
        cluster.failover(cluster.nodes[0])
        cluster.hold_replication("default", hold=False)
        assert other.get(KEY).status == Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS
        assert other.set(KEY, b"x").status == Status.SYNC_WRITE_IN_PROGRESS
        cluster.buckets["default"].partitions[vbucket_of(KEY.encode())].assign([1, 2])
        assert other.get(KEY).value == b"new"
        assert replica(Client.ready(cluster.nodes[2])).value == b"new"

    def test_what_no_replica_had_is_gone_with_its_node(self, cluster: EmbeddedCluster) -> None:
        """An ambiguous write may be there or not, and can be made again."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        cluster.delay_replication("default", inf)
        begin(active, b"new")
        cluster.stop(cluster.nodes[0])
        cluster.failover(cluster.nodes[0])
        assert other.get(KEY).status == Status.KEY_ENOENT
        assert other.set(KEY, b"x").status == Status.SUCCESS


class TestCrash:
    """A node that is stopped and started again has what was on its disk."""

    def test_what_was_not_on_the_disk_is_lost(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """Each document goes back to its last version there; time that passes meanwhile is none."""
        active = Client.ready(cluster.nodes[0])
        active.set(KEY, b"kept")
        cluster.delay_persistence("default", 1)
        active.set(KEY, b"first")
        active.set(KEY, b"second")
        more = on_node(0, "more")
        active.set(more, b"x")
        self.restart(cluster, clock)
        active = Client.ready(cluster.nodes[0])
        assert active.get(KEY).value == b"kept"
        assert active.get(more).status == Status.KEY_ENOENT
        assert cluster.buckets["default"].used() == len(b"kept")

    def test_what_is_looked_at_meanwhile_is_lost_all_the_same(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """To ask a node that is stopped what is on its disk writes nothing."""
        active = Client.ready(cluster.nodes[0])
        active.set(KEY, b"kept")
        copy = copy_of(cluster)
        kept = copy.seqno
        cluster.delay_persistence("default", 1)
        active.set(KEY, b"lost")
        cluster.stop(cluster.nodes[0])
        clock.advance(10)
        assert copy.persisted() == kept
        assert copy.next_persisted() is None
        cluster.restart(cluster.nodes[0])
        assert copy.seqno == kept
        assert Client.ready(cluster.nodes[0]).get(KEY).value == b"kept"

    def test_replicas_that_had_more_forget_it(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """The history has another branch, of which OBSERVE_SEQNO tells."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        kept = active.set(KEY, b"kept").extras
        cluster.delay_persistence("default", 1, at=cluster.nodes[0])
        active.set(KEY, b"lost")
        assert replica(other).value == b"lost"
        self.restart(cluster, clock)
        assert replica(other).value == b"kept"
        told = other.ask(
            Opcode.OBSERVE_SEQNO, vbucket=vbucket_of(KEY.encode()), value=kept[:8]
        ).value
        assert (told[0], told[27:35], told[35:43]) == (1, kept[:8], kept[8:])

    def test_a_replica_gets_again_what_it_lost(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """From the active node, which has not lost it."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_persistence("default", 1, at=cluster.nodes[1])
        active.set(KEY, b"x")
        self.restart(cluster, clock, 1)
        assert replica(Client.ready(cluster.nodes[1])).value == b"x"

    def test_what_was_prepared_on_the_disk_is_committed_again(
        self, cluster: EmbeddedCluster
    ) -> None:
        """A synchronous write goes on after a crash of the node that began it."""
        active = Client.ready(cluster.nodes[0])
        cluster.hold_replication("default")
        begin(active, b"x")
        cluster.stop(cluster.nodes[0])
        cluster.restart(cluster.nodes[0])
        active = Client.ready(cluster.nodes[0])
        assert active.get(KEY).status == Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS
        cluster.hold_replication("default", hold=False)
        assert active.get(KEY).value == b"x"

    def test_a_commit_that_was_not_on_the_disk_is_made_again(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """The preparation was there, so an acknowledged write is not lost."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_replication("default", 1)
        cluster.delay_persistence("default", 1, at=cluster.nodes[0])
        opaque = begin(active, b"x")
        clock.advance(1)
        look_again(active)
        assert active.answer(opaque).status == Status.SUCCESS
        cluster.stop(cluster.nodes[0])
        cluster.restart(cluster.nodes[0])
        clock.advance(1)
        assert Client.ready(cluster.nodes[0]).get(KEY).value == b"x"

    @pytest.mark.parametrize("framing", [PERSIST_ON_ACTIVE, PERSIST_TO_MAJORITY])
    def test_a_level_that_waits_for_disks_survives_a_restart(
        self, three: EmbeddedCluster, clock: ManualClock, framing: bytes
    ) -> None:
        """The node that leads has it on its own disk, whatever the others have on theirs."""
        active = Client.ready(three.nodes[0])
        three.delay_persistence("default", 1, at=three.nodes[0])
        opaque = begin(active, b"x", framing)
        assert not active.frames
        clock.advance(1)
        look_again(active)
        assert active.answer(opaque).status == Status.SUCCESS
        self.restart(three, clock)
        assert Client.ready(three.nodes[0]).get(KEY).value == b"x"

    def test_a_majority_in_memory_does_not_survive_a_restart(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """Without a failover the node that leads says what there is, as on a real server."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_persistence("default", 1, at=cluster.nodes[0])
        opaque = begin(active, b"x")
        assert active.answer(opaque).status == Status.SUCCESS
        self.restart(cluster, clock)
        assert Client.ready(cluster.nodes[0]).get(KEY).status == Status.KEY_ENOENT

    def test_a_copy_that_came_while_the_node_was_stopped_is_whole(
        self, cluster: EmbeddedCluster
    ) -> None:
        """A vbucket that nobody had used before begins on the disk."""
        cluster.stop(cluster.nodes[0])
        replica(Client.ready(cluster.nodes[1]))
        cluster.restart(cluster.nodes[0])
        token = Client.ready(cluster.nodes[0]).set(KEY, b"x").extras
        assert replica(Client.ready(cluster.nodes[1])).value == b"x"
        assert int.from_bytes(token[8:]) == 5

    def test_what_was_given_up_meanwhile_is_given_up(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """A replica that comes back with a preparation forgets it, as the others have."""
        active = Client.ready(cluster.nodes[0])
        cluster.hold_replication("default")
        begin(active, b"x")
        cluster.stop(cluster.nodes[1])
        clock.advance(4)
        assert active.get(KEY).status == Status.KEY_ENOENT
        cluster.restart(cluster.nodes[1])
        cluster.failover(cluster.nodes[0])
        assert Client.ready(cluster.nodes[1]).get(KEY).status == Status.KEY_ENOENT

    def test_locks_are_gone(self, cluster: EmbeddedCluster, clock: ManualClock) -> None:
        """No disk has them."""
        active = Client.ready(cluster.nodes[0])
        active.set(KEY, b"x")
        active.document(Opcode.GET_LOCKED, KEY)
        self.restart(cluster, clock)
        assert Client.ready(cluster.nodes[0]).set(KEY, b"y").status == Status.SUCCESS

    def test_a_node_that_hung_has_lost_nothing(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """Its memory is as it was."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_persistence("default", 1)
        active.set(KEY, b"x")
        cluster.hang(cluster.nodes[0])
        cluster.restart(cluster.nodes[0])
        assert active.get(KEY).value == b"x"

    def test_a_node_that_hung_writes_again(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """What it had not written when it hung is on its disk once it had the time."""
        active = Client.ready(cluster.nodes[0])
        copy = copy_of(cluster)
        cluster.delay_persistence("default", 1)
        active.set(KEY, b"x")
        cluster.hang(cluster.nodes[0])
        clock.advance(10)
        assert copy.persisted() < copy.seqno
        cluster.restart(cluster.nodes[0])
        active.set(KEY, b"y")
        assert copy.persisted() == copy.seqno - 1
        clock.advance(1)
        assert copy.persisted() == copy.seqno

    def test_an_ephemeral_buckets_replica_takes_over(self, clock: ManualClock) -> None:
        """For the node that was stopped has nothing; it follows from then on."""
        cluster = EmbeddedCluster(3, [BucketSettings("default", ephemeral=True)], clock=clock)
        Client.ready(cluster.nodes[0]).set(KEY, b"x")
        self.restart(cluster, clock)
        vbucket = vbucket_of(KEY.encode())
        assert cluster.buckets["default"].chains[vbucket] == [1, 0]
        assert Client.ready(cluster.nodes[1]).get(KEY).value == b"x"
        assert replica(Client.ready(cluster.nodes[0])).value == b"x"
        told = configuration(Client.ready(cluster.nodes[2]))["vBucketServerMap"]
        assert isinstance(told, dict)
        assert told["vBucketMap"][vbucket] == [1, 0]

    @staticmethod
    def restart(cluster: EmbeddedCluster, clock: ManualClock, node: int = 0) -> None:
        cluster.stop(cluster.nodes[node])
        clock.advance(10)
        cluster.restart(cluster.nodes[node])


def test_the_program_takes_delays(clock: ManualClock) -> None:
    """`python -m couchloop.embedded --replication-delay` makes replicas that lag."""
    arguments = ["--replication-delay", "inf", "--persistence-delay", "2", "--bucket", "default"]
    cluster = make_cluster(parse_arguments(arguments), clock)
    active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
    active.set(KEY, b"x")
    assert replica(other).status == Status.KEY_ENOENT
    assert TestPersistence.observe(active) == 0
    clock.advance(2)
    assert TestPersistence.observe(active) == 1


class TestPersistence:
    """What is on the disk, as observers are told."""

    def test_observe_tells_of_memory_and_disk(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """State 0 is in memory alone, 1 on the disk; each node tells of its own copy."""
        active, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        cluster.delay_persistence("default", 1, at=cluster.nodes[0])
        cluster.delay_replication("default", 3)
        active.set(KEY, b"x")
        assert (self.observe(active), self.observe(other)) == (0x00, 0x80)
        clock.advance(1)
        assert (self.observe(active), self.observe(other)) == (0x01, 0x80)
        clock.advance(2)
        assert (self.observe(active), self.observe(other)) == (0x01, 0x01)

    def test_observe_seqno_tells_of_memory_and_disk(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """The seqno on the disk follows the one in memory."""
        active = Client.ready(cluster.nodes[0])
        cluster.delay_persistence("default", 1)
        token = active.set(KEY, b"x").extras
        vbucket, seqno = vbucket_of(KEY.encode()), int.from_bytes(token[8:])
        assert self.seqnos(active, vbucket, token[:8]) == (seqno - 1, seqno)
        clock.advance(1)
        assert self.seqnos(active, vbucket, token[:8]) == (seqno, seqno)

    @staticmethod
    def observe(client: Client) -> int:
        key = b"\0" + KEY.encode()
        vbucket = vbucket_of(KEY.encode()).to_bytes(2)
        answer = client.ask(Opcode.OBSERVE, value=vbucket + len(key).to_bytes(2) + key)
        return answer.value[4 + len(key)]

    @staticmethod
    def seqnos(client: Client, vbucket: int, uuid: bytes) -> tuple[int, int]:
        value = client.ask(Opcode.OBSERVE_SEQNO, vbucket=vbucket, value=uuid).value
        return int.from_bytes(value[11:19]), int.from_bytes(value[19:27])


class TestManifests:
    """Scopes and collections that reach the nodes one after another."""

    @staticmethod
    def manifest(uid: int, **collections: int) -> dict[str, object]:
        named = {"_default": 0, **collections}
        listed = [{"name": name, "uid": f"{number:x}"} for name, number in named.items()]
        return {
            "uid": f"{uid:x}",
            "scopes": [{"name": "_default", "uid": "0", "collections": listed}],
        }

    @staticmethod
    def collection(client: Client, name: str) -> tuple[int, bytes]:
        answer = client.ask(Opcode.COLLECTIONS_GET_ID, value=f"_default.{name}".encode())
        return answer.status, answer.extras

    def test_a_node_lags_behind_until_it_is_told(self, cluster: EmbeddedCluster) -> None:
        """Each node answers by the manifest that it has; the configuration names the newest."""
        first, second = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[1])
        cluster.set_manifest("default", self.manifest(2, new=8), nodes=cluster.nodes[:1])
        assert self.collection(first, "new") == (0, (2).to_bytes(8) + (8).to_bytes(4))
        assert self.collection(second, "new")[0] == Status.UNKNOWN_COLLECTION
        assert second.set(on_node(1), b"x", collection=8).status == Status.UNKNOWN_COLLECTION
        assert first.set(KEY, b"x", collection=8).status == Status.SUCCESS
        assert second.document(Opcode.GET_REPLICA, KEY, collection=8).value == b"x"
        cluster.spread_manifest("default")
        assert second.set(on_node(1), b"x", collection=8).status == Status.SUCCESS

    def test_nodes_may_have_three_manifests_at_once(self, cluster: EmbeddedCluster) -> None:
        """A collection dropped and made again has another id, node by node."""
        clients = [Client.ready(node) for node in cluster.nodes]
        cluster.set_manifest("default", self.manifest(2, c=8))
        cluster.set_manifest("default", self.manifest(3), nodes=cluster.nodes[:2])
        cluster.set_manifest("default", self.manifest(4, c=9), nodes=cluster.nodes[:1])
        assert [self.collection(client, "c") for client in clients] == [
            (0, (4).to_bytes(8) + (9).to_bytes(4)),
            (Status.UNKNOWN_COLLECTION, b""),
            (0, (2).to_bytes(8) + (8).to_bytes(4)),
        ]
        cluster.spread_manifest("default", nodes=cluster.nodes[1:2])
        assert [self.collection(client, "c")[1][-1:] for client in clients] == [
            b"\x09",
            b"\x09",
            b"\x08",
        ]

    def test_ids_are_never_used_again(self, cluster: EmbeddedCluster) -> None:
        """What is created under an old name is another collection, after a new scope too."""
        first = cluster.create_collection("default", "app.c")
        cluster.drop_collection("default", "app.c")
        second = cluster.create_collection("default", "app.c", max_ttl=5)
        cluster.drop_scope("default", "app")
        third = cluster.create_collection("default", "app.c")
        cluster.set_manifest("default", self.manifest(100))
        fourth = cluster.create_collection("default", "_default.c", nodes=cluster.nodes[:1])
        assert 7 < first < second < third < fourth
        assert self.collection(Client.ready(cluster.nodes[0]), "c")[1][-1] == fourth
        assert self.collection(Client.ready(cluster.nodes[1]), "c")[0] == Status.UNKNOWN_COLLECTION

    def test_a_replica_that_takes_over_knows_what_its_node_knows(
        self, cluster: EmbeddedCluster
    ) -> None:
        """Whatever had not arrived from the copy that led: no dropped collection comes back."""
        bucket, number = cluster.buckets["default"], vbucket_of(KEY.encode())
        cluster.create_collection("default", "app.c")
        Client.ready(cluster.nodes[0]).set(KEY, b"value")
        cluster.delay_replication("default", inf)
        cluster.drop_collection("default", "app.c")
        cluster.create_collection("default", "app.c")
        cluster.stop(cluster.nodes[0])
        cluster.failover(cluster.nodes[0])
        leader = bucket.active(number)
        assert leader is not None
        assert leader.manifest is bucket.manifest

    def test_what_cannot_be_created_or_dropped(self, cluster: EmbeddedCluster) -> None:
        """A collection that is there, one that is not, and a scope that is not."""
        with pytest.raises(ValueError, match=r"there is a collection _default\._default already"):
            cluster.create_collection("default", "_default._default")
        with pytest.raises(ValueError, match=r"there is no collection app\.c"):
            cluster.drop_collection("default", "app.c")
        with pytest.raises(ValueError, match="there is no scope app"):
            cluster.drop_scope("default", "app")

    def test_an_administrator_may_tell_one_node(self) -> None:
        """COLLECTIONS_SET_MANIFEST is for the node that is asked."""
        cluster = EmbeddedCluster(2, users=[administrator()])
        first, second = Client(cluster.nodes[0]), Client(cluster.nodes[1])
        for client in (first, second):
            client.log_in("Administrator")
            client.ask(Opcode.SELECT_BUCKET, key=b"default")
        document = json.dumps(self.manifest(2, c=8)).encode()
        assert first.ask(0xB9, value=document).status == Status.SUCCESS
        assert self.collection(first, "c")[0] == Status.SUCCESS
        assert self.collection(second, "c")[0] == Status.EINVAL
        for spoiled in (b"[]", b"[" * 100_000, document.replace(b'"c"', b"5"), b"\xff"):
            assert first.ask(0xB9, value=spoiled).status == Status.EINVAL
