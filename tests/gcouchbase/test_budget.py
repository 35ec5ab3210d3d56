"""cluster.connection_budget(): what it says is what a server counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.auth import FULL_ACCESS, Grant, User
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    CouchbaseError,
    NodeUnreachableError,
    NotAuthorizedError,
)
from gcouchbase.cluster import ClassicAuthenticator, Cluster, PasswordAuthenticator
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import cluster_of, until

BUCKETS = ("one", "two", "three")


@pytest.fixture
def served() -> Iterator[ServedCluster]:
    """Serve four data nodes, and one of another kind, with three buckets."""
    cluster = EmbeddedCluster(4, BUCKETS, clock=SystemClock())
    with serve(cluster) as served:
        cluster.add_node(serves_data=False)
        yield served


def test_what_the_server_counts(served: ServedCluster) -> None:
    """So many Buckets open as many connections as was said, asked before or meanwhile."""
    cluster = cluster_of(served)
    before = cluster.connection_budget(buckets=3)
    until(lambda: not served.cluster.connections(), "what was opened to ask is closed")
    assert (before.data_nodes, before.per_process, before.per_node) == (4, 12, 3)
    buckets = [cluster.open_bucket(name) for name in BUCKETS]
    until(lambda: len(served.cluster.connections()) >= before.per_process)
    for bucket in buckets:
        bucket.upsert_multi({f"k{number}": number for number in range(50)})
    data_nodes = [node for node in served.cluster.nodes if node.serves_data]
    assert [len(node.connections) for node in data_nodes] == [before.per_node] * 4
    assert len(served.cluster.connections()) == before.total
    accepted = served.cluster.accepted
    meanwhile = cluster.connection_budget(buckets=3)
    assert set(meanwhile.nodes) == set(before.nodes)
    assert meanwhile.total == before.total
    assert served.cluster.accepted == accepted, "a Bucket knew it"
    for bucket in buckets:
        bucket.close()


def test_limits(served: ServedCluster) -> None:
    """It knows that the server is newer than 6.5, and how many processes fit."""
    budget = cluster_of(served).connection_budget(processes=60_001)
    assert budget.limit == 60_000
    assert not budget.fits
    assert budget.most_processes == 60_000
    assert "does not fit" in str(budget)


def test_over_tls(tmp_path: Path) -> None:
    """With TLS it is the TLS data ports that are counted."""
    certificates = Certificates(tmp_path)
    embedded = EmbeddedCluster(2, clock=SystemClock())
    with serve(embedded, tls=certificates.server()) as served:
        cluster = Cluster(f"{served.connection_string_tls}?certpath={certificates.ca}")
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        budget = cluster.connection_budget()
    assert budget.tls
    assert [address.port for address in budget.nodes] == [
        node.ports["kvSSL"] for node in embedded.nodes
    ]


def failure(cluster: Cluster, **arguments: Any) -> CouchbaseError:
    """Give why the connections cannot be counted."""
    with pytest.raises(CouchbaseError) as raised:
        cluster.connection_budget(**arguments)
    return raised.value


def test_refused(served: ServedCluster) -> None:
    """What opening a Bucket would meet is met here too, and nothing is left open."""
    assert type(failure(cluster_of(served, "wrong"))) is AuthError
    rights = (Grant(FULL_ACCESS),)
    served.cluster.users.users["user"] = User("user", "password", rights, frozenset())
    error = failure(cluster_of(served))
    assert type(error) is NotAuthorizedError
    assert "open a Bucket" in str(error)
    until(lambda: not served.cluster.connections(), "a connection is left")
    served.stop()
    assert type(failure(cluster_of(served))) is NodeUnreachableError


def test_bad_arguments(served: ServedCluster) -> None:
    """Numbers that are none, and nobody who connects, are ArgumentErrors."""
    cluster = cluster_of(served)
    for arguments in ({"processes": 0}, {"buckets": -1}, {"buckets": 1.5}):
        assert type(failure(cluster, **arguments)) is ArgumentError
    nobody = Cluster(served.connection_string)
    assert "authenticate()" in str(failure(nobody))
    nobody.authenticate(ClassicAuthenticator(buckets={"one": "x"}))
    assert "cluster_username" in str(failure(nobody))
    assert served.cluster.accepted == 0


def test_killed(served: ServedCluster) -> None:
    """A greenlet that is killed while it asks leaves no connection behind."""
    for node in served.cluster.nodes:
        served.cluster.hang(node)
    asking = gevent.spawn(cluster_of(served).connection_budget)
    until(served.cluster.connections)
    asking.kill()
    until(lambda: not served.cluster.connections(), "a connection is left")
