"""DNS SRV records, through dnspython, in a thread: the extra `srv` brings it."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import FeatureNotAvailableError
from couchloop.session.bootstrap.srv import SHARES, named, not_answered, not_known
from couchloop.session.events import ResolveSrv
from couchloop.settings.hosts import name_servers
from couchloop.settings.values import Address
from gcouchbase.importing import importing

if TYPE_CHECKING:
    from dns.resolver import Answer
    from dns.resolver import Resolver as Resolver  # noqa: PLC0414 - for bucket.py and cluster.py

_TYPES: Final = "SRV A AAAA CNAME DNAME NS SOA OPT TXT DS RRSIG NSEC NSEC3"
"""Types of records that an answer may have; dnspython loads the class of each when it meets one."""

_SYSTEM: Final = Path("/etc/resolv.conf")


def prepare() -> None:
    """Import what `look_up` needs, on the hub: a thread must not be the first to do so."""
    # Without dnspython `look_up` says so.
    with suppress(ImportError), importing():
        import dns.exception  # noqa: PLC0415 - as below
        import dns.rdata  # noqa: PLC0415
        import dns.resolver  # noqa: PLC0415

        load: Any = dns.rdata.get_rdata_class  # it has no types
        for name in _TYPES.split():
            load(dns.rdataclass.IN, dns.rdatatype.from_text(name))


def look_up(event: ResolveSrv, resolver: Resolver | None) -> list[Address]:
    """Return the addresses that a record names, in the order of the answer; it may block.

    It runs in a thread, for which `prepare` must have been called.

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
        answer = _ask(event, resolver)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.Timeout as why:
        # Its own words tell how long that took, to a thousandth of a second.
        raise not_answered(event.name) from why
    except (dns.exception.DNSException, OSError, ValueError) as why:
        raise not_known(event.name, str(why)) from why
    return named((record.target.to_text(), record.port) for record in answer)


def _ask(event: ResolveSrv, resolver: Resolver | None) -> Answer:
    """Ask each name server twice, as the time allows."""
    from dns.exception import Timeout  # noqa: PLC0415 - as above

    # A copy, for one that the user brought stays as it is.
    asked = copy(resolver or _system_resolver())
    longest, servers = asked.timeout, len(asked.nameservers) or 1
    *hasty, last = (event.timeout * share for share in SHARES)
    for limit in hasty:
        asked.timeout = min(longest, limit / servers)
        with suppress(Timeout):
            return asked.resolve(event.name, "SRV", lifetime=limit, search=False)
    asked.timeout = min(longest, last / servers)
    return asked.resolve(event.name, "SRV", lifetime=last, search=False)


def _system_resolver() -> Resolver:
    """Return what asks the name servers of resolv.conf."""
    import dns.resolver  # noqa: PLC0415 - as above

    try:
        return dns.resolver.Resolver()
    except (ValueError, dns.resolver.NoResolverConfiguration):
        # Something in it is no address, or nothing is there: the system makes do with the rest.
        text = ""
        with suppress(OSError):
            text = _SYSTEM.read_text(errors="replace")
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = name_servers(text)
        return resolver
