"""JSON documents over HTTP, served by several processes: for gunicorn and its gevent workers.

    pip install couchloop[gevent] gunicorn
    COUCHBASE=couchbase://host gunicorn --chdir examples -k gevent -w 4 'gunicorn_app:create()'

GET, PUT and DELETE /documents/KEY, as `gevent_wsgi.py` has them. Each worker opens the bucket when
it answers its first request, so that there are as many connections as workers times data nodes,
with `--preload` and without. When a worker ends its requests are answered first, then its Bucket
is closed.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from gevent_wsgi import Application

from couchloop.exceptions import CouchbaseError
from gcouchbase.cluster import Cluster, PasswordAuthenticator


class PerWorker:
    """A WSGI application that opens the bucket in the process that uses it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._application: Application | None = None

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Answer one request."""
        if self._application is None:
            try:
                self._open()
            except CouchbaseError as error:
                # The next request tries again.
                start_response("503 Service Unavailable", [("Content-Type", "application/json")])
                return [json.dumps({"error": type(error).__name__}).encode()]
        assert self._application is not None
        answer: Iterable[bytes] = self._application(environ, start_response)
        return answer

    def _open(self) -> None:
        # Requests that come meanwhile are given the same Bucket.
        bucket = self._cluster.open_bucket("default")
        if self._application is None:
            self._application = Application(bucket)
            # In the worker, where it is opened: the master has nothing to close.
            atexit.register(bucket.close)


def create() -> PerWorker:
    """Make the application; does no I/O, so that the master may call it before it forks."""
    cluster = Cluster(os.environ.get("COUCHBASE", "couchbase://localhost"))
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return PerWorker(cluster)
