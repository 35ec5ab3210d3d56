"""Durable changes, on either loop against the embedded cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from math import inf
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.durability import ClientDurability, Durability, ServerDurability
from couchloop.embedded import BucketSettings
from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    ArgumentError,
    CasMismatchError,
    CouchbaseError,
    DurabilityAmbiguousError,
    DurabilityImpossibleError,
    DurabilityLevelNotAvailableError,
    DurabilityTimeoutError,
    InvalidDurabilityError,
    InvalidTimeoutError,
    MissingTokenError,
    MutationLostError,
    NotFoundError,
    TimeoutError,  # noqa: A004 - 2.5's name
    TooFewReplicasError,
)
from couchloop.mutation_state import MutationState
from couchloop.wire import Opcode, Status
from tests.conformance.loops import Loop, cluster_at, cluster_of, opened

MAJORITY = Durability.MAJORITY
BY_TOKEN = "fetch_mutation_tokens=true"


def at(loop: Loop, served: Any, options: str = "") -> Any:
    """Return a Cluster of *served*, with options."""
    return cluster_at(loop, f"{served.connection_string}?{options}")


def node_of(served: Any, bucket: Any, key: str, copy: int = -1) -> Any:
    """Return the node with the active copy of a key, or a replica."""
    config = bucket._driver.session.config
    vbucket = config.vbucket(key.encode())
    index = config.active[vbucket] if copy < 0 else config.chains[copy][vbucket]
    port = config.nodes[index].address("default", "kv").port
    return next(node for node in served.cluster.nodes if node.ports["kv"] == port)


def active_copy(served: Any, bucket: Any, key: str) -> Any:
    """Return the active copy of a key's vbucket."""
    vbucket = bucket._driver.session.config.vbucket(key.encode())
    node = node_of(served, bucket, key)
    return served.cluster.buckets["default"].partitions[vbucket].copies[node.node_id]


def is_stored(served: Any, bucket: Any, key: str, value: bytes) -> bool:
    """Return whether the active copy has this value, in any collection."""
    documents = active_copy(served, bucket, key).documents
    return any(
        name == key.encode() and document.value == value
        for (_, name), document in documents.items()
    )


@pytest.mark.parametrize("level", [*Durability, ServerDurability(Durability.PERSIST_TO_MAJORITY)])
def test_levels(loop: Loop, level: Any) -> None:
    """Each kind of change takes each level, batches and collections too."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        served.cluster.create_collection("default", "a.b")
        for where in (bucket, bucket.scope("a").collection("b")):
            loop.wait(where.insert("k", {"n": 1}, durability=level))
            loop.wait(where.upsert("k", {"n": 2}, durability=level))
            loop.wait(where.replace("k", {"n": 3}, durability=level))
            loop.wait(where.mutate_in("k", sd.counter("n", 1), durability=level))
            assert loop.wait(where.get("k")).value == {"n": 4}
            loop.wait(where.list_append("l", 1, create=True, durability=level))
            loop.wait(where.remove("k", durability=level))
            loop.wait(where.counter("n", initial=1, durability=level))
            loop.wait(where.append("n", "0", durability=level))
            loop.wait(where.prepend("n", "2", durability=level))
            assert loop.wait(where.get("n")).value == 210
            documents = dict.fromkeys(map(str, range(200)), 1)
            assert loop.wait(where.upsert_multi(documents, durability=level)).all_ok
            assert loop.wait(where.remove_multi(list(documents), durability=level)).all_ok


def test_pending(loop: Loop) -> None:
    """It waits for the replicas, unseen; another change of the document waits for it."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", "old"))
        served.cluster.hold_replication("default")
        first = loop.start(bucket.upsert, "k", "first", durability=MAJORITY)
        copy = active_copy(served, bucket, "k")
        loop.until(lambda: copy.prepared)
        second = loop.start(bucket.upsert, "k", "second")
        assert not first.done
        served.cluster.hold_replication("default", hold=False)
        assert first.outcome().cas
        assert second.outcome().cas
        assert loop.wait(bucket.get("k")).value == "second"


def test_ambiguous(loop: Loop) -> None:
    """The server tells that it does not know; the connection stays in use."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        fault = served.cluster.inject(opcode=Opcode.SET, status=Status.SYNC_WRITE_AMBIGUOUS)
        before = [each["id"] for each in bucket.diagnostics()["services"]["kv"]]
        with pytest.raises(DurabilityAmbiguousError) as caught:
            loop.wait(bucket.upsert("k", 1, durability=MAJORITY))
        assert caught.value.key == "k"
        assert fault.hits == 1, "it is not tried again"
        fault.remove()
        loop.wait(bucket.upsert("k", 1, durability=MAJORITY))
        assert [each["id"] for each in bucket.diagnostics()["services"]["kv"]] == before


def test_killed(loop: Loop) -> None:
    """A node that dies amid a durable change leaves it there or not, and never half."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", "old"))
        served.cluster.hold_replication("default")
        pending = loop.start(bucket.upsert, "k", "new", durability=MAJORITY)
        node = node_of(served, bucket, "k")
        copy = active_copy(served, bucket, "k")
        loop.until(lambda: copy.prepared)
        served.cluster.stop(node)
        assert type(pending.outcome()) is AmbiguousConnectionLostError
        served.cluster.failover(node)
        served.cluster.hold_replication("default", hold=False)
        served.cluster.remove_node(node)
        value = loop.wait(bucket.get("k", timeout=10.0)).value
        assert value in {"old", "new"}
        loop.wait(bucket.upsert("k", "newer", durability=MAJORITY))
        assert loop.wait(bucket.get("k")).value == "newer"


def test_impossible(loop: Loop) -> None:
    """Too few copies, and levels that a bucket without disks does not have, are told at once."""
    buckets = ["default", BucketSettings("memory", ephemeral=True)]
    with loop.serving(loop.embedded(2, buckets)) as served:
        cluster = cluster_of(loop, served)
        with opened(loop, cluster, "memory") as bucket:
            with pytest.raises(DurabilityLevelNotAvailableError):
                loop.wait(bucket.upsert("k", 1, durability=Durability.PERSIST_TO_MAJORITY))
            loop.wait(bucket.upsert("k", 1, durability=MAJORITY))
        with opened(loop, cluster) as bucket:
            served.cluster.failover(served.cluster.nodes[1])
            with pytest.raises(DurabilityImpossibleError):
                loop.wait(bucket.upsert("k", 1, durability=MAJORITY))
            session = bucket._driver.session
            loop.until(lambda: max(session.config.chains[0]) < 0)
            with pytest.raises(TooFewReplicasError) as caught:
                loop.wait(bucket.upsert("k", 1, replicate_to=1))
            assert isinstance(caught.value, ArgumentError)
            with pytest.raises(NotFoundError):
                loop.wait(bucket.get("k"))
            loop.wait(bucket.upsert("k", 1, persist_to=-1, replicate_to=-1))


options = pytest.mark.parametrize("options", ["", BY_TOKEN], ids=["cas", "tokens"])


@options
def test_copies(loop: Loop, options: str) -> None:
    """persist_to and replicate_to wait until copies have the change, which was made before."""
    with (
        loop.serving(loop.embedded(3, replicas=2)) as served,
        opened(loop, at(loop, served, options)) as bucket,
    ):
        served.cluster.create_collection("default", "a.b")
        for number, where in enumerate((bucket, bucket.scope("a").collection("b"))):
            served.cluster.delay_replication("default", inf)
            pending = loop.start(where.upsert, "k", number, replicate_to=2)
            value = f"{number}".encode()
            loop.until(partial(is_stored, served, bucket, "k", value))
            assert not pending.done
            served.cluster.delay_replication("default", 0.0)
            assert pending.outcome().cas == loop.wait(where.get("k")).cas
            everywhere = ClientDurability(-1, -1)
            loop.wait(where.mutate_in("k", sd.replace("", {"n": 1}), durability=everywhere))
            loop.wait(where.map_add("k", "m", 2, replicate_to=-1))
            assert loop.wait(where.get("k")).value == {"n": 1, "m": 2}
            documents = dict.fromkeys(map(str, range(200)), 1)
            assert loop.wait(where.upsert_multi(documents, persist_to=3)).all_ok
            assert loop.wait(where.endure_multi(list(documents))).all_ok
            assert loop.wait(where.remove_multi(list(documents), replicate_to=2)).all_ok
            endured = where.endure_multi(list(documents), check_removed=True, persist_to=3)
            assert loop.wait(endured).all_ok


@options
def test_lost(loop: Loop, options: str) -> None:
    """A failover that loses the change is told, in a batch by the keys that are concerned."""
    # So many copies that the others still find one.
    cluster = loop.embedded(3, replicas=2)
    with loop.serving(cluster) as served, opened(loop, at(loop, served, options)) as bucket:
        loop.wait(bucket.upsert("k", "old"))
        keys = [f"k{number}" for number in range(50)]
        node = node_of(served, bucket, "k")
        here = {key for key in keys if node_of(served, bucket, key) is node}
        served.cluster.delay_replication("default", inf)
        one = loop.start(bucket.upsert, "k", "new", replicate_to=1, timeout=20.0)
        many = loop.start(bucket.upsert_multi, dict.fromkeys(keys, 1), replicate_to=1)
        loop.until(lambda: is_stored(served, bucket, "k", b'"new"'))
        loop.until(lambda: all(is_stored(served, bucket, key, b"1") for key in keys))
        served.cluster.stop(node)
        served.cluster.failover(node)
        error = one.outcome()
        assert type(error) is MutationLostError
        assert error.result.cas
        served.cluster.delay_replication("default", 0.0)
        failure = many.outcome()
        assert isinstance(failure, CouchbaseError)
        results = failure.all_results
        assert results is not None
        lost = {key for key, result in results.items() if result.rc == MutationLostError.CODE}
        assert lost == here
        assert loop.wait(bucket.get("k")).value == "old"


@options
def test_too_late(loop: Loop, options: str) -> None:
    """Its time over, the change is made, and the error has its result."""
    options += "&durability_timeout=0.3"
    with loop.serving() as served, opened(loop, at(loop, served, options)) as bucket:
        served.cluster.delay_replication("default", inf)
        with pytest.raises(DurabilityTimeoutError) as caught:
            loop.wait(bucket.upsert("k", 1, replicate_to=1))
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.result.cas == loop.wait(bucket.get("k")).cas
        with pytest.raises(DurabilityTimeoutError):
            loop.wait(bucket.endure("k", timeout=0.2))
        with pytest.raises(DurabilityTimeoutError) as failed:
            loop.wait(bucket.upsert_multi({"a": 1, "b": 2}, replicate_to=1))
        assert failed.value.all_results is not None
        assert [*failed.value.all_results] == ["a", "b"]


def test_endure(loop: Loop) -> None:
    """It waits for a document that is there; its errors say what is wrong with it."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        stored = loop.wait(bucket.upsert("k", 1))
        assert loop.wait(bucket.endure("k", -1, -1)).cas == stored.cas
        assert loop.wait(bucket.endure("k", 1, 0, cas=stored.cas)).success
        with pytest.raises(CasMismatchError):
            loop.wait(bucket.endure("k", cas=1))
        with pytest.raises(NotFoundError):
            loop.wait(bucket.endure("no"))
        with pytest.raises(TooFewReplicasError):
            loop.wait(bucket.endure("k", replicate_to=2))


def test_blocks(loop: Loop) -> None:
    """`durability()` is for the calls within; other tasks are not concerned, nor other Buckets."""
    with (
        loop.serving(loop.embedded(3, ["default", "other"])) as served,
        opened(loop, cluster_of(loop, served)) as bucket,
        opened(loop, cluster_of(loop, served), "other") as other,
    ):
        served.cluster.delay_replication("default", inf)
        served.cluster.delay_replication("other", inf)
        outside = copy_context()
        with bucket.durability(persist_to=0, replicate_to=1, timeout=0.2):
            with pytest.raises(DurabilityTimeoutError):
                loop.wait(bucket.upsert("k", 1))
            with pytest.raises(DurabilityTimeoutError):
                loop.wait(bucket.upsert_multi({"a": 1, "b": 1}))
            with pytest.raises(DurabilityTimeoutError):
                loop.wait(bucket.list_append("l", 1, create=True))
            with pytest.raises(DurabilityTimeoutError):
                loop.wait(bucket.default_collection().upsert("k", 1))
            loop.wait(bucket.upsert("k", 1, durability=Durability.NONE))
            loop.wait(other.upsert("k", 1))
            loop.wait(outside.run(bucket.upsert, "k", 1))
        loop.wait(bucket.upsert("k", 1))
        again = bucket.durability(persist_to=0, replicate_to=1, timeout=0.2)
        for _ in range(2):
            with again, pytest.raises(DurabilityTimeoutError) as caught:
                loop.wait(bucket.upsert("k", 1))
            assert caught.value.cas == loop.wait(bucket.get("k")).cas
        with pytest.raises(InvalidDurabilityError):
            bucket.durability(persist_to="x")
        with pytest.raises(InvalidTimeoutError):
            bucket.durability(timeout=float("nan"))


def test_tasks(loop: Loop) -> None:
    """A block that a task is in, while it waits, is no concern of others."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        served.cluster.delay_replication("default", inf)

        def blocking() -> Any:
            with bucket.durability(0, 1, 20.0):
                bucket.upsert("a", 1)
                return bucket.upsert("c", 1)

        async def awaiting() -> Any:
            with bucket.durability(0, 1, 20.0):
                await bucket.upsert("a", 1)
                return await bucket.upsert("c", 1)

        def beginning() -> Any:
            from twisted.internet.defer import Deferred  # noqa: PLC0415 - of that loop alone

            return Deferred.fromCoroutine(awaiting())

        task = loop.start(blocking if loop.name == "gevent" else beginning)
        loop.until(lambda: is_stored(served, bucket, "a", b"1"))
        # No replica will ever have it, and nobody waits for that.
        loop.wait(bucket.upsert("b", 1))
        assert not task.done
        served.cluster.delay_replication("default", 0.0)
        assert task.outcome().cas


def test_threads(loop: Loop) -> None:
    """A handle for threads has all of it; a block of a thread is that thread's own."""
    with loop.serving() as served, opened(loop, at(loop, served, BY_TOKEN)) as bucket:
        handle = bucket.threadsafe()

        def work() -> Any:
            handle.upsert("k", 1, durability=MAJORITY)
            handle.upsert("k", 2, persist_to=-1)
            handle.upsert_multi({"a": 1, "b": 2}, replicate_to=1)
            handle.endure("k")
            served.cluster.delay_replication("default", inf)
            with handle.durability(0, 1, 0.2), pytest.raises(DurabilityTimeoutError):
                handle.upsert("k", 3)
            handle.upsert("k", 4)
            return MutationState().add_all(handle)

        with bucket.durability(0, 1, 0.2):
            assert loop.in_thread(work) is True
        assert loop.wait(bucket.get("k")).value == 4


def test_tokens(loop: Loop) -> None:
    """Results have tokens if the Bucket fetches them, and a MutationState takes them."""
    with loop.serving() as served:
        with opened(loop, cluster_of(loop, served)) as bucket:
            result = loop.wait(bucket.upsert("k", 1))
            assert result.mutation_token is None
            with pytest.raises(MissingTokenError, match="fetch_mutation_tokens"):
                MutationState(result)
            with pytest.raises(MissingTokenError):
                MutationState().add_all(bucket)
        with opened(loop, at(loop, served, "enable_mutation_tokens=true")) as bucket:
            first = loop.wait(bucket.upsert("k", 1))
            second = loop.wait(bucket.mutate_in("k", sd.replace("", 2)))
            token = second.mutation_token
            assert token == second._mutinfo
            assert token.bucket == "default"
            assert token.seqno == first.mutation_token.seqno + 1
            state = MutationState(second, first)
            assert state.as_dict() == {
                "default": {str(token.vbucket): [token.seqno, str(token.uuid)]}
            }
            assert MutationState.decode(state.encode()) == state
            loop.wait(bucket.upsert_multi({"a": 1, "b": 2}))
            everything = MutationState()
            everything.add_all(bucket)
            assert len(everything.as_dict()["default"]) == 3


BAD = [
    {"durability": 1},
    {"durability": "majority"},
    {"durability": MAJORITY, "persist_to": 1},
    {"persist_to": "1"},
    {"persist_to": 1.0},
    {"replicate_to": 4},
    {"persist_to": 5},
    {"durability": MAJORITY, "timeout": float("nan")},
    {"persist_to": 1, "timeout": float("inf")},
    {"replicate_to": 2},
]


@pytest.mark.parametrize("more", BAD)
def test_bad_input(loop: Loop, more: dict[str, Any]) -> None:
    """What is wrong is an error with the key; nothing is stored, and the connection stays."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        before = [each["id"] for each in bucket.diagnostics()["services"]["kv"]]
        calls: list[Callable[[], Any]] = [
            lambda: bucket.upsert("k", 1, **more),
            lambda: bucket.remove("k", **more),
            lambda: bucket.counter("k", initial=1, **more),
            lambda: bucket.mutate_in("k", sd.upsert("a", 1), upsert_doc=True, **more),
        ]
        for call in calls:
            with pytest.raises(ArgumentError) as caught:
                loop.wait(call())
            assert caught.value.key == "k"
        with pytest.raises(ArgumentError):
            loop.wait(bucket.upsert_multi({"k": 1, "l": 2}, **more))
        assert not loop.wait(bucket.exists("k"))
        assert [each["id"] for each in bucket.diagnostics()["services"]["kv"]] == before


@options
def test_streams(loop: Loop, options: str) -> None:
    """A stream watches the copies of each key: some succeed, and some are lost, by themselves."""
    with (
        loop.serving(loop.embedded(3, replicas=2)) as served,
        opened(loop, at(loop, served, options)) as bucket,
    ):
        keys = [f"k{number}" for number in range(100)]
        with bucket.durability(persist_to=1, replicate_to=1):
            in_block = bucket.upsert_stream(dict.fromkeys(keys, 1))
        assert loop.wait(in_block.run()) == (100, 0, ())
        node = node_of(served, bucket, "k0")
        here = {key for key in keys if node_of(served, bucket, key) is node}
        served.cluster.delay_replication("default", inf)
        stream = bucket.upsert_stream(dict.fromkeys(keys, 2), replicate_to=1)
        taking = loop.start(stream.run)
        loop.until(lambda: all(is_stored(served, bucket, key, b"2") for key in keys))
        assert not taking.done
        served.cluster.stop(node)
        served.cluster.failover(node)
        served.cluster.delay_replication("default", 0.0)
        done, failed, failures = taking.outcome()
        assert (done, failed) == (len(keys), len(failures))
        assert {each.key for each in failures if type(each.error) is MutationLostError} == here
