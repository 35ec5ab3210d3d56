"""Which cluster an `Admin` is of that is made by hand: SDK 2.5 has its web port said."""

from __future__ import annotations

from couchloop.exceptions import InvalidSettingError
from couchloop.safety.secret import sealed
from couchloop.settings.connection_string import ConnectionString


@sealed
def connection_string_of(
    host: str = "localhost",
    port: int = 8091,
    connection_string: str | ConnectionString | None = None,
    ipv6: str = "disabled",
) -> str:
    """Return the connection string of a cluster, of no bucket.

    Args:
        host: a node.
        port: its web port.
        connection_string: in place of the others; a bucket that it names is passed over.
        ipv6: the option: `disabled`, `allow` or `only`.

    Raises InvalidConnectionStringError, InvalidSettingError (a TypeError).
    """
    if connection_string is not None:
        if isinstance(connection_string, ConnectionString):
            connection_string = connection_string.encode()
        made = ConnectionString.parse(connection_string)
        made.bucket = None
        return made.encode()
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        raise InvalidSettingError("host is a str, port an int")
    named = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return ConnectionString(None, [f"{named}:{port}"], {"ipv6": ipv6}, "http").encode()
