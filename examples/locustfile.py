"""A load test of a cluster with Locust: nine reads to a write.

pip install couchloop[gevent] locust
locust -f examples/locustfile.py --host couchbase://HOST --headless -u 100 -t 60s
"""

from __future__ import annotations

from random import randrange

from locust import constant, task

from couchloop.contrib.locust import CouchbaseUser


class Visitor(CouchbaseUser):
    """Reads documents, and stores some. A read of what nobody has stored yet is a failure."""

    username = "user"
    password = "password"
    wait_time = constant(0)

    @task(9)
    def read(self) -> None:
        """Read a document."""
        self.bucket.get(f"visitor:{randrange(1000)}")

    @task(1)
    def write(self) -> None:
        """Store a document."""
        self.bucket.upsert(f"visitor:{randrange(1000)}", {"visits": 1})
