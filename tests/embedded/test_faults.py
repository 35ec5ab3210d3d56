"""Faults that a test lets requests meet."""

from __future__ import annotations

import pytest

from couchloop.embedded import (
    EmbeddedCluster,
    ManualClock,
)
from couchloop.wire import Feature, Opcode, Status, server_duration
from tests.embedded.client import STORE, Client, on_node


class TestInjections:
    """Faults for single requests."""

    def test_a_status_for_a_key(self, cluster: EmbeddedCluster) -> None:
        """Only requests that match meet it, only as often as it was asked for."""
        client = Client.ready(cluster.nodes[0])
        key, other = on_node(0), on_node(0, "other")
        injection = cluster.inject(key=key, status=Status.ETMPFAIL, count=2)
        assert [client.get(key).status for _ in range(3)] == [
            Status.ETMPFAIL,
            Status.ETMPFAIL,
            Status.KEY_ENOENT,
        ]
        assert client.get(other).status == Status.KEY_ENOENT
        assert injection.hits == 2

    def test_a_delay_holds_back_what_follows(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """A connection without unordered execution answers in order."""
        client = Client.ready(cluster.nodes[0])
        cluster.inject(opcode=Opcode.GET, delay=2.0, count=1)
        slow = client.send(Opcode.GET, **client.parts(on_node(0)))
        quick = client.send(Opcode.NOOP)
        assert client.frames == []
        assert client.connection.next_deadline() == clock.now() + 2.0
        clock.advance(2.0)
        client.connection.handle_deadline()
        assert [frame.opaque for frame in client.read()] == [slow, quick]
        assert client.connection.next_deadline() is None

    def test_tracing_tells_the_delay(self, cluster: EmbeddedCluster, clock: ManualClock) -> None:
        """The server's duration counts the time a request was held."""
        client = Client.ready(cluster.nodes[0], Feature.TRACING)
        cluster.inject(opcode=Opcode.GET, delay=0.5)
        opaque = client.send(Opcode.GET, **client.parts(on_node(0)))
        clock.advance(0.5)
        client.connection.handle_deadline()
        duration = server_duration(client.answer(opaque).framing)
        assert duration == pytest.approx(500_000, rel=0.01)

    def test_silence(self, cluster: EmbeddedCluster) -> None:
        """No answer ever comes, later requests are answered, nothing was done."""
        client = Client.ready(cluster.nodes[0])
        key = on_node(0)
        cluster.inject(opcode=Opcode.SET, silent=True)
        client.send(Opcode.SET, **client.parts(key, value=b"1", extras=STORE))
        assert client.frames == []
        assert client.get(key).status == Status.KEY_ENOENT

    def test_a_lost_answer(self, cluster: EmbeddedCluster) -> None:
        """The write is done, the client sees only the end of its connection."""
        client = Client.ready(cluster.nodes[0])
        key = on_node(0)
        injection = cluster.inject(opcode=Opcode.SET, lose_answer=True)
        client.send(Opcode.SET, **client.parts(key, value=b"1", extras=STORE))
        assert client.connection.closed
        assert client.frames == []
        injection.remove()
        assert Client.ready(cluster.nodes[0]).get(key).value == b"1"

    def test_a_closed_connection(self, cluster: EmbeddedCluster) -> None:
        """The request is not done, and there is no answer."""
        client = Client.ready(cluster.nodes[0])
        key = on_node(0)
        cluster.inject(opcode=Opcode.SET, close=True, node=cluster.nodes[0], count=1)
        client.send(Opcode.SET, **client.parts(key, value=b"1", extras=STORE))
        assert client.connection.closed
        assert Client.ready(cluster.nodes[0]).get(key).status == Status.KEY_ENOENT

    def test_the_handshake_can_fail(self, cluster: EmbeddedCluster) -> None:
        """Injections reach operations before the login, too."""
        cluster.inject(opcode=Opcode.SASL_AUTH, status=Status.ETMPFAIL, count=1)
        client = Client(cluster.nodes[0])
        assert client.log_in().status == Status.ETMPFAIL
        assert client.log_in().status == Status.SUCCESS
