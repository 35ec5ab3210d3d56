"""A network that delays, cuts to pieces, stalls and breaks: one `Wire` for each connection.

As with TCP, bytes of one direction keep their order and none is lost while the connection lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol
from zlib import crc32

from couchloop.embedded import Connection, Node, NodeState, ServerConnection
from couchloop.exceptions import NodeUnreachableError
from couchloop.settings.values import Address
from tests.simulation.events import Loop, Timer

_SYN_GIVES_UP: Final = 20.0
"""Seconds after which a connection that nobody answers fails by itself."""

_LONGEST_DELAY: Final = 2.0

_TRICKLE: Final = 5
"""Bytes that arrive at once where a connection trickles."""

_CONNECTED: Final = "connected"
_END: Final = "end"


class End(Protocol):
    """The client's end of wires, by connection id."""

    number: int

    def connected(self, connection_id: int) -> None:
        """Take note that a connection is there."""

    def connect_failed(self, connection_id: int, error: Exception) -> None:
        """Take note that there will be none."""

    def received(self, connection_id: int, data: bytes) -> None:
        """Take bytes."""

    def lost(self, connection_id: int, error: Exception | None) -> None:
        """Take note that a connection is gone."""

    def paused(self, connection_id: int) -> None:
        """Take note that a connection takes no more for now."""

    def resumed(self, connection_id: int) -> None:
        """Take note that it takes more again."""


@dataclass(frozen=True)
class Weather:
    """How a network behaves when nothing is wrong. Times are seconds."""

    latency: float
    jitter: float
    fragments: bool


class Pipe:
    """One direction of a wire."""

    def __init__(self, network: Network, deliver: Callable[[bytes | str], None]) -> None:
        self.is_dead = False
        self.pause = 0.0
        """Seconds between two pieces of a few bytes, while it trickles."""
        self._network = network
        self._deliver = deliver
        self._last = 0.0
        self._holds = 0
        self._backlog: list[bytes | str] = []

    def send(self, message: bytes | str) -> None:
        """Let a message arrive some time later."""
        if self.is_dead:
            return
        for piece in self._pieces(message):
            when = self._network.loop.now() + self._network.delay()
            self._last = max(self._last + self.pause, when)
            self._network.loop.at(self._last, self._arrive, piece)

    def _pieces(self, message: bytes | str) -> Iterable[bytes | str]:
        if isinstance(message, str):
            return (message,)
        if self.pause:
            # No more than could arrive until the world ends.
            return [message[at : at + _TRICKLE] for at in range(0, len(message), _TRICKLE)][:5000]
        return self._network.pieces(message)

    def _arrive(self, message: bytes | str) -> None:
        if self.is_dead:
            return
        if self._holds:
            self._backlog.append(message)
        else:
            self._deliver(message)

    def hold(self) -> None:
        """Keep back what arrives."""
        self._holds += 1

    def release(self) -> None:
        """Let what was kept back arrive, and what comes after it."""
        self._holds -= 1
        while self._backlog and not self._holds and not self.is_dead:
            self._deliver(self._backlog.pop(0))

    def cut(self) -> None:
        """Lose what is under way, and all that is sent."""
        self.is_dead = True
        self._backlog.clear()


class Wire:
    """One connection, from the client's wish to the last goodbye."""

    def __init__(self, network: Network, client: End, connection_id: int, address: Address) -> None:
        self.network = network
        self.client = client
        self.id = connection_id
        self.address = address
        self.node: Node | None = None
        self.link: Connection | None = None
        self.to_server = Pipe(network, self._at_server)
        self.to_client = Pipe(network, self._at_client)
        self.is_open = True
        """Whether the client has it."""
        self.garble: Callable[[bytes], list[bytes | None]] | None = None
        """What becomes of the server's next output: pieces to send; None: the end."""
        self._server_timer: Timer | None = None
        self._server_done = False
        self._connecting: Timer | None = None

    def __repr__(self) -> str:
        return f"{self.client.number}:{self.id}@{self.address.port}"

    # The client's side

    def connect(self) -> None:
        """Begin."""
        network = self.network
        self._connecting = network.loop.after(network.delay() + network.slowness(self), self._knock)

    def _knock(self) -> None:
        network = self.network
        if self._server_done:
            # It was cut before anybody answered.
            return
        if network.is_parted(self):
            # As a stack does: the segment is sent again until somebody answers it.
            self._connecting = network.loop.after(0.5, self._knock)
            return
        if self.address in network.refusing:
            node = web = None
        else:
            node, web = network.nodes.get(self.address), network.web.get(self.address)
        if web is not None and web.state is not NodeState.STOPPED:
            self.node, self.link = web, web.accept_http()
            self.link.wakeup = self.flush
            self.to_client.send(_CONNECTED)
            return
        if node is not None:
            link = node.accept(f"{self.client.number}:{self.id}")
            if node.state is not NodeState.STOPPED:
                self.node, self.link = node, link
                network.accepted(self, link)
                link.wakeup = self.flush
                self.to_client.send(_CONNECTED)
                if link.closed:
                    # The node has as many connections as it may.
                    self.flush()
                return
        self._connecting = network.loop.after(network.delay(), self._refuse)

    def _refuse(self) -> None:
        if self.is_open:
            self.forget()
            self.client.connect_failed(self.id, NodeUnreachableError(f"refused by {self.address}"))

    def give_up(self) -> None:
        """Fail as a stack does when nobody answers."""
        if self.is_open and self.link is None:
            self._refuse()

    def write(self, data: bytes) -> None:
        """Take bytes from the client."""
        self.network.loop.note(f"{self!r} > {len(data)} {crc32(data):08x}")
        self.to_server.send(data)

    def finish(self) -> None:
        """Close: what was written still arrives."""
        if not self.is_open:
            return
        self.network.loop.note(f"{self!r} closed by the client")
        self.forget()
        self.to_client.cut()
        self.to_server.send(_END)

    def forget(self) -> None:
        """Take the wire out of the client's hands."""
        self.is_open = False
        if self._connecting is not None:
            self._connecting.cancel()
        self.network.wires.pop((self.client.number, self.id), None)

    def _at_client(self, message: bytes | str) -> None:
        if not self.is_open:
            return
        if isinstance(message, bytes):
            self.network.loop.note(f"{self!r} < {len(message)} {crc32(message):08x}")
            self.client.received(self.id, message)
        elif message is _CONNECTED:
            self.network.loop.note(f"{self!r} connected")
            self.client.connected(self.id)
        else:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self.is_open:
            self.network.loop.note(f"{self!r} lost: {error!r}")
            self.forget()
            if self.link is None:
                self.client.connect_failed(self.id, error or ConnectionAbortedError())
            else:
                self.client.lost(self.id, error)

    # The server's side

    def _at_server(self, message: bytes | str) -> None:
        link = self.link
        if link is None or self._server_done:
            return
        if isinstance(message, bytes):
            link.receive_data(message)
            self.flush()
        else:
            link.eof_received()
            self.flush()
            self._end_server()

    def flush(self) -> None:
        """Do what the server wants: write, close, arm its timer."""
        link = self.link
        if link is None or self._server_done:
            return
        data = link.data_to_send()
        if data:
            garble, self.garble = self.garble, None
            for piece in (data,) if garble is None else garble(data):
                if piece is None:
                    self._end_server()
                else:
                    self.to_client.send(piece)
            if self._server_done:
                self.to_client.send(_END)
                return
        if link.closed:
            self._end_server()
            self.to_client.send(_END)
            return
        if self._server_timer is not None:
            self._server_timer.cancel()
            self._server_timer = None
        when = link.next_deadline()
        if when is not None:
            self._server_timer = self.network.loop.at(when, self._server_due)

    def _server_due(self) -> None:
        self._server_timer = None
        if self.link is not None and not self._server_done:
            self.link.handle_deadline()
            self.flush()

    def _end_server(self) -> None:
        if self._server_done:
            return
        self._server_done = True
        self.to_server.cut()
        if self._server_timer is not None:
            self._server_timer.cancel()
            self._server_timer = None
        if self.link is not None:
            self.link.connection_lost()

    # Faults

    def reset(self, *, deliver: bool, heard: float) -> None:
        """Break the connection.

        Args:
            deliver: whether requests under way still arrive (their answers never do).
            heard: seconds until both sides hear of it.
        """
        self.network.loop.note(f"{self!r} reset, deliver={deliver}")
        self.to_client.cut()
        if not deliver:
            self.to_server.cut()
        self.network.loop.after(heard, self._hear)

    def _hear(self) -> None:
        self._end_server()
        self._lose(ConnectionResetError("reset by peer"))

    def go_dark(self, seconds: float, *, server_knows: bool) -> None:
        """Let nothing pass in either direction; after so many seconds the client hears of it."""
        self.network.loop.note(f"{self!r} goes dark")
        self.to_client.cut()
        self.to_server.cut()
        if server_knows:
            self._end_server()
        self.network.loop.after(seconds, self._hear)


class Network:
    """All wires of a world.

    Args:
        loop: the world's time.
        rng: decides about delays and pieces.
        weather: how it behaves in good times.
        accepted: called with each connection that a node has accepted.
    """

    def __init__(
        self,
        loop: Loop,
        rng: Random,
        weather: Weather,
        accepted: Callable[[Wire, ServerConnection], None],
    ) -> None:
        self.loop = loop
        self.weather = weather
        self.accepted = accepted
        self.nodes: dict[Address, Node] = {}
        self.web: dict[Address, Node] = {}
        """The nodes' web ports, in worlds that have some."""
        self.wires: dict[tuple[int, int], Wire] = {}
        """What clients have open or are opening, by client and connection id."""
        self._ever: list[Wire] = []
        self.refusing: dict[Address, int] = {}
        self.slow: dict[Address, float] = {}
        """Seconds that connecting takes in addition."""
        self.slowdown = 1.0
        self._parted: dict[tuple[int, Address], int] = {}
        self._rng = rng

    def delay(self) -> float:
        """Seconds that a piece is under way."""
        weather = self.weather
        seconds = (weather.latency + weather.jitter * self._rng.random()) * self.slowdown
        return min(seconds, _LONGEST_DELAY)

    def slowness(self, wire: Wire) -> float:
        """Seconds that connecting takes in addition."""
        return self.slow.get(wire.address, 0.0)

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut *data* as a network may."""
        if not self.weather.fragments:
            return [data]
        sizes = (1, 2, 23, 24, 25, 100, 1000, 100_000, 100_000, 100_000)
        found: list[bytes] = []
        while data and len(found) < 20:
            size = self._rng.choice(sizes)
            found.append(data[:size])
            data = data[size:]
        return [*found, data] if data else found

    def open(self, client: End, connection_id: int, address: Address) -> Wire:
        """Begin to connect."""
        wire = Wire(self, client, connection_id, address)
        self.wires[client.number, connection_id] = wire
        self._ever.append(wire)
        self.loop.note(f"{wire!r} connecting")
        if self.is_parted(wire):
            wire.to_client.hold()
            wire.to_server.hold()
        wire.connect()
        self.loop.after(_SYN_GIVES_UP, wire.give_up)
        return wire

    def is_parted(self, wire: Wire) -> bool:
        """Return whether nothing passes between this client and this node."""
        return (wire.client.number, wire.address) in self._parted

    def part(self, clients: list[int], address: Address) -> Callable[[], None]:
        """Let nothing pass between *clients* and a node; give what ends that.

        Bytes are kept back, as TCP sends them again when the way is free.
        """
        pairs = [(number, address) for number in clients]
        for pair in pairs:
            self._parted[pair] = self._parted.get(pair, 0) + 1
            if self._parted[pair] == 1:
                self._each(pair, Pipe.hold)
        return lambda: self._join(pairs)

    def _join(self, pairs: list[tuple[int, Address]]) -> None:
        for pair in pairs:
            self._parted[pair] -= 1
            if not self._parted[pair]:
                del self._parted[pair]
                self._each(pair, Pipe.release)

    def _each(self, pair: tuple[int, Address], do: Callable[[Pipe], Any]) -> None:
        # Those that the client has closed too: their goodbye may still be under way.
        for wire in self._ever:
            if (wire.client.number, wire.address) == pair:
                do(wire.to_server)
                do(wire.to_client)
