"""The cluster manager's endpoints from which clients learn of a cluster's topology.

    GET /pools/default/b/BUCKET       the bucket's configuration, once
    GET /pools/default/bs/BUCKET      the same and each later revision, four newlines after each
    GET /pools/default/nodeServices   the global configuration

A user sees the configurations of the buckets that it sees.
"""

from __future__ import annotations

from typing import Final

from couchloop.embedded.http.router import (
    JSON,
    NOT_FOUND,
    HttpRequest,
    Response,
    Route,
    Stream,
    forbidden,
)

_SEPARATOR: Final = b"\n\n\n\n"


def global_configuration(request: HttpRequest) -> Response:
    """Return the global configuration."""
    return _configuration(request, None)


def bucket_configuration(request: HttpRequest) -> Response:
    """Return a bucket's configuration."""
    name = request.path["bucket"]
    if not request.user.sees(name):
        return forbidden(f"cluster.bucket[{name}].settings!read")
    return _configuration(request, name)


def bucket_configurations(request: HttpRequest) -> Response | Stream:
    """Return a bucket's configuration, then each new one until the bucket is deleted."""
    name = request.path["bucket"]
    if request.user.sees(name) and name in request.node.configurations:
        return _Revisions(request, name)
    return bucket_configuration(request)


def _configuration(request: HttpRequest, name: str | None) -> Response:
    configuration = request.node.configurations.get(name)
    if configuration is None:
        return Response(404, NOT_FOUND)
    request.cluster.configuration_seen()
    return Response(200, configuration.text(request.node.node_id), JSON)


class _Revisions:
    """All configurations of a bucket, from the present one on."""

    def __init__(self, request: HttpRequest, name: str) -> None:
        self.name = name
        self._request = request
        self._sent: tuple[int, int] | None = None

    def take(self) -> bytes | None:
        node = self._request.node
        configuration = node.configurations.get(self.name)
        if configuration is None:
            # The bucket was deleted.
            return None
        revision = (configuration.epoch, configuration.rev)
        if revision == self._sent:
            return b""
        self._sent = revision
        self._request.cluster.configuration_seen()
        return configuration.text(node.node_id) + _SEPARATOR


ROUTES: Final = (
    Route("GET", "/pools/default/nodeServices", global_configuration),
    Route("GET", "/pools/default/b/{bucket}", bucket_configuration),
    Route("GET", "/pools/default/bs/{bucket}", bucket_configurations),
)
