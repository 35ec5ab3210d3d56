"""Who answers which request, and what passes between a connection and who answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote_to_bytes

from couchloop.embedded.access.users import User
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.node import Node

JSON: Final = (("Content-Type", "application/json"),)
NOT_FOUND: Final = b"Requested resource not found.\r\n"
"""What the cluster manager says where a path leads nowhere."""


class Response(NamedTuple):
    """A whole answer; length and server stand in its head by themselves."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class RefusedError(Exception):
    """A request is answered with *response*, wherever in its endpoint that was found out."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request of somebody who may ask."""

    cluster: Cluster
    node: Node
    user: User
    method: str
    path: Mapping[str, str]
    """What stands for the names in braces of the route's path, percent-decoded."""
    query: Mapping[str, str]
    """Parameters of the URL, percent-decoded; the last of equal names."""
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes = field(repr=False)

    def form(self) -> dict[str, str]:
        """Return the members of a form; the last of equal names."""
        return fields(self.body)

    def document(self) -> Any:
        """Return the body as JSON. Raises RefusedError (400) if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            text = b'{"errors":{"_":"Unexpected server error: the body is no JSON"}}'
            raise RefusedError(Response(400, text, JSON)) from None

    def need(self, permission: str, *, allowed: bool) -> None:
        """Raise RefusedError (403) unless the user is *allowed* what *permission* stands for."""
        if not allowed:
            raise RefusedError(forbidden(permission))


def fields(text: bytes) -> dict[str, str]:
    """Return what a form, or the query of a URL, holds."""
    pairs = parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")
    return dict(pairs)


def answer_json(document: object, status: int = 200) -> Response:
    """Return *document* as an answer."""
    return Response(status, json.dumps(document, separators=(",", ":")).encode(), JSON)


def forbidden(*permissions: str) -> Response:
    """Return what somebody is told who lacks all of *permissions*."""
    return answer_json(
        {
            "message": "Forbidden. User needs one of the following permissions",
            "permissions": permissions,
        },
        403,
    )


class Stream(Protocol):
    """An answer that goes on: 200, and JSON whenever the node has news."""

    name: str
    """What is streamed."""

    def take(self) -> bytes | None:
        """Return what is new since the last time, None at the end."""


Work: TypeAlias = Generator[None, None, Response]
"""An answer that takes long: it yields wherever other things may be done before it goes on."""

Endpoint = Callable[[HttpRequest], Response | Stream | Work]


class Route(NamedTuple):
    """A method, a path, and who answers; `{name}` in a path stands for any one segment."""

    method: str
    """What is answered to GET is, without its body, to HEAD."""
    path: str
    endpoint: Endpoint


class RouteMatch(NamedTuple):
    """Who answers by method, and what stands for the names in the path."""

    endpoints: Mapping[str, Endpoint]
    path: Mapping[str, str]


class Refusals(NamedTuple):
    """What a service answers where nobody does."""

    path: Callable[[str, bytes], Response]
    """Gives the answer to a path, still percent-encoded, and a body."""
    method: Callable[[list[str]], Response]
    """Gives the answer to another method than those."""


def _no_path(path: str, body: bytes) -> Response:  # noqa: ARG001 - other services look at them
    return Response(404, b"Not found.\n")


def _no_method(allowed: list[str]) -> Response:
    return Response(405, b"Method Not Allowed\n", (("Allow", ", ".join(allowed)),))


_ORDINARY: Final = Refusals(_no_path, _no_method)


class Router:
    """Finds who answers.

    Args:
        routes: who answers what.
        refusals: what is answered where nobody does.
    """

    def __init__(self, routes: Iterable[Route], refusals: Refusals = _ORDINARY) -> None:
        self.refusals = refusals
        self._routes: dict[tuple[str, ...], dict[str, Endpoint]] = {}
        for route in routes:
            pattern = tuple(route.path.split("/")[1:])
            endpoints = self._routes.setdefault(pattern, {})
            endpoints[route.method] = route.endpoint
            if route.method == "GET":
                endpoints["HEAD"] = route.endpoint

    def find(self, path: bytes) -> RouteMatch | None:
        """Return who answers at a path that is still percent-encoded, None if nobody does."""
        segments = [
            unquote_to_bytes(each).decode("utf-8", "replace") for each in path.split(b"/")[1:]
        ]
        for pattern, endpoints in self._routes.items():
            names = _match(pattern, segments)
            if names is not None:
                return RouteMatch(endpoints, names)
        return None


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    names: dict[str, str] = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            if not given:
                return None
            names[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return names
