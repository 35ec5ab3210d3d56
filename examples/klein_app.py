"""Klein: JSON documents over HTTP, on twisted.web.

pip install couchloop[twisted] klein
python klein_app.py [couchbase://HOST] [--port 8080]

GET and PUT /documents/KEY. Handlers are coroutines that await Deferreds; errors have statuses of
HTTP. The Bucket is opened once; when the reactor is stopped what was asked is still answered.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.server import Site
from twisted_web import STATUSES

from couchloop.exceptions import CouchbaseError
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator


class Documents:
    """The documents of one bucket."""

    app = Klein()

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @app.route("/documents/<key>", methods=["GET"])
    async def read(self, request: Any, key: str) -> bytes:
        """Return a document."""
        result = await self._bucket.get(key)
        request.setHeader("content-type", "application/json")
        return json.dumps(result.value).encode()

    @app.route("/documents/<key>", methods=["PUT"])
    async def write(self, request: Any, key: str) -> bytes:
        """Store a document."""
        await self._bucket.upsert(key, json.loads(request.content.read()))
        request.setResponseCode(204)
        return b""

    @app.handle_errors(CouchbaseError, json.JSONDecodeError, UnicodeDecodeError)
    def refuse(self, request: Any, failure: Failure) -> bytes:
        """Answer an error: the class alone, for a message names nodes."""
        error = failure.value
        status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        return json.dumps({"error": type(error).__name__}).encode()


async def main(reactor: Any, *arguments: str) -> None:
    """Serve until the reactor is stopped."""
    parser = argparse.ArgumentParser()
    default = os.environ.get("COUCHBASE", "couchbase://localhost")
    parser.add_argument("connection_string", nargs="?", default=default)
    parser.add_argument("--port", type=int, default=8080, help="0: whatever is free")
    wanted = parser.parse_args(arguments)

    cluster = Cluster(wanted.connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")
    await bucket.connect()
    site = Site(Documents(bucket).app.resource())  # type: ignore[no-untyped-call]
    listening = reactor.listenTCP(wanted.port, site, interface="127.0.0.1")

    async def end() -> None:
        await listening.stopListening()
        # It lets what is under way end first.
        await bucket.close()

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(end()))
    print(f"http://127.0.0.1:{listening.getHost().port}/", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
