"""A node restarts, and a thousand clients come back to it one after the other, not in step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from math import sqrt
from random import Random
from typing import Any, Final

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.session import connections as nodes
from couchloop.session import opening
from couchloop.session.connections import Connections
from couchloop.session.route_table import Endpoint
from couchloop.settings.values import Address, Login, Settings
from tests.share import share
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
    """The clients of a cluster of two nodes, which restarts with room for a third of them.

    Args:
        clients: how many there are.
        whole: both nodes restart, not only the second; and they were found by other names than the
            cluster has for them, so that these names are asked too.
    """

    def __init__(self, clients: int, *, whole: bool = False) -> None:
        self.room = clients // 3
        self.whole = whole
        loop = Loop()
        network = _Watched(loop)
        cluster = EmbeddedCluster(2, vbuckets=8, clock=loop)
        for number, node in enumerate(cluster.nodes):
            node.ports["kv"] = 10_000 + number
            network.nodes[Address("127.0.0.1", node.ports["kv"])] = node
        cluster.changed()
        if whole:
            for number, node in enumerate(cluster.nodes):
                network.nodes[Address(f"node{number}.example", node.ports["kv"])] = node
        settings = Settings(
            seeds=tuple(network.nodes)[-2:], bucket="default", login=Login("user", "password")
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
        restarting = cluster.nodes if whole else cluster.nodes[1:]
        # They all hear of it at one instant.
        for node in restarting:
            cluster.stop(node)
        loop.run(_BACK)
        for node in restarting:
            node.max_connections = self.room
            cluster.restart(node)
        loop.run(_ROOMY)
        self.connected_in_between = self.connected()
        for node in restarting:
            node.max_connections = None
        loop.run(_ROOMY + nodes._RECONNECT_LONGEST + 0.1)
        self.times = [
            when for when, where in network.attempts if network.nodes[where] is cluster.nodes[1]
        ]

    def connected(self) -> int:
        """Count the connections on which clients can send."""
        return sum(
            endpoint.ready is not None
            for client in self.clients
            for endpoint in client.session.table.endpoints.values()
        )

    def greatest(self, since: float) -> int:
        """Return the greatest number of attempts in any window from *since* on."""
        times = self.times[bisect_left(self.times, since) :]
        return max(bisect_left(times, when + _WINDOW) - n for n, when in enumerate(times))

    def judge(self) -> list[str]:
        """Return which promises were broken."""
        broken = []
        clients = len(self.clients)
        if self.connected_before != 2 * clients:
            broken.append(f"before: {self.connected_before}")
        if not self.whole and self.connected_in_between != clients + self.room:
            broken.append(f"room for some: {self.connected_in_between}")
        if self.connected() != 2 * clients:
            broken.append(f"room for all: {self.connected()}")
        for since, span in ((_LOST, _FIRST_SPAN), (_BACK, _LAST_SPAN)):
            # By each of the node's names they come once in that span.
            mean = clients * _WINDOW / span * (2 if self.whole else 1)
            # Five standard deviations above what comes on average.
            if self.greatest(since) > mean + 5 * sqrt(mean):
                broken.append(f"stampede from {since} on: {self.greatest(since)}")
        return broken


@pytest.mark.parametrize(("clients", "whole"), [(share(1000), False), (share(500), True)])
def test_no_stampede(clients: int, *, whole: bool) -> None:
    """Attempts are spread as the jitter promises, and everybody comes back once there is room."""
    stampede = _Stampede(clients, whole=whole)
    assert not stampede.judge()
    # They do come, each several times: the measure was not kept by standing still.
    assert len(stampede.times) > 5 * clients


class _Steady:
    """A generator for which all moments are one."""

    def __init__(self, random: Random) -> None:
        self.getrandbits = random.getrandbits

    def random(self) -> float:
        return 0.5


def _without_jitter(patch: pytest.MonkeyPatch) -> None:
    connect_later = Connections._connect_later

    def in_step(self: Connections, *arguments: Any, **keywords: Any) -> None:
        random: Any = self._random
        self._random = _Steady(random)
        connect_later(self, *arguments, **keywords)
        self._random = random

    patch.setattr(Connections, "_connect_later", in_step)


def _at_once(patch: pytest.MonkeyPatch) -> None:
    connect_later = Connections._connect_later

    def hasty(
        self: Connections, endpoint: Endpoint, error: Any, now: float, *, was_ready: bool
    ) -> None:
        connect_later(self, endpoint, error, now, was_ready=was_ready)
        if was_ready and endpoint.timer is not None:
            endpoint.timer.cancel()
            endpoint.timer = self._shared.timers.call_at(now, lambda at: self.connect(endpoint, at))

    patch.setattr(Connections, "_connect_later", hasty)


def _asking_seeds_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(opening, "_SEARCH_SPREAD", 0.0)


def _with_less_backoff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nodes, "_RECONNECT_LONGEST", 0.4)


@pytest.mark.parametrize(
    "plant", [_without_jitter, _at_once, _with_less_backoff, _asking_seeds_at_once]
)
def test_a_stampede_is_seen(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without jitter, without a first pause, or with pauses that stay short, it is broken."""
    plant(monkeypatch)
    broken = _Stampede(300, whole=plant is _asking_seeds_at_once).judge()
    assert any("stampede" in line for line in broken)
