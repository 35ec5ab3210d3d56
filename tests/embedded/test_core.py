"""How a connection to the data port ends."""

from __future__ import annotations

from couchloop.embedded import (
    EmbeddedCluster,
)
from couchloop.hot.frames import encode_request
from couchloop.wire import Opcode, Status
from tests.embedded.client import Client


class TestEnds:
    """What came before is answered."""

    def test_quit_is_answered_then_closed(self, cluster: EmbeddedCluster) -> None:
        """The answer is written before the connection ends."""
        client = Client.ready(cluster.nodes[0])
        assert client.ask(Opcode.QUIT).status == Status.SUCCESS
        assert client.connection.closed

    def test_a_malformed_frame_closes(self, cluster: EmbeddedCluster) -> None:
        """What came before it is answered; receive_data does not raise."""
        client = Client.ready(cluster.nodes[0])
        client.connection.receive_data(encode_request(Opcode.NOOP, opaque=99) + b"GET / HTTP/1.1")
        assert [frame.opaque for frame in client.read()] == [99]
        assert client.connection.closed

    def test_the_end_of_the_clients_stream(self, cluster: EmbeddedCluster) -> None:
        """A client that sends no more is answered, then the connection is closed."""
        node = cluster.nodes[0]
        client = Client.ready(node)
        cluster.hang(node)
        opaque = client.send(Opcode.NOOP)
        client.connection.eof_received()
        assert not client.connection.closed
        cluster.restart(node)
        assert client.answer(opaque).status == Status.SUCCESS
        assert client.connection.closed
