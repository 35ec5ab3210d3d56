"""Who answers which request, and what passes between a connection and who answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from couchloop.embedded.access.users import User
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.node import Node


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request of somebody who may ask."""

    cluster: Cluster
    node: Node
    user: User
    rest: str
    """What follows the route's path, percent-decoded."""


class Response(NamedTuple):
    """A whole answer; length and server stand in its head by themselves."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Stream(Protocol):
    """An answer that goes on: 200, and JSON whenever the node has news."""

    name: str
    """What is streamed."""

    def take(self) -> bytes | None:
        """Return what is new since the last time, None at the end."""


Endpoint = Callable[[HttpRequest], Response | Stream]


class Route(NamedTuple):
    """A path and who answers it; one that ends in a slash has everything below it."""

    path: str
    endpoint: Endpoint
    methods: tuple[str, ...] = ("GET", "HEAD")


class RouteMatch(NamedTuple):
    """A route, and what follows its path."""

    route: Route
    rest: str


class Router:
    """Finds who answers."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    def find(self, path: str) -> RouteMatch | None:
        """Return the route of a percent-decoded path, None if there is none."""
        for route in self._routes:
            below = route.path.endswith("/") and path.startswith(route.path)
            if below or path == route.path:
                return RouteMatch(route, path[len(route.path) :])
        return None
