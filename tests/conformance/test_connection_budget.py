"""cluster.connection_budget(): what it says is what a server counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.auth import ClassicAuthenticator
from couchloop.embedded import FULL_ACCESS, Grant, User
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    CouchbaseError,
    NodeUnreachableError,
    NotAuthorizedError,
)
from tests.certificates import Certificates
from tests.conformance.loops import Loop, cluster_at, cluster_of, open_bucket

BUCKETS = ("one", "two", "three")


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve four data nodes, and one of another kind, with three buckets."""
    embedded = loop.embedded(4, BUCKETS)
    with loop.serving(embedded) as served:
        embedded.add_node(serves_data=False)
        yield served


def test_what_the_server_counts(loop: Loop, served: Any) -> None:
    """So many Buckets open as many connections as was said, asked before or meanwhile."""
    cluster = cluster_of(loop, served)
    before = loop.wait(cluster.connection_budget(buckets=3))
    loop.until(lambda: not served.cluster.connections(), "what was opened to ask is closed")
    assert (before.data_nodes, before.per_process, before.per_node) == (4, 12, 3)
    buckets = [open_bucket(loop, cluster, name) for name in BUCKETS]
    loop.until(lambda: len(served.cluster.connections()) >= before.per_process)
    for bucket in buckets:
        loop.wait(bucket.upsert_multi({f"k{number}": number for number in range(50)}))
    data_nodes = [node for node in served.cluster.nodes if node.serves_data]
    assert [len(node.connections) for node in data_nodes] == [before.per_node] * 4
    assert len(served.cluster.connections()) == before.total
    accepted = served.cluster.accepted
    meanwhile = loop.wait(cluster.connection_budget(buckets=3))
    assert set(meanwhile.nodes) == set(before.nodes)
    assert meanwhile.total == before.total
    assert served.cluster.accepted == accepted, "a Bucket knew it"
    for bucket in buckets:
        loop.wait(bucket.close())


def test_limits(loop: Loop, served: Any) -> None:
    """It knows that the server is newer than 6.5, and how many processes fit."""
    budget = loop.wait(cluster_of(loop, served).connection_budget(processes=60_001))
    assert budget.limit == 60_000
    assert not budget.fits
    assert budget.most_processes == 60_000
    assert "does not fit" in str(budget)


def test_over_tls(loop: Loop, tmp_path: Path) -> None:
    """With TLS it is the TLS data ports that are counted."""
    certificates = Certificates(tmp_path)
    embedded = loop.embedded(2)
    with loop.serving(embedded, tls=certificates.server()) as served:
        string = f"{served.connection_string_tls}?certpath={certificates.ca}"
        budget = loop.wait(cluster_at(loop, string).connection_budget())
    assert budget.tls
    assert [address.port for address in budget.nodes] == [
        node.ports["kvSSL"] for node in embedded.nodes
    ]


def failure(loop: Loop, cluster: Any, **arguments: Any) -> CouchbaseError:
    """Return why the connections cannot be counted."""
    with pytest.raises(CouchbaseError) as raised:
        loop.wait(cluster.connection_budget(**arguments))
    return raised.value


def test_refused(loop: Loop) -> None:
    """What opening a Bucket would meet is met here too, and nothing is left open."""
    with loop.serving(loop.embedded(2, BUCKETS)) as served:
        assert type(failure(loop, cluster_of(loop, served, "wrong"))) is AuthError
        rights = (Grant(FULL_ACCESS),)
        served.cluster.users.users["user"] = User("user", "password", rights, frozenset())
        error = failure(loop, cluster_of(loop, served))
        assert type(error) is NotAuthorizedError
        assert "open a Bucket" in str(error)
        loop.until(lambda: not served.cluster.connections(), "a connection is left")
    assert type(failure(loop, cluster_of(loop, served))) is NodeUnreachableError


def test_bad_arguments(loop: Loop, served: Any) -> None:
    """Numbers that are none, and nobody who connects, are ArgumentErrors."""
    cluster = cluster_of(loop, served)
    for arguments in ({"processes": 0}, {"buckets": -1}, {"buckets": 1.5}):
        assert type(failure(loop, cluster, **arguments)) is ArgumentError
    nobody = loop.cluster(served.connection_string)
    assert "authenticate()" in str(failure(loop, nobody))
    nobody.authenticate(ClassicAuthenticator(buckets={"one": "x"}))
    assert "cluster_username" in str(failure(loop, nobody))
    assert served.cluster.accepted == 0


def test_cancelled(loop: Loop, served: Any) -> None:
    """A caller that goes away while it asks leaves no connection behind."""
    for node in served.cluster.nodes:
        served.cluster.hang(node)
    asking = loop.start(cluster_of(loop, served).connection_budget)
    loop.until(served.cluster.connections)
    asking.cancel()
    loop.until(lambda: not served.cluster.connections(), "a connection is left")
