"""Cluster: where the nodes are and who connects; opens Buckets on this thread's hub."""

from __future__ import annotations

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.cluster import ClusterBase
from gcouchbase.bucket import Bucket

__all__ = ["CertAuthenticator", "ClassicAuthenticator", "Cluster", "PasswordAuthenticator"]


class Cluster(ClusterBase[Bucket]):
    """Where the nodes are and who connects. Does no I/O before a Bucket is opened.

    Args:
        connection_string: `couchbase://host[,host…]`; names no bucket.
        bucket_class: what `open_bucket` makes.

    Raises InvalidConnectionStringError (a ValueError).
    """

    def __init__(
        self,
        connection_string: str = "couchbase://localhost",
        bucket_class: type[Bucket] = Bucket,
    ) -> None:
        super().__init__(connection_string, bucket_class)
