"""The hosts of a connection string: schemes, ports, types of ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from couchloop.exceptions import InvalidConnectionStringError
from couchloop.later import pattern
from couchloop.settings.hosts import host_to_dial, is_address
from couchloop.settings.percent import CONTROL, is_text
from couchloop.settings.values import MEMCACHED_PORT

PLAIN: Final = "mccompat"
"""The type of a plain memcached server's port."""


class Scheme(NamedTuple):
    """What a scheme means for hosts that say nothing else."""

    port: int
    type: str
    tls: bool = False
    srv: bool = False


SCHEMES: Final[Mapping[str, Scheme]] = {
    "couchbase": Scheme(11210, "mcd"),
    "couchbases": Scheme(11207, "mcds", tls=True),
    "http": Scheme(8091, "http"),
    "couchbase+dnssrv": Scheme(11210, "mcd", srv=True),
    "couchbases+dnssrv": Scheme(11207, "mcds", tls=True, srv=True),
    "memcached": Scheme(MEMCACHED_PORT, PLAIN),
    "": Scheme(8091, "http"),
}
PORT_TYPES: Final = {
    **{kind: kind for kind in ("http", "https", "mcd", "mcds", PLAIN)},
    # As other clients call them.
    "kv": "mcd",
    "cccp": "mcd",
    "gcccp": "mcd",
    "manager": "http",
}
_HTTP_PORT: Final = 8091
_IPV6: Final = pattern(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.~-]+)?")
_PORT: Final = pattern(r"([0-9]{1,5})(?:=([A-Za-z]+))?")
_BLANK: Final = pattern(r"\s")
_UNSUPPORTED_SCHEMES: Final = {
    "https": "There is no scheme https://; for TLS use couchbases://",
    "https-internal": "There is no scheme https-internal:// here; for TLS use couchbases://",
    "couchbase+explicit": "There is no scheme couchbase+explicit:// here; "
    "couchbase://host:port=type says the same",
}


class Host(NamedTuple):
    """One seed.

    Attributes:
        host: Name or address as it is dialled: ASCII, an IPv6 address without brackets.
        port: As written; None if none was.
        type: The service at the port: http, https, mcd or mcds (the data service, plain and TLS),
            mccompat (a plain memcached server).
            None: whatever the scheme means, on its usual ports.

    """

    host: str
    port: int | None = None
    type: str | None = None


def unknown_scheme(scheme: str) -> str:
    """Return what is wrong with a scheme that is none of `SCHEMES`."""
    if scheme in _UNSUPPORTED_SCHEMES:
        return _UNSUPPORTED_SCHEMES[scheme]
    near = next((known for known in SCHEMES if known and known == scheme.lower()), None)
    hint = f"; did you mean {near}://?" if near else ""
    return f"Unknown scheme; use couchbase:// or couchbases://{hint}"


def host_text(host: object) -> str:
    """Return a host as it is written; raises InvalidConnectionStringError if it is none."""
    if isinstance(host, Host):
        return _write_host(host)
    if not isinstance(host, str):
        raise InvalidConnectionStringError(f"A host is a text, not {type(host).__name__}")
    host = str.__str__(host)
    if not is_text(host):
        what = "has a control character" if CONTROL.search(host) else "is no valid Unicode text"
        raise InvalidConnectionStringError(f"A host {what}")
    return host


def read_host(text: str, scheme: str) -> Host:
    """Read one host, percent-decoded; raises ValueError with the reason."""
    if "@" in text:
        raise ValueError("A host holds no credentials; use an authenticator, or ?username=")
    if _BLANK.search(text):
        raise ValueError("There is a blank; hosts are parted by a comma alone")
    port_text: str | None = None
    bracketed = text.startswith("[")
    is_name = not bracketed and text.count(":") < 2
    if bracketed:
        name, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in {"", ":"}:
            raise ValueError("An IPv6 address is written [address] or [address]:port")
        port_text = rest[1:] if rest else None
    elif not is_name:
        name = text
    else:
        name, colon, after = text.partition(":")
        port_text = after if colon else None
    if not is_name and not (_IPV6.fullmatch(name) and is_address(name)):
        raise ValueError("An address with several colons must be an IPv6 address")
    try:
        name = host_to_dial(name)
    except ValueError as error:
        raise ValueError(f"This is no host name: {error}") from None
    if port_text is None:
        return Host(name)
    return _with_port(name, port_text, scheme)


def _with_port(name: str, text: str, scheme: str) -> Host:
    match = _PORT.fullmatch(text)
    if not match or not 0 < int(match[1]) < 65536:
        raise ValueError("A port is a number from 1 to 65535, or number=type")
    port, kind = int(match[1]), match[2]
    if kind is not None:
        kind = kind.lower()
        if kind not in PORT_TYPES:
            raise ValueError(f"The type of a port is one of {', '.join(sorted(PORT_TYPES))}")
        if (kind == PLAIN) is not (scheme == "memcached"):
            raise ValueError(f"Ports of type {PLAIN}, and no others, stand behind memcached://")
        return Host(name, port, PORT_TYPES[kind])
    meant = SCHEMES[scheme]
    if port == meant.port:
        return Host(name, port)
    if meant.port == 11210 and port == _HTTP_PORT:
        # couchbase://host:8091 is a common slip; 2.5 takes it as couchbase://host.
        return Host(name)
    return Host(name, port, meant.type)


def _write_host(host: Host) -> str:
    name = f"[{host.host}]" if ":" in host.host and host.host[0] != "[" else host.host
    port = "" if host.port is None else f":{host.port}"
    return f"{name}{port}" + ("" if host.type is None else f"={host.type}")
