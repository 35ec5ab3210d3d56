"""What a Bucket costs that is open and does nothing.

python -m benchmarks.idle LOOP CONNECTION_STRING COUNT

Opens so many Buckets, each connected to every node, and prints a JSON line with the memory of the
process that each of them takes.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

from couchloop.session.health import ClusterState

WARM_UP = 20
_PAGE = 4096
_LIMIT = 60.0


def resident() -> int:
    """Return the bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def report(before: int, count: int) -> None:
    """Print what each of *count* Buckets takes."""
    sys.stdout.write(json.dumps({"kb": (resident() - before) / count / 1000}) + "\n")


def on_gevent(connection_string: str, count: int) -> None:
    """Measure on this thread's hub."""
    from gcouchbase.cluster import Cluster, PasswordAuthenticator

    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))

    def opened(number: int) -> list[Any]:
        buckets = [cluster.open_bucket("default", shared=False) for _ in range(number)]
        for bucket in buckets:
            bucket.wait_until_ready(_LIMIT, ClusterState.ONLINE)
            bucket.get("k", quiet=True)
        return buckets

    warm = opened(WARM_UP)
    before = resident()
    buckets = opened(count)
    report(before, count)
    for bucket in (*warm, *buckets):
        bucket.close()


def on_twisted(connection_string: str, count: int) -> None:
    """Measure on the default reactor."""
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import react

    from txcouchbase.cluster import Cluster, PasswordAuthenticator

    async def opened(cluster: Cluster, number: int) -> list[Any]:
        buckets = []
        for _ in range(number):
            bucket = cluster.open_bucket("default", shared=False)
            await bucket.wait_until_ready(_LIMIT, ClusterState.ONLINE)
            await bucket.get("k", quiet=True)
            buckets.append(bucket)
        return buckets

    async def main(reactor: Any) -> None:
        cluster = Cluster(connection_string, reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        warm = await opened(cluster, WARM_UP)
        before = resident()
        buckets = await opened(cluster, count)
        report(before, count)
        await gatherResults([bucket.close() for bucket in (*warm, *buckets)])

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


if __name__ == "__main__":
    loop, connection_string, count = sys.argv[1:]
    {"gevent": on_gevent, "twisted": on_twisted}[loop](connection_string, int(count))
