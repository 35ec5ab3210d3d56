"""What test_gunicorn has gunicorn preload: the bucket is opened in the master, before it forks."""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from gcouchbase.cluster import Cluster, PasswordAuthenticator

cluster = Cluster(os.environ["COUCHBASE"])
cluster.authenticate(PasswordAuthenticator("user", "password"))
bucket = cluster.open_bucket("default")
bucket.wait_until_ready(30)
# Each worker inherits this too.
atexit.register(bucket.close)
MASTER = os.getpid()


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Store the path under itself, and read it; tell which worker it was."""
    path = environ["PATH_INFO"]
    assert os.getpid() != MASTER
    assert cluster.open_bucket("default") is bucket
    bucket.upsert(path, path)
    answer = {"worker": os.getpid(), "value": bucket.get(path).value}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
