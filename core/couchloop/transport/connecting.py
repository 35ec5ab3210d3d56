"""Why a connection cannot be made, in words: one sentence for both loops."""

from __future__ import annotations

from collections.abc import Mapping
from errno import EMFILE, ENFILE
from ipaddress import IPv4Address
from typing import Final, Literal

from couchloop.exceptions import (
    CouchbaseError,
    NodeUnreachableError,
    TooManyOpenFilesError,
    UnknownHostError,
)
from couchloop.safety.printable import general, printable, words_of
from couchloop.settings.values import Address, Settings

Family = Literal["IPv4", "IPv6"]

SILENCE: Final = (
    "a firewall may drop what is sent there: `python -m couchloop doctor` tells how far one comes"
)
"""What it means that a node neither accepts a connection nor refuses it, and what to do."""

_ONLY: Final[Mapping[str, Family]] = {"disabled": "IPv4", "only": "IPv6"}


def unknown_host(why: Exception, address: Address, settings: Settings) -> CouchbaseError:
    """Return the error for a name that means nothing; *why* is the resolver's own error."""
    reason = getattr(why, "strerror", None) or words_of(why)
    return connect_error(UnknownHostError, address, reason, settings)


def unexpected(why: BaseException, address: Address, settings: Settings) -> CouchbaseError:
    """Return the error for connecting that ended by *why*, which is no error of the system's."""
    reason = general(f"{type(why).__name__}: {words_of(why)}")
    return connect_error(NodeUnreachableError, address, reason, settings)


def system_error(
    number: int | None, reason: str, address: Address, settings: Settings
) -> CouchbaseError:
    """Return the error for what the system could not connect: its errno and text."""
    kind = TooManyOpenFilesError if number in {EMFILE, ENFILE} else NodeUnreachableError
    return connect_error(kind, address, reason, settings)


def connect_error(
    kind: type[CouchbaseError], address: Address, reason: str, settings: Settings
) -> CouchbaseError:
    """Return why a transport could not be connected; *kind* is UnknownHostError and the like."""
    text = _CURES.get(kind, "{reason}").format(
        host=address.host, node=address, reason=printable(reason)
    )
    family = only_family(settings)
    if kind is UnknownHostError and family is not None and settings.connector is None:
        text += f"; it may have no {family} address, and others are not used: ipv6={settings.ipv6}"
    return kind(text)


def only_family(settings: Settings) -> Family | None:
    """Return the one family of addresses that is used, by the option `ipv6`; None: both are."""
    return _ONLY.get(settings.ipv6)


def wrong_family(address: Address, settings: Settings) -> CouchbaseError | None:
    """Return why *address*, a numeric one, is not to be used; None: it is."""
    if settings.connector is not None:
        # What the user brings decides by itself.
        return None
    family = "IPv6" if ":" in address.host else "IPv4" if _is_ipv4(address.host) else None
    wanted = only_family(settings)
    if wanted is None or family is None or family == wanted:
        return None
    error = NodeUnreachableError(
        f"{address} is an {family} address, and only {wanted} is used: ipv6={settings.ipv6}; "
        "ipv6=allow uses both"
    )
    error.may_pass = False
    return error


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


_CURES: Final[Mapping[type[CouchbaseError], str]] = {
    UnknownHostError: "host {host} is unknown: {reason}",
    NodeUnreachableError: "nothing reachable at {node}: {reason}; is a data node listening there?",
    TooManyOpenFilesError: (
        "no connection to {node}: {reason}; this process, or this machine, may open no more files "
        "and connections: raise the limit (ulimit -n), or open fewer Buckets "
        "(cluster.connection_budget() counts their connections)"
    ),
}
