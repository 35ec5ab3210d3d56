"""Cluster: where the nodes are and who connects; opens Buckets on a reactor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IResolver

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.cluster import ClusterBase
from txcouchbase.bucket import Bucket
from txcouchbase.driver import EndpointFactory

if TYPE_CHECKING:
    from txcouchbase.tls import TlsFactory

__all__ = ["CertAuthenticator", "ClassicAuthenticator", "Cluster", "PasswordAuthenticator"]


class Cluster(ClusterBase[Bucket]):
    """Where the nodes are and who connects. Does no I/O before a Bucket is opened.

    Args:
        connection_string: `couchbase://host[,host…]`; names no bucket.
        bucket_class: what `open_bucket` makes.
        reactor: handed to each Bucket. None: the global one, imported when a Bucket is opened.
        endpoint_factory: likewise; see `Bucket`.
        tls_factory: likewise.
        resolver: likewise.

    Raises InvalidConnectionStringError (a ValueError).
    """

    def __init__(
        self,
        connection_string: str = "couchbase://localhost",
        bucket_class: type[Bucket] = Bucket,
        *,
        reactor: Any = None,
        endpoint_factory: EndpointFactory | None = None,
        tls_factory: TlsFactory | None = None,
        resolver: IResolver | None = None,
    ) -> None:
        super().__init__(connection_string, bucket_class)
        self._reactor = reactor
        self._endpoint_factory = endpoint_factory
        self._tls_factory = tls_factory
        self._resolver = resolver

    def _bucket_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"reactor": self._reactor}
        if self._endpoint_factory is not None:
            arguments["endpoint_factory"] = self._endpoint_factory
        if self._tls_factory is not None:
            arguments["tls_factory"] = self._tls_factory
        if self._resolver is not None:
            arguments["resolver"] = self._resolver
        return arguments
