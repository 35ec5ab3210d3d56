"""Host names and addresses: the form that is dialled, and the form in which they are compared."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from couchloop.later import pattern

_LONGEST: Final = 1024
"""Characters of what may be a host name at all, before it is encoded."""
_NEVER: Final = pattern(r"[\s\x00-\x20\x7f:/?#@\[\]\\=%&,;<>\"']")
"""What no host name has, and would mean something else where the name is put into text."""


def is_address(host: str) -> bool:
    """Whether *host* is a numeric address, IPv6 without brackets."""
    return _address(host) is not None


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether what is sent to *host* stays in this machine, by its name or address alone."""
    address = _address(one_form(host))
    return one_form(host) == "localhost" if address is None else address.is_loopback


def host_to_dial(host: str) -> str:
    """Return the form of *host* that is looked up and dialled: ASCII, names encoded by IDNA.

    What is ASCII already stays as it is: names that are legal nowhere but in /etc/hosts are in use.
    Raises ValueError, with the reason, if it is neither a host name nor an address.
    """
    if ":" in host:
        if not is_address(host):
            raise ValueError("it has a colon, and is no IPv6 address")
        return host
    name = host if host.isascii() else _idna(host)
    # Some letters stand for ASCII ones, such as a full-width colon: so after encoding.
    if not name or _NEVER.search(name):
        raise ValueError("it is empty, or has a character that no host name has")
    return name


def _idna(name: str) -> str:
    if len(name) > _LONGEST:
        raise ValueError("it is too long for a host name")
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as error:
        # From Python 3.14 on its text is about the one character where it stopped.
        reason = getattr(error.__cause__ or error, "reason", "") or str(error.__cause__ or error)
        raise ValueError(f"it cannot be written in ASCII (IDNA): {reason}") from None


@lru_cache(1024)
def one_form(host: str) -> str:
    """Return the one form that stands for all spellings of *host*: to compare, not to dial.

    Lower case, encoded by IDNA, without the dot of the root at the end; addresses as RFC 5952 has
    them, and an IPv4 address that is written as IPv6 (::ffff:10.0.0.1) as IPv4.
    """
    if len(host) > _LONGEST:
        return host
    name = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    address = _address(name)
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address)
    if address is not None:
        return str(address)
    if not name.isascii():
        with suppress(ValueError):
            name = _idna(name)
    return name.lower().removesuffix(".")


def name_servers(text: str) -> list[str]:
    """Return the addresses of the name servers that the *text* of a resolv.conf(5) names.

    As the system's own resolver has it: what is no address is passed over, and none at all means
    this machine.
    """
    words = [line.split() for line in text.splitlines()]
    named = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    return [name for name in named if is_address(name)] or ["127.0.0.1"]


def _address(host: str) -> IPv4Address | IPv6Address | None:
    if len(host) > _LONGEST:
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None
