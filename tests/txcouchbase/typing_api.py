"""What a type checker says to a consumer: mypy reads this (`files` in setup.cfg), nobody runs it.

An `ignore` that is not needed is an error too, so the lines that must be refused are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, assert_type

from twisted.internet.defer import Deferred

from couchloop import subdocument as sd
from couchloop.client.connection_limits import ConnectionBudget
from couchloop.client.thread_pipeline import ThreadPipeline
from couchloop.client.thread_stream import ResultStream as ThreadStream
from couchloop.client.threads import ThreadSafeBucket, ThreadSafeCollection
from couchloop.durability import (
    ClientDurability,
    Durability,
    PersistTo,
    ReplicateTo,
    ServerDurability,
)
from couchloop.exceptions import CouchbaseError
from couchloop.health import ClusterState, PingReport
from couchloop.items import Item, ItemOptionDict
from couchloop.kv_range_scan import PrefixScan, RangeScan, SamplingScan, ScanTerm
from couchloop.management.buckets import BucketInfo
from couchloop.management.cluster import ClusterInfo
from couchloop.management.http_request import HttpResult
from couchloop.management.users import UserAndMetadata
from couchloop.mutation_state import MutationState, MutationToken
from couchloop.operations.key_stream import Summary
from couchloop.result import (
    ExistsResult,
    MultiResult,
    OperationResult,
    ReplicaResult,
    ReplicasResult,
    ScanResult,
    ScopeSpec,
    StatsResult,
    SubdocResult,
    ValueResult,
)
from couchloop.retries import BestEffort, FailFast, RetryReason, RetryRequest
from couchloop.status import Latencies
from couchloop.status.answers import Answer
from couchloop.transcoder import FMT_UTF8, Transcoder
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.collection import Collection, Scope
from txcouchbase.datastructures import CouchbaseList, CouchbaseMap, CouchbaseQueue, CouchbaseSet
from txcouchbase.management import CollectionManager
from txcouchbase.pool import BucketPool
from txcouchbase.service import BucketService
from txcouchbase.status import StatusResource
from txcouchbase.stream import ResultStream
from txcouchbase.testing import MemoryCluster, ServedCluster, serve


class OwnBucket(Bucket):
    """An application's own."""


class WaitForLocks:
    """A user's strategy: no base class is needed."""

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        """Wait for locks too."""
        if reason is RetryReason.KV_LOCKED:
            return 0.1
        return BestEffort().retry_after(request, reason)


def retrying(bucket: Bucket) -> None:
    """Strategies, of a Bucket and of a call."""
    Bucket("couchbase://host/name", username="u", password="p", retry_strategy=FailFast())
    assert_type(bucket.get("k", retry_strategy=WaitForLocks()), Deferred[ValueResult])
    bucket.get_multi(["k"], retry_strategy=BestEffort(first=0.01))
    bucket.touch("k", retry_strategy=1)  # type: ignore[arg-type]
    bucket.get("k", retry_strategy=FailFast)  # type: ignore[call-overload]


def threads(bucket: Bucket) -> None:
    """Handles for threads give values, not Deferreds."""
    handle = bucket.threadsafe()
    assert_type(handle, ThreadSafeBucket)
    assert_type(handle.get("k", timeout=1), ValueResult)
    assert_type(handle.upsert("k", {}), OperationResult)
    assert_type(handle.get_multi(["k"]), MultiResult[ValueResult])
    assert_type(handle.upsert_stream({"k": 1}, persist_to=1), ThreadStream[OperationResult])
    with handle.scope("s").collection("c").get_stream(["k"], progress=print) as stream:
        assert_type(next(stream), ValueResult)
        assert_type(stream.run(), Summary)
    with handle.pipeline() as pipeline:
        assert_type(pipeline, ThreadPipeline)
        assert_type(pipeline.results, Sequence[Any])
    handle.get(1)  # type: ignore[call-overload]


def budgets(cluster: Cluster) -> None:
    """Counting connections gives a value."""
    assert_type(cluster.connection_budget(processes=2), Deferred[ConnectionBudget])


def pools(cluster: Cluster) -> None:
    """Pools give Buckets."""
    pool = BucketPool(cluster, "default", 3, quiet=True)
    assert_type(pool.pick(), Bucket)
    assert_type(pool.close(), Deferred[None])
    BucketPool(cluster, "default", 3, quiett=True)  # type: ignore[call-arg]
    BucketPool(cluster, "default", 3, shared=False)  # type: ignore[call-arg]


def opening(reactor: Any) -> None:
    """Clusters and Buckets."""
    cluster = Cluster("couchbase://localhost", reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    assert_type(cluster.open_bucket("default"), Bucket)
    assert_type(cluster.cluster_info(), Deferred[ClusterInfo])
    assert_type(cluster.buckets().get_bucket("b"), Deferred[BucketInfo])
    assert_type(cluster.buckets().get_all_buckets(), Deferred[list[BucketInfo]])
    assert_type(cluster.users().get_user("u"), Deferred[UserAndMetadata])
    assert_type(cluster.cluster_manager().bucket_info("b"), Deferred[HttpResult])
    assert_type(cluster.http_request("/pools", timeout=5.0), Deferred[HttpResult])
    assert_type(Cluster().connection_string, str)
    assert_type(Bucket("couchbase://host/name", username="u", password="p"), Bucket)
    assert_type(OwnBucket("couchbase://host/name", username="u", password="p"), OwnBucket)
    assert_type(serve(reactor=reactor), ServedCluster)
    memory = MemoryCluster()
    Cluster(memory.connection_string, endpoint_factory=memory.endpoint_factory)
    cluster.open_bucket("default", quiet=True, shared=False, resolver=None)
    cluster.open_bucket("default", quiett=True)  # type: ignore[call-arg]
    cluster.open_bucket("default", quiet="yes")  # type: ignore[arg-type]
    cluster.open_bucket("default", reactor=reactor)  # type: ignore[call-arg]
    cluster.open_bucket("default", socket_factory=len)  # type: ignore[call-arg]
    BucketService(cluster, "default", quiet=True, shared=False)
    BucketService(cluster, "default", quiett=True)  # type: ignore[call-arg]
    Cluster("couchbase://localhost", Bucket, reactor)  # type: ignore[call-arg]
    Cluster(1)  # type: ignore[arg-type]
    Cluster(retry_strategy=FailFast())
    Cluster(retry_strategy=5)  # type: ignore[arg-type]
    Bucket("couchbase://host/name", user="u")  # type: ignore[call-arg]
    Bucket("couchbase://host/name", endpoint_factory=len)  # type: ignore[arg-type]


def operations(bucket: Bucket) -> None:
    """Deferreds know what they will fire with."""
    assert_type(bucket.connect(), Deferred[None])
    assert_type(bucket.close(), Deferred[None])
    assert_type(bucket.get("k"), Deferred[ValueResult])
    assert_type(bucket.get(b"k", 10, quiet=True, timeout=1.5), Deferred[ValueResult])
    assert_type(bucket.upsert("k", {"any": ["thing"]}, ttl=10), Deferred[OperationResult])
    assert_type(bucket.insert("k", "v", format=FMT_UTF8), Deferred[OperationResult])
    assert_type(bucket.replace("k", 1, cas=1), Deferred[OperationResult])
    assert_type(bucket.append("k", "v"), Deferred[OperationResult])
    assert_type(bucket.prepend("k", "v"), Deferred[OperationResult])
    assert_type(bucket.remove("k"), Deferred[OperationResult])
    assert_type(bucket.touch("k", 10), Deferred[OperationResult])
    assert_type(bucket.counter("k", delta=2, initial=0), Deferred[ValueResult])
    assert_type(bucket.rget("k", 0), Deferred[ReplicaResult])
    assert_type(bucket.rget_multi(["k"]), Deferred[MultiResult[ReplicaResult]])
    assert_type(bucket.get_any_replica("k"), Deferred[ReplicaResult])
    assert_type(bucket.get_any_replica_multi(["k"]), Deferred[MultiResult[ReplicaResult]])
    assert_type(bucket.get_all_replicas("k"), Deferred[list[ReplicaResult]])
    assert_type(bucket.observe("k"), Deferred[ValueResult])
    assert_type(bucket.observe_multi(["k"]), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.stats("uuid"), Deferred[StatsResult])
    items = ItemOptionDict()
    assert_type(items.create_and_add("k", 1, ttl=5), Item)
    assert_type(bucket.upsert_multi(items), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.get_multi(items), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.append_items(items), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.prepend_items(items), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.prepend_items(items), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.get_and_touch("k", timedelta(days=90)), Deferred[ValueResult])
    assert_type(bucket.set("k", 1), Deferred[OperationResult])
    assert_type(bucket.incr("k", 5, initial=1), Deferred[ValueResult])
    assert_type(bucket.decr_multi(["k"], 5), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.getMulti(["k"]), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.exists("k"), Deferred[ExistsResult])
    assert_type(bucket.lock("k", 5), Deferred[ValueResult])
    assert_type(bucket.get_and_lock("k", timedelta(seconds=5)), Deferred[ValueResult])
    assert_type(bucket.unlock("k", 5), Deferred[OperationResult])
    assert_type(bucket.exists_multi(["k"]), Deferred[MultiResult[ExistsResult]])
    assert_type(bucket.lock_multi({"k": 5}), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.unlock_multi({"k": 5}), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.get_and_touch_multi(["k"], 5), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.get_and_lock_multi({"k": 5}), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.get_all_replicas_multi(["k"]), Deferred[MultiResult[ReplicasResult]])
    bucket.upsert("k", 1, ttl=timedelta(days=40), transcoder=Transcoder)
    bucket.upsert("k", 1, expiry=datetime.now(UTC))
    bucket.lock("k", datetime.now(UTC))  # type: ignore[call-overload]
    bucket.unlock_multi(["k"])  # type: ignore[arg-type]
    assert_type(bucket.get_multi(["k"]), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.upsert_multi({"k": 1}), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.insert_multi({"k": 1}), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.replace_multi({"k": 1}), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.append_multi({"k": "v"}), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.prepend_multi({"k": "v"}), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.remove_multi(["k"]), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.touch_multi(["k"], ttl=1), Deferred[MultiResult[OperationResult]])
    assert_type(bucket.counter_multi(["k"]), Deferred[MultiResult[ValueResult]])
    assert_type(bucket.ping(timeout=1.5, report_id="mine"), Deferred[PingReport])
    assert_type(bucket.wait_until_ready(5, ClusterState.DEGRADED), Deferred[None])
    bucket.get()  # type: ignore[call-overload]
    bucket.ping(1, "mine")  # type: ignore[call-arg, arg-type]
    bucket.get(1)  # type: ignore[call-overload]
    bucket.get("k", ttl="10")  # type: ignore[call-overload]
    bucket.get("k", nosuch=1)  # type: ignore[call-overload]
    bucket.upsert("k")  # type: ignore[call-arg]
    bucket.get("k").value  # type: ignore[attr-defined]  # noqa: B018 - not awaited
    bucket.timeout = "1"  # type: ignore[assignment]
    bucket.connected = True  # type: ignore[misc]


async def awaited(bucket: Bucket) -> None:
    """Awaiting gives results; results know their parts."""
    got = await bucket.get("k")
    assert_type(got, ValueResult)
    assert_type(got.cas, int)
    assert_type(got.success, bool)
    assert_type(got.content_as[dict], dict[Any, Any])
    assert_type(got.content_as[str], str)
    assert_type((await bucket.get_multi(["k"]))["k"], ValueResult)
    assert_type((await bucket.upsert_multi({"k": 1})).all_ok, bool)
    assert_type(bucket.get("k").addCallback(lambda result: result.cas), Deferred[int])
    async with bucket as opened:
        assert_type(opened, Bucket)
    async with OwnBucket("couchbase://host/name") as own:
        assert_type(own, OwnBucket)
    (await bucket.upsert("k", 1)).value.nosuch  # noqa: B018 - values are of any type
    got.nosuch  # type: ignore[attr-defined]  # noqa: B018 - the line that is refused


def subdocuments(bucket: Bucket) -> None:
    """Specs are of one type, and so are their results."""
    assert_type(bucket.lookup_in("k", sd.get("a"), sd.exists("b")), Deferred[SubdocResult])
    assert_type(bucket.lookup_in("k", [sd.get("a")], quiet=True), Deferred[SubdocResult])
    assert_type(bucket.retrieve_in("k", "a", "b[0]"), Deferred[SubdocResult])
    assert_type(
        bucket.mutate_in("k", sd.upsert("a", 1, create_parents=True), cas=1, upsert_doc=True),
        Deferred[SubdocResult],
    )
    assert_type(bucket.get("k", project=["a"], with_expiry=True), Deferred[ValueResult])
    assert_type(bucket.lookup_in_any_replica("k", sd.get("a")), Deferred[SubdocResult])
    assert_type(bucket.lookup_in_all_replicas("k", sd.get("a")), Deferred[list[SubdocResult]])
    bucket.lookup_in("k", "a")  # type: ignore[arg-type]
    bucket.mutate_in("k", sd.counter("a", 1.5))  # type: ignore[arg-type]


def structures(bucket: Bucket) -> None:
    """Methods of structures give results, numbers and truths."""
    assert_type(bucket.map_add("k", "a", 1, create=True), Deferred[OperationResult])
    assert_type(bucket.map_get("k", "a"), Deferred[ValueResult])
    assert_type(bucket.map_remove("k", "a"), Deferred[OperationResult])
    assert_type(bucket.map_size("k"), Deferred[int])
    assert_type(bucket.list_append("k", 1), Deferred[OperationResult])
    assert_type(bucket.list_prepend("k", 1), Deferred[OperationResult])
    assert_type(bucket.list_set("k", 0, 1), Deferred[OperationResult])
    assert_type(bucket.list_get("k", -1), Deferred[ValueResult])
    assert_type(bucket.list_remove("k", 0), Deferred[OperationResult])
    assert_type(bucket.list_size("k"), Deferred[int])
    assert_type(bucket.set_add("k", 1), Deferred[OperationResult | None])
    assert_type(bucket.set_remove("k", 1), Deferred[OperationResult | None])
    assert_type(bucket.set_contains("k", 1), Deferred[bool])
    assert_type(bucket.set_size("k"), Deferred[int])
    assert_type(bucket.queue_push("k", 1), Deferred[OperationResult])
    assert_type(bucket.queue_pop("k"), Deferred[ValueResult])
    assert_type(bucket.queue_size("k"), Deferred[int])
    bucket.list_get("k", "0")  # type: ignore[arg-type]
    assert_type(CouchbaseList("k", bucket).get_all(), Deferred[list[Any]])
    assert_type(CouchbaseMap("k", bucket).get_all(), Deferred[dict[str, Any]])
    assert_type(CouchbaseSet("k", bucket).values(), Deferred[set[Any]])
    assert_type(CouchbaseQueue("k", bucket).size(), Deferred[int])


def collections(bucket: Bucket, safe: ThreadSafeBucket) -> None:
    """Collections have the Bucket's methods, with their types."""
    assert_type(bucket.scope("s"), Scope)
    assert_type(bucket.default_scope().collection("c"), Collection)
    collection = bucket.scope("s").collection("c")
    assert_type(collection, Collection)
    assert_type(bucket.collection("c"), Collection)
    assert_type(bucket.default_collection(), Collection)
    assert_type(collection.get("k"), Deferred[ValueResult])
    assert_type(collection.upsert_multi({"k": 1}), Deferred[MultiResult[OperationResult]])
    assert_type(collection.lookup_in("k", sd.get("a")), Deferred[SubdocResult])
    assert_type(collection.name, str)
    assert_type(collection.scope, str)
    assert_type({collection: 1}, dict[Collection, int])
    assert_type(bucket.collections(), CollectionManager)
    assert_type(bucket.collections().get_all_scopes(), Deferred[list[ScopeSpec]])
    assert_type(safe.scope("s").collection("c"), ThreadSafeCollection)
    assert_type(safe.collection("c").get("k"), ValueResult)
    assert_type(safe.collections().get_all_scopes(), list[ScopeSpec])
    bucket.collection(1)  # type: ignore[arg-type]
    collection.ping()  # type: ignore[attr-defined]
    collection.close()  # type: ignore[attr-defined]


async def streams(bucket: Bucket, collection: Collection) -> None:
    """Streams are async iterators of results."""
    assert_type(bucket.get_stream(["k"]), ResultStream[ValueResult])
    assert_type(bucket.upsert_stream({"k": 1}), ResultStream[OperationResult])
    assert_type(collection.exists_stream(iter("ab")), ResultStream[ExistsResult])
    async for result in bucket.counter_stream([("k", 1), "m"], initial=1):
        assert_type(result, ValueResult)
        assert_type(result.error, CouchbaseError | None)
    assert_type(bucket.remove_stream(["k"]).run(), Deferred[Summary])
    assert_type(await bucket.touch_stream(["k"], ttl=5).next(), OperationResult | None)
    collection.insert_stream([("k", 1)])
    collection.replace_stream([("k", 1)])
    collection.append_stream([("k", "a")])
    collection.prepend_stream([("k", "a")])
    collection.touch_stream(["k"], ttl=5)
    assert_type(bucket.scan(RangeScan("a", ScanTerm("b"))), ResultStream[ScanResult])
    assert_type(collection.scan(PrefixScan("a"), ids_only=True), ResultStream[ScanResult])
    bucket.scan(SamplingScan("5"))  # type: ignore[arg-type]
    bucket.get_stream(5)  # type: ignore[call-overload]
    bucket.get_stream(["k"], progress=1)  # type: ignore[call-overload]


def durability(bucket: Bucket, collection: Collection, handle: ThreadSafeBucket) -> None:
    """Levels, copies, blocks and tokens."""
    level = Durability.MAJORITY
    assert_type(bucket.upsert("k", 1, durability=level), Deferred[OperationResult])
    assert_type(collection.counter("k", durability=level), Deferred[ValueResult])
    assert_type(bucket.mutate_in("k", sd.remove("a"), durability=level), Deferred[SubdocResult])
    assert_type(bucket.remove("k", 0, None, 1, -1), Deferred[OperationResult])
    watched = ClientDurability(ReplicateTo.ONE, PersistTo.ACTIVE)
    assert_type(
        bucket.upsert_multi({"k": 1}, durability=watched), Deferred[MultiResult[OperationResult]]
    )
    assert_type(bucket.endure("k", 1, 1), Deferred[OperationResult])
    assert_type(
        bucket.endure_multi(["k"], check_removed=True), Deferred[MultiResult[OperationResult]]
    )
    assert_type(handle.upsert("k", 1, durability=ServerDurability(level)), OperationResult)
    with bucket.durability(1, 1, timeout=2.5), handle.durability():
        pass
    result = handle.upsert("k", 1)
    assert_type(result.mutation_token, MutationToken | None)
    state = MutationState(result)
    assert_type(state.encode(), str)
    assert_type(MutationState.decode("{}"), MutationState)
    bucket.upsert("k", 1, durability=1)  # type: ignore[arg-type]
    bucket.upsert("k", 1, durability="majority")  # type: ignore[arg-type]
    bucket.upsert("k", 1, persist_to="1")  # type: ignore[arg-type]
    bucket.get("k", durability=level)  # type: ignore[call-overload]


@dataclass
class User:
    """A document."""

    name: str


class Part(TypedDict):
    """A part of one."""

    name: str


def typed(bucket: Bucket) -> None:
    """What reads into a type gives results of that type."""
    assert_type(bucket.get("k", type=User), Deferred[ValueResult[User]])
    assert_type(bucket.get("k", 5, quiet=True, type=Part), Deferred[ValueResult[Part]])
    assert_type(bucket.get("k", type=list[User]), Deferred[ValueResult[list[User]]])
    assert_type(bucket.get("k", type=User | None), Deferred[ValueResult])
    assert_type(bucket.get("k", type=None), Deferred[ValueResult])
    assert_type(bucket.get_and_touch("k", 5, type=User), Deferred[ValueResult[User]])
    assert_type(bucket.lock("k", 5, type=User), Deferred[ValueResult[User]])
    assert_type(bucket.get_and_lock("k", 5, type=User), Deferred[ValueResult[User]])
    assert_type(bucket.rget("k", type=User), Deferred[ReplicaResult[User]])
    assert_type(bucket.get_any_replica("k", type=User), Deferred[ReplicaResult[User]])
    assert_type(bucket.get_all_replicas("k", type=User), Deferred[list[ReplicaResult[User]]])
    assert_type(bucket.get_multi(["k"], type=User), Deferred[MultiResult[ValueResult[User]]])
    assert_type(bucket.lock_multi({"k": 5}, type=User), Deferred[MultiResult[ValueResult[User]]])
    assert_type(bucket.rget_multi(["k"], type=User), Deferred[MultiResult[ReplicaResult[User]]])
    assert_type(
        bucket.get_any_replica_multi(["k"], type=User), Deferred[MultiResult[ReplicaResult[User]]]
    )
    assert_type(bucket.default_collection().get("k", type=User), Deferred[ValueResult[User]])
    assert_type(
        bucket.get_and_touch_multi(["k"], 5, type=User), Deferred[MultiResult[ValueResult[User]]]
    )
    assert_type(
        bucket.get_and_lock_multi(["k"], 5, type=User), Deferred[MultiResult[ValueResult[User]]]
    )
    assert_type(
        bucket.get_all_replicas_multi(["k"], type=User), Deferred[MultiResult[ReplicasResult[User]]]
    )
    assert_type(bucket.get_stream(["k"], type=User), ResultStream[ValueResult[User]])
    assert_type(bucket.scan(PrefixScan("k"), type=User), ResultStream[ScanResult[User]])
    assert_type(bucket.threadsafe().get("k", type=User).value, User)
    bucket.upsert("k", User("a"))
    bucket.remove("k", type=User)  # type: ignore[call-arg]


async def typed_values(bucket: Bucket) -> None:
    """Values, and what is converted, are of the type."""
    assert_type((await bucket.get("k", type=User)).value, User)
    (await bucket.get("k", type=User)).value.nosuch  # type: ignore[attr-defined]  # noqa: B018
    assert_type((await bucket.get("k")).content_as[User], User)
    assert_type((await bucket.lookup_in("k", sd.get("a"))).content_as[User](0), User)


def status(cluster: Cluster, bucket: Bucket) -> None:
    """The status page, of Buckets and Clusters."""
    latencies = Latencies()
    pages = StatusResource(bucket, cluster, latencies=latencies, keys=True, refresh=5)
    assert_type(pages, StatusResource)
    assert_type(pages.answer("GET", "/ready"), Answer)
    StatusResource("bucket")  # type: ignore[arg-type]
    StatusResource(bucket, latencies="yes")  # type: ignore[arg-type]
