"""Flask: JSON documents over HTTP, served by gunicorn and its gevent workers.

    pip install couchloop[gevent] flask gunicorn
    COUCHBASE=couchbase://host gunicorn --config examples/gunicorn_conf.py --chdir examples \
        'flask_app:create()'

GET and PUT /documents/KEY. The extension keeps one Bucket for a process, which opens it when it
answers its first request: the master, which preloads this, opens nothing.
"""

import atexit
import os
from contextlib import suppress
from functools import cached_property
from typing import Any

from flask import Flask, Response, abort, current_app, jsonify, request
from gevent_wsgi import STATUSES

from couchloop.exceptions import CouchbaseError, WrongLoopError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def close(bucket: Bucket) -> None:
    """Close *bucket* as the process ends, from the thread in which it was opened."""
    # `flask run --debug` and `runserver` answer in threads, which are no more by then.
    with suppress(WrongLoopError):
        bucket.close()


class State:
    """What the extension keeps for one application."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._name = config["COUCHBASE_BUCKET"]
        # Does no I/O.
        self._cluster = Cluster(config["COUCHBASE_CLUSTER"])
        user, password = config["COUCHBASE_USER"], config["COUCHBASE_PASSWORD"]
        self._cluster.authenticate(PasswordAuthenticator(user, password))

    @cached_property
    def bucket(self) -> Bucket:
        """The Bucket of this process. An opening that fails is tried again by the next request."""
        # Requests that come meanwhile are given the same Bucket.
        bucket = self._cluster.open_bucket(self._name)
        atexit.register(close, bucket)
        return bucket


class Couchbase:
    """A Flask extension, configured by COUCHBASE_CLUSTER, _BUCKET, _USER and _PASSWORD."""

    def init_app(self, app: Flask) -> None:
        """Read the configuration, and map the client's errors to statuses of HTTP."""
        app.extensions["couchloop"] = State(app.config)
        app.register_error_handler(CouchbaseError, self.refuse)

    @staticmethod
    def refuse(error: CouchbaseError) -> tuple[Response, str]:
        """Return the answer to *error*; the first class that fits counts."""
        status = (status for kind, status in STATUSES if isinstance(error, kind))
        body = jsonify(error=type(error).__name__, message=error.message)
        return body, next(status, "500 Internal Server Error")

    @property
    def bucket(self) -> Bucket:
        """The Bucket of the application that answers now."""
        state: State = current_app.extensions["couchloop"]
        return state.bucket


couchbase = Couchbase()


def create() -> Flask:
    """Make the application, without any I/O."""
    app = Flask("documents")
    app.config.update(
        COUCHBASE_CLUSTER=os.environ.get("COUCHBASE", "couchbase://localhost"),
        COUCHBASE_BUCKET="default",
        COUCHBASE_USER="user",
        COUCHBASE_PASSWORD="password",
    )
    couchbase.init_app(app)

    @app.get("/documents/<key>")
    def read(key: str) -> Response:
        return jsonify(couchbase.bucket.get(key).value)

    @app.put("/documents/<key>")
    def write(key: str) -> tuple[str, int]:
        if not request.is_json:
            abort(415)
        couchbase.bucket.upsert(key, request.get_json())
        return "", 204

    return app
