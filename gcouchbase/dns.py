"""DNS SRV records, through dnspython, in a thread: the extra `srv` brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from couchloop.bootstrap import srv_error
from couchloop.events import ResolveSrv
from couchloop.exceptions import FeatureNotAvailableError
from couchloop.settings import Address

if TYPE_CHECKING:
    from dns.resolver import Resolver as Resolver  # noqa: PLC0414 - for bucket.py and cluster.py


def look_up(event: ResolveSrv, resolver: Resolver | None) -> list[Address]:
    """Give the addresses that a record names, in the order of the answer; it may block.

    Args:
        event: the name, and how long it may take.
        resolver: whom to ask; None: the name servers of resolv.conf.

    No such record: no address. Raises SrvLookupError if that is not known,
    FeatureNotAvailableError without dnspython.
    """
    try:
        # Here, for it is not needed where the nodes are named, and need not be installed.
        import dns.exception  # noqa: PLC0415
        import dns.resolver  # noqa: PLC0415
    except ImportError as why:
        raise FeatureNotAvailableError(
            "DNS SRV records cannot be looked up without dnspython: pip install 'couchloop[srv]'"
        ) from why
    try:
        answer = (resolver or dns.resolver.Resolver()).resolve(
            event.name, "SRV", lifetime=event.timeout, search=False
        )
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError, UnicodeError) as why:
        raise srv_error(event.name, f"the DNS client says {why}".rstrip(".")) from why
    named = [Address(record.target.to_text(omit_final_dot=True), record.port) for record in answer]
    # RFC 2782: the root as target says that there is no such service.
    return [address for address in named if address.host.strip(".")]
