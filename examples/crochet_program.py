"""A program of plain threads: crochet runs the reactor beside it, and its threads share a Bucket.

pip install couchloop[twisted] crochet
python crochet_program.py [couchbase://HOST]

Only opening and closing need crochet: `bucket.threadsafe()` gives a handle whose methods block the
thread that calls them, and pass errors on as they are.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crochet import setup, wait_for
from twisted.internet.defer import Deferred

from couchloop.exceptions import NotFoundError
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

setup()


@wait_for(timeout=30)
def open_bucket(connection_string: str) -> Deferred[tuple[Bucket, Any]]:
    """Return an open Bucket and its handle; this is in the reactor's thread, the caller waits."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")
    return bucket.connect().addCallback(lambda _: (bucket, bucket.threadsafe()))


@wait_for(timeout=30)
def close(bucket: Bucket) -> Deferred[None]:
    """Close *bucket*, in the reactor's thread."""
    return bucket.close()


def main(connection_string: str) -> None:
    """Use one Bucket from many threads."""
    bucket, handle = open_bucket(connection_string)
    try:
        with ThreadPoolExecutor(16) as threads:
            counted = threads.map(lambda _: handle.counter("hits", initial=1).value, range(100))
            print("counted by threads:", max(counted))
        handle.remove("hits")
        try:
            handle.get("hits")
        except NotFoundError as error:
            print("removed:", error.message)
    finally:
        close(bucket)


if __name__ == "__main__":
    main(*(sys.argv[1:] or [os.environ.get("COUCHBASE", "couchbase://localhost")]))
