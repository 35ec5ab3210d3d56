"""Buckets and collections, and what becomes of their documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from couchloop.embedded import (
    BucketSettings,
    EmbeddedCluster,
    ManualClock,
)
from couchloop.wire import Datatype, Feature, Opcode, Status, snappy
from tests.embedded.client import Client, configuration, on_node
from tests.extras import needs_snappy


def test_random_keys_are_different_ones() -> None:
    """Whoever asks again and again for any key gets each of them."""
    cluster = EmbeddedCluster(1)
    client = Client.ready(cluster.nodes[0])
    names = [f"key{number}" for number in range(4)]
    for name in names:
        client.set(name, b"1")
    asked = [client.ask(Opcode.GET_RANDOM_KEY, extras=bytes(4)).key for _ in range(50)]
    assert set(asked) == {b"\0" + name.encode() for name in names}


class TestBuckets:
    """Buckets that are made, filled, paused and deleted."""

    def test_each_bucket_has_its_own_documents(self) -> None:
        """Equal keys of two buckets are two documents."""
        cluster = EmbeddedCluster(1, ["one", BucketSettings("two", vbuckets=64)])
        one = Client.ready(cluster.nodes[0], bucket="one")
        two = Client.ready(cluster.nodes[0], bucket="two")
        one.set("key", b"1")
        assert two.get("key", vbucket=1).status == Status.KEY_ENOENT
        assert two.get("key", vbucket=64).status == Status.NOT_MY_VBUCKET

    def test_a_bucket_that_is_not_ready(self, cluster: EmbeddedCluster) -> None:
        """It can be selected, documents fail temporarily, and there is no configuration."""
        cluster.add_bucket("late", ready=False)
        client = Client.ready(cluster.nodes[0], bucket="late")
        assert client.ask(Opcode.GET_CLUSTER_CONFIG).status == Status.KEY_ENOENT
        assert client.get(on_node(0)).status == Status.ETMPFAIL
        cluster.make_ready("late")
        assert configuration(client)["name"] == "late"
        assert client.get(on_node(0)).status == Status.KEY_ENOENT

    def test_a_full_bucket_refuses_writes(self) -> None:
        """Until something is deleted."""
        cluster = EmbeddedCluster(1, [BucketSettings("default", quota=10)])
        client = Client.ready(cluster.nodes[0])
        assert client.set("one", b"12345").status == Status.SUCCESS
        assert client.set("two", b"123456").status == Status.ETMPFAIL
        client.document(Opcode.DELETE, "one")
        assert client.set("two", b"123456").status == Status.SUCCESS

    @needs_snappy
    @pytest.mark.parametrize(
        ("size", "status"),
        [
            (20 * 2**20, Status.SUCCESS),
            (20 * 2**20 + 1, Status.E2BIG),
            (30 * 2**20, Status.E2BIG),
            (30 * 2**20 + 1, Status.EINVAL),
        ],
    )
    def test_what_inflates_to_too_much(
        self, cluster: EmbeddedCluster, size: int, status: Status
    ) -> None:
        """Above 20 MiB it is too big; above 30, the longest request, it counts as malformed."""
        client = Client.ready(cluster.nodes[0], Feature.SNAPPY)
        block = snappy.compress(bytes(size))
        answer = client.set(on_node(0), block, datatype=Datatype.SNAPPY)
        assert answer.status == status

    @pytest.mark.parametrize(
        "end",
        [
            lambda cluster: cluster.remove_bucket("default"),
            lambda cluster: cluster.pause_bucket("default"),
        ],
        ids=["removed", "paused"],
    )
    def test_a_bucket_that_goes_closes_its_connections(
        self, cluster: EmbeddedCluster, end: Callable[[EmbeddedCluster], None]
    ) -> None:
        """And nobody can select it any more."""
        client = Client.ready(cluster.nodes[0])
        end(cluster)
        assert client.connection.closed
        after = Client(cluster.nodes[0])
        after.log_in()
        assert after.ask(Opcode.SELECT_BUCKET, key=b"default").status == Status.KEY_ENOENT

    def test_expiry_follows_the_clusters_clock(
        self, cluster: EmbeddedCluster, clock: ManualClock
    ) -> None:
        """A document with a time to live is there until the clock says otherwise."""
        client = Client.ready(cluster.nodes[0])
        key = on_node(0)
        client.document(Opcode.SET, key, value=b"1", extras=bytes(4) + (10).to_bytes(4))
        clock.advance(9)
        assert client.get(key).status == Status.SUCCESS
        clock.advance(1)
        assert client.get(key).status == Status.KEY_ENOENT

    def test_a_collection_that_is_dropped_loses_its_documents(
        self, cluster: EmbeddedCluster
    ) -> None:
        """A collection of the same name is another one."""
        client = Client.ready(cluster.nodes[0])

        def manifest(uid: int, collection: int) -> dict[str, object]:
            scope = {
                "name": "app",
                "uid": "8",
                "collections": [{"name": "c", "uid": f"{collection:x}"}],
            }
            default = {
                "name": "_default",
                "uid": "0",
                "collections": [{"name": "_default", "uid": "0"}],
            }
            return {"uid": f"{uid:x}", "scopes": [default, scope]}

        cluster.set_manifest("default", manifest(2, 8))
        assert client.set(on_node(0), b"1", collection=8).status == Status.SUCCESS
        cluster.set_manifest("default", manifest(3, 9))
        assert client.get(on_node(0), collection=8).status == Status.UNKNOWN_COLLECTION
        assert client.get(on_node(0), collection=9).status == Status.KEY_ENOENT
