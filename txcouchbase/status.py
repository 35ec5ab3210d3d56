"""The status of Buckets as a Resource of `twisted.web` (docs/status.md).

It answers at once, in the reactor's thread, and asks no node anything.
"""

from __future__ import annotations

from os import getpid
from time import time
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource

from couchloop.status.answers import StatusPages

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["StatusResource"]


class StatusResource(StatusPages, Resource):
    """A Resource: `root.putChild(b"couchbase", StatusResource(bucket))`, or that of a Site.

    See `couchloop.status.answers.StatusPages` for the arguments, and what it raises.
    """

    isLeaf = True  # noqa: N815 - of IResource
    _wall_clock = staticmethod(time)
    _process = staticmethod(getpid)

    if not TYPE_CHECKING:  # Its arguments are those of `StatusPages`.

        def __init__(self, *sources: Any, **keywords: Any) -> None:
            StatusPages.__init__(self, *sources, **keywords)
            Resource.__init__(self)

    def render(self, request: Request) -> bytes:
        """Answer one request; called in the reactor's thread."""
        path = b"/".join(request.postpath or ()).decode("utf-8", "replace")
        answer = self.answer(request.method.decode("ascii", "replace"), path)
        request.setResponseCode(answer.status, answer.reason.encode())
        for name, value in answer.headers:
            request.setHeader(name, value)  # type: ignore[no-untyped-call]
        return answer.body
