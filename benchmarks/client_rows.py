"""couchloop under measurement while it takes the rows of a query.

    python -m benchmarks.client_rows LOOP rows SHAPE PORT COUNT

LOOP: twisted, gevent. SHAPE: stream (one after the other). The figures tell also by how many
kilobytes the memory has grown, at most, since a first query.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from benchmarks.measure import Meter

WARM_UP = 20_000


def most() -> float:
    """Return how many kilobytes of memory the process has had at most."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def on_gevent(meter: Meter, count: int) -> float:
    """A loop in a greenlet."""
    from gcouchbase.cluster import Cluster, PasswordAuthenticator

    cluster = Cluster(f"couchbase://127.0.0.1:{meter.port}")
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    cluster.open_bucket("default")

    def run(total: int) -> int:
        found = 0
        for row in cluster.query(f"ROWS {total}", timeout=300):
            found += row["paid"]
        return found

    assert run(WARM_UP) == WARM_UP
    before = most()
    meter.start()
    assert run(count) == count
    meter.stop(count)
    return most() - before


def on_twisted(meter: Meter, count: int) -> float:
    """A loop in a coroutine."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    from txcouchbase.cluster import Cluster, PasswordAuthenticator

    grown: list[float] = []

    async def main(reactor: Any) -> None:
        cluster = Cluster(f"couchbase://127.0.0.1:{meter.port}", reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        await bucket.connect()

        async def run(total: int) -> int:
            found = 0
            async for row in cluster.query(f"ROWS {total}", timeout=300):
                found += row["paid"]
            return found

        assert await run(WARM_UP) == WARM_UP
        before = most()
        meter.start()
        assert await run(count) == count
        meter.stop(count)
        grown.append(most() - before)

    try:
        react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    return grown[0]


def main(loop: str, _operation: str, _shape: str, port: str, count: str) -> None:
    """Run one measurement and print it."""
    meter = Meter()
    meter.port = int(port)
    grown = {"twisted": on_twisted, "gevent": on_gevent}[loop](meter, int(count))
    meter.tell(grown_kb=grown)


if __name__ == "__main__":
    main(*sys.argv[1:])
