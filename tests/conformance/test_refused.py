"""Bad input: the documented exception, with the key, and the Bucket goes on, on either loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from math import inf, nan
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    EmptyKeyError,
    FeatureNotAvailableError,
    InvalidCasError,
    InvalidDeltaError,
    InvalidDurabilityError,
    InvalidKeyError,
    InvalidNameError,
    InvalidSettingError,
    InvalidTimeoutError,
    InvalidTtlError,
    KeyTooLongError,
    SubdocBadDeltaError,
    SubdocCantInsertValueError,
    SubdocInvalidComboError,
    SubdocPathTooBigError,
    TooBigError,
    TooFewReplicasError,
    ValueFormatError,
)
from couchloop.transcoder import FMT_BYTES, FMT_JSON
from couchloop.wire import Feature
from tests.conformance.loops import Loop, cluster_of, opened

MB = 1 << 20

SEVENTEEN = [sd.get(f"a{number}") for number in range(17)]
REFUSED: list[tuple[type[CouchbaseError], str, tuple[Any, ...], dict[str, Any]]] = [
    (EmptyKeyError, "get", ("",), {}),
    (KeyTooLongError, "get", ("k" * 251,), {}),
    (InvalidKeyError, "get", (5,), {}),
    (TooBigError, "upsert", ("k", bytes(20 * MB + 1)), {"format": FMT_BYTES}),
    (TooBigError, "append", ("k", "x" * (20 * MB + 1)), {}),
    (ValueFormatError, "upsert", ("k", {1}), {}),
    (ValueFormatError, "upsert", ("k", nan), {}),
    (ArgumentError, "append", ("k", "x"), {"format": FMT_JSON}),
    (InvalidDeltaError, "counter", ("k", 2**64), {}),
    (InvalidDeltaError, "counter", ("k", 1.5), {}),
    (InvalidDeltaError, "counter", ("k", 1, -1), {}),
    (InvalidDeltaError, "counter", ("k", 1, 2**64), {}),
    (InvalidTtlError, "lock", ("k", 31), {}),
    (InvalidTtlError, "lock", ("k",), {}),
    (InvalidTtlError, "get_and_lock", ("k", timedelta(minutes=1)), {}),
    (InvalidTtlError, "touch", ("k", 40 * 86400), {}),
    (InvalidTtlError, "touch", ("k", -1), {}),
    (InvalidTtlError, "upsert", ("k", 1), {"ttl": datetime(2100, 1, 1)}),  # noqa: DTZ001
    (InvalidTtlError, "get", ("k", 1.5), {}),
    (ArgumentError, "upsert", ("k", 1), {"ttl": 5, "expiry": 5}),
    (InvalidCasError, "replace", ("k", 1), {"cas": "7"}),
    (InvalidCasError, "remove", ("k",), {"cas": 2**64}),
    (InvalidCasError, "unlock", ("k", 0), {}),
    (InvalidTimeoutError, "get", ("k",), {"timeout": inf}),
    (InvalidTimeoutError, "upsert", ("k", 1), {"timeout": nan}),
    (InvalidTimeoutError, "rget", ("k",), {"timeout": 0}),
    (InvalidSettingError, "get", ("k",), {"quiet": "false"}),
    (InvalidSettingError, "remove", ("k",), {"quiet": "false"}),
    (InvalidSettingError, "get", ("k",), {"replica": "yes"}),
    (InvalidSettingError, "upsert", ("k", 1), {"preserve_expiry": "yes"}),
    (ArgumentError, "get", ("k",), {"transcoder": 5}),
    (ArgumentError, "upsert", ("k", 1), {"transcoder": 5}),
    (ArgumentError, "get", ("k",), {"retry_strategy": 5}),
    (ArgumentError, "rget", ("k", 3), {}),
    (KeyTooLongError, "lookup_in", ("k" * 251, sd.get("a")), {}),
    (EmptyKeyError, "list_append", ("", 1), {}),
    (InvalidKeyError, "get_all_replicas", (5,), {}),
    (SubdocPathTooBigError, "lookup_in", ("k", sd.get("a" * 1025)), {}),
    (SubdocPathTooBigError, "mutate_in", ("k", sd.upsert("a" * 1025, 1)), {}),
    (SubdocPathTooBigError, "mutate_in", ("k", sd.upsert(".".join("a" * 33), 1)), {}),
    (SubdocPathTooBigError, "map_add", ("k", "a" * 1025, 1), {}),
    (SubdocInvalidComboError, "mutate_in", ("k", *(sd.upsert(f"a{n}", 1) for n in range(17))), {}),
    (SubdocInvalidComboError, "lookup_in_any_replica", ("k", *SEVENTEEN), {}),
    (ArgumentError, "mutate_in", ("k",), {}),
    (ArgumentError, "lookup_in", ("k", "path"), {}),
    (TooBigError, "mutate_in", ("k", sd.upsert("a", "x" * (20 * MB + 1))), {}),
    (InvalidTtlError, "mutate_in", ("k", sd.upsert("a", 1)), {"ttl": -1}),
    (InvalidCasError, "mutate_in", ("k", sd.upsert("a", 1)), {"cas": "7"}),
    (InvalidCasError, "endure", ("k",), {"cas": "7"}),
    (ArgumentError, "list_get", ("k", "first"), {}),
    (InvalidTimeoutError, "lookup_in", ("k", sd.get("a")), {"timeout": inf}),
    (InvalidTimeoutError, "queue_pop", ("k",), {"timeout": nan}),
    (InvalidTimeoutError, "get_all_replicas", ("k",), {"timeout": nan}),
    (InvalidTimeoutError, "endure", ("k",), {"timeout": nan}),
    (InvalidTtlError, "get_and_touch", ("k", -1), {}),
    (TooFewReplicasError, "upsert", ("k", 1), {"persist_to": 5}),
    (InvalidDurabilityError, "remove", ("k",), {"durability": "majority"}),
    (InvalidDurabilityError, "upsert", ("k", 1), {"persist_to": -2}),
    (InvalidDurabilityError, "endure", ("k",), {"replicate_to": -2}),
]
SHARED = frozenset({"timeout", "quiet", "expiry", "durability", "persist_to", "replica"})
"""Arguments that are given for all keys: what is wrong with them is no key's fault."""
BATCHES: list[tuple[str, Any]] = [
    ("upsert_multi", ["k"]),
    ("upsert_multi", "k"),
    ("upsert_multi", {}),
    ("get_multi", []),
    ("get_multi", 5),
    ("get_multi", "key"),
    ("unlock_multi", ["k"]),
    ("get_and_touch_multi", ["k"]),
    ("get_and_lock_multi", {"k": None}),
    ("get_all_replicas_multi", "k"),
    ("rget_multi", []),
    ("observe_multi", "k"),
]


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve one node."""
    with loop.serving(loop.embedded()) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Open a bucket of it."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


@pytest.fixture
def birds(served: Any, bucket: Any) -> Any:
    """Make a collection, and give it."""
    served.cluster.create_collection("default", "zoo.birds")
    return bucket.scope("zoo").collection("birds")


def check(error: BaseException, kind: type[CouchbaseError], key: Any, *, named: bool) -> None:
    """Check that it is the documented error, about *key* and the right collection."""
    assert isinstance(error, kind), (kind, error)
    assert error.key == key
    if named:
        assert error.context is not None
        assert (error.context.scope, error.context.collection) == ("zoo", "birds")
    assert str(key) not in str(error) or len(str(key)) < 3


def test_calls(loop: Loop, served: Any, bucket: Any, birds: Any) -> None:
    """Each wrong argument is its error, with key and collection; the connection goes on as it is.

    So it is for the Bucket and a collection, and for their handles for threads.
    """
    loop.wait(bucket.upsert("k", 1))
    loop.wait(birds.upsert("k", 1))
    accepted = served.cluster.accepted
    for kind, name, arguments, keywords in REFUSED:
        for where in (bucket, birds):
            with pytest.raises(kind) as caught:
                loop.wait(getattr(where, name)(*arguments, **keywords))
            check(caught.value, kind, arguments[0], named=where is birds)
    handle = bucket.threadsafe()
    collection = handle.scope("zoo").collection("birds")

    def in_thread() -> None:
        for kind, name, arguments, keywords in REFUSED:
            for where in (handle, collection):
                with pytest.raises(kind) as caught:
                    getattr(where, name)(*arguments, **keywords)
                check(caught.value, kind, arguments[0], named=where is collection)

    loop.in_thread(in_thread)
    assert loop.wait(bucket.get("k")).value == 1
    assert served.cluster.accepted == accepted
    assert bucket._driver.session.in_flight == 0


def as_batch(name: str, arguments: tuple[Any, ...]) -> Any:
    """Give what the batch form of a call takes."""
    key, *said = arguments
    if not said:
        return [key]
    if name == "counter":
        return {key: dict(zip(("delta", "initial"), said, strict=False))}
    return {key: said[0]}


def test_batches_and_streams(loop: Loop, bucket: Any, birds: Any) -> None:
    """A batch refuses a wrong argument as one call does; a stream too, or the key's result does."""
    loop.wait(bucket.upsert("k", 1))
    loop.wait(birds.upsert("k", 1))
    for kind, name, arguments, keywords in REFUSED:
        if "cas" in keywords or name in {"rget", "endure"}:
            # Of one document alone, or by position.
            continue
        is_shared = not SHARED.isdisjoint(keywords)
        for where in (bucket, birds):
            key, named = arguments[0], where is birds
            batch = getattr(where, f"{name}_multi", None)
            if batch is not None:
                with pytest.raises(kind) as caught:
                    loop.wait(batch(as_batch(name, arguments), **keywords))
                is_all = is_shared and caught.value.key is None
                check(caught.value, kind, None if is_all else key, named=named)
            stream = getattr(where, f"{name}_stream", None)
            if stream is None or "replica" in keywords:
                continue
            try:
                (result,) = loop.take(stream(as_batch(name, arguments), **keywords))
            except kind as error:
                assert is_shared
                check(error, kind, None, named=named)
            else:
                check(result.error, kind, key, named=named)
                assert (result.success, result.key) == (False, key)
                assert result.error.context.operation == name
    assert loop.wait(bucket.get("k")).value == 1
    assert bucket._driver.session.in_flight == 0


def test_names(loop: Loop, bucket: Any) -> None:
    """What cannot be the name of a scope or a collection is refused where it is given."""
    handle = bucket.threadsafe()
    for name in ("", "a.b", "_mine", "%", "a b", "x" * 252, 5, None):
        for where in (bucket, handle):
            with pytest.raises(InvalidNameError):
                where.scope(name)
            with pytest.raises(InvalidNameError):
                where.collection(name)
            with pytest.raises(InvalidNameError):
                where.scope("zoo").collection(name)
    assert loop.wait(bucket.upsert("k", 1)).success


def test_counters(loop: Loop, bucket: Any, birds: Any) -> None:
    """A counter does not go below 0, and begins anew above 2**64 - 1; parts of documents refuse."""
    for where in (bucket, birds):
        assert loop.wait(where.counter("n", 5, initial=2**64 - 3)).value == 2**64 - 3
        assert loop.wait(where.counter("n", 5)).value == 2
        assert loop.wait(where.counter("n", -7)).value == 0
        loop.wait(where.upsert("k", {"n": 2**63 - 1, "x": "y"}))
        for delta in (2**63, 0, 1.5, "1"):
            with pytest.raises(SubdocBadDeltaError):
                sd.counter("n", delta)  # type: ignore[arg-type]
        with pytest.raises(SubdocCantInsertValueError) as caught:
            loop.wait(where.mutate_in("k", sd.counter("n", 1)))
        check(caught.value, SubdocCantInsertValueError, "k", named=where is birds)
        assert loop.wait(where.get("k")).value == {"n": 2**63 - 1, "x": "y"}


@pytest.mark.parametrize("feature", [Feature.PRESERVE_TTL, Feature.ALT_REQUEST])
def test_an_old_node(loop: Loop, served: Any, bucket: Any, birds: Any, feature: Feature) -> None:
    """A node that cannot keep an expiry is not asked to: nothing is sent, in any form."""
    loop.wait(bucket.upsert("k", {"n": 1}, ttl=500))
    loop.wait(birds.upsert("k", {"n": 1}, ttl=500))
    for connection in bucket._driver.session.connections:
        connection.features -= {feature}
    before = dict(served.cluster.operations)
    calls: list[Callable[[Any], Any]] = [
        lambda b: b.upsert("k", 2, preserve_expiry=True),
        lambda b: b.replace("k", 2, preserve_expiry=True),
        lambda b: b.upsert_multi({"k": 2}, preserve_expiry=True),
        lambda b: b.mutate_in("k", sd.upsert("n", 2), preserve_expiry=True),
        lambda b: b.map_add("k", "n", 2, preserve_expiry=True),
    ]
    for where in (bucket, birds):
        for call in calls:
            with pytest.raises(FeatureNotAvailableError, match="preserve_expiry") as caught:
                loop.wait(call(where))
            check(caught.value, FeatureNotAvailableError, "k", named=where is birds)
        (result,) = loop.take(where.upsert_stream({"k": 2}, preserve_expiry=True))
        check(result.error, FeatureNotAvailableError, "k", named=where is birds)
    assert {name: served.cluster.operations[name] for name in before} == before
    assert loop.wait(bucket.get("k")).value == {"n": 1}


@pytest.mark.parametrize(("name", "keys"), BATCHES)
def test_batches(loop: Loop, bucket: Any, name: str, keys: Any) -> None:
    """What is no batch is refused as such."""
    with pytest.raises(ArgumentError):
        loop.wait(getattr(bucket, name)(keys))
    assert loop.wait(bucket.upsert("k", 1)).success


def test_a_batch_with_a_value_too_big(loop: Loop, bucket: Any) -> None:
    """One value that is too big fails alone; the others are stored."""
    values = {"a": b"x", "big": bytes(20 * MB + 1), "b": b"y"}
    with pytest.raises(TooBigError) as caught:
        loop.wait(bucket.upsert_multi(values, format=FMT_BYTES))
    assert caught.value.key == "big"
    good, bad = caught.value.split_results()
    assert (list(good), list(bad)) == (["a", "b"], ["big"])


def test_duplicates(loop: Loop, bucket: Any) -> None:
    """A key that is named twice is sent once, and warned of."""
    loop.wait(bucket.upsert("k", 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for read in (
            bucket.get_multi,
            bucket.get_any_replica_multi,
            bucket.get_all_replicas_multi,
            bucket.observe_multi,
            bucket.endure_multi,
        ):
            assert list(loop.wait(read(["k", "k"]))) == ["k"]
    assert [each.category for each in caught] == [RuntimeWarning] * 5
