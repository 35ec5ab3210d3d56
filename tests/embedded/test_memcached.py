"""Buckets of type memcached: keys are spread by clients, and no node has another's copy."""

from __future__ import annotations

import json

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, Node
from couchloop.embedded.__main__ import make_cluster, parse_arguments
from couchloop.hot.frames import Frame
from couchloop.wire import Feature, Opcode, Status
from tests.embedded.client import STORE, Client

MAJORITY = bytes([0x13, 1]) + (4000).to_bytes(2)


@pytest.fixture
def cluster(clock: ManualClock) -> EmbeddedCluster:
    """Two nodes with a bucket of each kind."""
    settings: list[str | BucketSettings] = ["default", BucketSettings("cache", memcached=True)]
    cluster = EmbeddedCluster(2, settings, clock=clock)
    for index, node in enumerate(cluster.nodes):
        node.ports = {"kv": 11210 + index, "mgmt": 8091 + index}
    cluster.changed()
    return cluster


def on(node: Node) -> Client:
    """Return a client of the memcached bucket."""
    return Client.ready(node, bucket="cache")


def put(client: Client, key: bytes, value: bytes = b"1", **parts: object) -> Frame:
    """Store a document: such a bucket has one vbucket."""
    return client.ask(Opcode.SET, key=b"\0" + key, value=value, extras=STORE, **parts)


def look(client: Client, key: bytes, **parts: object) -> Frame:
    """Read a document."""
    return client.ask(Opcode.GET, key=b"\0" + key, **parts)


def over_http(node: Node) -> dict[str, object]:
    """Return the bucket's configuration as the cluster manager tells it."""
    connection = node.accept_http()
    request = b"GET /pools/default/b/cache HTTP/1.1\r\nHost: x\r\n"
    request += b"Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n"
    connection.receive_data(request)
    document: dict[str, object] = json.loads(connection.data_to_send().partition(b"\r\n\r\n")[2])
    return document


def test_its_configuration_has_no_vbucket_map(cluster: EmbeddedCluster) -> None:
    """But the nodes over which keys are spread, and the locator ketama."""
    told = over_http(cluster.nodes[0])
    assert told["nodeLocator"] == "ketama"
    assert told["bucketType"] == "memcached"
    assert "vBucketServerMap" not in told
    assert told["nodes"] == [
        {"hostname": "127.0.0.1:8091", "ports": {"direct": 11210}},
        {"hostname": "127.0.0.1:8092", "ports": {"direct": 11211}},
    ]


def test_data_nodes_know_no_configuration_of_it(cluster: EmbeddedCluster) -> None:
    """They neither give one nor push one: the cluster manager alone does."""
    client = Client(
        cluster.nodes[0], Feature.DUPLEX, Feature.CLUSTERMAP_CHANGE, Feature.XERROR, Feature.JSON
    )
    client.log_in()
    client.ask(Opcode.SELECT_BUCKET, key=b"cache")
    assert client.ask(Opcode.GET_CLUSTER_CONFIG).status == Status.NOT_SUPPORTED
    cluster.bump()
    assert [frame.key for frame in client.read()] == [b""]


def test_each_node_has_documents_of_its_own(cluster: EmbeddedCluster) -> None:
    """What clients put on one is not on the other; expiry, locks and CAS are as everywhere."""
    first, second = on(cluster.nodes[0]), on(cluster.nodes[1])
    cas = put(first, b"k").cas
    assert look(first, b"k").value == b"1"
    assert look(second, b"k").status == Status.KEY_ENOENT
    assert put(first, b"k", cas=cas + 1).status == Status.KEY_EEXISTS
    assert first.ask(Opcode.GET_LOCKED, key=b"\0k").status == Status.SUCCESS
    assert put(first, b"k").status == Status.LOCKED


def test_it_has_one_vbucket(cluster: EmbeddedCluster) -> None:
    """Another is on no node, and no configuration comes with the refusal."""
    answer = look(on(cluster.nodes[0]), b"k", vbucket=1)
    assert (answer.status, answer.value) == (Status.NOT_MY_VBUCKET, b"")


def test_its_mutation_tokens_are_empty(cluster: EmbeddedCluster) -> None:
    """There is no history that could be named."""
    assert put(on(cluster.nodes[0]), b"k").extras == bytes(16)


@pytest.mark.parametrize(
    ("opcode", "parts"),
    [
        (Opcode.SET, {"key": b"\0k", "extras": STORE, "value": b"1", "framing": MAJORITY}),
        (Opcode.GET_REPLICA, {"key": b"\0k"}),
        (Opcode.GET_META, {"key": b"\0k"}),
        (Opcode.OBSERVE, {"value": b"\0\0\0\x02\0k"}),
        (Opcode.OBSERVE_SEQNO, {"value": bytes(8)}),
        (Opcode.GET_RANDOM_KEY, {"extras": bytes(4)}),
        (Opcode.RANGE_SCAN_CREATE, {"value": b"{}", "datatype": 1}),
    ],
)
def test_what_needs_copies_or_disks_is_not_supported(
    cluster: EmbeddedCluster, opcode: Opcode, parts: dict[str, bytes]
) -> None:
    """Synchronous writes, replicas, observing, scans."""
    assert on(cluster.nodes[0]).ask(opcode, **parts).status == Status.NOT_SUPPORTED


def test_it_has_the_default_collection_alone(cluster: EmbeddedCluster) -> None:
    """Others are unknown, and cannot be made."""
    client = on(cluster.nodes[0])
    assert client.ask(Opcode.GET, key=b"\x08k").status == Status.UNKNOWN_COLLECTION
    assert client.ask(Opcode.COLLECTIONS_GET_ID, value=b"_default._default").extras == bytes(12)
    with pytest.raises(ValueError, match="has no collections"):
        cluster.set_manifest("cache", {"uid": "1", "scopes": []})


def test_a_node_that_stops_forgets_all(cluster: EmbeddedCluster) -> None:
    """It has nothing but its memory."""
    put(on(cluster.nodes[0]), b"k")
    cluster.stop(cluster.nodes[0])
    cluster.restart(cluster.nodes[0])
    assert look(on(cluster.nodes[0]), b"k").status == Status.KEY_ENOENT


def test_a_failover_takes_the_node_from_the_list(cluster: EmbeddedCluster) -> None:
    """And a rebalance puts it there again, empty."""
    put(on(cluster.nodes[0]), b"k")
    cluster.failover(cluster.nodes[0])
    told = over_http(cluster.nodes[1])
    assert told["nodes"] == [{"hostname": "127.0.0.1:8092", "ports": {"direct": 11211}}]
    cluster.rebalance()
    listed = over_http(cluster.nodes[1])["nodes"]
    assert isinstance(listed, list)
    assert len(listed) == 2
    assert look(on(cluster.nodes[0]), b"k").status == Status.KEY_ENOENT


def test_the_oldest_documents_give_way() -> None:
    """A full node refuses nothing."""
    cluster = EmbeddedCluster(1, [BucketSettings("cache", quota=10, memcached=True)])
    client = on(cluster.nodes[0])
    for key in (b"a", b"b", b"c"):
        assert put(client, key, b"1234").status == Status.SUCCESS
    assert look(client, b"a").status == Status.KEY_ENOENT
    assert [look(client, key).value for key in (b"b", b"c")] == [b"1234", b"1234"]


def test_the_program_makes_one(clock: ManualClock) -> None:
    """`--memcached-bucket` beside `--bucket`, for the same users."""
    cluster = make_cluster(parse_arguments(["--memcached-bucket", "cache"]), clock)
    assert put(on(cluster.nodes[0]), b"k").status == Status.SUCCESS
    assert Client.ready(cluster.nodes[0]).get("k").status != Status.EACCESS
