"""Bad input: the documented exception, with the key, and the Bucket goes on, on either loop."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import inf, nan
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    EmptyKeyError,
    InvalidCasError,
    InvalidDeltaError,
    InvalidKeyError,
    InvalidSettingError,
    InvalidTimeoutError,
    InvalidTtlError,
    KeyTooLongError,
    TooBigError,
    ValueFormatError,
)
from couchloop.transcoder import FMT_BYTES, FMT_JSON
from tests.conformance.loops import Loop, cluster_of, opened

MB = 1 << 20

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
]
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


def test_calls(loop: Loop, served: Any, bucket: Any) -> None:
    """Each wrong argument is its error, with the key; the connection goes on as it is."""
    loop.wait(bucket.upsert("k", 1))
    accepted = served.cluster.accepted
    for kind, name, arguments, keywords in REFUSED:
        with pytest.raises(kind) as caught:
            loop.wait(getattr(bucket, name)(*arguments, **keywords))
        assert caught.value.key == arguments[0] or kind is InvalidKeyError, (name, keywords)
        assert str(arguments[0]) not in str(caught.value) or len(str(arguments[0])) < 3
    assert loop.wait(bucket.get("k")).value == 1
    assert served.cluster.accepted == accepted
    assert bucket._driver.session.in_flight == 0


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
        assert list(loop.wait(bucket.get_multi(["k", "k"]))) == ["k"]
    assert [each.category for each in caught] == [RuntimeWarning]
