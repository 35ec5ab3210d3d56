"""Buckets by the thousand on one hub."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress

import gevent
from gevent import Greenlet

from couchloop.exceptions import NotFoundError, ObjectDestroyedError, RequestCanceledError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from tests.soak.left import PATIENCE, Holdings, holdings, more, sockets
from tests.soak.server import Server, serving

WARM_UP = 25
_LIMIT = 120.0


def _cluster(server: Server) -> Cluster:
    cluster = Cluster(server.connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster


def _until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(_LIMIT):
        while not condition():
            gevent.sleep(0.001)


def _closed_by_hand(cluster: Cluster) -> None:
    bucket = cluster.open_bucket("default")
    bucket.upsert("k", {"n": 1})
    bucket.close()


def _dropped(cluster: Cluster) -> None:
    cluster.open_bucket("default").get("k", quiet=True)


def _dropped_by_an_error(cluster: Cluster) -> None:
    with suppress(NotFoundError), cluster.open_bucket("default") as bucket:
        bucket.replace("missing", 1)


def _cut_off(cluster: Cluster) -> None:
    bucket = cluster.open_bucket("default")
    pending = gevent.spawn(_get, bucket)
    gevent.sleep(0)
    bucket._close()
    pending.join()


def _get(bucket: Bucket) -> None:
    with suppress(RequestCanceledError, ObjectDestroyedError):
        bucket.get("k", quiet=True)


def _opener_killed(cluster: Cluster) -> None:
    opener = gevent.spawn(cluster.open_bucket, "default")
    gevent.sleep(0)
    opener.kill()


WAYS = (_closed_by_hand, _dropped, _dropped_by_an_error, _cut_off, _opener_killed)
"""How a Bucket comes to its end."""


def _count(server: Server) -> Holdings:
    _until(lambda: not server.connections)
    # The server may not have told yet of the last that were made: there is our own end, too. One
    # that stays is counted.
    with gevent.Timeout(PATIENCE, exception=False):  # type: ignore[arg-type]
        _until(lambda: sockets() <= server.sockets)
    gevent.idle()
    return holdings(sum(isinstance(thing, Greenlet) for thing in gc.get_objects()))


def cycles(count: int) -> list[str]:
    """Open and close a Bucket so many times; name what has become more."""
    with serving(nodes=3) as server:
        cluster = _cluster(server)
        for number in range(WARM_UP * len(WAYS)):
            WAYS[number % len(WAYS)](cluster)
        before = _count(server)
        for number in range(count):
            WAYS[number % len(WAYS)](cluster)
        return more(before, _count(server), count)


def many(count: int) -> list[str]:
    """Hold so many Buckets open at once, each with a connection; name what is left of them."""
    with serving(nodes=1) as server:
        cluster = _cluster(server)
        _closed_by_hand(cluster)
        before = _count(server)
        buckets = [cluster.open_bucket("default", shared=False) for _ in range(count)]
        _until(lambda: server.connections == count)
        for bucket in buckets[:: max(1, count // 100)]:
            bucket.upsert("k", 1)
        for bucket in buckets[::2]:
            bucket.close()
        # The other half closes with its last references.
        del bucket, buckets
        return more(before, _count(server), count)
