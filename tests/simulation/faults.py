"""What goes wrong in a world: each fault begins at some time, and has an end.

At the end of all faults everything runs again, and stays so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import Final

from couchloop.embedded import EmbeddedCluster, Node, NodeState
from couchloop.settings.values import Address
from couchloop.wire import Opcode, Status
from tests.simulation.clients import Client
from tests.simulation.events import Loop
from tests.simulation.network import Network, Wire

_MOST_NODES: Final = 7
_HEARD: Final = (0.0, 0.001, 0.05, 0.3)
"""Seconds until both sides hear of a reset."""

_DATA: Final = (
    Opcode.GET,
    Opcode.SET,
    Opcode.ADD,
    Opcode.REPLACE,
    Opcode.DELETE,
    Opcode.INCREMENT,
    None,
)
_HANDSHAKE: Final = (
    Opcode.HELLO,
    Opcode.SASL_AUTH,
    Opcode.SASL_STEP,
    Opcode.GET_ERROR_MAP,
    Opcode.SELECT_BUCKET,
    Opcode.GET_CLUSTER_CONFIG,
)
_TEMPORARY: Final = (Status.ETMPFAIL, Status.EBUSY, Status.ENOMEM, Status.NOT_MY_VBUCKET)
_GARBAGE: Final = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x00" * 40,
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"\x80" + b"\x00" * 23,
    b"\xff" * 7,
)
_ENDLESS: Final = b"\x81" + b"\x00" * 7 + (25_000_000).to_bytes(4) + b"\x00" * 12
"""The header of an answer of 25 MB."""
_FOUND_OUT: Final = 15.0
"""Seconds after which a client that polls must have found out: ten of silence, the poll, a NOOP."""
_FOREIGN: Final = b"\x81\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xde\xad\xbe\xef" + b"\x00" * 8
"""An answer, whole and sound, to a request that nobody made."""


class Faults:
    """The faults of one world.

    Args:
        clients: gives the clients that live.
        until: when the last fault ends.
        wanted: names of the only kinds; None: all.
    """

    def __init__(
        self,
        loop: Loop,
        rng: Random,
        cluster: EmbeddedCluster,
        network: Network,
        clients: Callable[[], list[Client]],
        until: float,
        wanted: Collection[str] | None = None,
    ) -> None:
        self.seen: Counter[str] = Counter()
        self.on_loss: Callable[[], None] = lambda: None
        """Called after replicas took over, or nodes began again: that may have lost writes."""
        self._loop = loop
        self._rng = rng
        self._cluster = cluster
        self._network = network
        self._clients = clients
        self._until = until
        self._going_on = 0
        self._doubts: list[Callable[[Node], None]] = []
        """What is to become of nodes when they commit something."""
        self._last = 0.0
        self._ended = False
        self.kinds: tuple[Callable[[], None], ...] = (
            self.reset,
            self.reset_all,
            self.stall,
            self.darkness,
            self.partition,
            self.refuse,
            self.slow_connects,
            self.slow_network,
            self.full,
            self.stand_still,
            self.crash,
            self.hang,
            self.fail_over,
            self.blackout,
            self.pause_bucket,
            self.warm_up,
            self.rebalance_in_steps,
            self.add_node,
            self.remove_node,
            self.storm,
            self.handshake_trouble,
            self.lose_answers,
            self.swallow,
            self.delays,
            self.garbage,
            self.truncate,
            self.trickle,
            self.choke,
            self.wrong_length,
            self.old_configuration,
            self.new_epoch,
            self.drop_by_server,
        )
        self._wanted = wanted
        if wanted is not None:
            self.kinds = tuple(kind for kind in self.kinds if kind.__name__ in wanted)

    def add(self, *kinds: Callable[[], None]) -> None:
        """Have more kinds of faults."""
        self.kinds += tuple(
            kind for kind in kinds if self._wanted is None or kind.__name__ in self._wanted
        )

    def without(self, *names: str) -> None:
        """Have no faults of these kinds."""
        self.kinds = tuple(kind for kind in self.kinds if kind.__name__ not in names)

    def plan(self, count: int) -> None:
        """Spread so many faults over the time until all must end."""
        if self._wanted is not None and len(self.kinds) < len(self._wanted):
            raise ValueError(f"not all of these are faults: {', '.join(self._wanted)}")
        for _ in range(count):
            kind = self._rng.choice(self.kinds)
            # Some at the very beginning, when connections are being made.
            when = self._rng.choice((0.0, 1.0, 1.0, 1.0)) * self._rng.random() * self._until
            self._loop.at(when, self._begin, kind)

    def disturb(self) -> None:
        """Take note that something happens which is no fault, and may make calls fail."""
        self._last = self._loop.now()

    def calm_since(self) -> float | None:
        """Since when there is no fault; None while there is one."""
        return None if self._going_on else self._last

    def end(self) -> None:
        """Let everything run."""
        cluster = self._cluster
        for injection in list(cluster.injections):
            injection.remove()
        for node in cluster.nodes:
            if node.state is not NodeState.RUNNING:
                cluster.restart(node)
                self.on_loss()
        cluster.rebalance()
        cluster.bump()
        self._ended = True
        self._last = self._loop.now()
        self._loop.note("all faults have ended")

    def _begin(self, kind: Callable[[], None]) -> None:
        name = getattr(kind, "__name__", "")
        self._loop.note(f"fault {name}")
        self.seen[name] += 1
        self._last = self._loop.now()
        kind()

    def _lasting(self, seconds: float, end: Callable[[], object]) -> None:
        """Count as a fault for some time; then call *end*."""
        self._going_on += 1

        def over() -> None:
            self._loop.note("fault over")
            end()
            self._going_on -= 1
            self._last = self._loop.now()

        self._loop.at(min(self._loop.now() + seconds, self._until), over)

    def _while(self) -> float:
        return self._rng.choice((0.05, 0.5, 2.0, 6.0)) * (0.5 + self._rng.random())

    def _node(self) -> Node:
        return self._rng.choice(self._cluster.nodes)

    @staticmethod
    def _address(node: Node) -> Address:
        return Address(node.host, node.ports["kv"])

    def _wire(self) -> Wire | None:
        wires = list(self._network.wires.values())
        return self._rng.choice(wires) if wires else None

    # The network

    def reset(self) -> None:
        """Reset a connection, before or after what is under way has arrived."""
        wire = self._wire()
        if wire is not None:
            self._reset(wire)

    def _reset(self, wire: Wire) -> None:
        heard = self._rng.choice(_HEARD)
        wire.reset(deliver=self._rng.random() < 0.5, heard=heard)
        self._lasting(heard, lambda: None)

    def reset_all(self) -> None:
        """Reset all connections of a node."""
        address = self._address(self._node())
        for wire in list(self._network.wires.values()):
            if wire.address == address:
                self._reset(wire)

    def stall(self) -> None:
        """Let nothing pass in one direction of a connection for a while; then all, or a reset."""
        wire = self._wire()
        if wire is None:
            return
        pipe = self._rng.choice((wire.to_server, wire.to_client))
        breaks = self._rng.random() < 0.5

        def end() -> None:
            if breaks:
                wire.reset(deliver=True, heard=0.0)
            pipe.release()

        pipe.hold()
        self._lasting(self._while(), end)

    def darkness(self) -> None:
        """Leave a connection half open: the client is told late that it is gone."""
        wire = self._wire()
        if wire is not None:
            seconds = min(self._while(), self._until - self._loop.now())
            wire.go_dark(seconds, server_knows=self._rng.random() < 0.5)
            self._lasting(seconds, lambda: None)

    def partition(self) -> None:
        """Part a node from one client or from all."""
        clients = [client.number for client in self._clients()]
        if self._rng.random() < 0.5 and clients:
            clients = [self._rng.choice(clients)]
        self._lasting(self._while(), self._network.part(clients, self._address(self._node())))

    def refuse(self) -> None:
        """Let a node refuse connections."""
        address, refusing = self._address(self._node()), self._network.refusing
        refusing[address] = refusing.get(address, 0) + 1

        def end() -> None:
            refusing[address] -= 1
            if not refusing[address]:
                del refusing[address]

        self._lasting(self._while(), end)
        if self._rng.random() < 0.5:
            self._cluster.drop_connections()

    def slow_connects(self) -> None:
        """Let connecting to a node take long."""
        address = self._address(self._node())
        self._network.slow[address] = self._rng.uniform(0.1, 4.0)
        self._lasting(self._while(), lambda: self._network.slow.pop(address, None))
        self._cluster.drop_connections()

    def slow_network(self) -> None:
        """Let everything take long."""
        self._network.slowdown = self._rng.choice((10.0, 100.0, 1000.0))

        def end() -> None:
            self._network.slowdown = 1.0

        self._lasting(self._while(), end)

    def full(self) -> None:
        """Have a node read nothing from one client for a while, whose transport then is full."""
        wire = self._wire()
        if wire is None:
            return

        def end() -> None:
            wire.to_server.release()
            wire.client.resumed(wire.id)

        wire.to_server.hold()
        wire.client.paused(wire.id)
        self._lasting(self._while(), end)

    # Clients

    def stand_still(self) -> None:
        """Let a client's loop do nothing for a while, once or several times in a row."""
        clients = self._clients()
        if not clients:
            return
        client = self._rng.choice(clients)
        seconds = min(self._while(), self._until - self._loop.now())
        times = self._rng.choice((1, 1, 3))
        for number in range(times):
            # A turn or two of the loop lie between.
            pause = number * (seconds / times + 0.0015)
            self._loop.after(pause, client.stand_still, seconds / times)
        self._lasting(seconds + 0.01, lambda: None)

    # Nodes

    def crash(self) -> None:
        """Kill a node; start it again later."""
        self._crash(self._node())

    def _crash(self, node: Node) -> None:
        self._cluster.stop(node)
        self._lasting(self._while(), lambda: self._restart(node))

    def hang(self) -> None:
        """Let a node answer nothing for a while."""
        node = self._node()
        if node.state is NodeState.RUNNING:
            self._cluster.hang(node)
        self._lasting(self._while(), lambda: self._restart(node))

    def _restart(self, node: Node) -> None:
        if node in self._cluster.nodes:
            self._cluster.restart(node)
            # What was not on its disk is lost.
            self.on_loss()

    def fail_over(self) -> None:
        """Kill a node, promote its replicas, take it back, and rebalance."""
        self._fail_over(self._node(), self._rng.uniform(0.0, 2.0))

    def fail_over_in_doubt(self) -> None:
        """Fail a node over when it has just committed something of which replicas do not know."""
        self._doubts.append(partial(self._fail_over, pause=0.0))
        self._lasting(self._while(), lambda: None)

    def crash_in_doubt(self) -> None:
        """Kill a node when it has just committed something; it is back before a failover."""
        self._doubts.append(self._crash)
        self._lasting(self._while(), lambda: None)

    def committed(self, node_id: int) -> None:
        """Take note that a node has committed a durable write."""
        if self._doubts:
            befall = self._doubts.pop(0)
            self._loop.after(self._rng.uniform(0.0, 0.2), self._befall, befall, node_id)

    def _befall(self, befall: Callable[[Node], None], node_id: int) -> None:
        for node in self._cluster.nodes:
            if node.node_id == node_id and self._loop.now() < self._until:
                befall(node)
                return

    def _fail_over(self, node: Node, pause: float) -> None:
        self._cluster.stop(node)
        self._loop.after(pause, self._promote, node)

        def end() -> None:
            self._restart(node)
            self._cluster.rebalance()

        self._lasting(2.0 + self._while(), end)

    def _promote(self, node: Node) -> None:
        if node in self._cluster.nodes and node.state is NodeState.STOPPED and not self._ended:
            self._cluster.failover(node)
            self.on_loss()

    def blackout(self) -> None:
        """Kill every node; start them one after another."""
        nodes = list(self._cluster.nodes)
        self._rng.shuffle(nodes)
        for node in nodes:
            self._cluster.stop(node)
            self._lasting(self._while(), partial(self._restart, node))

    def pause_bucket(self) -> None:
        """Close all connections to the bucket, and let nobody select it for a while."""
        (name,) = self._cluster.buckets
        self._cluster.pause_bucket(name)
        self._lasting(self._while(), partial(self._cluster.resume_bucket, name))

    def warm_up(self) -> None:
        """Refuse to store for a while."""
        (name,) = self._cluster.buckets
        self._cluster.set_traffic(name, enabled=False)
        self._lasting(self._while(), partial(self._cluster.set_traffic, name, enabled=True))

    def add_node(self) -> None:
        """Let a node join."""
        if len(self._cluster.nodes) < _MOST_NODES:
            self._cluster.add_node()
            self._rebalance()

    def remove_node(self) -> None:
        """Let a node leave: never the first, which all clients know as a seed."""
        if len(self._cluster.nodes) > 1:
            self._cluster.remove_node(self._rng.choice(self._cluster.nodes[1:]))

    def rebalance_in_steps(self) -> None:
        """Move vbuckets one by one; not every node hears of each step at once."""
        self._rebalance()

    def _rebalance(self) -> None:
        steps = self._rng.randint(1, 20)
        interval = self._rng.choice((0.0, 0.01, 0.1, 0.3))
        for step in range(steps):
            self._loop.after(step * interval, self._move)
        self._lasting(steps * interval, self._cluster.bump)

    def _move(self) -> None:
        cluster = self._cluster
        if self._ended:
            return
        (bucket,) = cluster.buckets.values()
        if bucket.memcached:
            cluster.rebalance()
            return
        told = [node for node in cluster.nodes if self._rng.random() < 0.6]
        number = self._rng.randrange(len(bucket.chains))
        cluster.move_vbucket(bucket.name, number, self._node(), nodes=told)

    # Answers

    def storm(self) -> None:
        """Refuse much for a while."""
        injection = self._cluster.inject(
            opcode=self._rng.choice(_DATA),
            node=self._rng.choice((None, self._node())),
            status=self._rng.choice(_TEMPORARY),
            count=self._rng.choice((1, 20, None)),
        )
        self._lasting(self._while(), injection.remove)

    def handshake_trouble(self) -> None:
        """Let handshakes fail in some step."""
        injection = self._cluster.inject(
            opcode=self._rng.choice(_HANDSHAKE),
            node=self._rng.choice((None, self._node())),
            status=self._rng.choice((Status.ETMPFAIL, Status.EINTERNAL, Status.NOT_SUPPORTED)),
        )
        self._lasting(self._while(), injection.remove)
        self.reset_all()

    def lose_answers(self) -> None:
        """Do some operations, and close instead of answering."""
        injection = self._cluster.inject(
            opcode=self._rng.choice(_DATA), lose_answer=True, count=self._rng.randint(1, 3)
        )
        self._lasting(self._while(), injection.remove)

    def swallow(self) -> None:
        """Never answer some operations, or close the connection instead of doing them."""
        silent = self._rng.random() < 0.5
        injection = self._cluster.inject(
            opcode=self._rng.choice((*_DATA, *_HANDSHAKE)),
            silent=silent,
            close=not silent,
            count=self._rng.randint(1, 5),
        )
        # Who waits for an answer that never comes waits until his deadline.
        self._lasting(30.0, injection.remove)

    def delays(self) -> None:
        """Answer late."""
        injection = self._cluster.inject(
            opcode=self._rng.choice((*_DATA, *_HANDSHAKE)),
            delay=self._rng.choice((0.01, 0.3, 3.0)),
            count=self._rng.randint(1, 20),
        )
        self._lasting(self._while() + 3.0, injection.remove)

    def garbage(self) -> None:
        """Let a server talk nonsense before its next words, behind them, or instead."""
        wire = self._wire()
        if wire is None:
            return
        noise = self._rng.choice((*_GARBAGE, _FOREIGN))
        kinds: tuple[Callable[[bytes], list[bytes | None]], ...] = (
            lambda data: [noise, data],
            lambda data: [data, noise],
            lambda _: [noise, None],
        )
        wire.garble = self._rng.choice(kinds)
        self._lasting(30.0, lambda: setattr(wire, "garble", None))

    def truncate(self) -> None:
        """Close a connection in the middle of an answer."""
        wire = self._wire()
        if wire is not None:
            part = self._rng.random()
            wire.garble = lambda data: [data[: int(len(data) * part)], None]
            self._lasting(30.0, lambda: setattr(wire, "garble", None))

    def trickle(self) -> None:
        """Let a few bytes at a time arrive from a server; small answers may be in time."""
        wire = self._wire()
        if wire is not None:
            wire.to_client.pause = self._rng.choice((0.02, 1.0))
            self._lasting(30.0, lambda: wire.reset(deliver=True, heard=0.0))

    def choke(self) -> None:
        """Let a few bytes at a time arrive at a server."""
        wire = self._wire()
        if wire is not None:
            wire.to_server.pause = self._rng.choice((0.02, 1.0))
            self._lasting(30.0, lambda: wire.reset(deliver=True, heard=0.0))

    def wrong_length(self) -> None:
        """Let a server announce a body that swallows all its answers."""
        wire = self._wire()
        if wire is None:
            return
        begun: list[float] = []

        def swallow(data: bytes) -> list[bytes | None]:
            begun.append(self._loop.now())
            return [_ENDLESS, data]

        def end() -> None:
            wire.garble = None
            if begun and wire.is_open:
                if self._loop.now() - begun[0] > _FOUND_OUT:
                    for client in self._clients():
                        if client.number == wire.client.number:
                            client.still_has(wire)
                wire.reset(deliver=True, heard=0.0)

        wire.garble = swallow
        self._lasting(30.0, end)

    def drop_by_server(self) -> None:
        """Let the server close connections."""
        self._cluster.drop_connections(self._rng.choice((None, self._node())))

    # Configurations

    def old_configuration(self) -> None:
        """Let a node fall back to a configuration that it had before."""
        node = self._node()
        old = dict(node.configurations)
        push = self._rng.random() < 0.5

        def fall_back() -> None:
            if not self._ended and node in self._cluster.nodes:
                node.receive_configurations(old, push=push)

        self._rebalance()
        self._loop.after(self._rng.uniform(0.0, 3.0), fall_back)
        self._lasting(3.0 + self._while(), self._cluster.bump)

    def new_epoch(self) -> None:
        """Begin a new epoch, in which revisions count from one."""
        self._cluster.epoch += 1
        self._cluster.rev = 1
        self._rebalance()
