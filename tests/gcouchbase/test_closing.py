"""A peer that takes little of what is to be written does not hold up close()."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Final

import gevent
from gevent import socket as gsocket

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import AmbiguousRequestCanceledError
from couchloop.settings.values import Address
from couchloop.transcoder import FMT_BYTES
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import SystemClock, serve
from tests.gcouchbase.support import start, until

_LARGE: Final = Random(1).randbytes(18_000_000)
"""What no compression makes smaller."""
_LITTLE: Final = 65536


class _Relay:
    """What lies between a client and a node; once it is slow it takes little, now and then."""

    def __init__(self) -> None:
        self.taken = 0
        self.is_slow = False
        self.is_cut = False

    def connect(self, address: Address) -> gsocket.socket:
        """Return the client's end of a new connection: a socket factory."""
        ours, theirs = gsocket.socketpair()
        node = gsocket.create_connection((address.host, address.port))
        gevent.spawn(self._carry, node, theirs)
        gevent.spawn(self._take, theirs, node)
        return ours

    def _carry(self, source: gsocket.socket, target: gsocket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_LITTLE):
                target.sendall(data)

    def _take(self, source: gsocket.socket, target: gsocket.socket) -> None:
        with source, target, suppress(OSError):
            while data := source.recv(_LITTLE):
                self.taken += len(data)
                target.sendall(data)
                if self.is_slow:
                    gevent.sleep(0.05)
        self.is_cut = True


def test_peer_that_takes_little() -> None:
    """What takes a little now and then has its time in all, not anew after each little."""
    relay = _Relay()
    with serve(EmbeddedCluster(1, clock=SystemClock())) as served:
        cluster = Cluster(served.connection_string, socket_factory=relay.connect)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        relay.is_slow = True
        before = relay.taken
        writing = start(bucket.upsert, "k", _LARGE, format=FMT_BYTES, timeout=60)
        until(lambda: relay.taken > before)
        bucket.close(timeout=0.01)
        assert isinstance(writing.get(), AmbiguousRequestCanceledError)
        until(lambda: relay.is_cut, "the connection was not cut")
        assert relay.taken < len(_LARGE), "close() has waited for all of it"
