"""Ketama: points as every other client has them, and keys that stay where they can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.settings.values import Address
from couchloop.topology.configuration import KetamaConfig, parse_config
from couchloop.topology.ketama import circle, point_of
from couchloop.topology.plain import plain_config
from tests.memcached import owner_by_ketama

VECTORS = json.loads((Path(__file__).parent / "ketama.json").read_text())
"""What RFC 0026 gives: all points of four nodes, in order."""
NAMES = [f"10.0.0.{number}:11210" for number in range(6)]
KEYS = st.binary(min_size=1, max_size=40)


def test_vectors() -> None:
    """Each point is at the place, and of the node, that RFC 0026 says."""
    points, owners = circle(enumerate(VECTORS["nodes"]))
    found = [[point, owner] for point, owner in zip(points, owners, strict=True)]
    assert found == VECTORS["points"]


@given(st.text("abcdefgh", min_size=1, max_size=40), st.sets(st.sampled_from(NAMES), min_size=1))
def test_the_first_point_at_or_after_a_key(key: str, chosen: set[str]) -> None:
    """Its node has the key; behind the last point the circle begins anew."""
    names = sorted(chosen)
    points, owners = circle(enumerate(names))
    assert names[owners[point_of(key.encode(), points)]] == owner_by_ketama(key, names)


def test_a_key_at_a_point_and_beyond_all() -> None:
    """Exactly at a point a key is of that one; with no point at or after it, of the first."""
    # The first four bytes of the MD5 of "a" are 0c c1 75 b9.
    hashed = 0xB975C10C
    assert point_of(b"a", [hashed - 1, hashed, hashed + 1]) == 1
    assert point_of(b"a", [hashed - 2, hashed - 1]) == 0


@given(st.lists(KEYS, min_size=1, max_size=50), st.integers(0, 5))
def test_a_node_that_goes_moves_its_keys_alone(keys: list[bytes], gone: int) -> None:
    """Keys of the other nodes stay where they are."""
    points, owners = circle(enumerate(NAMES))
    left, left_owners = circle((index, name) for index, name in enumerate(NAMES) if index != gone)
    for key in keys:
        owner = owners[point_of(key, points)]
        if owner != gone:
            assert left_owners[point_of(key, left)] == owner


@given(st.permutations([Address("10.0.0.1", 11211 + number) for number in range(4)]), KEYS)
def test_the_order_of_servers_means_nothing(servers: list[Address], key: bytes) -> None:
    """Programs that name them in another order find the same keys."""

    def owner(addresses: list[Address]) -> Address:
        config = plain_config(addresses)
        return addresses[config.active[config.vbucket(key)]]

    assert owner(servers) == owner(sorted(servers))


def told(**members: Any) -> KetamaConfig:
    """Parse a configuration with these members."""
    document = {"rev": 7, "name": "cache", "nodeLocator": "ketama", **members}
    config = parse_config(json.dumps(document).encode(), "10.0.0.9")
    assert isinstance(config, KetamaConfig)
    return config


NODES = [
    {"hostname": "10.0.0.1:8091", "ports": {"direct": 11210}},
    {"hostname": "10.0.0.2:8091", "ports": {"direct": 11210}},
]
EXTENDED = [
    {"hostname": "10.0.0.7", "services": {"n1ql": 8093, "mgmt": 8091}},
    {"hostname": "10.0.0.2", "services": {"kv": 11210, "kvSSL": 11207}},
    {"hostname": "10.0.0.1", "services": {"kv": 11210}},
]


def owners(config: KetamaConfig) -> set[str]:
    """Return the hosts that have points."""
    return {config.nodes[index].networks["default"].host for index in config.active}


@pytest.mark.parametrize("members", [{"nodes": NODES}, {"nodes": NODES, "nodesExt": EXTENDED}])
def test_configurations(members: dict[str, Any]) -> None:
    """Nodes of `nodes` have points, by name and data port; there are no vbuckets or replicas."""
    config = told(**members)
    assert config.is_ready
    assert not config.has_vbuckets
    assert config.data_nodes == 2
    assert config.chains == ()
    assert owners(config) == {"10.0.0.1", "10.0.0.2"}
    index = config.active[config.vbucket(b"k")]
    name = owner_by_ketama("k", ["10.0.0.1:11210", "10.0.0.2:11210"])
    assert str(config.nodes[index].address("default", "kv")) == name


def test_a_node_that_takes_tls_alone() -> None:
    """It goes by its port for TLS, where nothing tells the other."""
    config = told(nodesExt=[{"hostname": "10.0.0.1", "services": {"kvSSL": 11207}}])
    assert owners(config) == {"10.0.0.1"}
    assert list(config.points) == list(circle([(0, "10.0.0.1:11207")])[0])


@pytest.mark.parametrize(
    "nodes",
    [
        [7, None, "x"],
        [{}, {"hostname": 5}, {"hostname": "a"}],
        [{"hostname": "10.0.0.1", "ports": []}, {"ports": {"direct": "x"}}],
        [{"hostname": "10.0.0.1", "ports": {"direct": -1}}],
    ],
)
def test_strange_nodes(nodes: list[Any]) -> None:
    """Entries that cannot be read are of no help, and harm nothing: the others count."""
    config = told(nodes=nodes, nodesExt=EXTENDED)
    assert owners(config) == {"10.0.0.1", "10.0.0.2"}


def test_no_data_nodes() -> None:
    """Without any the bucket is not ready."""
    assert not told(nodesExt=[]).is_ready
    assert not told(nodesExt=EXTENDED[:1]).is_ready
