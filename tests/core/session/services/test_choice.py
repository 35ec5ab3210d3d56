"""Which node is asked."""

from __future__ import annotations

from random import Random

import pytest

from couchloop.exceptions import NodeNotAvailableError
from couchloop.http.service import Service
from couchloop.session.services.choice import Rotation, key_of, named, nodes_of, unavailable
from couchloop.settings.values import Address
from couchloop.topology.configuration import parse_config
from tests.core.session.services.parts import ONE, THREE, TWO, config_of


def test_keys() -> None:
    """With TLS there is another key, and no way back."""
    assert [key_of(each, tls=False) for each in Service] == [
        "mgmt",
        "capi",
        "n1ql",
        "fts",
        "cbas",
        "eventingAdminPort",
    ]
    assert [key_of(each, tls=True) for each in Service] == [
        "mgmtSSL",
        "capiSSL",
        "n1qlSSL",
        "ftsSSL",
        "cbasSSL",
        "eventingSSL",
    ]


def test_nodes() -> None:
    """Those with the service, on the network that is in use; TLS wants the TLS port."""
    config = config_of({"n1ql": 1}, {"mgmt": 2}, {"n1ql": 3, "n1qlSSL": 4, "host": "b"})
    plain = nodes_of(config, "default", Service.QUERY, tls=False)
    assert plain == [Address("127.0.0.1", 1), Address("b", 3)]
    assert nodes_of(config, "default", Service.QUERY, tls=True) == [Address("b", 4)]
    assert nodes_of(config, "external", Service.QUERY, tls=False) == []


def test_nodes_that_lead() -> None:
    """Views are answered by nodes that lead vbuckets of the bucket, as far as these are known."""
    text = b"""{"rev": 1, "name": "b", "uuid": "u", "nodeLocator": "vbucket",
      "vBucketServerMap": {"numReplicas": 0, "serverList": ["x:1", "y:1", "z:1"],
        "vBucketMap": [[0], [2]]},
      "nodesExt": [
        {"hostname": "x", "services": {"kv": 1, "capi": 2}},
        {"hostname": "y", "services": {"kv": 1, "capi": 2}},
        {"hostname": "z", "services": {"kv": 1}},
        {"hostname": "w", "services": {"capi": 2}}],
      "nodes": [{"hostname": "x"}, {"hostname": "y"}, {"hostname": "z"}]}"""
    config = parse_config(text, "x")

    def found(bucket: str) -> list[str]:
        nodes = nodes_of(config, "default", Service.VIEWS, tls=False, bucket=bucket)
        return [node.host for node in nodes]

    assert found("b") == ["x"]
    assert found("") == found("other") == ["x", "y", "w"]


def test_alternate_addresses() -> None:
    """What a network lists is all that is reached there; no ports listed: those inside."""
    text = b"""{"rev": 1, "nodesExt": [
      {"hostname": "a", "services": {"n1ql": 1, "fts": 2},
       "alternateAddresses": {"external": {"hostname": "A", "ports": {"n1ql": 11}}}},
      {"hostname": "b", "services": {"n1ql": 1, "fts": 2},
       "alternateAddresses": {"external": {"hostname": "B"}}}]}"""
    config = parse_config(text, "a")
    found = nodes_of(config, "external", Service.QUERY, tls=False)
    assert found == [Address("A", 11), Address("B", 1)]
    assert nodes_of(config, "external", Service.SEARCH, tls=False) == [Address("B", 2)]


def test_unavailable() -> None:
    """Why nobody can be asked names what there is, so that the text is equal for equal clusters."""
    config = config_of({"mgmt": 1, "n1ql": 2, "fts": 3, "kv": 4})
    text = str(unavailable(config, "default", Service.ANALYTICS, tls=False))
    assert text == (
        "no node runs the analytics service, as reached on network 'default' without TLS: the "
        "cluster has management, query, search"
    )
    text = str(unavailable(config, "default", Service.ANALYTICS, tls=True))
    assert text.endswith("with TLS: the cluster has no service at all")


def test_rotation() -> None:
    """Nodes are taken in turn, each service for itself, and without those that are avoided."""
    rotation = Rotation(Random(1))
    nodes = [ONE, TWO, THREE]
    taken = [rotation.next(Service.QUERY, nodes, ()) for _ in range(6)]
    assert set(taken[:3]) == set(nodes)
    assert taken[:3] == taken[3:]
    other = [rotation.next(Service.SEARCH, nodes, ()) for _ in range(3)]
    assert set(other) == set(nodes)
    assert {rotation.next(Service.QUERY, nodes, {ONE}) for _ in range(6)} == {TWO, THREE}
    assert rotation.next(Service.QUERY, nodes, nodes) is None


def test_first_node_is_random() -> None:
    """Many clients do not begin with the same node."""
    first = {Rotation(Random(seed)).next(Service.QUERY, [ONE, TWO], ()) for seed in range(20)}
    assert first == {ONE, TWO}


ELSEWHERE = b"""{"rev": 1, "nodesExt": [
  {"hostname": "a", "services": {"n1ql": 1, "n1qlSSL": 3},
   "alternateAddresses": {"external": {"hostname": "A", "ports": {"n1ql": 11, "n1qlSSL": 13}}}},
  {"hostname": "b", "services": {"n1ql": 1, "n1qlSSL": 3, "fts": 2},
   "alternateAddresses": {"external": {"hostname": "B", "ports": {"n1ql": 11, "n1qlSSL": 13}}}},
  {"hostname": "c", "services": {"n1ql": 1}}]}"""


@pytest.mark.parametrize(
    ("name", "network", "tls", "expected"),
    [
        ("a:1", "default", False, Address("a", 1)),
        ("b", "default", False, Address("b", 1)),
        ("b:1", "default", True, Address("b", 3)),
        ("b:3", "default", False, Address("b", 1)),
        ("b:1", "external", False, Address("B", 11)),
        ("B:11", "default", True, Address("b", 3)),
        ("A", "external", True, Address("A", 13)),
    ],
)
def test_named(name: str, network: str, tls: bool, expected: Address) -> None:
    """A node is known by its host, and by all addresses that the configuration has for it."""
    config = parse_config(ELSEWHERE, "a")
    assert named(config, network, Service.QUERY, name, tls=tls) == expected


@pytest.mark.parametrize("name", ["evil.test:1", "a:2", "b:2", "c:1", "", "A", "a:", "a:1:1"])
def test_named_nowhere(name: str) -> None:
    """A node that is named must be one of the cluster's: nobody else hears the password."""
    config = parse_config(ELSEWHERE, "a")
    with pytest.raises(NodeNotAvailableError, match="none of those that run the query service"):
        named(config, "default", Service.QUERY, name, tls=True)
