"""A Twisted application: a web server that counts visits, and the bucket that it counts in.

PYTHONPATH=examples twist visits [--cluster couchbase://HOST] [--listen tcp:8080]
twistd --nodaemon --python examples/twist_service.py

curl http://localhost:8080/some/page

The first finds `visits` by the plugin in `examples/twisted/plugins`; the second is configured by
the environment variables COUCHBASE and LISTEN. On SIGINT or SIGTERM the web server stops listening
and answers what waits, then the bucket closes, then the reactor stops; as Twisted's programs do,
it then ends by the same signal.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from typing import Any

from twisted.application.service import Application, Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as BaseOptions
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.service import BucketService

CLUSTER = os.environ.get("COUCHBASE", "couchbase://localhost")
LISTEN = os.environ.get("LISTEN", "tcp:8080:interface=127.0.0.1")

log = Logger("visits")


class Options(BaseOptions):
    """The command line of `twist visits`."""

    optParameters = [  # noqa: N815, RUF012 - Twisted's name and form
        ["cluster", "c", CLUSTER, "connection string"],
        ["listen", "l", LISTEN, "where to serve HTTP: a Twisted endpoint"],
    ]


class Visits(Resource):
    """Counts the visits of each path."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self, couchbase: BucketService) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._couchbase = couchbase
        self.unanswered: set[Deferred[None]] = set()

    def render_GET(self, request: Any) -> int:
        """Count, and tell."""
        answer = Deferred.fromCoroutine(self._count(request))
        self.unanswered.add(answer)
        request.notifyFinish().addErrback(lambda _: answer.cancel())
        answer.addErrback(self._failed, request)
        answer.addBoth(lambda _: self.unanswered.discard(answer))
        return NOT_DONE_YET

    async def _count(self, request: Any) -> None:
        counted = await self._couchbase.bucket.counter(b"visits:" + request.path, initial=1)
        request.write(b"%d\n" % counted.value)
        request.finish()

    def _failed(self, failure: Failure, request: Any) -> None:
        log.failure("{path}", failure, path=request.path)
        if not request._disconnected:  # noqa: SLF001 - twisted.web has no other way to ask
            request.setResponseCode(http.SERVICE_UNAVAILABLE)
            request.finish()


class Web(Service):
    """Serves HTTP while it runs; when it stops, what was asked before is still answered."""

    def __init__(self, couchbase: BucketService, listen: str) -> None:
        self._visits = Visits(couchbase)
        self._listen = listen
        self._listening: Deferred[Any] | None = None

    def startService(self) -> None:
        """Listen."""
        from twisted.internet import reactor  # noqa: PLC0415 - chosen by now, not before

        super().startService()  # type: ignore[no-untyped-call]
        site = Site(self._visits)  # type: ignore[no-untyped-call]
        endpoint: Any = serverFromString(reactor, self._listen)  # type: ignore[no-untyped-call]
        self._listening = endpoint.listen(site)
        self._listening.addCallback(self._told)

    @staticmethod
    def _told(port: Any) -> Any:
        log.info("http://127.0.0.1:{port}/", port=port.getHost().port)
        return port

    async def _stop(self) -> None:
        if self._listening is not None:
            await (await self._listening).stopListening()
        await DeferredList(list(self._visits.unanswered))

    def stopService(self) -> Awaitable[None]:
        """Listen no more, and wait until every request is answered."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())


def makeService(options: Any) -> BucketService:
    """Make the services of the application; what uses the bucket goes under its service."""
    cluster = Cluster(options["cluster"])
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    couchbase = BucketService(cluster, "default")
    web: Any = Web(couchbase, options["listen"])
    web.setServiceParent(couchbase)
    return couchbase


# What twistd --python looks for.
application = Application("visits")  # type: ignore[no-untyped-call]
_service: Any = makeService({"cluster": CLUSTER, "listen": LISTEN})
_service.setServiceParent(application)
