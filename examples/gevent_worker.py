"""A worker: greenlets fetch pages by the standard library, patched, and keep them in a bucket.

    python examples/gevent_worker.py [couchbase://HOST] [--queue jobs] [--greenlets 20]

Jobs are URLs in a queue, `bucket.queue_push("jobs", "http://…", create=True)`, that any program may
fill. `urllib` blocks a whole thread, so the standard library is patched before anything else; the
Bucket needs no patching, and takes none amiss. All greenlets share the Bucket. SIGTERM ends the
worker when the jobs that it has taken are done. A job is out of the queue once it is taken: what a
worker had taken that was killed is not done again.
"""

# ruff: noqa: E402 - all imports come after the patching
from gevent import monkey

monkey.patch_all()

import argparse
import os
import signal
from hashlib import sha256
from urllib.error import URLError
from urllib.request import urlopen

import gevent
from gevent.event import Event
from gevent.pool import Pool

from couchloop.exceptions import CouchbaseError, NotFoundError, QueueEmpty
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator

PAUSE = 0.2
"""Seconds until an empty queue is asked again."""


def work(bucket: Bucket, queue: str, pool: Pool, ending: Event) -> None:
    """Give each job to a greenlet, until the worker ends.

    One greenlet takes the jobs, for all who take one change the same document: many at once would
    be in each other's way.
    """
    while not ending.is_set():
        pool.wait_available()
        try:
            url = bucket.queue_pop(queue).value
        except (NotFoundError, QueueEmpty):
            ending.wait(PAUSE)
        except CouchbaseError as error:
            # A cluster that is away for a while ends no worker.
            print("no job:", error, flush=True)
            ending.wait(PAUSE)
        else:
            pool.spawn(keep, bucket, url)


def keep(bucket: Bucket, url: str) -> None:
    """Do one job."""
    try:
        bucket.upsert(f"page:{sha256(url.encode()).hexdigest()}", fetch(url))
    except CouchbaseError as error:
        print("failed:", url, error, flush=True)
    else:
        print("done:", url, flush=True)


def fetch(url: str) -> dict[str, object]:
    """Fetch a page, as a program without greenlets would; a failure is kept, too."""
    try:
        with urlopen(url, timeout=10) as answer:  # noqa: S310 - a job may say any URL
            return {"url": url, "status": answer.status, "text": answer.read().decode()}
    except (URLError, OSError, ValueError) as error:
        return {"url": url, "error": str(error)}


def main() -> None:
    """Work until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="fetch pages that a queue names")
    default = os.environ.get("COUCHBASE", "couchbase://localhost")
    parser.add_argument("cluster", nargs="?", default=default)
    parser.add_argument("--queue", default="jobs")
    parser.add_argument("--greenlets", type=int, default=20)
    arguments = parser.parse_args()

    ending = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, ending.set)
    cluster = Cluster(arguments.cluster)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with cluster.open_bucket("default") as bucket:
        pool = Pool(arguments.greenlets)
        work(bucket, arguments.queue, pool, ending)
        pool.join()


if __name__ == "__main__":
    main()
