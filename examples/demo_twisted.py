"""The demonstration's Twisted half: documents on any reactor, one Bucket, no close() needed."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver

from couchloop.exceptions import NotFoundError
from txcouchbase.cluster import Cluster, PasswordAuthenticator


async def documents(cluster: Cluster) -> None:
    """Store, read, change and delete documents."""
    bucket = cluster.open_bucket("default")
    print("open_bucket again gives the same object:", cluster.open_bucket("default") is bucket)

    await bucket.upsert("user:ada", {"name": "Ada", "logins": 1})
    user = await bucket.get("user:ada")
    print("stored and read:", user.value)

    user.value["logins"] += 1
    await bucket.replace("user:ada", user.value, cas=user.cas)
    print("changed:", (await bucket.get("user:ada")).value)

    visits = await bucket.counter("visits", delta=5, initial=100)
    print("counter:", visits.value)

    await bucket.upsert_multi({f"page:{n}": {"number": n} for n in range(100)})
    pages = await bucket.get_multi([f"page:{n}" for n in range(100)])
    print("a batch of", len(pages), "documents, all there:", pages.all_ok)

    await bucket.remove("user:ada")
    await bucket.remove_multi(list(pages))
    try:
        await bucket.get("user:ada")
    except NotFoundError as error:
        print("deleted:", error.message)


class Line(LineOnlyReceiver):
    """Waits for a line on standard input."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.received: Deferred[bytes] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """Take the line."""
        self.received.callback(line)


async def main(reactor: Any, connection_string: str) -> None:
    """Do the work, then wait for the demonstration to say that the connections are gone."""
    cluster = Cluster(connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    await documents(cluster)
    print("the Bucket has fallen out of scope")
    line = Line()
    StandardIO(line, reactor=reactor)  # type: ignore[no-untyped-call]
    await line.received


if __name__ == "__main__":
    react(main, sys.argv[1:])
