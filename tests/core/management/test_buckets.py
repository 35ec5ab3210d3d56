"""Buckets by the builders of the core, asked of an embedded cluster manager."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from couchloop.durability import DurabilityLevel
from couchloop.exceptions import (
    AuthError,
    BucketExistsError,
    BucketNotFlushableError,
    BucketNotFoundError,
    CouchbaseError,
    FeatureNotAvailableError,
    HTTPError,
    InvalidNameError,
    InvalidSettingError,
    NotAuthorizedError,
    NotReadyError,
    ProtocolError,
    QuotaLimitedError,
    RateLimitedError,
    ServerInvalidArgumentError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.management import buckets
from couchloop.management.buckets import (
    BucketSettings,
    BucketType,
    CompressionMode,
    ConflictResolutionType,
    EvictionPolicyType,
    StorageBackend,
)
from tests.core.management.manager import DEFAULTS, Manager, answered
from tests.embedded.web import login

NEW = BucketSettings(
    "new",
    ram_quota_mb=128,
    bucket_type=BucketType.COUCHBASE,
    num_replicas=2,
    flush_enabled=True,
    replica_index=True,
    max_expiry=timedelta(minutes=1),
    compression_mode=CompressionMode.ACTIVE,
    conflict_resolution_type=ConflictResolutionType.TIMESTAMP,
    eviction_policy=EvictionPolicyType.FULL,
    storage_backend=StorageBackend.MAGMA,
    minimum_durability_level=DurabilityLevel.MAJORITY,
    history_retention_collection_default=False,
    history_retention_bytes=1 << 31,
    history_retention_duration=timedelta(hours=1),
)


@pytest.fixture
def manager() -> Manager:
    """A cluster with one bucket."""
    return Manager()


def test_all_settings_arrive(manager: Manager) -> None:
    """What a bucket is made with is what it is described with."""
    assert manager.do(buckets.create_bucket(DEFAULTS, NEW)) is None
    info = manager.do(buckets.get_bucket(DEFAULTS, "new"))
    for name in BucketSettings.__slots__:
        wanted = getattr(NEW, name)
        assert wanted is None or getattr(info, name) == wanted, name
    assert (info.item_count, info.healthy_nodes) == (0, 3)
    assert info.nodes == ("127.0.0.1:2000", "127.0.0.1:2001", "127.0.0.1:2002")
    assert info.uuid == manager.cluster.buckets["new"].uuid
    assert [each.name for each in manager.do(buckets.get_all_buckets(DEFAULTS))] == [
        "default",
        "new",
    ]


def test_little_is_sent(manager: Manager) -> None:
    """What is not said is the server's to decide: a change says what changes."""
    manager.do(buckets.create_bucket(DEFAULTS, BucketSettings("new")))
    manager.do(buckets.update_bucket(DEFAULTS, BucketSettings("new", flush_enabled=True)))
    assert [request.body for request in manager.asked] == [
        b"name=new&ramQuotaMB=100",
        b"flushEnabled=1",
    ]
    assert manager.do(buckets.get_bucket(DEFAULTS, "new")).flush_enabled


def test_flush_and_drop(manager: Manager) -> None:
    """A bucket is flushed if it may be, and is gone once it is dropped."""
    with pytest.raises(BucketNotFlushableError, match="flush_enabled"):
        manager.do(buckets.flush_bucket(DEFAULTS, "default"))
    manager.do(buckets.update_bucket(DEFAULTS, BucketSettings("default", flush_enabled=True)))
    manager.do(buckets.flush_bucket(DEFAULTS, "default"))
    manager.do(buckets.drop_bucket(DEFAULTS, "default"))
    assert list(manager.cluster.buckets) == []
    for build in (buckets.drop_bucket, buckets.get_bucket, buckets.flush_bucket):
        with pytest.raises(BucketNotFoundError) as caught:
            manager.do(build(DEFAULTS, "default"))
        assert caught.value.context is not None
        assert caught.value.context.bucket == "default"


def test_existing(manager: Manager) -> None:
    """A name that is taken is told by its own class."""
    with pytest.raises(BucketExistsError) as caught:
        manager.do(buckets.create_bucket(DEFAULTS, BucketSettings("Default")))
    assert isinstance(caught.value, HTTPError)
    assert caught.value.objextra.status == 400


def test_servers_words(manager: Manager) -> None:
    """What the server does not like is said by member, in its words and in one order."""
    settings = BucketSettings("a", ram_quota_mb=1, num_replicas=9)
    with pytest.raises(ServerInvalidArgumentError) as caught:
        manager.do(buckets.create_bucket(DEFAULTS, settings))
    assert "ramQuotaMB: RAM quota cannot be less" in str(caught.value)
    assert "replicaNumber: Replica number must be" in str(caught.value)


def test_rights(manager: Manager) -> None:
    """Who may not is told which permission it takes."""
    manager.login = login()
    with pytest.raises(NotAuthorizedError, match=r"cluster\.buckets!create"):
        manager.do(buckets.create_bucket(DEFAULTS, NEW))
    manager.login = login("user", "wrong")
    with pytest.raises(AuthError):
        manager.do(buckets.get_all_buckets(DEFAULTS))


def test_wait_ready(manager: Manager) -> None:
    """A bucket is waited for until it is there, and all of its nodes are well."""
    told: list[tuple[int, int, int | None]] = []
    manager.cluster.hang(manager.cluster.nodes[2])

    def progress(done: int, failed: int, total: int | None) -> None:
        told.append((done, failed, total))
        if len(told) == 2:
            manager.cluster.restart(manager.cluster.nodes[2])

    wait = buckets.wait_ready(DEFAULTS, "default", sleep_interval=0.3, progress=progress)
    info = manager.do(wait)
    assert (info.name, told) == ("default", [(2, 0, 3), (2, 0, 3), (3, 0, 3)])
    assert manager.pauses == [0.3, 0.3]


def test_wait_ready_of_none(manager: Manager) -> None:
    """A bucket that is not there yet is waited for, and not for ever."""
    steps: Any = buckets.wait_ready(DEFAULTS, "new").take_over()
    answer = manager._ask(next(steps))
    steps.send(answer)
    with pytest.raises(NotReadyError):
        steps.throw(UnambiguousTimeoutError())


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"ram_quota_mb": "1"}, "ram_quota_mb"),
        ({"num_replicas": True}, "num_replicas"),
        ({"num_replicas": -1}, "num_replicas"),
        ({"bucket_type": "couchbase"}, "bucket_type"),
        ({"max_expiry": 60}, "max_expiry"),
        ({"max_expiry": timedelta(days=365 * 100)}, "max_expiry"),
        ({"flush_enabled": 1}, "flush_enabled"),
        ({"minimum_durability_level": 1}, "minimum_durability_level"),
    ],
)
def test_bad_settings(settings: dict[str, Any], what: str) -> None:
    """What no server takes is refused at the call, and names the setting."""
    with pytest.raises(InvalidSettingError, match=what):
        buckets.create_bucket(DEFAULTS, BucketSettings("a", **settings))


@pytest.mark.parametrize("name", ["", None, 5, b"a"])
def test_bad_names(name: Any) -> None:
    """The name of a bucket is a text."""
    for build in (buckets.drop_bucket, buckets.get_bucket, buckets.flush_bucket):
        with pytest.raises(InvalidNameError):
            build(DEFAULTS, name)
    with pytest.raises(InvalidNameError):
        buckets.create_bucket(DEFAULTS, BucketSettings(name))
    with pytest.raises(InvalidSettingError):
        buckets.create_bucket(DEFAULTS, name)


def test_names_are_encoded() -> None:
    """A name stays within its part of the path, whatever is in it."""
    steps: Any = buckets.get_bucket(DEFAULTS, "a/b?c%d e").take_over()
    assert next(steps).path == "/pools/default/buckets/a%2Fb%3Fc%25d%20e"


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, b'{"name":"Bucket with given name already exists"}', BucketExistsError, "already"),
        (503, b'{"_":"Cannot create buckets during rebalance"}', TemporaryFailError, "rebalance"),
        (429, b"Limit(s) exceeded [num_concurrent_requests]", RateLimitedError, "too many"),
        (429, b"Maximum number of buckets has been reached", QuotaLimitedError, "limit"),
        (400, b"Not allowed on this version of cluster", FeatureNotAvailableError, "not have"),
        (404, b"Requested resource not found.\r\n", FeatureNotAvailableError, "does not know"),
        (500, b"<html>\x00oops</html>", HTTPError, "HTTP 500"),
        (302, b"", HTTPError, "HTTP 302"),
        (400, b"[" * 100_000, ServerInvalidArgumentError, "HTTP 400"),
    ],
)
def test_other_answers(status: int, body: bytes, kind: type[CouchbaseError], words: str) -> None:
    """Each answer that is no success has its class; its words are safe to show, and short."""
    with pytest.raises(CouchbaseError, match=words) as caught:
        answered(buckets.create_bucket(DEFAULTS, BucketSettings("a")), [(status, body)])
    assert type(caught.value) is kind
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'"text"', b'{"name":"a","nodes":5}', b"\xff", b"[" * 100_000]
)
def test_unreadable(body: bytes) -> None:
    """An answer that is no bucket's description is told as such."""
    with pytest.raises(ProtocolError, match="cannot be read"):
        answered(buckets.get_bucket(DEFAULTS, "a"), [(200, body)])


@pytest.mark.parametrize(
    "places", [5, [], {"vBucketMap": 5}, {"vBucketMap": [5]}, {"vBucketMap": [["0"]]}, None]
)
def test_unreadable_places(places: object) -> None:
    """Nor can it be told whether such a bucket is ready."""
    document = json.loads(Path(__file__).with_name("bucket.json").read_text(encoding="utf-8"))
    document["vBucketServerMap"] = places
    with pytest.raises(ProtocolError, match="cannot be read"):
        answered(buckets.wait_ready(DEFAULTS, "a"), [(200, json.dumps(document).encode())])


def test_a_servers_own_description() -> None:
    """What a server of 7.0 has said is read."""
    document = json.loads(Path(__file__).with_name("bucket.json").read_text(encoding="utf-8"))
    info = answered(
        buckets.get_bucket(DEFAULTS, "travel-sample"), [(200, json.dumps(document).encode())]
    )
    assert (info.name, info.ram_quota_mb, info.num_replicas) == ("travel-sample", 200, 1)
    assert (info.item_count, info.healthy_nodes, info.flush_enabled) == (63293, 1, False)
