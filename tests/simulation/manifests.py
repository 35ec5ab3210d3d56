"""Collections of a world: dropped and made again, with nodes that hear of it late."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from couchloop.embedded import EmbeddedCluster, Node
from couchloop.hot.operation import CollectionName
from tests.simulation.documents import COLLECTIONS
from tests.simulation.events import Loop
from tests.simulation.truth import Truth


class Manifests:
    """What becomes of the collections of one world.

    Args:
        until: when all of them are there again, and known to all nodes.
        truth: is told of all of it.
        disturb: called with each change.
    """

    def __init__(
        self,
        loop: Loop,
        rng: Random,
        cluster: EmbeddedCluster,
        truth: Truth,
        until: float,
        disturb: Callable[[], None],
    ) -> None:
        self._loop, self._rng, self._cluster = loop, rng, cluster
        self._truth, self._until, self._disturb = truth, until, disturb
        (self._bucket,) = cluster.buckets
        self._missing: set[CollectionName] = set()

    def plan(self) -> None:
        """Change collections in any case."""
        for _ in range(self._rng.randint(0, 3)):
            self._loop.at(self._rng.random() * self._until, self.change)

    def make(self, names: CollectionName, nodes: list[Node] | None = None) -> None:
        """Make a collection."""
        uid = self._cluster.create_collection(self._bucket, str(names), nodes=nodes)
        self._missing.discard(names)
        self._truth.made(uid, names)
        self._truth.look()

    def change(self) -> None:
        """Drop a collection, make it again, and let all nodes know, at some time each."""
        names = self._rng.choice(COLLECTIONS)
        if names in self._missing or self._loop.now() >= self._until:
            return
        self._disturb()
        pause = self._rng.choice((0.0, 0.001, 0.02, 1.0))
        self._missing.add(names)
        self._cluster.drop_collection(self._bucket, str(names), nodes=self._some())
        self._truth.dropped(names)
        self._at(self._loop.now() + pause, self._make_again, names)

    def _some(self) -> list[Node]:
        kept = self._rng.choice((0.3, 0.7, 1.0, 1.0))
        return [node for node in self._cluster.nodes if self._rng.random() < kept]

    def _at(self, when: float, action: object, *arguments: object) -> None:
        assert callable(action)
        self._loop.at(min(when, self._until), action, *arguments)

    def _make_again(self, names: CollectionName) -> None:
        self._disturb()
        if names in self._missing:
            self.make(names, self._some())
        self._at(self._loop.now() + self._rng.choice((0.0, 0.3, 3.0)), self._spread)

    def _spread(self) -> None:
        self._disturb()
        self._cluster.spread_manifest(self._bucket)
        self._truth.look()
        for names in COLLECTIONS:
            if names not in self._missing:
                self._truth.is_everywhere(names)

    def end(self) -> None:
        """Have all collections again, on all nodes."""
        for names in list(self._missing):
            self.make(names)
        self._spread()
