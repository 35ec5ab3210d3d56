"""What the answer to a question about a DNS SRV record means: on either loop, whoever asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from couchloop.exceptions import SrvLookupError, UnknownHostError
from couchloop.safety.printable import general, printable
from couchloop.settings.hosts import host_to_dial
from couchloop.settings.values import Address

_LONGEST_TARGET: Final = 64
"""Characters of an SRV record's target that are shown where it is no host name."""

SHARES: Final = (0.25, 0.75)
"""Of the time for a question: for the first and the second time that all name servers are asked.

One may be dead, and a datagram get lost.
"""


def named(records: Iterable[tuple[str, int]]) -> list[Address]:
    """Return the addresses that records name, each by its target and port.

    None if there is no such service: the root as target says so (RFC 2782).
    """
    found = [(host.removesuffix("."), port) for host, port in records]
    return [Address(host, port) for host, port in found if host.strip(".")]


def not_answered(name: str) -> SrvLookupError:
    """Return the error for a DNS SRV record of which no name server has told in time."""
    return srv_error(name, "no name server answered in time (resolve_timeout)")


def not_known(name: str, text: str) -> SrvLookupError:
    """Return the error for one that the DNS client could not ask for; *text* is its own."""
    return srv_error(name, f"the DNS client says {general(text)}".rstrip("."))


def srv_error(name: str, reason: str) -> SrvLookupError:
    """Return the error for a DNS SRV record *name* that is of no help."""
    return SrvLookupError(
        f"no node is known through the DNS SRV record {name}: {printable(reason)}"
    )


def srv_targets(
    name: str, addresses: Sequence[Address]
) -> tuple[list[Address], list[UnknownHostError]]:
    """Return those targets of the SRV record *name* that are host names, and why others are not."""
    usable: list[Address] = []
    wrong: list[UnknownHostError] = []
    for address in addresses:
        try:
            host_to_dial(address.host)
        except ValueError as why:
            target = printable(address.host, _LONGEST_TARGET)
            text = f"the DNS SRV record {name} names {target!r}, which is no host name: {why}"
            wrong.append(UnknownHostError(text))
        else:
            usable.append(address)
    return usable, wrong
