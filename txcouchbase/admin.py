"""`Admin` by the constructor of SDK 2.5: each call returns a Deferred."""

from __future__ import annotations

from couchloop.exceptions import NotReadyError
from couchloop.management.administered import connection_string_of
from couchloop.management.users import AuthDomain
from couchloop.safety.secret import Secret, sealed
from couchloop.settings.connection_string import ConnectionString
from txcouchbase import management
from txcouchbase.cluster import Cluster

__all__ = ["Admin", "AuthDomain", "NotReadyError"]


class Admin(management.Admin):
    """Buckets and users of a cluster; `cluster.cluster_manager()` gives the same.

    Args:
        username: the administrator.
        password: of that user; a Secret, or a text.
        host: a node.
        port: its web port.
        connection_string: in place of *host* and *port*.
        bucket: is not needed any more.
        ipv6: `disabled`, `allow` or `only`.

    It connects with its first call, which raises what that meets. Raises
    InvalidConnectionStringError, MissingCredentialsError (both a ValueError).
    """

    __slots__ = ()

    @sealed
    def __init__(
        self,
        username: str,
        password: str | Secret,
        host: str = "localhost",
        port: int = 8091,
        *,
        connection_string: str | ConnectionString | None = None,
        bucket: str = "default",
        ipv6: str = "disabled",
    ) -> None:
        del bucket
        cluster = Cluster(connection_string_of(host, port, connection_string, ipv6))
        cluster.authenticate(username=username, password=password)
        super().__init__(cluster)
