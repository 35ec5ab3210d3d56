"""What DNS's answer about an SRV record means."""

from __future__ import annotations

from couchloop.session.bootstrap.srv import SHARES, named, not_answered, not_known
from couchloop.settings.values import Address

NAME = "_couchbase._tcp.db.example"


def test_targets_lose_their_dot() -> None:
    """Targets are whole names, with the root's dot or without, and keep their order."""
    records = [("b.db.example.", 11210), ("a.db.example", 11211)]
    assert named(records) == [Address("b.db.example", 11210), Address("a.db.example", 11211)]


def test_no_such_service() -> None:
    """The root as target says that there is no such service (RFC 2782), however it is written."""
    assert named([(".", 0), ("", 0)]) == []


def test_failures_name_the_record() -> None:
    """Both errors name the record; what a DNS client says of one request is left out."""
    silent = str(not_answered(NAME))
    refused = str(not_known(NAME, "SERVFAIL after 3 tries."))
    assert NAME in silent
    assert silent.endswith("no name server answered in time (resolve_timeout)")
    assert NAME in refused
    assert refused.endswith("the DNS client says SERVFAIL after # tries")


def test_all_the_time_is_used() -> None:
    """All name servers are asked twice, for longer the second time, within the time there is."""
    first, second = SHARES
    assert 0 < first < second
    assert first + second == 1.0
