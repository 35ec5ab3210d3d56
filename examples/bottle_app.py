"""Bottle on gevent's own WSGI server: JSON documents over HTTP.

    pip install couchloop[gevent] bottle
    python examples/bottle_app.py [couchbase://HOST] [--port 8000]

GET and PUT /documents/KEY. Bottle keeps the request that is being answered in a thread-local, so
the standard library is patched before Bottle is imported. SIGTERM ends the server when the requests
under way are answered.
"""

# ruff: noqa: E402 - all imports come after the patching
from gevent import monkey

monkey.patch_all()

import argparse
import os
import signal
from typing import Any

import gevent
from bottle import Bottle, HTTPResponse, request
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
from gevent_wsgi import STATUSES

from couchloop.exceptions import CouchbaseError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def create(bucket: Bucket) -> Bottle:
    """Make the application."""
    app = Bottle()

    @app.get("/documents/<key>")
    def read(key: str) -> Any:
        # Bottle makes JSON of dicts alone.
        return {"document": bucket.get(key).value}

    @app.put("/documents/<key>")
    def write(key: str) -> HTTPResponse:
        bucket.upsert(key, request.json)
        return HTTPResponse(status=204)

    def map_errors(callback: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return callback(*args, **kwargs)
            except CouchbaseError as error:
                statuses = (status for kind, status in STATUSES if isinstance(error, kind))
                body = {"error": type(error).__name__, "message": error.message}
                return HTTPResponse(body, next(statuses, "500 Internal Server Error"))

        return call

    app.install(map_errors)
    return app


def main() -> None:
    """Open the bucket, serve until SIGTERM or SIGINT, close the bucket."""
    parser = argparse.ArgumentParser(description="JSON documents over HTTP")
    default = os.environ.get("COUCHBASE", "couchbase://localhost")
    parser.add_argument("cluster", nargs="?", default=default)
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()

    cluster = Cluster(arguments.cluster)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with cluster.open_bucket("default") as bucket:
        # A pool, for without one the server would not wait for anybody when it stops.
        address = ("127.0.0.1", arguments.port)
        server = WSGIServer(address, create(bucket), log=None, spawn=Pool())
        server.start()
        print(f"http://127.0.0.1:{server.server_port}/documents/", flush=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, server.close)
        server.serve_forever(stop_timeout=10)


if __name__ == "__main__":
    main()
