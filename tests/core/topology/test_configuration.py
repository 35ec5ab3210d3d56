"""Cluster configurations."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ProtocolError
from couchloop.settings.values import Address
from couchloop.topology.configuration import ClusterConfig, Revision, parse_config
from couchloop.topology.networks import select_network

ORIGIN = "seed.example"
NO_WORDS = re.compile(r"Error|NoneType|object is not|subscript|iterable|\bstr\b|\bdict\b")
"""What a message has that was never meant for people."""

# What a server since 5.5 gives, shortened to four vbuckets.
CONFIG: dict[str, Any] = {
    "rev": 42,
    "revEpoch": 1,
    "name": "b",
    "uuid": "c0ffee",
    "nodeLocator": "vbucket",
    "bucketCapabilities": ["collections", "cccp", "nodesExt"],
    "collectionsManifestUid": "3",
    "clusterUUID": "5eed",
    "clusterCapabilitiesVer": [1, 0],
    "nodes": [
        {"hostname": "10.0.0.1:8091", "ports": {"direct": 11210}},
        {"hostname": "10.0.0.2:8091", "ports": {"direct": 11210}},
    ],
    "nodesExt": [
        {
            "hostname": "10.0.0.1",
            "thisNode": True,
            "services": {"mgmt": 8091, "kv": 11210, "kvSSL": 11207, "n1ql": 8093},
            "alternateAddresses": {
                "external": {"hostname": "ext1.example", "ports": {"kv": 30210, "mgmt": 30091}}
            },
        },
        {
            "hostname": "10.0.0.2",
            "services": {"mgmt": 8091, "kv": 11210, "kvSSL": 11207},
            "alternateAddresses": {"external": {"hostname": "ext2.example"}},
        },
        {"hostname": "10.0.0.3", "services": {"mgmt": 8091, "n1ql": 8093, "fts": 8094}},
    ],
    "vBucketServerMap": {
        "hashAlgorithm": "CRC",
        "numReplicas": 1,
        "serverList": ["10.0.0.1:11210", "10.0.0.2:11210"],
        "vBucketMap": [[0, 1], [1, 0], [0, -1], [1]],
        "vBucketMapForward": [[0, 1], [1, 0], [1, 0], [1]],
    },
}


def parse(document: Any, origin: str = ORIGIN) -> ClusterConfig:
    """Parse *document* as a server writes it."""
    return parse_config(json.dumps(document).encode(), origin)


def changed(**members: Any) -> dict[str, Any]:
    """Return the example with other members; None takes one away."""
    document = deepcopy(CONFIG)
    for name, value in members.items():
        if value is None:
            del document[name]
        else:
            document[name] = value
    return document


class TestParse:
    """What is kept of a configuration."""

    def test_example(self) -> None:
        """Revision, names, nodes and maps are read; a row that is too short has no replica."""
        config = parse(CONFIG)
        assert config.revision == Revision(1, 42)
        assert (config.bucket, config.uuid, config.cluster_uuid) == ("b", "c0ffee", "5eed")
        assert (len(config.nodes), config.data_nodes, config.replicas) == (3, 2, 1)
        assert config.active.tolist() == [0, 1, 0, 1]
        assert [chain.tolist() for chain in config.chains] == [[1, 0, -1, -1]]
        assert config.forward is not None
        assert config.forward.tolist() == [0, 1, 1, 1]
        assert [node.this_node for node in config.nodes] == [True, False, False]
        assert config.is_ready

    def test_addresses(self) -> None:
        """A node is found by network and service; one that lacks either has no address."""
        first, second, third = parse(CONFIG).nodes
        assert first.address("default", "kv") == Address("10.0.0.1", 11210)
        assert first.address("default", "kvSSL") == Address("10.0.0.1", 11207)
        assert third.address("default", "kv") is None
        assert third.address("external", "mgmt") is None
        assert second.address("somewhere", "kv") is None

    def test_alternate_ports(self) -> None:
        """Ports that are listed are all that can be reached; none listed means the internal."""
        first, second, _ = parse(CONFIG).nodes
        assert first.address("external", "kv") == Address("ext1.example", 30210)
        assert first.address("external", "kvSSL") is None
        assert second.address("external", "kv") == Address("ext2.example", 11210)
        assert second.address("external", "kvSSL") == Address("ext2.example", 11207)

    @pytest.mark.parametrize(
        ("origin", "hostname", "expected"),
        [
            (ORIGIN, None, ORIGIN),
            (ORIGIN, "", ORIGIN),
            (ORIGIN, "$HOST", ORIGIN),
            ("fd00::1", "$HOST", "fd00::1"),
            ("fd00::1", None, "fd00::1"),
            (ORIGIN, "[fd00::2]", "fd00::2"),
            (ORIGIN, "fd00::2", "fd00::2"),
        ],
    )
    def test_host_names(self, origin: str, hostname: str | None, expected: str) -> None:
        """`$HOST`, or no name, is the host that was asked; IPv6 loses its brackets."""
        entry: dict[str, Any] = {"services": {"kv": 11210}}
        if hostname is not None:
            entry["hostname"] = hostname
        (node,) = parse({"nodesExt": [entry]}, origin).nodes
        assert node.address("default", "kv") == Address(expected, 11210)

    @pytest.mark.parametrize(
        ("origin", "hostname", "expected"),
        [
            (ORIGIN, "10.0.0.1:8091", "10.0.0.1"),
            (ORIGIN, "[fd00::1]:8091", "fd00::1"),
            (ORIGIN, "$HOST:8091", ORIGIN),
            ("fd00::1", "$HOST:8091", "fd00::1"),
            ("fd00::1", None, "fd00::1"),
        ],
    )
    def test_old_server(self, origin: str, hostname: str | None, expected: str) -> None:
        """Without `nodesExt`, `nodes` tell hosts (with the web port) and data ports."""
        node: dict[str, Any] = {"ports": {"direct": 11999}}
        if hostname is not None:
            node["hostname"] = hostname
        config = parse(changed(nodesExt=None, nodes=[node, node]), origin)
        assert config.data_nodes == 2
        assert config.nodes[0].address("default", "kv") == Address(expected, 11999)
        assert config.nodes[0].address("default", "kvSSL") is None

    def test_real_server(self) -> None:
        """A configuration of a 7.6 cluster: 1024 vbuckets on three nodes, one replica."""
        ports = ((12500, 13500), (12501, 13501), (12502, 13502))
        config = parse(
            {
                "rev": 1,
                "revEpoch": 1,
                "nodesExt": [
                    {"services": {"kv": kv, "kvSSL": tls}, "hostname": "127.0.0.1"}
                    for kv, tls in ports
                ],
                "clusterUUID": "c92c56ce08b4e829bcf06b6d21907f92",
                "name": "default",
                "nodeLocator": "vbucket",
                "uuid": "29f70912d6b60fcb928e4b80ec65c29c",
                "numVBuckets": 1024,
                "bucketCapabilitiesVer": "",
                "nodes": [
                    {"hostname": "127.0.0.1:8091", "ports": {"direct": kv}} for kv, _ in ports
                ],
                "vBucketServerMap": {
                    "hashAlgorithm": "CRC",
                    "numReplicas": 1,
                    "serverList": [f"127.0.0.1:{kv}" for kv, _ in ports],
                    "vBucketMap": [[n % 3, (n + 1) % 3] for n in range(1024)],
                },
            }
        )
        assert config.data_nodes == 3
        assert len(config.active) == 1024
        assert config.active[115] == 1
        assert config.chains[0][115] == 2
        assert config.forward is None

    def test_global_config(self) -> None:
        """A configuration of no bucket has nodes, and is not ready for documents."""
        config = parse(
            {"rev": 1, "nodesExt": [{"services": {"kv": 1}, "hostname": "127.0.0.1"}] * 2}
        )
        assert config.bucket is None
        assert len(config.nodes) == 2
        assert not config.is_ready

    @pytest.mark.parametrize(
        "server_map", [{"numReplicas": 1, "serverList": [], "vBucketMap": []}, {}]
    )
    def test_empty_map(self, server_map: dict[str, Any]) -> None:
        """A bucket that is warming up has an empty map: it is not ready."""
        assert not parse(changed(vBucketServerMap=server_map)).is_ready

    @pytest.mark.parametrize("count", [1, 64, 128, 1024])
    def test_any_number_of_vbuckets(self, count: int) -> None:
        """The hash is cut to as many vbuckets as the map has."""
        rows = [[0]] * count
        config = parse(changed(vBucketServerMap={"numReplicas": 0, "vBucketMap": rows}))
        assert config.vbucket(b"airline_10") == 3433 % count

    @pytest.mark.parametrize(
        ("key", "vbucket"),
        [
            (b"foo", 115),
            (b"hello", 528),
            (b"key1", 92),
            (b"airline_10", 361),
            (b"travel-sample", 86),
            (b"user:hugo_chavez", 208),
            (b"", 0),
            (b"\0", 514),
            ("klüç".encode(), 1002),
        ],
    )
    def test_vbucket_of_key(self, key: bytes, vbucket: int) -> None:
        """Keys hash as they do in every other client (CRC-32, upper half, 15 bits)."""
        config = parse(changed(vBucketServerMap={"numReplicas": 0, "vBucketMap": [[0]] * 1024}))
        assert config.vbucket(key) == vbucket


class TestRevision:
    """Which configuration is newer."""

    def test_epoch_counts_first(self) -> None:
        """A greater epoch is newer, whatever the revision."""
        assert Revision(2, 1) > Revision(1, 99) > Revision(1, 98) > Revision(0, 100)

    def test_missing(self) -> None:
        """A server that knows no epochs counts as epoch 0."""
        assert parse(changed(revEpoch=None)).revision == Revision(0, 42)
        assert parse(changed(rev=None)).revision == Revision(1, 0)


class TestDamaged:
    """Everything that is no configuration is a ProtocolError."""

    @pytest.mark.parametrize(
        "text",
        [
            '{"rev":1}'.encode("utf-16"),
            b"",
            b"null",
            b"[]",
            b"3",
            b'"x"',
            b"\xff\xfe\xfd",
            b"{",
            b"[" * 100_000,
            b"9" * 5000,
        ],
        ids=lambda text: ascii(text[:8]),
    )
    def test_not_a_configuration(self, text: bytes) -> None:
        """Text that is no JSON object is refused."""
        with pytest.raises(ProtocolError, match="not a cluster configuration"):
            parse_config(text, ORIGIN)

    @pytest.mark.parametrize(
        "members",
        [
            {"rev": 2**63},
            {"rev": "many"},
            {"name": 5},
            {"nodesExt": [{"hostname": 7, "services": {}}]},
            {"nodesExt": [{"hostname": "a b", "services": {}}]},
            {"nodesExt": [{"hostname": "a\nb", "services": {}}]},
            {"nodesExt": [{"hostname": "\ud800", "services": {}}]},
            {"nodesExt": [{"hostname": "[]", "services": {}}]},
            {"nodesExt": [{"hostname": "h:8091", "services": {}}]},
            {"nodesExt": [{"hostname": "a/b", "services": {}}]},
            {"nodesExt": [{"hostname": "h" * 300, "services": {}}]},
            {"nodesExt": [5]},
            {"nodesExt": [{"services": {"kv": 1}}]},
            {"vBucketServerMap": []},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": 5}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [["0"]]}},
            {"nodeLocator": []},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [[2]]}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [[-2]]}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [[40000]]}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [[0.5]]}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [0]}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": {"0": [0]}}},
            {"vBucketServerMap": {"numReplicas": 0, "vBucketMap": [[0]] * 65537}},
        ],
    )
    def test_impossible_member(self, members: dict[str, Any]) -> None:
        """A member that routing needs and that cannot be is refused, with the reason in words."""
        with pytest.raises(ProtocolError) as info:
            parse(changed(**members))
        _check_words(info.value.message)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, text: bytes) -> None:
        """Bytes of any kind are refused with ProtocolError, or read."""
        _parse_or_refuse(text)

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.sampled_from(["nodes", "nodesExt", "vBucketServerMap", "$HOST", "[::1]:8091"]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            *CONFIG,
                            *CONFIG["vBucketServerMap"],
                            *CONFIG["nodesExt"][0],
                            "kv",
                            "direct",
                            "ports",
                            "external",
                        ]
                    ),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=30,
        )
    )
    def test_any_json(self, document: Any) -> None:
        """JSON of any shape is refused with ProtocolError, or read."""
        _parse_or_refuse(json.dumps(document).encode())

    @given(st.data())
    def test_mutated(self, data: st.DataObject) -> None:
        """A configuration with one member replaced is refused with ProtocolError, or read."""
        document = deepcopy(CONFIG)
        place: Any = document
        while True:
            items = list(place) if isinstance(place, dict) else list(range(len(place)))
            where = data.draw(st.sampled_from(items))
            if isinstance(place[where], dict | list) and place[where] and data.draw(st.booleans()):
                place = place[where]
                continue
            place[where] = data.draw(
                st.none()
                | st.booleans()
                | st.integers(-(2**70), 2**70)
                | st.floats()
                | st.text(max_size=5)
                | st.lists(st.integers(-3, 3), max_size=3)
                | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
            )
            break
        _parse_or_refuse(json.dumps(document).encode())


def _check_words(message: str) -> None:
    assert not NO_WORDS.search(message)
    assert message.isprintable()
    assert len(message) < 300


def _parse_or_refuse(text: bytes) -> None:
    try:
        config = parse_config(text, ORIGIN)
    except ProtocolError as error:
        _check_words(error.message)
        return
    assert "".join(config.remarks).isascii()
    assert "".join(config.remarks).isprintable()
    assert len(config.remarks) <= 6
    assert all(-1 <= node < config.data_nodes for node in config.active)
    assert all(len(chain) == len(config.active) for chain in config.chains)
    assert config.data_nodes <= len(config.nodes)
    for network in ("default", "external"):
        for node in config.nodes:
            address = node.address(network, "kv")
            assert address is None or (address.host.encode() and 0 < address.port < 65536)
    assert isinstance(select_network(config, Address(ORIGIN, 11210)).name, str)


class TestNetwork:
    """Which of a node's addresses are used."""

    @pytest.mark.parametrize("name", ["default", "external", "elsewhere"])
    def test_explicit(self, name: str) -> None:
        """A network that the user names wins, whatever the seed."""
        assert select_network(parse(CONFIG), Address("10.0.0.1", 11210), name).name == name

    @pytest.mark.parametrize(
        ("host", "port", "network"),
        [
            ("10.0.0.1", 11210, "default"),
            ("10.0.0.2", 11207, "default"),
            ("10.0.0.3", 8091, "default"),
            ("ext1.example", 30210, "external"),
            ("EXT1.example", 30210, "external"),
            ("ext2.example", 11210, "external"),
            # The host alone tells, where the port is that of a tunnel.
            ("10.0.0.1", 5, "default"),
            ("ext1.example", 5, "external"),
        ],
    )
    def test_seed_is_listed(self, host: str, port: int, network: str) -> None:
        """The network on which the seed is listed is taken."""
        assert select_network(parse(CONFIG), Address(host, port)).name == network

    def test_unknown_seed(self) -> None:
        """A seed that no node lists means `external`, where every data node has it."""
        assert select_network(parse(CONFIG), Address("proxy.example", 11210)).name == "external"

    def test_unknown_seed_without_external(self) -> None:
        """A seed that no node lists means `default`, where one data node lacks `external`."""
        document = deepcopy(CONFIG)
        del document["nodesExt"][1]["alternateAddresses"]
        assert select_network(parse(document), Address("proxy.example", 11210)).name == "default"

    def test_same_host_other_ports(self) -> None:
        """Where both networks have the seed's host, the port decides."""
        services = {"kv": 11210}
        external = {"external": {"hostname": "h", "ports": {"kv": 30210}}}
        document = changed(
            nodesExt=[
                {"hostname": "h", "services": services, "alternateAddresses": external},
                {"hostname": "i", "services": services},
            ]
        )
        assert select_network(parse(document), Address("h", 30210)).name == "external"
        assert select_network(parse(document), Address("h", 11210)).name == "default"
        assert select_network(parse(document), Address("h", 1)).name == "default"

    def test_default_wins_over_alternates(self) -> None:
        """A seed that is one node's own name and another's alternate is the former."""
        way = {"external": {"hostname": "h", "ports": {"kv": 2}}}
        document = changed(
            nodesExt=[
                {"hostname": "g", "services": {"kv": 2}, "alternateAddresses": way},
                {"hostname": "h", "services": {"kv": 2}},
            ]
        )
        assert select_network(parse(document), Address("h", 2)).name == "default"
        assert select_network(parse(document), Address("h", 3)).name == "default"

    def test_any_alternate(self) -> None:
        """An alternate network of another name is found as well."""
        way = {"tunnel": {"hostname": "t", "ports": {"kv": 1}}}
        document = changed(
            nodesExt=[{"hostname": "h", "services": {"kv": 2}, "alternateAddresses": way}] * 2
        )
        assert select_network(parse(document), Address("t", 1)).name == "tunnel"
