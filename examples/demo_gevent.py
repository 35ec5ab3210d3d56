"""The demonstration's gevent half: the same calls, each blocking its greenlet alone."""

from __future__ import annotations

import sys

import gevent
from gevent.fileobject import FileObject

from couchloop.exceptions import NotFoundError
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def documents(cluster: Cluster) -> None:
    """Store, read, change and delete documents."""
    bucket = cluster.open_bucket("default")
    print("open_bucket again gives the same object:", cluster.open_bucket("default") is bucket)

    bucket.upsert("user:ada", {"name": "Ada", "logins": 1})
    user = bucket.get("user:ada")
    print("stored and read:", user.value)

    user.value["logins"] += 1
    bucket.replace("user:ada", user.value, cas=user.cas)
    print("changed:", bucket.get("user:ada").value)

    counters = [gevent.spawn(bucket.counter, "hits", initial=1) for _ in range(50)]
    hits = sorted(greenlet.get().value for greenlet in counters)
    print("50 greenlets counted on one connection, each its own number:", hits[0], "to", hits[-1])

    bucket.upsert_multi({f"page:{n}": {"number": n} for n in range(100)})
    pages = bucket.get_multi([f"page:{n}" for n in range(100)])
    print("a batch of", len(pages), "documents, all there:", pages.all_ok)

    bucket.remove("user:ada")
    bucket.remove_multi(list(pages))
    try:
        bucket.get("user:ada")
    except NotFoundError as error:
        print("deleted:", error.message)


def main(connection_string: str) -> None:
    """Do the work, then wait for the demonstration to say that the connections are gone."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    documents(cluster)
    print("the Bucket has fallen out of scope")
    FileObject(sys.stdin.fileno()).readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
