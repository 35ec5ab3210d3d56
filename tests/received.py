"""What tests of processes need to know on both loops: the bytes that each connection brought."""

from __future__ import annotations

from collections import Counter

import pytest

from couchloop.embedded import Connection
from couchloop.embedded.hosting import Peer


class Received:
    """Counts the bytes that an embedded cluster gets, connection by connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.by_connection: Counter[Connection] = Counter()
        received = Peer.received

        def count(peer: Peer, data: bytes) -> None:
            self.by_connection[peer.connection] += len(data)
            received(peer, data)

        monkeypatch.setattr(Peer, "received", count)

    @property
    def total(self) -> int:
        """Return the bytes of all connections so far."""
        return self.by_connection.total()

    def by_those_open(self) -> dict[Connection, int]:
        """Return the counts of the connections that are open."""
        return {each: n for each, n in self.by_connection.items() if not each.closed}
