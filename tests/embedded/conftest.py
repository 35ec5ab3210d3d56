"""A cluster to try things on."""

from __future__ import annotations

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """The cluster's time, which stands still."""
    return ManualClock()


@pytest.fixture
def cluster(clock: ManualClock) -> EmbeddedCluster:
    """Three nodes with ports, one bucket with one replica."""
    cluster = EmbeddedCluster(clock=clock)
    for index, node in enumerate(cluster.nodes):
        node.ports = {"kv": 11210 + index, "mgmt": 8091 + index}
    cluster.changed()
    return cluster
