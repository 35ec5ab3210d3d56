"""Synchronous writes wait for the replicas."""

from __future__ import annotations

from couchloop.embedded import (
    EmbeddedCluster,
    ManualClock,
)
from couchloop.wire import Opcode, Status
from tests.embedded.client import STORE, Client, on_node


class TestDurability:
    """Synchronous writes."""

    MAJORITY = bytes([0x13, 1]) + (4000).to_bytes(2)

    def test_a_write_waits_for_the_replicas(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """Others see the old value and cannot write, until the replicas answer."""
        key = on_node(0)
        writer, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[0])
        other.set(key, b"old")
        cluster.hold_replication("default")
        parts = writer.parts(key, value=b"new", extras=STORE, framing=self.MAJORITY)
        opaque = writer.send(Opcode.SET, **parts)
        assert writer.frames == []
        assert other.get(key).value == b"old"
        assert other.set(key, b"x").status == Status.SYNC_WRITE_IN_PROGRESS
        cluster.hold_replication("default", hold=False)
        assert writer.answer(opaque).status == Status.SUCCESS
        assert other.get(key).value == b"new"

    def test_a_write_that_takes_too_long_is_ambiguous(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """The old value stays, and can be written again."""
        key = on_node(0)
        client = Client.ready(cluster.nodes[0])
        cluster.stop(cluster.nodes[1])
        parts = client.parts(key, value=b"new", extras=STORE, framing=self.MAJORITY)
        opaque = client.send(Opcode.SET, **parts)
        assert client.connection.next_deadline() == clock.now() + 4.0
        clock.advance(4.0)
        client.connection.handle_deadline()
        assert client.answer(opaque).status == Status.SYNC_WRITE_AMBIGUOUS
        assert client.set(key, b"x").status == Status.SUCCESS

    def test_a_write_outlives_the_connection_that_asked_for_it(
        self, cluster: EmbeddedCluster
    ) -> None:
        """It is committed when the replicas answer, though nobody waits any more."""
        key = on_node(0)
        writer, other = Client.ready(cluster.nodes[0]), Client.ready(cluster.nodes[0])
        cluster.hold_replication("default")
        writer.send(
            Opcode.SET,
            **writer.parts(key, value=b"new", extras=STORE, framing=self.MAJORITY),
        )
        writer.connection.connection_lost()
        assert other.set(key, b"x").status == Status.SYNC_WRITE_IN_PROGRESS
        cluster.hold_replication("default", hold=False)
        assert other.get(key).value == b"new"
        assert other.set(key, b"x").status == Status.SUCCESS
