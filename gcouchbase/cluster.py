"""Cluster: where the nodes are and who connects; opens Buckets on this thread's hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.ssl import SSLContext

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.cluster import ClusterBase
from gcouchbase.bucket import Bucket
from gcouchbase.driver import SocketFactory

if TYPE_CHECKING:
    from gcouchbase.dns import Resolver

__all__ = ["CertAuthenticator", "ClassicAuthenticator", "Cluster", "PasswordAuthenticator"]


class Cluster(ClusterBase[Bucket]):
    """Where the nodes are and who connects. Does no I/O before a Bucket is opened.

    Args:
        connection_string: `couchbase://host[,host…]`; names no bucket.
        bucket_class: what `open_bucket` makes.
        socket_factory: handed to each Bucket; see there.
        ssl_context: likewise.
        resolver: likewise.

    Raises InvalidConnectionStringError (a ValueError).
    """

    def __init__(
        self,
        connection_string: str = "couchbase://localhost",
        bucket_class: type[Bucket] = Bucket,
        *,
        socket_factory: SocketFactory | None = None,
        ssl_context: SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        super().__init__(connection_string, bucket_class)
        self._socket_factory = socket_factory
        self._ssl_context = ssl_context
        self._resolver = resolver

    def _bucket_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        if self._socket_factory is not None:
            arguments["socket_factory"] = self._socket_factory
        if self._ssl_context is not None:
            arguments["ssl_context"] = self._ssl_context
        if self._resolver is not None:
            arguments["resolver"] = self._resolver
        return arguments
