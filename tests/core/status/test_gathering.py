"""The status as a value."""

from __future__ import annotations

import json

from couchloop.status.gathering import buckets_of, health, status
from couchloop.status.latencies import Latencies
from tests.core.client.loop import Loop
from tests.core.status.support import cluster_on, opened

WALL = 1_000_000_000.0


def test_form() -> None:
    """It can be written as JSON, and has what the page shows."""
    loop = Loop()
    bucket = opened(loop)
    found = status([bucket], WALL, process=5, processes=3)
    assert json.loads(json.dumps(found)) == found
    assert (found["version"], found["status"], found["process"]) == (1, "pass", 5)
    assert found["time"] == "2001-09-09T01:46:40Z"
    (told,) = found["buckets"]
    assert (told["bucket"], told["status"], told["state"]) == ("default", "pass", "online")
    (budget,) = found["connections"]
    assert (budget["data_nodes"], budget["per_node"], budget["total"]) == (3, 3, 9)
    assert budget["fits"] is True
    assert found["latencies"] is None
    assert found["services"] == []


def test_latencies() -> None:
    """What an observer has counted is told, with the time from which it counts."""
    latencies = Latencies()
    bucket = opened(Loop())
    found = status([bucket], WALL, process=1, latencies=latencies)["latencies"]
    assert (found["since"], found["operations"]) == (None, {})
    status([bucket], WALL + 60.0, process=1, latencies=latencies)
    found = status([bucket], WALL + 61.0, process=1, latencies=latencies)["latencies"]
    assert found["since"] == "2001-09-09T01:46:40Z"


def test_cluster() -> None:
    """A Cluster stands for the Buckets that it has opened, each of which is told of once."""
    loop = Loop()
    cluster = cluster_on(loop)
    assert buckets_of([cluster]) == []
    bucket = cluster.open_bucket("default")
    loop.run()
    assert buckets_of([cluster, bucket, cluster]) == [bucket]
    found = status([cluster], WALL, process=1)
    assert len(found["buckets"]) == 1
    assert len(found["connections"]) == 1
    bucket._close()
    loop.run()
    assert buckets_of([cluster]) == []


def test_health() -> None:
    """All nodes, some, none; closed; without a Bucket."""
    loop = Loop()
    cluster = cluster_on(loop)
    assert health([cluster]) == "fail"
    bucket = cluster.open_bucket("default")
    assert health([bucket]) == "fail"
    loop.run()
    assert health([bucket]) == "pass"
    embedded = loop.world.cluster
    embedded.stop(embedded.nodes[0])
    loop.run(1.0)
    assert health([bucket]) == "warn"
    for node in embedded.nodes[1:]:
        embedded.stop(node)
    loop.run(1.0)
    assert health([bucket]) == "fail"
    for node in embedded.nodes:
        embedded.restart(node)
    loop.run(10.0)
    assert health([bucket]) == "pass"
    bucket._close()
    loop.run()
    assert health([bucket]) == "fail"


def test_opens_at_its_first_use() -> None:
    """A Bucket that opens once it is used is no reason to send nobody: none would ever come."""
    loop = Loop()
    bucket = opened(loop)
    driver = bucket._driver
    driver.session.shared.state = type(driver.session.state).NEW
    assert health([bucket]) == "warn"


def test_worst_counts() -> None:
    """One Bucket that is not well is enough."""
    loop = Loop()
    bucket = opened(loop)
    other = opened(loop, shared=False)
    assert health([bucket, other]) == "pass"
    other._close()
    loop.run()
    assert health([bucket, other]) == "fail"
    assert status([bucket, other], WALL, process=1)["connections"][0]["buckets"] == 1
