"""couchloop under measurement while it takes the rows of a query, or asks for one document.

    python -m benchmarks.client_rows LOOP OPERATION SHAPE PORT COUNT

LOOP: twisted, gevent. OPERATION: rows (of one query, SHAPE stream), select (one query after the
other, SHAPE 1, each of one row). The figures tell also by how many
kilobytes the memory has grown, at most, since a first query, and how many it had at most.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from benchmarks.measure import Meter

WARM_UP = 20_000
SELECTS = 300
STATEMENT = "SELECT d.* FROM `default` AS d USE KEYS $1"


def most() -> float:
    """Return how many kilobytes of memory the process has had at most."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def on_gevent(meter: Meter, operation: str, count: int) -> float:
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

    def select(total: int) -> int:
        found = 0
        for _ in range(total):
            for row in cluster.query(STATEMENT, "k"):
                found += row["paid"]
        return found

    warm = WARM_UP if operation == "rows" else SELECTS
    work = run if operation == "rows" else select
    assert work(warm) == warm
    before = most()
    meter.start()
    assert work(count) == count
    meter.stop(count)
    return most() - before


def on_twisted(meter: Meter, operation: str, count: int) -> float:
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

        async def select(total: int) -> int:
            found = 0
            for _ in range(total):
                for row in await cluster.query(STATEMENT, "k"):
                    found += row["paid"]
            return found

        warm = WARM_UP if operation == "rows" else SELECTS
        work = run if operation == "rows" else select
        assert await work(warm) == warm
        before = most()
        meter.start()
        assert await work(count) == count
        meter.stop(count)
        grown.append(most() - before)

    try:
        react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    return grown[0]


def main(loop: str, operation: str, _shape: str, port: str, count: str) -> None:
    """Run one measurement and print it."""
    meter = Meter()
    meter.port = int(port)
    grown = {"twisted": on_twisted, "gevent": on_gevent}[loop](meter, operation, int(count))
    meter.tell(grown_kb=grown, peak_kb=most())


if __name__ == "__main__":
    main(*sys.argv[1:])
