"""Buckets of type memcached of a cluster: learned of by HTTP, keys spread over all nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.durability import DurabilityLevel
from couchloop.embedded import BucketSettings
from couchloop.exceptions import AuthError, FeatureNotAvailableError, NotDataNodeError
from couchloop.kv_range_scan import PrefixScan
from couchloop.subdocument import get as get_path
from tests.certificates import Certificates
from tests.conformance.loops import Loop, opened_at, refusal_at
from tests.diagnosis import diagnosis
from tests.memcached import owner_by_ketama

DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(300)}
BUCKETS = ["default", BucketSettings("cache", memcached=True)]


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve two nodes with such a bucket."""
    with loop.serving(loop.embedded(2, BUCKETS)) as served:
        yield served


def ports(served: Any, service: str = "kv") -> list[int]:
    """Return the ports of all nodes."""
    return [node.ports[service] for node in served.cluster.nodes]


def by_http(served: Any, options: str = "") -> str:
    """Return a connection string that names web ports."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports(served, "mgmt"))
    return f"http://{hosts}/cache{options}"


def keys_of(served: Any) -> list[set[str]]:
    """Return the keys of the bucket's documents on each node."""
    bucket = served.cluster.buckets["cache"]
    stores = [bucket.copy(0, node.node_id) for node in served.cluster.nodes]
    return [{key.decode() for _, key in store.documents} for store in stores]


def test_keys_are_spread(loop: Loop, served: Any) -> None:
    """By the nodes' own names and data ports, as any other client does it."""
    names = [f"127.0.0.1:{port}" for port in ports(served)]
    with opened_at(loop, by_http(served)) as bucket:
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
        found = loop.wait(bucket.get_multi(list(DOCUMENTS)))
        assert {key: result.value for key, result in found.items()} == DOCUMENTS
        owners = {key: owner_by_ketama(str(key), names) for key in DOCUMENTS}
        assert keys_of(served) == [
            {key for key, owner in owners.items() if owner == name} for name in names
        ]


def test_data_ports_first(loop: Loop, served: Any) -> None:
    """Data ports have no configuration of it; the web port does, and its stream stays."""
    kv, web = ports(served)[0], ports(served, "mgmt")[1]
    text = f"couchbase://127.0.0.1:{kv},127.0.0.1:{web}=http/cache"
    with opened_at(loop, text) as bucket:
        loop.wait(bucket.upsert("k", 1))
        assert loop.wait(bucket.get("k")).value == 1
        loop.until(lambda: len(served.cluster.nodes[1].http_connections) == 1)
        served.cluster.add_node()
        served.cluster.rebalance()
        loop.until(lambda: len(bucket.server_nodes) == 3)


def test_no_web_port(loop: Loop, served: Any) -> None:
    """Where none may be asked, the error says why, and what to write."""
    error = refusal_at(loop, f"couchbase://127.0.0.1:{ports(served)[0]}/cache")
    assert type(error) is NotDataNodeError
    assert "of type memcached" in str(error)
    assert "use couchbases://" in str(error)
    error = refusal_at(loop, by_http(served), password="not-it")
    assert type(error) is AuthError


def test_tls(loop: Loop, tmp_path: Path) -> None:
    """With TLS web ports are asked by themselves; names of nodes are those without it."""
    certificates = Certificates(tmp_path)
    cluster = loop.embedded(2, BUCKETS)
    with loop.serving(cluster, tls=certificates.server()) as served:
        kv, web = ports(served, "kvSSL")[0], ports(served, "mgmtSSL")[0]
        text = f"couchbases://127.0.0.1:{kv},127.0.0.1:{web}=https/cache"
        names = [f"127.0.0.1:{port}" for port in ports(served)]
        with opened_at(loop, f"{text}?certpath={certificates.ca}") as bucket:
            loop.wait(bucket.upsert_multi(DOCUMENTS))
        assert keys_of(served)[0] == {
            key for key in DOCUMENTS if owner_by_ketama(str(key), names) == names[0]
        }


def test_nodes_come_and_go(loop: Loop, served: Any) -> None:
    """Keys move with the configuration, those alone that a node takes or leaves."""
    cluster = served.cluster
    with opened_at(loop, by_http(served)) as bucket:
        loop.wait(bucket.upsert_multi(DOCUMENTS))
        before = keys_of(served)
        cluster.add_node()
        cluster.rebalance()
        loop.until(lambda: len(bucket.server_nodes) == 3)
        loop.wait(bucket.upsert_multi(DOCUMENTS))
        names = [f"127.0.0.1:{port}" for port in ports(served)]
        moved = {key for key in DOCUMENTS if owner_by_ketama(str(key), names) == names[2]}
        # What has moved is on its old node still, where nobody looks.
        assert keys_of(served) == [*before, moved]
        assert moved
        cluster.stop(cluster.nodes[0])
        cluster.failover(cluster.nodes[0])
        loop.until(lambda: len(bucket.server_nodes) == 2)
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok


NOT_THERE: list[tuple[str, Callable[[Any], Any]]] = [
    (r"exists\(\)", lambda b: b.exists("k")),
    ("replicas", lambda b: b.rget("k")),
    ("replicas", lambda b: b.get_any_replica("k")),
    ("replicas", lambda b: b.get_all_replicas_multi(["k", "missing"])),
    ("replicas", lambda b: b.lookup_in_any_replica("k", get_path("a"))),
    ("scans", lambda b: b.scan(PrefixScan("")).run()),
    ("scopes", lambda b: b.collections().get_all_scopes()),
    ("named collections", lambda b: b.collection("c").get("k")),
    ("observed", lambda b: b.observe("k")),
    ("durability", lambda b: b.upsert("k", 2, durability=DurabilityLevel.MAJORITY)),
    ("durability", lambda b: b.upsert("k", 2, replicate_to=1)),
]


def test_what_is_not_there(loop: Loop, served: Any) -> None:
    """It is refused before anything is sent; locks and expiry are there."""
    with opened_at(loop, by_http(served)) as bucket:
        loop.wait(bucket.upsert("k", {"a": 1}, ttl=100))
        for what, call in NOT_THERE:
            with pytest.raises(FeatureNotAvailableError, match=what):
                loop.wait(call(bucket))
        assert loop.wait(bucket.get("k")).value == {"a": 1}
        cas = loop.wait(bucket.lock("k", 5)).cas
        loop.wait(bucket.unlock("k", cas))
        with pytest.raises(FeatureNotAvailableError, match="ketama"):
            bucket._vbmap("k")


def test_the_doctor(loop: Loop, served: Any) -> None:
    """The doctor says what a data port lacks, goes on with the web port, and visits the nodes."""
    kv, web = ports(served)[0], ports(served, "mgmt")[0]
    made = diagnosis(f"couchbase://127.0.0.1:{kv},127.0.0.1:{web}=http/cache")
    loop.wait(loop.diagnose(made))
    steps = [(step.name, step.verdict.name) for step in made.report]
    assert ("configuration", "FAILED") in steps
    assert ("configuration", "OK") in steps
    assert steps.count(("node", "OK")) == 2
