"""cluster.connection_budget(): what it says is what a server counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.auth import FULL_ACCESS, Grant, User
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    CouchbaseError,
    NodeUnreachableError,
    NotAuthorizedError,
    WrongLoopError,
)
from tests.certificates import Certificates
from tests.txcouchbase.support import Memory, turn
from txcouchbase.cluster import ClassicAuthenticator, Cluster, PasswordAuthenticator
from txcouchbase.testing import ReactorClock, ServedCluster, serve

BUCKETS = ("one", "two", "three")
PASSWORD = "password"


@pytest.fixture
def reactor() -> Any:
    """Give the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve four data nodes, and one of another kind, with three buckets."""
    cluster = EmbeddedCluster(4, BUCKETS, clock=ReactorClock(reactor))
    served = serve(cluster, reactor=reactor)
    cluster.add_node(serves_data=False)
    yield served
    await served.stop()


def cluster_of(served: ServedCluster, password: str = PASSWORD) -> Cluster:
    """Give the client's Cluster of an embedded one."""
    cluster = Cluster(served.connection_string, reactor=served.reactor)
    cluster.authenticate(PasswordAuthenticator("user", password))
    return cluster


async def failure(deferred: Deferred[Any]) -> CouchbaseError:
    """Give the error that a Deferred fails with."""
    with pytest.raises(CouchbaseError) as raised:
        await deferred
    return raised.value


async def test_what_the_server_counts(served: ServedCluster, reactor: Any) -> None:
    """So many Buckets open as many connections as was said, asked before or meanwhile."""
    cluster = cluster_of(served)
    before = await cluster.connection_budget(buckets=3)
    # What was opened to ask is closed.
    await turn(reactor, lambda: not served.cluster.connections())
    assert (before.data_nodes, before.per_process, before.per_node) == (4, 12, 3)
    buckets = [cluster.open_bucket(name) for name in BUCKETS]
    for bucket in buckets:
        await bucket.connect()
    await turn(reactor, lambda: len(served.cluster.connections()) >= before.per_process)
    for bucket in buckets:
        await bucket.upsert_multi({f"k{number}": number for number in range(50)})
    data_nodes = [node for node in served.cluster.nodes if node.serves_data]
    assert [len(node.connections) for node in data_nodes] == [before.per_node] * 4
    assert len(served.cluster.connections()) == before.total
    accepted = served.cluster.accepted
    meanwhile = await cluster.connection_budget(buckets=3)
    assert set(meanwhile.nodes) == set(before.nodes)
    assert meanwhile.total == before.total
    assert served.cluster.accepted == accepted, "a Bucket knew it"
    for bucket in buckets:
        await bucket.close()


async def test_limits(served: ServedCluster) -> None:
    """It knows that the server is newer than 6.5, and how many processes fit."""
    budget = await cluster_of(served).connection_budget(processes=60_001)
    assert budget.limit == 60_000
    assert not budget.fits
    assert budget.most_processes == 60_000
    assert "does not fit" in str(budget)


async def test_over_tls(tmp_path: Path, reactor: Any) -> None:
    """With TLS it is the TLS data ports that are counted."""
    certificates = Certificates(tmp_path)
    embedded = EmbeddedCluster(2, clock=ReactorClock(reactor))
    served = serve(embedded, reactor=reactor, tls=certificates.server())
    cluster = Cluster(f"{served.connection_string_tls}?certpath={certificates.ca}", reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    budget = await cluster.connection_budget()
    assert budget.tls
    assert [address.port for address in budget.nodes] == [
        node.ports["kvSSL"] for node in embedded.nodes
    ]
    await served.stop()


async def test_refused(served: ServedCluster, reactor: Any) -> None:
    """What opening a Bucket would meet is met here too, and nothing is left open."""
    assert type(await failure(cluster_of(served, "wrong").connection_budget())) is AuthError
    rights = (Grant(FULL_ACCESS),)
    served.cluster.users.users["user"] = User("user", "password", rights, frozenset())
    error = await failure(cluster_of(served).connection_budget())
    assert type(error) is NotAuthorizedError
    assert "open a Bucket" in str(error)
    await turn(reactor, lambda: not served.cluster.connections())
    await served.stop()
    assert type(await failure(cluster_of(served).connection_budget())) is NodeUnreachableError


async def test_bad_arguments(served: ServedCluster) -> None:
    """Numbers that are none, and nobody who connects, fail the Deferred with ArgumentError."""
    cluster = cluster_of(served)
    for arguments in ({"processes": 0}, {"buckets": -1}, {"buckets": 1.5}):
        assert type(await failure(cluster.connection_budget(**arguments))) is ArgumentError
    nobody = Cluster(served.connection_string)
    assert "authenticate()" in str(await failure(nobody.connection_budget()))
    nobody.authenticate(ClassicAuthenticator(buckets={"one": "x"}))
    assert "cluster_username" in str(await failure(nobody.connection_budget()))
    assert served.cluster.accepted == 0


async def test_other_thread(served: ServedCluster) -> None:
    """Like a Bucket it belongs to the thread of the reactor."""
    with pytest.raises(WrongLoopError):
        await deferToThread(cluster_of(served).connection_budget)


def test_cancelled() -> None:
    """Cancelling it ends the connection that asks."""
    memory = Memory()
    cluster = Cluster(
        memory.connection_string,
        reactor=memory.reactor,
        endpoint_factory=memory.endpoint_factory,
    )
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    for node in memory.cluster.nodes:
        memory.cluster.hang(node)
    asking = cluster.connection_budget()
    memory.reactor.advance(0)
    memory.reactor.advance(0)
    assert memory.cluster.connections()
    asking.cancel()
    asking.addErrback(lambda _: None)
    memory.reactor.advance(0)
    memory.reactor.advance(0)
    assert memory.idle
