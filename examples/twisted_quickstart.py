"""Quickstart with Twisted: store, read, change and delete documents.

python twisted_quickstart.py [couchbase://HOST]

The cluster (or else the one named in the environment as COUCHBASE, or else localhost) has a bucket
`default` and a user `user` with the password `password`, as `python -m couchloop.embedded` does.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import react

from couchloop.exceptions import CasMismatchError, NotFoundError
from txcouchbase.cluster import Cluster, PasswordAuthenticator


async def main(reactor: Any, connection_string: str) -> None:
    """Show what a Bucket does."""
    cluster = Cluster(connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))

    async with cluster.open_bucket("default") as bucket:
        await bucket.upsert("user:ada", {"name": "Ada", "logins": 1}, ttl=3600)
        ada = await bucket.get("user:ada")
        print("stored and read:", ada.value)

        # A result's CAS names the version that was read: nobody's change is overwritten.
        await bucket.replace("user:ada", {"name": "Ada", "logins": 2}, cas=ada.cas)
        try:
            await bucket.replace("user:ada", {"name": "Eve"}, cas=ada.cas)
        except CasMismatchError:
            print("not overwritten:", (await bucket.get("user:ada")).value)

        # Every call gives a Deferred at once, so operations run side by side ...
        visits, page = await gatherResults(
            [bucket.counter("visits", initial=1), bucket.get("page:1", quiet=True)]
        )
        print("visits:", visits.value, "- a page so far:", page.success)

        # ... and many keys take one round trip to each node.
        await bucket.upsert_multi({f"page:{n}": {"number": n} for n in range(100)})
        pages = await bucket.get_multi([f"page:{n}" for n in range(100)])
        print("a batch of", len(pages), "documents, all there:", pages.all_ok)
        await bucket.remove_multi([*pages, "visits", "user:ada"])

        try:
            await bucket.get("user:ada")
        except NotFoundError as error:
            print("deleted:", error.message)


if __name__ == "__main__":
    react(main, sys.argv[1:] or [os.environ.get("COUCHBASE", "couchbase://localhost")])
