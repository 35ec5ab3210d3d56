"""DNS SRV records on Twisted: the system's name servers, and a lookup that nobody waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from couchloop.exceptions import ObjectDestroyedError, SrvLookupError
from tests.nameserver import NameServer, Target
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ServedCluster, serve

NAME = "_couchbase._tcp.db.test"


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def names(reactor: Any) -> AsyncIterator[NameServer]:
    """Serve DNS."""
    names = NameServer(reactor)
    yield names
    await names.stop()


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


def targets(served: ServedCluster, host: str = "127.0.0.1", service: str = "kv") -> list[Target]:
    """Return what an SRV record of the cluster says."""
    return [(host, node.ports[service]) for node in served.cluster.nodes]


@pytest.fixture
def _system(names: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let resolv.conf name the DNS server."""
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "# of this test\nsearch elsewhere.test\nnameserver localhost\n"
        "nameserver 127.0.0.1\nnameserver\n"
    )
    monkeypatch.setattr("txcouchbase.dns._SYSTEM", conf)
    monkeypatch.setattr("txcouchbase.dns._PORT", names.port)


@pytest.mark.usefixtures("_system")
async def test_system_servers(reactor: Any, names: NameServer, served: ServedCluster) -> None:
    """By default the servers of resolv.conf are asked, by TCP what does not fit a datagram."""
    many = [("127.0.0.1", port) for port in range(1, 60)]
    for extra in ([], many):
        names.zone.records[NAME] = [*targets(served), *extra]
        names.zone.asked.clear()
        bucket = Bucket(
            "couchbase+dnssrv://db.test/default",
            username="user",
            password="password",
            reactor=reactor,
        )
        async with bucket:
            await bucket.upsert("k", 1)
        assert names.zone.asked == [NAME] * (2 if extra else 1)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("unknown", "there is no DNS SRV record"),
        ("broken", "DNSServerError"),
        ("silent", "within 0.2 s"),
    ],
)
@pytest.mark.usefixtures("_system")
async def test_required_by_the_system(
    reactor: Any, names: NameServer, trouble: str, why: str
) -> None:
    """A record that the system's servers do not tell: the error says why, and they may later."""
    if trouble != "unknown":
        getattr(names.zone, trouble).add(NAME)
    bucket = Bucket(
        "couchbase+dnssrv://db.test/default?resolve_timeout=200ms",
        username="user",
        password="password",
        reactor=reactor,
    )
    with pytest.raises(SrvLookupError, match=NAME) as raised:
        await bucket.connect()
    assert why in str(raised.value)
    # A name may be known later.
    assert "waiting" in repr(bucket)
    await bucket.close()
    # Twisted closes the socket in the next turn.
    await turn(reactor, lambda: True)


@pytest.mark.usefixtures("_system")
async def test_closed_meanwhile(reactor: Any, names: NameServer) -> None:
    """A Bucket that is closed during the lookup leaves no timer and no socket (`logged_errors`)."""
    names.zone.silent.add(NAME)
    text = "couchbase+dnssrv://db.test/default"
    bucket = Bucket(text, username="user", password="password", reactor=reactor)
    waiting = bucket.connect()
    await turn(reactor, lambda: names.zone.asked)
    await bucket.close()
    with pytest.raises(ObjectDestroyedError):
        await waiting
