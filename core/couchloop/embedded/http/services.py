"""What the other HTTP services say of themselves: greetings, and that they are well.

GET /              views, eventing: a greeting
GET /admin/ping    query, analytics
GET /api/ping      search
"""

from __future__ import annotations

from typing import Final

from couchloop.embedded.http.router import HttpRequest, Response, Route, answer_json


def greet_views(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Greet as the views' service does."""
    return answer_json({"couchdb": "Welcome", "version": "v4.5.1"})


def greet_eventing(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Answer at all: nothing is known of a greeting."""
    return Response(404, b"404 page not found\n", (("Content-Type", "text/plain; charset=utf-8"),))


def ping(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Say that the service is well."""
    return answer_json({"status": "OK"})


def ping_search(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Likewise."""
    return Response(200, headers=(("Content-Type", "application/json;version=2.0.0"),))


VIEWS: Final = (Route("GET", "/", greet_views),)
QUERY: Final = (Route("GET", "/admin/ping", ping),)
ANALYTICS: Final = (Route("GET", "/admin/ping", ping),)
SEARCH: Final = (Route("GET", "/api/ping", ping_search),)
EVENTING: Final = (Route("GET", "/", greet_eventing),)
