"""What a type checker says to a consumer: mypy reads this (`files` in setup.cfg), nobody runs it.

An `ignore` that is not needed is an error too, so the lines that must be refused are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, assert_type

from gevent.event import Event

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
from couchloop.health import ClusterState, DiagnosticsReport, PingReport
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
from couchloop.retries import BestEffort, FailFast
from couchloop.status import Latencies
from couchloop.status.answers import Answer
from couchloop.transcoder import FMT_UTF8, Transcoder
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.collection import Collection, Scope
from gcouchbase.datastructures import CouchbaseList, CouchbaseMap, CouchbaseQueue, CouchbaseSet
from gcouchbase.management import CollectionManager
from gcouchbase.pool import BucketPool
from gcouchbase.status import StatusApplication
from gcouchbase.stream import ResultStream
from gcouchbase.testing import ServedCluster, serve


class OwnBucket(Bucket):
    """An application's own."""


def opening() -> None:
    """Clusters and Buckets."""
    cluster = Cluster("couchbase://localhost")
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    assert_type(cluster.open_bucket("default"), Bucket)
    assert_type(cluster.cluster_info(), ClusterInfo)
    assert_type(cluster.buckets().get_bucket("b"), BucketInfo)
    assert_type(cluster.buckets().get_all_buckets(), list[BucketInfo])
    assert_type(cluster.users().get_user("u"), UserAndMetadata)
    assert_type(cluster.cluster_manager().bucket_info("b"), HttpResult)
    assert_type(cluster.http_request("/pools", timeout=5.0), HttpResult)
    assert_type(Cluster().connection_string, str)
    assert_type(Bucket("couchbase://host/name", username="u", password="p"), Bucket)
    assert_type(OwnBucket("couchbase://host/name", username="u", password="p"), OwnBucket)
    assert_type(serve(), ServedCluster)
    assert_type(cluster.connection_budget(processes=2), ConnectionBudget)
    cluster.open_bucket("default", quiet=True, shared=False, resolver=None)
    cluster.open_bucket("default", quiett=True)  # type: ignore[call-arg]
    cluster.open_bucket("default", quiet="yes")  # type: ignore[arg-type]
    cluster.open_bucket("default", tls_factory=len)  # type: ignore[call-arg]
    Cluster("couchbase://localhost", Bucket, None)  # type: ignore[call-arg]
    Cluster(1)  # type: ignore[arg-type]
    Cluster(retry_strategy=FailFast())
    Cluster(retry_strategy=5)  # type: ignore[arg-type]
    Bucket("couchbase://host/name", user="u")  # type: ignore[call-arg]
    Bucket("couchbase://host/name", ssl_context=len)  # type: ignore[arg-type]


def pools(cluster: Cluster) -> None:
    """Pools give Buckets."""
    pool = BucketPool(cluster, "default", 3, quiet=True)
    assert_type(pool.pick(), Bucket)
    pool.close(timeout=1)
    BucketPool(cluster, "default", 3, quiett=True)  # type: ignore[call-arg]
    BucketPool(cluster, "default", 3, shared=False)  # type: ignore[call-arg]


def threads(bucket: Bucket) -> None:
    """Handles for threads give values too."""
    handle = bucket.threadsafe()
    assert_type(handle, ThreadSafeBucket)
    assert_type(handle.get("k", timeout=1), ValueResult)
    assert_type(handle.get_multi(["k"]), MultiResult[ValueResult])
    assert_type(handle.ping(), PingReport)
    assert_type(handle.upsert_stream({"k": 1}, persist_to=1), ThreadStream[OperationResult])
    with handle.scope("s").collection("c").get_stream(["k"], progress=print) as stream:
        assert_type(next(stream), ValueResult)
        assert_type(stream.run(), Summary)
    with handle.pipeline() as pipeline:
        assert_type(pipeline, ThreadPipeline)
        assert_type(pipeline.results, Sequence[Any])
    handle.get(1)  # type: ignore[call-overload]


def operations(bucket: Bucket) -> None:
    """Methods give results."""
    assert_type(bucket.get("k"), ValueResult)
    assert_type(bucket.get(b"k", 10, quiet=True, timeout=1.5), ValueResult)
    assert_type(bucket.get("k", retry_strategy=FailFast()), ValueResult)
    assert_type(bucket.upsert("k", {"any": ["thing"]}, ttl=10), OperationResult)
    assert_type(bucket.insert("k", "v", format=FMT_UTF8), OperationResult)
    assert_type(bucket.replace("k", 1, cas=1), OperationResult)
    assert_type(bucket.append("k", "v"), OperationResult)
    assert_type(bucket.prepend("k", "v"), OperationResult)
    assert_type(bucket.remove("k"), OperationResult)
    assert_type(bucket.touch("k", 10), OperationResult)
    assert_type(bucket.counter("k", delta=2, initial=0), ValueResult)
    assert_type(bucket.rget("k", 0), ReplicaResult)
    assert_type(bucket.rget_multi(["k"]), MultiResult[ReplicaResult])
    assert_type(bucket.get_any_replica("k"), ReplicaResult)
    assert_type(bucket.get_any_replica_multi(["k"]), MultiResult[ReplicaResult])
    assert_type(bucket.get_all_replicas("k"), list[ReplicaResult])
    assert_type(bucket.observe("k"), ValueResult)
    assert_type(bucket.observe_multi(["k"]), MultiResult[ValueResult])
    assert_type(bucket.stats("uuid"), StatsResult)
    items = ItemOptionDict()
    assert_type(items.create_and_add("k", 1, ttl=5), Item)
    assert_type(bucket.upsert_multi(items), MultiResult[OperationResult])
    assert_type(bucket.get_multi(items), MultiResult[ValueResult])
    assert_type(bucket.append_items(items), MultiResult[OperationResult])
    assert_type(bucket.prepend_items(items), MultiResult[OperationResult])
    assert_type(bucket.prepend_items(items), MultiResult[OperationResult])
    assert_type(bucket.get_and_touch("k", timedelta(days=90)), ValueResult)
    assert_type(bucket.set("k", 1), OperationResult)
    assert_type(bucket.incr("k", 5, initial=1), ValueResult)
    assert_type(bucket.decr_multi(["k"], 5), MultiResult[ValueResult])
    assert_type(bucket.exists("k"), ExistsResult)
    assert_type(bucket.lock("k", 5), ValueResult)
    assert_type(bucket.get_and_lock("k", timedelta(seconds=5)), ValueResult)
    assert_type(bucket.unlock("k", 5), OperationResult)
    assert_type(bucket.exists_multi(["k"]), MultiResult[ExistsResult])
    assert_type(bucket.lock_multi({"k": 5}), MultiResult[ValueResult])
    assert_type(bucket.unlock_multi({"k": 5}), MultiResult[OperationResult])
    assert_type(bucket.get_and_touch_multi(["k"], 5), MultiResult[ValueResult])
    assert_type(bucket.get_and_lock_multi({"k": 5}), MultiResult[ValueResult])
    assert_type(bucket.get_all_replicas_multi(["k"]), MultiResult[ReplicasResult])
    bucket.upsert("k", 1, ttl=timedelta(days=40), transcoder=Transcoder)
    bucket.upsert("k", 1, expiry=datetime.now(UTC))
    bucket.lock("k", datetime.now(UTC))  # type: ignore[call-overload]
    bucket.unlock_multi(["k"])  # type: ignore[arg-type]
    assert_type(bucket.ping(timeout=1.5, report_id="mine"), PingReport)
    assert_type(bucket.diagnostics(), DiagnosticsReport)
    assert_type(bucket.get_multi(["k"]), MultiResult[ValueResult])
    assert_type(bucket.upsert_multi({"k": 1}), MultiResult[OperationResult])
    assert_type(bucket.insert_multi({"k": 1}), MultiResult[OperationResult])
    assert_type(bucket.replace_multi({"k": 1}), MultiResult[OperationResult])
    assert_type(bucket.append_multi({"k": "v"}), MultiResult[OperationResult])
    assert_type(bucket.prepend_multi({"k": "v"}), MultiResult[OperationResult])
    assert_type(bucket.remove_multi(["k"]), MultiResult[OperationResult])
    assert_type(bucket.touch_multi(["k"], ttl=1), MultiResult[OperationResult])
    assert_type(bucket.counter_multi(["k"]), MultiResult[ValueResult])
    bucket.wait_until_ready(5, ClusterState.DEGRADED)
    _: int = bucket.wait_until_ready(5)  # type: ignore[assignment, func-returns-value]
    bucket.get()  # type: ignore[call-overload]
    bucket.ping(1, "mine")  # type: ignore[call-arg, arg-type]
    bucket.get(1)  # type: ignore[call-overload]
    bucket.get("k", ttl="10")  # type: ignore[call-overload]
    bucket.get("k", nosuch=1)  # type: ignore[call-overload]
    bucket.get("k", retry_strategy=BestEffort)  # type: ignore[call-overload]
    bucket.upsert("k")  # type: ignore[call-arg]
    bucket.get("k").nosuch  # type: ignore[attr-defined]  # noqa: B018 - the line that is refused
    bucket.timeout = "1"  # type: ignore[assignment]
    bucket.connected = True  # type: ignore[misc]


def results(bucket: Bucket) -> None:
    """Results know their parts."""
    got = bucket.get("k")
    assert_type(got.cas, int)
    assert_type(got.success, bool)
    assert_type(got.content_as[dict], dict[Any, Any])
    assert_type(got.content_as[str], str)
    value: Any = got.value
    bucket.upsert("k", value)
    assert_type(bucket.get_multi(["k"])["k"], ValueResult)
    assert_type(bucket.upsert_multi({"k": 1}).all_ok, bool)


def closing() -> None:
    """A Bucket is a context, of its own class."""
    with OwnBucket("couchbase://host/name") as own:
        assert_type(own, OwnBucket)
    assert_type(own._get_close_future(), Event)


def subdocuments(bucket: Bucket) -> None:
    """Specs are of one type, and so are their results."""
    assert_type(bucket.lookup_in("k", sd.get("a"), sd.exists("b")), SubdocResult)
    assert_type(bucket.lookup_in("k", [sd.get("a")], quiet=True), SubdocResult)
    assert_type(bucket.retrieve_in("k", "a", "b[0]"), SubdocResult)
    assert_type(
        bucket.mutate_in("k", sd.upsert("a", 1, create_parents=True), cas=1, upsert_doc=True),
        SubdocResult,
    )
    assert_type(bucket.get("k", project=["a"], with_expiry=True), ValueResult)
    assert_type(bucket.lookup_in_any_replica("k", sd.get("a")), SubdocResult)
    assert_type(bucket.lookup_in_all_replicas("k", sd.get("a")), list[SubdocResult])
    bucket.lookup_in("k", "a")  # type: ignore[arg-type]
    bucket.mutate_in("k", sd.counter("a", 1.5))  # type: ignore[arg-type]
    result = bucket.lookup_in("k", sd.get("a"))
    assert_type(result.content_as[int](0), int)
    assert_type(result.content_as[dict]("a"), dict[Any, Any])


def structures(bucket: Bucket) -> None:
    """Methods of structures give results, numbers and truths."""
    assert_type(bucket.map_add("k", "a", 1, create=True), OperationResult)
    assert_type(bucket.map_get("k", "a"), ValueResult)
    assert_type(bucket.map_remove("k", "a"), OperationResult)
    assert_type(bucket.map_size("k"), int)
    assert_type(bucket.list_append("k", 1), OperationResult)
    assert_type(bucket.list_prepend("k", 1), OperationResult)
    assert_type(bucket.list_set("k", 0, 1), OperationResult)
    assert_type(bucket.list_get("k", -1), ValueResult)
    assert_type(bucket.list_remove("k", 0), OperationResult)
    assert_type(bucket.list_size("k"), int)
    assert_type(bucket.set_add("k", 1), OperationResult | None)
    assert_type(bucket.set_remove("k", 1), OperationResult | None)
    assert_type(bucket.set_contains("k", 1), bool)
    assert_type(bucket.set_size("k"), int)
    assert_type(bucket.queue_push("k", 1), OperationResult)
    assert_type(bucket.queue_pop("k"), ValueResult)
    assert_type(bucket.queue_size("k"), int)
    bucket.list_get("k", "0")  # type: ignore[arg-type]
    assert_type(CouchbaseList("k", bucket).get_all(), list[Any])
    assert_type(CouchbaseMap("k", bucket).get_all(), dict[str, Any])
    assert_type(CouchbaseSet("k", bucket).values(), set[Any])
    assert_type(CouchbaseQueue("k", bucket).size(), int)


def collections(bucket: Bucket, safe: ThreadSafeBucket) -> None:
    """Collections have the Bucket's methods, with their types."""
    assert_type(bucket.scope("s"), Scope)
    assert_type(bucket.default_scope().collection("c"), Collection)
    collection = bucket.scope("s").collection("c")
    assert_type(collection, Collection)
    assert_type(bucket.collection("c"), Collection)
    assert_type(bucket.default_collection(), Collection)
    assert_type(collection.get("k"), ValueResult)
    assert_type(collection.upsert_multi({"k": 1}), MultiResult[OperationResult])
    assert_type(collection.lookup_in("k", sd.get("a")), SubdocResult)
    assert_type(collection.name, str)
    assert_type(collection.scope, str)
    assert_type({collection: 1}, dict[Collection, int])
    assert_type(bucket.collections(), CollectionManager)
    assert_type(bucket.collections().get_all_scopes(), list[ScopeSpec])
    assert_type(safe.scope("s").collection("c"), ThreadSafeCollection)
    assert_type(safe.collection("c").get("k"), ValueResult)
    assert_type(safe.collections().get_all_scopes(), list[ScopeSpec])
    bucket.collection(1)  # type: ignore[arg-type]
    collection.ping()  # type: ignore[attr-defined]
    collection.close()  # type: ignore[attr-defined]


def streams(bucket: Bucket, collection: Collection) -> None:
    """Streams are iterators of results."""
    assert_type(bucket.get_stream(["k"]), ResultStream[ValueResult])
    assert_type(bucket.upsert_stream({"k": 1}), ResultStream[OperationResult])
    assert_type(collection.exists_stream(iter("ab")), ResultStream[ExistsResult])
    for result in bucket.counter_stream([("k", 1), "m"], initial=1):
        assert_type(result, ValueResult)
        assert_type(result.error, CouchbaseError | None)
    assert_type(bucket.remove_stream(["k"]).run(), Summary)
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
    assert_type(bucket.upsert("k", 1, durability=level), OperationResult)
    assert_type(collection.counter("k", durability=level), ValueResult)
    assert_type(bucket.mutate_in("k", sd.remove("a"), durability=level), SubdocResult)
    assert_type(bucket.remove("k", 0, None, 1, -1), OperationResult)
    watched = ClientDurability(ReplicateTo.ONE, PersistTo.ACTIVE)
    assert_type(bucket.upsert_multi({"k": 1}, durability=watched), MultiResult[OperationResult])
    assert_type(bucket.endure("k", 1, 1), OperationResult)
    assert_type(bucket.endure_multi(["k"], check_removed=True), MultiResult[OperationResult])
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
    assert_type(bucket.get("k", type=User), ValueResult[User])
    assert_type(bucket.get("k", 5, quiet=True, type=Part), ValueResult[Part])
    assert_type(bucket.get("k", type=list[User]), ValueResult[list[User]])
    assert_type(bucket.get("k", type=User | None), ValueResult)
    assert_type(bucket.get("k", type=None), ValueResult)
    assert_type(bucket.get_and_touch("k", 5, type=User), ValueResult[User])
    assert_type(bucket.lock("k", 5, type=User), ValueResult[User])
    assert_type(bucket.get_and_lock("k", 5, type=User), ValueResult[User])
    assert_type(bucket.rget("k", type=User), ReplicaResult[User])
    assert_type(bucket.get_any_replica("k", type=User), ReplicaResult[User])
    assert_type(bucket.get_all_replicas("k", type=User), list[ReplicaResult[User]])
    assert_type(bucket.get_multi(["k"], type=User), MultiResult[ValueResult[User]])
    assert_type(bucket.lock_multi({"k": 5}, type=User), MultiResult[ValueResult[User]])
    assert_type(bucket.rget_multi(["k"], type=User), MultiResult[ReplicaResult[User]])
    assert_type(bucket.get_any_replica_multi(["k"], type=User), MultiResult[ReplicaResult[User]])
    assert_type(bucket.default_collection().get("k", type=User), ValueResult[User])
    assert_type(bucket.get_and_touch_multi(["k"], 5, type=User), MultiResult[ValueResult[User]])
    assert_type(bucket.get_and_lock_multi(["k"], 5, type=User), MultiResult[ValueResult[User]])
    assert_type(bucket.get_all_replicas_multi(["k"], type=User), MultiResult[ReplicasResult[User]])
    assert_type(bucket.get_stream(["k"], type=User), ResultStream[ValueResult[User]])
    assert_type(bucket.scan(PrefixScan("k"), type=User), ResultStream[ScanResult[User]])
    assert_type(bucket.threadsafe().get("k", type=User).value, User)
    bucket.upsert("k", User("a"))
    bucket.remove("k", type=User)  # type: ignore[call-arg]
    assert_type(bucket.get("k", type=User).value, User)
    bucket.get("k", type=User).value.nosuch  # type: ignore[attr-defined]  # noqa: B018
    assert_type(bucket.get("k").content_as[User], User)
    assert_type(bucket.lookup_in("k", sd.get("a")).content_as[User](0), User)


def status(cluster: Cluster, bucket: Bucket) -> None:
    """The status page, of Buckets and Clusters."""
    latencies = Latencies()
    pages = StatusApplication(bucket, cluster, latencies=latencies, keys=True, refresh=5)
    assert_type(pages, StatusApplication)
    assert_type(pages.answer("GET", "/ready"), Answer)
    StatusApplication("bucket")  # type: ignore[arg-type]
    StatusApplication(bucket, latencies="yes")  # type: ignore[arg-type]
