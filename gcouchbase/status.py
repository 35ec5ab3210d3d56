"""The status of Buckets as a WSGI application (docs/status.md).

It answers at once, in the greenlet that calls it, and asks no node anything.
"""

from __future__ import annotations

from os import getpid
from time import time
from typing import TYPE_CHECKING

from couchloop.status.answers import StatusPages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["StatusApplication"]


class StatusApplication(StatusPages):
    """A WSGI application: `gevent.pywsgi`, gunicorn's gevent worker, or any dispatcher of yours.

    It is called in the thread of the Buckets' hub; see `couchloop.status.answers.StatusPages` for
    the arguments, and what it raises.
    """

    _wall_clock = staticmethod(time)
    _process = staticmethod(getpid)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333).

        Raises WrongLoopError where a server calls it in a thread that is not the hub's.
        """
        answer = self.answer(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
        start_response(f"{answer.status} {answer.reason}", list(answer.headers))
        return [answer.body]
