"""Sockets that an application gives a gevent Bucket."""

from __future__ import annotations

from gcouchbase.bucket import Bucket
from gcouchbase.testing import MemoryCluster
from tests.gcouchbase.support import PASSWORD


def test_own_sockets() -> None:
    """What a socket_factory connects to is its own affair: the option does not count."""
    with MemoryCluster() as memory:
        address = f"{memory.connection_string}/default?ipv6=only"
        with Bucket(
            address, username="user", password=PASSWORD, socket_factory=memory.socket_factory
        ) as bucket:
            assert bucket.upsert("key", 1).success
