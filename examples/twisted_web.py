"""A twisted.web resource: JSON documents by GET, PUT and DELETE.

python twisted_web.py [couchbase://HOST] [--port 8080]

curl -X PUT -d '{"name": "Ada"}' http://localhost:8080/user:ada
curl -i http://localhost:8080/user:ada

The answer's ETag is the document's version; PUT and DELETE with it in If-Match change no other.
The Bucket is opened once. On SIGINT or SIGTERM requests that wait are answered, then it closes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import react
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from couchloop import exceptions
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

STATUSES: Final = (
    (exceptions.NotFoundError, http.NOT_FOUND),
    (exceptions.CasMismatchError, http.PRECONDITION_FAILED),
    (exceptions.KeyExistsError, http.CONFLICT),
    (exceptions.TooBigError, http.REQUEST_ENTITY_TOO_LARGE),
    (exceptions.ArgumentError, http.BAD_REQUEST),
    (json.JSONDecodeError, http.BAD_REQUEST),
    (UnicodeDecodeError, http.BAD_REQUEST),
    (exceptions.TimeoutError, http.GATEWAY_TIMEOUT),
    (exceptions.CouchbaseTransientError, http.SERVICE_UNAVAILABLE),
    (exceptions.CouchbaseNetworkError, http.SERVICE_UNAVAILABLE),
    (exceptions.ObjectDestroyedError, http.SERVICE_UNAVAILABLE),
)
"""What to answer to which error; the first that fits. Any other is ours: 500."""


class Documents(Resource):
    """The documents of a bucket, each under its key."""

    isLeaf = True  # noqa: N815 - twisted.web's name
    _log = Logger()

    def __init__(self, bucket: Bucket) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bucket = bucket
        self.unanswered: set[Deferred[None]] = set()

    def render_GET(self, request: Any) -> int:
        """Return a document."""
        return self._answer(request, self._get(request))

    def render_PUT(self, request: Any) -> int:
        """Store a document; with If-Match, only if it still is that version."""
        return self._answer(request, self._put(request))

    def render_DELETE(self, request: Any) -> int:
        """Delete a document; with If-Match, only if it still is that version."""
        return self._answer(request, self._delete(request))

    async def _get(self, request: Any) -> bytes:
        result = await self._bucket.get(_key(request))
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"etag", b'"%x"' % result.cas)
        return json.dumps(result.value).encode()

    async def _put(self, request: Any) -> bytes:
        value, cas = json.loads(request.content.read()), _cas(request)
        store = self._bucket.replace if cas else self._bucket.upsert
        result = await store(_key(request), value, cas)
        request.setHeader(b"etag", b'"%x"' % result.cas)
        request.setResponseCode(http.NO_CONTENT)
        return b""

    async def _delete(self, request: Any) -> bytes:
        await self._bucket.remove(_key(request), _cas(request))
        request.setResponseCode(http.NO_CONTENT)
        return b""

    def _answer(self, request: Any, work: Coroutine[Any, Any, bytes]) -> int:
        """Finish *request* with what *work* gives; cancel that if the client goes away."""
        answer: Deferred[Any] = Deferred.fromCoroutine(work)
        self.unanswered.add(answer)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: answer.cancel())
        answer.addErrback(self._refuse, request)
        answer.addCallback(lambda body: None if body is None else _finish(request, body))
        answer.addErrback(lambda failure: self._log.failure("while answering", failure))
        answer.addBoth(lambda _: self.unanswered.discard(answer))
        return NOT_DONE_YET

    def _refuse(self, failure: Failure, request: Any) -> bytes | None:
        error = failure.value
        if isinstance(error, CancelledError):
            return None
        status = next((status for kind, status in STATUSES if isinstance(error, kind)), None)
        if status is None:
            self._log.failure("{method} {uri}", failure, method=request.method, uri=request.uri)
        request.setResponseCode(status or http.INTERNAL_SERVER_ERROR)
        request.setHeader(b"content-type", b"application/json")
        # The class, not the message: that names our nodes.
        return json.dumps({"error": type(error).__name__ if status else "InternalError"}).encode()


def _finish(request: Any, body: bytes) -> None:
    request.write(body)
    request.finish()


def _key(request: Any) -> bytes:
    return unquote_to_bytes(request.path.removeprefix(b"/"))


def _cas(request: Any) -> int:
    """Return the version in If-Match, 0 if there is none."""
    wanted = request.getHeader(b"if-match")
    if wanted is None:
        return 0
    try:
        return int(wanted.strip(b'"'), 16)
    except ValueError:
        raise exceptions.InvalidCasError("If-Match is no ETag of ours") from None


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
    documents = Documents(bucket)
    site = Site(documents)  # type: ignore[no-untyped-call]
    listening = reactor.listenTCP(wanted.port, site, interface="127.0.0.1")

    async def end() -> None:
        await listening.stopListening()
        await DeferredList(list(documents.unanswered))
        await bucket.close()

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(end()))
    print(f"http://127.0.0.1:{listening.getHost().port}/", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
