"""A node restarts, and a thousand clients come back to it one after the other, not in step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from math import sqrt
from random import Random
from typing import Any, Final

import pytest

from couchloop import nodes
from couchloop.embedded import EmbeddedCluster
from couchloop.nodes import Endpoint, Nodes
from couchloop.settings import Address, Login, Settings
from tests.simulation.clients import Client
from tests.simulation.events import Loop
from tests.simulation.history import History
from tests.simulation.network import Network, Weather, Wire

_LOST, _BACK, _ROOMY = 2.0, 7.0, 9.0
_WINDOW: Final = 0.010

# Where nothing but jitter keeps clients apart, each comes at some moment of a span with equal
# chance: one of the first span, or, once it has failed often, of the half of the longest pause.
_FIRST_SPAN: Final = nodes._RECONNECT_FIRST
_LAST_SPAN: Final = nodes._RECONNECT_LONGEST / 2


class _Watched(Network):
    """A network that notes when each connection is begun."""

    def __init__(self, loop: Loop) -> None:
        weather = Weather(0.0001, 0.0, fragments=False)
        super().__init__(loop, Random("network"), weather, lambda _wire, _link: None)
        self.attempts: list[tuple[float, Address]] = []

    def open(self, client: Any, connection_id: int, address: Address) -> Wire:
        self.attempts.append((self.loop.now(), address))
        return super().open(client, connection_id, address)


class _Stampede:
    """The clients of a cluster of two nodes; the second restarts, with room for a third of them."""

    def __init__(self, clients: int) -> None:
        self.room = clients // 3
        loop = Loop()
        network = _Watched(loop)
        cluster = EmbeddedCluster(2, vbuckets=8, clock=loop)
        for number, node in enumerate(cluster.nodes):
            node.ports["kv"] = 10_000 + number
            network.nodes[Address("127.0.0.1", node.ports["kv"])] = node
        cluster.changed()
        settings = Settings(
            seeds=tuple(network.nodes), bucket="default", login=Login("user", "password")
        )
        history = History(loop, lambda: 0.0)
        self.clients = [
            Client(number, settings, Random(number), loop, network, history, is_eager=True)
            for number in range(clients)
        ]
        for number, client in enumerate(self.clients):
            loop.at(number / clients, client.start)
        loop.run(_LOST)
        self.connected_before = self.connected()
        node = cluster.nodes[1]
        address = Address("127.0.0.1", node.ports["kv"])
        # They all hear of it at one instant.
        cluster.stop(node)
        loop.run(_BACK)
        node.max_connections = self.room
        cluster.restart(node)
        loop.run(_ROOMY)
        self.connected_in_between = self.connected()
        node.max_connections = None
        loop.run(_ROOMY + nodes._RECONNECT_LONGEST + 0.1)
        self.times = [when for when, where in network.attempts if where == address]

    def connected(self) -> int:
        """Count the connections on which clients can send."""
        return sum(
            endpoint.ready is not None
            for client in self.clients
            for endpoint in client.session.nodes.endpoints.values()
        )

    def greatest(self, since: float) -> int:
        """Give the greatest number of attempts in any window from *since* on."""
        times = self.times[bisect_left(self.times, since) :]
        return max(bisect_left(times, when + _WINDOW) - n for n, when in enumerate(times))

    def judge(self) -> list[str]:
        """Say which promises were broken."""
        broken = []
        clients = len(self.clients)
        if self.connected_before != 2 * clients:
            broken.append(f"before: {self.connected_before}")
        if self.connected_in_between != clients + self.room:
            broken.append(f"room for some: {self.connected_in_between}")
        if self.connected() != 2 * clients:
            broken.append(f"room for all: {self.connected()}")
        for since, span in ((_LOST, _FIRST_SPAN), (_BACK, _LAST_SPAN)):
            mean = clients * _WINDOW / span
            # Five standard deviations above what comes on average.
            if self.greatest(since) > mean + 5 * sqrt(mean):
                broken.append(f"stampede from {since} on: {self.greatest(since)}")
        return broken


def test_no_stampede() -> None:
    """Attempts are spread as the jitter promises, and everybody comes back once there is room."""
    stampede = _Stampede(1000)
    assert not stampede.judge()
    # They do come, each several times: the measure was not kept by standing still.
    assert len(stampede.times) > 5000


class _Steady:
    """A generator for which all moments are one."""

    def __init__(self, random: nodes.Random) -> None:
        self.getrandbits = random.getrandbits

    def random(self) -> float:
        return 0.5


def _without_jitter(patch: pytest.MonkeyPatch) -> None:
    connect_later = Nodes._connect_later

    def in_step(self: Nodes, *arguments: Any, **keywords: Any) -> None:
        random, self._random = self._random, _Steady(self._random)
        connect_later(self, *arguments, **keywords)
        self._random = random

    patch.setattr(Nodes, "_connect_later", in_step)


def _at_once(patch: pytest.MonkeyPatch) -> None:
    connect_later = Nodes._connect_later

    def hasty(self: Nodes, endpoint: Endpoint, error: Any, now: float, *, was_ready: bool) -> None:
        connect_later(self, endpoint, error, now, was_ready=was_ready)
        if was_ready and endpoint.timer is not None:
            endpoint.timer.cancel()
            endpoint.timer = self._timers.call_at(now, lambda at: self._connect(endpoint, at))

    patch.setattr(Nodes, "_connect_later", hasty)


def _with_less_backoff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nodes, "_RECONNECT_LONGEST", 0.4)


@pytest.mark.parametrize("plant", [_without_jitter, _at_once, _with_less_backoff])
def test_a_stampede_is_seen(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without jitter, without a first pause, or with pauses that stay short, it is broken."""
    plant(monkeypatch)
    assert any("stampede" in line for line in _Stampede(300).judge())
