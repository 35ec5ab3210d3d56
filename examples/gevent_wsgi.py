"""JSON documents over HTTP: a WSGI application on gevent.pywsgi.

    python examples/gevent_wsgi.py [couchbase://host,host…] [--port 8000]

GET, PUT and DELETE /documents/KEY. The bucket is opened once; every request is a greenlet, and all
share its connections. SIGTERM ends the server when the requests under way are answered, and clients
that keep their connections know that they are to open another.
"""

import argparse
import json
import os
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from couchloop import exceptions
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator

STATUSES = (
    (exceptions.NotFoundError, "404 Not Found"),
    (exceptions.KeyExistsError, "412 Precondition Failed"),
    (exceptions.TooBigError, "413 Content Too Large"),
    (exceptions.NotAuthorizedError, "403 Forbidden"),
    (exceptions.ArgumentError, "400 Bad Request"),
    (exceptions.TimeoutError, "504 Gateway Timeout"),
    (exceptions.CouchbaseTransientError, "503 Service Unavailable"),
    (exceptions.CouchbaseNetworkError, "502 Bad Gateway"),
    (exceptions.ObjectDestroyedError, "503 Service Unavailable"),
)
"""What an error means over HTTP; the first class that fits counts."""

LARGEST = 20 * 1024 * 1024
NOTHING = object()
"""The body of an answer that has none; None is a JSON document."""


class Application:
    """Serves the documents of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.is_ending = False

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Answer one request."""
        headers: dict[str, str] = {}
        try:
            status, body = self.answer(environ, headers)
        except exceptions.CouchbaseError as error:
            status = next(
                (status for kind, status in STATUSES if isinstance(error, kind)),
                "500 Internal Server Error",
            )
            body = {"error": type(error).__name__, "message": error.message}
        content: list[bytes] = []
        if body is not NOTHING:
            content = [json.dumps(body).encode()]
            headers["Content-Type"] = "application/json"
        if self.is_ending:
            headers["Connection"] = "close"
        start_response(status, list(headers.items()))
        return content

    def answer(self, environ: dict[str, Any], headers: dict[str, str]) -> tuple[str, Any]:
        """Return the status and the body; the document's CAS is its entity tag."""
        # WSGI hands the path over as Latin-1.
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        prefix, _, key = path.removeprefix("/").partition("/")
        if prefix != "documents" or not key:
            return "404 Not Found", {"error": "NoSuchPath", "message": "try /documents/KEY"}
        try:
            cas = int(environ.get("HTTP_IF_MATCH", '"0"').strip('"'), 16)
        except ValueError:
            return "412 Precondition Failed", {"error": "NoSuchTag", "message": ""}
        match environ["REQUEST_METHOD"]:
            case "GET":
                result = self.bucket.get(key)
                headers["ETag"] = f'"{result.cas:x}"'
                return "200 OK", result.value
            case "PUT":
                length = int(environ.get("CONTENT_LENGTH") or 0)
                if length > LARGEST:
                    raise exceptions.TooBigError
                try:
                    document = json.loads(environ["wsgi.input"].read(length))
                except ValueError as error:
                    return "400 Bad Request", {"error": "NotJson", "message": str(error)}
                headers["ETag"] = f'"{self.bucket.upsert(key, document, cas=cas).cas:x}"'
                return "204 No Content", NOTHING
            case "DELETE":
                self.bucket.remove(key, cas=cas)
                return "204 No Content", NOTHING
            case _:
                headers["Allow"] = "GET, PUT, DELETE"
                return "405 Method Not Allowed", {"error": "NoSuchMethod", "message": ""}


class Handler(WSGIHandler):
    """Handles the requests of one connection."""

    server: "Server"

    def read_requestline(self) -> Any:
        """Wait for the next request."""
        self.server.waiting.add(self)
        try:
            if self.server.is_over:
                self.ask_no_more()
            return super().read_requestline()
        finally:
            self.server.waiting.discard(self)

    def ask_no_more(self) -> None:
        """Take what has come; if that is nothing the connection ends."""
        self.socket.shutdown(socket.SHUT_RD)


class Server(WSGIServer):
    """A server that ends without cutting a request, whatever connections clients keep."""

    handler_class = Handler

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        # A pool, for without one the server would not know what it is to wait for when it stops.
        super().__init__(address, application, log=None, spawn=Pool())
        self.waiting: set[Handler] = set()
        self.documents = application
        self.is_over = False

    def end(self) -> None:
        """Listen no more, and say with each answer that it is the last of its connection.

        Who asks nothing for a second has no request under way.
        """
        self.documents.is_ending = True
        self.close()
        gevent.sleep(1)
        self.is_over = True
        for handler in list(self.waiting):
            handler.ask_no_more()
        self.stop(10)


def main() -> None:
    """Open the bucket, serve until SIGTERM or SIGINT, close the bucket."""
    parser = argparse.ArgumentParser(description="JSON documents over HTTP")
    parser.add_argument(
        "cluster", nargs="?", default=os.environ.get("COUCHBASE", "couchbase://localhost")
    )
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()

    cluster = Cluster(arguments.cluster)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with cluster.open_bucket("default") as bucket:
        address = ("127.0.0.1", arguments.port)
        server = Server(address, Application(bucket))
        server.start()
        print(f"http://127.0.0.1:{server.server_port}/documents/", flush=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, server.end)
        server.serve_forever(stop_timeout=10)


if __name__ == "__main__":
    main()
