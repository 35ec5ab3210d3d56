"""Configurations with parts that are of no use: what nobody needs is passed over, and told."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.client.registry import Registry
from couchloop.exceptions import ProtocolError
from couchloop.operations import document as ops
from couchloop.settings.values import Address, Login, Settings
from couchloop.topology.configuration import ClusterConfig
from couchloop.topology.networks import select_network
from tests.core.topology.test_configuration import CONFIG, changed, parse
from tests.core.world import FIRST_PORT, World

QUERY_NODE = 2
"""Index in `nodesExt` of the node without data."""


def with_node(index: int, **members: Any) -> dict[str, Any]:
    """Return the example with other members in one node; None takes one away."""
    document = deepcopy(CONFIG)
    for name, value in members.items():
        if value is None:
            del document["nodesExt"][index][name]
        else:
            document["nodesExt"][index][name] = value
    return document


def with_map(**members: Any) -> dict[str, Any]:
    """Return the example with other members in its map."""
    document = deepcopy(CONFIG)
    document["vBucketServerMap"].update(members)
    return document


def kv_ports(**others: Any) -> dict[str, Any]:
    """Return the ports of a data node, and others."""
    return {"kv": 11210, "kvSSL": 11207, **others}


def with_alternate(alternate: Any) -> dict[str, Any]:
    """Return the example with another alternate address in the first node."""
    return with_node(0, alternateAddresses={"external": alternate})


class TestPassedOver:
    """What is not needed for routing is no reason to refuse a configuration."""

    @pytest.mark.parametrize(
        ("document", "remark"),
        [
            (with_node(QUERY_NODE, services=None), "'10.0.0.3') has nothing for its services"),
            (with_node(QUERY_NODE, services=[]), "has a list for its services"),
            (with_node(QUERY_NODE, services={"fts": 0}), "has 0 for the port of 'fts'"),
            (with_node(QUERY_NODE, hostname="a b"), "node 2 has the host name 'a b'"),
            (with_node(QUERY_NODE, hostname=["a"]), "node 2 has a list for a host name"),
            (with_node(QUERY_NODE, hostname="h:8091"), "has a colon, and is no IPv6 address"),
            (with_node(QUERY_NODE, hostname="\x1b[2J"), r"the host name '\x1b[2J'"),
            (changed(nodesExt=[*CONFIG["nodesExt"], 5]), "node 3 is 5, not an object"),
            (changed(nodesExt=[*CONFIG["nodesExt"], None]), "node 3 is nothing, not an object"),
            (with_node(0, services=kv_ports(cbas=0)), "has 0 for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas=None)), "has nothing for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas="x")), "has 'x' for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas=70000)), "has 70000 for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas=True)), "has true for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas=1.5)), "has 1.5 for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas={})), "has an object for the port of 'cbas'"),
            (with_node(0, services=kv_ports(cbas=10**30)), "has a number of more than 64 bits"),
            (with_node(0, services=kv_ports(kvSSL=0)), "has 0 for the port of 'kvSSL'"),
            (with_node(0, alternateAddresses=[]), "alternateAddresses is a list"),
            (with_alternate({}), "alternate address 'external' has no host name"),
            (with_alternate({"hostname": None}), "alternate address 'external' has no host name"),
            (with_alternate({"hostname": ""}), "alternate address 'external' has no host name"),
            (with_alternate({"hostname": "a b"}), "'external' has the host name 'a b'"),
            (
                with_alternate({"hostname": "e", "ports": 5}),
                "'external' has 5 for its services and their ports",
            ),
            (with_alternate(None), "alternate address 'external' is nothing"),
            (with_alternate({"hostname": "e", "ports": {"kv": 0}}), "has 0 for the port of 'kv'"),
            (
                with_node(0, alternateAddresses={"default": {"hostname": "elsewhere"}}),
                "'default' has a name that no network of alternate addresses has",
            ),
            (
                with_node(0, alternateAddresses={"a\nb": {"hostname": "elsewhere"}}),
                "has a name that no network of alternate addresses has",
            ),
            (with_map(numReplicas=4), "numReplicas is 4"),
            (with_map(numReplicas=-1), "numReplicas is -1"),
            (with_map(numReplicas="many"), "numReplicas is 'many'"),
            (with_map(vBucketMap=[[0, 7], [1, 0], [0, -1], [1]]), "replica 1 of 1 vbuckets"),
            (with_map(vBucketMap=[[0, -2], [1, None], [0, "x"], [1]]), "replica 1 of 3 vbuckets"),
            (with_map(vBucketMapForward=[[0, 1]]), "vBucketMapForward has 1 vbuckets, not 4"),
            (with_map(vBucketMapForward=[[9], [0], [0], [0]]), "vBucketMapForward: vbucket 0 is"),
            (with_map(vBucketMapForward=5), "vBucketMapForward: it is 5, not a list"),
            (with_map(serverList={}), "serverList is an object, not a list"),
            (changed(nodes={}), "nodes is an object, not a list"),
            (changed(uuid=5), "uuid is 5, not a text"),
            (changed(clusterUUID=["x"]), "clusterUUID is a list, not a text"),
        ],
    )
    def test_remark(self, document: Any, remark: str) -> None:
        """Routing is that of the sound configuration, and the part that was left out is named."""
        config = parse(document)
        sound = parse(CONFIG)
        assert config.active == sound.active
        assert config.data_nodes == 2
        assert [node.address("default", "kv") for node in config.nodes[:2]] == [
            node.address("default", "kv") for node in sound.nodes[:2]
        ]
        (told,) = config.remarks
        assert remark in told

    @pytest.mark.parametrize(
        "document",
        [
            CONFIG,
            with_map(vBucketMapForward=[]),
            with_map(vBucketMapForward=None),
            with_map(numReplicas=None, vBucketMap=[[0], [1], [0], [1]]),
            with_map(serverList=None),
            with_map(serverList=[]),
            changed(rev="42"),
            changed(revEpoch=None),
            changed(nodes=None),
            with_node(0, alternateAddresses=None),
            with_node(0, services=kv_ports(n1ql="8093")),
            with_node(0, services=kv_ports(n1ql=8093.0)),
            {**CONFIG, "rev": None, "name": None, "uuid": None},
        ],
    )
    def test_nothing_to_say(self, document: Any) -> None:
        """What only looks different, or is not there, is nothing to remark."""
        config = parse(document)
        assert config.remarks == ()
        assert config.active == parse(CONFIG).active

    @pytest.mark.parametrize("services", [None, [], 5])
    def test_cluster_without_bucket(self, services: Any) -> None:
        """Where no bucket says which nodes have data, the others are used."""
        entries = [
            {"hostname": "a", "services": services},
            {"hostname": "b", "services": {"kv": 1}},
        ]
        config = parse({"rev": 1, "nodesExt": entries})
        assert [node.address("default", "kv") for node in config.nodes] == [Address("b", 1)]
        assert config.data_nodes == 1
        (remark,) = config.remarks
        assert "node 0 ('a') has" in remark
        with pytest.raises(ProtocolError, match=r"node 0 \('a'\) has"):
            parse({"rev": 1, "nodesExt": entries[:1]})
        # Here a map points to both.
        server_map = {"numReplicas": 0, "vBucketMap": [[1]]}
        with pytest.raises(ProtocolError, match=r"node 0 \('a'\) has"):
            parse({"rev": 1, "nodesExt": entries, "vBucketServerMap": server_map})

    def test_few_words(self) -> None:
        """Of many such parts some are named, and the others counted."""
        services = kv_ports(**{f"service-{number}": 0 for number in range(100)})
        assert parse(with_node(0, services=services)).remarks[5:] == ("and 95 more",)

    def test_node_without_data_is_left_out(self) -> None:
        """A node whose host is of no use is left out, and those after it stay what they are."""
        entries = [*CONFIG["nodesExt"], {"hostname": "10.0.0.4", "services": {"n1ql": 8093}}]
        entries[QUERY_NODE] = {**entries[QUERY_NODE], "hostname": "a b"}
        config = parse(changed(nodesExt=entries))
        assert [node.networks["default"].host for node in config.nodes] == [
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.4",
        ]

    def test_unreachable_alternate(self) -> None:
        """An alternate address of no use is none: the node cannot be reached on that network."""
        config = parse(with_alternate({"ports": {"kv": 1}}))
        assert config.nodes[0].address("external", "kv") is None
        assert config.nodes[0].address("default", "kv") == Address("10.0.0.1", 11210)

    def test_logged_once(self) -> None:
        """The log says what was passed over when it first comes, not at each that follows."""
        w = World()
        session = w.open()
        assert "passed over" not in "".join(w.logs)
        document = json.loads(w.cluster.nodes[0].configurations["default"].text(None))
        for ahead, port in ((1, 0), (2, 0), (3, 5), (4, 0)):
            document["rev"] = session.config.revision.rev + 1 if session.config else ahead
            document["nodesExt"][0]["services"]["cbas"] = port
            text = json.dumps(document).encode()
            assert session.tracker.take(text, Address("127.0.0.1", FIRST_PORT), w.now)
            w.settle()
        lines = [line for line in w.logs if "passed over" in line]
        assert len(lines) == 2
        assert "has 0 for the port of 'cbas'" in lines[0]

    def test_operations_go_on(self) -> None:
        """A Bucket opens with such a configuration, and works."""
        w = World()
        for node in w.cluster.nodes:
            node.ports["cbas"] = 0
        w.cluster.changed()
        w.open()
        assert w.do(ops.upsert(w.defaults, "key", 1)).success


class TestOrder:
    """Vbucket maps point into `serverList`; the nodes are brought into its order."""

    @staticmethod
    def hosts(config: ClusterConfig) -> list[str]:
        """Name the nodes in their order."""
        return [node.networks["default"].host for node in config.nodes]

    @staticmethod
    def document(servers: list[Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a configuration of these nodes, as many of them with data as servers."""
        plain = [{"hostname": "$HOST:8091", "ports": {"direct": 1}}] * len(servers)
        return changed(
            nodes=plain,
            nodesExt=entries,
            vBucketServerMap={
                "numReplicas": 0,
                "serverList": servers,
                "vBucketMap": [[0]] * 4,
            },
        )

    @pytest.mark.parametrize(
        ("servers", "expected"),
        [
            (["a:1", "b:1", "c:1"], ["a", "b", "c", "q"]),
            (["b:1", "a:1", "c:1"], ["b", "a", "c", "q"]),
            (["c:1", "b:1", "a:1"], ["c", "b", "a", "q"]),
            (["c:1", "a:1"], ["c", "a", "b", "q"]),
            (["B.:1", "[A]:1"], ["b", "a", "c", "q"]),
            # What is not known by its name has the place that is left.
            (["b:1", "a:1", "x:1"], ["b", "a", "c", "q"]),
            (["x:1", "c:1", "b:1"], ["a", "c", "b", "q"]),
            (["b:1", "x:1", "y:1"], ["b", "a", "c", "q"]),
            # Nothing tells: as it is.
            (["x:1", "y:1", "z:1"], ["a", "b", "c", "q"]),
            (["b:2", "a:2", "c:2"], ["a", "b", "c", "q"]),
            ([5, None, "c:1"], ["a", "b", "c", "q"]),
            (["", ":", "a"], ["a", "b", "c", "q"]),
            (["a:1", "a:1", "a:1"], ["a", "b", "c", "q"]),
        ],
    )
    def test_by_name(self, servers: list[Any], expected: list[str]) -> None:
        """Host and port tell which node an entry of `serverList` means, whatever the order."""
        entries = [{"hostname": host, "services": {"kv": 1}} for host in "abc"]
        entries.append({"hostname": "q", "services": {"n1ql": 8093}})
        config = parse(self.document(servers, entries))
        assert self.hosts(config) == expected
        assert bool(config.remarks) is (expected != ["a", "b", "c", "q"])

    def test_nodes_without_data_first(self) -> None:
        """Nodes without data may stand anywhere."""
        entries: list[dict[str, Any]] = [
            {"hostname": "q", "services": {"n1ql": 8093}},
            {"hostname": "a", "services": {"kv": 1}},
            {"hostname": "b", "services": {"kv": 1}},
        ]
        config = parse(self.document(["a:1", "b:1"], entries))
        assert (self.hosts(config), config.data_nodes) == (["a", "b", "q"], 2)

    def test_tls_alone(self) -> None:
        """A node whose data port without TLS is not told is known by its host."""
        entries = [{"hostname": host, "services": {"kvSSL": 2}} for host in "ab"]
        config = parse(self.document(["b:11210", "a:11210"], entries))
        assert self.hosts(config) == ["b", "a"]

    @pytest.mark.parametrize("services", [{}, {"kv": 0}, {"kv": None}, {"mgmt": 8091}])
    def test_missing_ports(self, services: dict[str, Any]) -> None:
        """A data port that its node does not tell is the one that `serverList` has for it."""
        entries: list[dict[str, Any]] = [
            {"hostname": "a", "services": {"kv": 1}},
            {"hostname": "a", "services": services},
            {"hostname": "b", "services": services},
        ]
        config = parse(self.document(["a:1", "a:2", "b:3"], entries))
        ports = [node.networks["default"].services.get("kv") for node in config.nodes]
        assert ports == [1, 2, 3]

    @pytest.mark.parametrize(
        ("server", "services"),
        [
            ("a:1", {}),
            ("c:2", {}),
            ("a:0", {}),
            ("a:65536", {}),
            ("a", {}),
            (5, {}),
            ("a:2", {"kvSSL": 3}),
        ],
    )
    def test_ports_that_are_not_told(self, server: Any, services: dict[str, int]) -> None:
        """No port is taken that another node has, of another host, or beside that for TLS."""
        entries: list[dict[str, Any]] = [
            {"hostname": "a", "services": {"kv": 1}},
            {"hostname": "a", "services": services},
        ]
        config = parse(self.document(["a:1", server], entries))
        assert "kv" not in config.nodes[1].networks["default"].services

    def test_one_host(self) -> None:
        """Several nodes on one host are told apart by their ports, whatever form the host has."""
        entries = [{"hostname": "0:0:0:0:0:0:0:1", "services": {"kv": port}} for port in (1, 2, 3)]
        config = parse(self.document(["[::1]:3", "[::1]:1", "[::1]:2"], entries))
        assert [node.networks["default"].services["kv"] for node in config.nodes] == [3, 1, 2]

    def test_placeholder(self) -> None:
        """`$HOST`, or no name, stands for the host that was asked in both lists."""
        entries: list[dict[str, Any]] = [
            {"hostname": "a", "services": {"kv": 1}},
            {"services": {"kv": 2}},
            {"hostname": "$HOST", "services": {"kv": 3}},
        ]
        config = parse(self.document(["$HOST:3", "a:1", "$HOST:2"], entries), "fd00::1")
        assert [node.networks["default"].services["kv"] for node in config.nodes] == [3, 1, 2]

    @given(st.permutations(range(6)), st.permutations(range(6)))
    def test_any_order(self, nodes: list[int], servers: list[int]) -> None:
        """Each vbucket is with the node that `serverList` says, whatever the two orders."""
        entries = [{"hostname": f"h{number}", "services": {"kv": 1}} for number in nodes]
        document = self.document([f"h{number}:1" for number in servers], entries)
        document["vBucketServerMap"]["vBucketMap"] = [[index] for index in range(6)]
        config = parse(document)
        assert [self.hosts(config)[index] for index in config.active] == [
            f"h{number}" for number in servers
        ]


class TestSpellings:
    """Names and addresses are compared by what they mean."""

    def test_seed_is_a_node(self) -> None:
        """The connection to a seed serves for its node, however the node is spelt there."""
        w = World()
        seed = Address("::ffff:127.0.0.1", FIRST_PORT + 1)
        w.session.shared.settings = replace(w.session.settings, seeds=(seed,))
        w.nodes[seed] = w.cluster.nodes[1]
        w.open()
        assert [address for _, address in w.attempts] == [
            seed,
            Address("127.0.0.1", FIRST_PORT),
            Address("127.0.0.1", FIRST_PORT + 2),
        ]

    def test_one_bucket(self) -> None:
        """A Bucket is found by its seeds, however they are spelt."""
        registry: Registry[Any] = Registry()
        loop, bucket = World(), World()
        settings = Settings(
            seeds=(Address("node1.int", 1), Address("fd00::1", 1)),
            bucket="b",
            login=Login("user", "password"),
        )
        registry.add(loop, settings, bucket)
        seeds = (Address("FD00:0::1", 1), Address("Node1.int.", 1))
        assert registry.find(loop, replace(settings, seeds=seeds), World) is bucket

    @pytest.mark.parametrize(
        ("listed", "dialled"),
        [
            ("node1.int", "node1.int."),
            ("node1.int.", "node1.int"),
            ("node1.int", "NODE1.Int"),
            ("fd00::1", "fd00:0:0:0:0:0:0:1"),
            ("FD00:0::0001", "fd00::1"),
            ("[fd00::1]", "fd00::1"),
            ("10.0.0.9", "::ffff:10.0.0.9"),
            ("::ffff:a00:9", "10.0.0.9"),
            ("fe80::1%eth0", "fe80:0::1%eth0"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "BÜCHER.example."),
        ],
    )
    def test_network(self, listed: str, dialled: str) -> None:
        """The address that was dialled is found among the nodes' own in whatever spelling."""
        document = with_node(0, hostname=listed)
        for entry in document["nodesExt"][:2]:
            entry["alternateAddresses"] = {"external": {"hostname": "ext.example"}}
        choice = select_network(parse(document), Address(dialled, 11210))
        assert choice.name == "default"
        assert "is listed there" in choice.why
        for entry in document["nodesExt"][:2]:
            entry["hostname"], entry["alternateAddresses"]["external"]["hostname"] = (
                "other.example",
                listed,
            )
        choice = select_network(parse(document), Address(dialled, 11210))
        assert choice.name == "external"
        assert "is listed there" in choice.why

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ("node1.int", "node2.int"),
            ("node1.int", "node1.int.."),
            ("fd00::1", "fd00::2"),
            ("fe80::1%eth0", "fe80::1%eth1"),
            ("10.0.0.1", "::10.0.0.1"),
        ],
    )
    def test_others(self, one: str, two: str) -> None:
        """What only looks alike is not the same."""
        assert Address(one, 1).one_form != Address(two, 1).one_form

    @given(st.ip_addresses(v=6), st.integers(0, 1))
    def test_addresses(self, address: Any, upper: int) -> None:
        """Every way to write an IPv6 address has one form."""
        text = address.exploded.upper() if upper else address.compressed
        assert Address(text, 1).one_form == Address(str(address), 1).one_form

    @given(st.text(max_size=30))
    def test_any_text(self, text: str) -> None:
        """Whatever it is, there is one form, which stays what it is."""
        form = Address(text, 1).one_form
        assert isinstance(form.host, str)
        assert form.one_form.host == form.host or not text.isascii()
