"""Web ports in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CouchbaseError,
)
from couchloop.session.session import SessionState
from couchloop.settings.values import Address
from tests.core.world import FIRST_PORT, FIRST_WEB_PORT, World

DATA = Address("127.0.0.1", FIRST_PORT)
WEB = Address("127.0.0.1", FIRST_WEB_PORT)


class ScriptedWeb:
    """A web port that says what a test wants, whatever it is asked.

    Args:
        pieces: what it says, one piece a round; None at the end: it hangs up.
    """

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = pieces
        self.links: list[ScriptedWebLink] = []

    def accept(self, *, peer: str) -> ScriptedWebLink:
        self.links.append(ScriptedWebLink(self.pieces))
        return self.links[-1]


class ScriptedWebLink:
    """A connection to a `ScriptedWeb`."""

    def __init__(self, pieces: Iterable[bytes | None]) -> None:
        self.closed = False
        self.received = b""
        self._pieces = list(pieces)

    def receive_data(self, data: bytes) -> None:
        self.received += data

    def say(self, data: bytes | None) -> None:
        """Send something more; None: hang up."""
        self._pieces.append(data)

    def data_to_send(self) -> bytes:
        if not self.received or not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if self._pieces[:1] == [None] or piece is None:
            self.closed = True
        return piece or b""

    def next_deadline(self) -> None:
        return None

    def connection_lost(self) -> None:
        self.closed = True


def web_world(cluster: EmbeddedCluster | None = None, **settings: Any) -> World:
    """Return a world whose one data seed refuses, and whose first web port is a seed."""
    w = World(cluster, **{"seeds": (Address("127.0.0.1", 9),), "web_seeds": (WEB,), **settings})
    w.serve_web()
    return w


def failure(w: World, seconds: float = 10.0) -> CouchbaseError:
    """Open, and give what it failed with."""
    w.session.start(w.now)
    w.advance(seconds)
    assert w.session.state is SessionState.FAILED
    assert not w.opened
    w.assert_idle()
    return w.session.failure()


def seeds_of(error: CouchbaseError) -> list[tuple[str, type[BaseException]]]:
    """Return what happened at each seed."""
    assert error.context is not None
    return [(seed, type(why)) for seed, why in error.context.seeds]


def web_connections(w: World) -> int:
    """Count the connections to web ports that are open."""
    return sum(address.port >= FIRST_WEB_PORT for address in w.opened.values())
