"""One Bucket per bucket per loop."""

from __future__ import annotations

import gc
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from couchloop.client.registry import Registry
from couchloop.exceptions import BucketAlreadyOpenError
from couchloop.settings.values import Address, Login, Settings
from couchloop.topology.configuration import ClusterConfig, Revision
from couchloop.transcoder import FMT_UTF8, Transcoder
from tests.garbage import release

A, B = Address("a", 11210), Address("b", 11210)
SETTINGS = Settings(seeds=(A, B), bucket="default", login=Login("user", "s3cr3t"))


class Loop:
    """Stands for a reactor or a hub."""


class Bucket:
    """Stands for a public Bucket."""


class OtherBucket(Bucket):
    """One of another class."""


def test_same_settings() -> None:
    """Equal settings on one loop mean the very same Bucket."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    assert registry.find(loop, SETTINGS, Bucket) is None
    registry.add(loop, SETTINGS, bucket)
    assert registry.find(loop, replace(SETTINGS), Bucket) is bucket
    assert registry.buckets(loop) == [bucket]


def test_order_of_seeds() -> None:
    """Seeds in another order are the same nodes."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    registry.add(loop, SETTINGS, bucket)
    assert registry.find(loop, replace(SETTINGS, seeds=(B, A, B)), Bucket) is bucket


def test_agent_does_not_count() -> None:
    """How we introduce ourselves is no difference."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    registry.add(loop, SETTINGS, bucket)
    assert registry.find(loop, replace(SETTINGS, agent="x"), Bucket) is bucket


def test_other_loop_or_bucket() -> None:
    """Another loop, another bucket or other nodes have Buckets of their own."""
    registry: Registry[Any] = Registry()
    loop, other, bucket = Loop(), Loop(), Bucket()
    registry.add(loop, SETTINGS, bucket)
    assert registry.find(other, SETTINGS, Bucket) is None
    assert registry.buckets(other) == []
    assert registry.find(loop, replace(SETTINGS, bucket="beer"), Bucket) is None
    assert registry.find(loop, replace(SETTINGS, seeds=(A,)), Bucket) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("login", Login("other", "s3cr3t")),
        ("login", Login("user", "0ther-s3cr3t")),
        ("login", Login("user", "s3cr3t", allow_plain=True)),
        ("tls", True),
        ("network", "external"),
        ("quiet", True),
        ("default_format", FMT_UTF8),
        ("operation_timeout", 9.0),
        ("transcoder", Transcoder(allow_pickle=True)),
    ],
)
def test_conflict(name: str, value: Any) -> None:
    """Other settings are refused; the error names what differs, and shows no secret."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    registry.add(loop, SETTINGS, bucket)
    with pytest.raises(BucketAlreadyOpenError) as caught:
        registry.find(loop, replace(SETTINGS, **{name: value}), Bucket)
    text = str(caught.value)
    assert f"({name} differ)" in text
    assert "'default'" in text
    assert "a:11210, b:11210" in text
    assert "s3cr3t" not in text
    assert "s3cr3t" not in repr(SETTINGS)


def test_class_counts() -> None:
    """A Bucket of another class is a conflict; of a subclass it is not."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), OtherBucket()
    registry.add(loop, SETTINGS, bucket)
    assert registry.find(loop, SETTINGS, Bucket) is bucket
    plain_loop, plain = Loop(), Bucket()
    registry.add(plain_loop, SETTINGS, plain)
    with pytest.raises(BucketAlreadyOpenError, match="bucket_class"):
        registry.find(plain_loop, SETTINGS, OtherBucket)


def test_equal_transcoders() -> None:
    """Transcoders are compared by value."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    registry.add(loop, replace(SETTINGS, transcoder=Transcoder()), bucket)
    assert registry.find(loop, replace(SETTINGS, transcoder=Transcoder()), Bucket) is bucket


def test_weak() -> None:
    """The registry keeps neither Buckets nor loops alive."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    leave = registry.add(loop, SETTINGS, bucket)
    gc.disable()
    try:
        del bucket
        release()
        assert registry.find(loop, SETTINGS, Bucket) is None
        assert registry.buckets(loop) == []
        leave()
        registry.add(loop, SETTINGS, kept := Bucket())
        del loop
        release()
        assert len(registry._loops) == 0
        del kept
    finally:
        gc.enable()


def test_leaving() -> None:
    """One that left makes room; leaving twice, or after another has come, does no harm."""
    registry: Registry[Any] = Registry()
    loop, first, second = Loop(), Bucket(), Bucket()
    leave = registry.add(loop, SETTINGS, first)
    leave()
    assert registry.find(loop, SETTINGS, Bucket) is None
    registry.add(loop, SETTINGS, second)
    leave()
    assert registry.find(loop, SETTINGS, Bucket) is second
    del first
    gc.collect()
    assert registry.find(loop, SETTINGS, Bucket) is second


def test_opener() -> None:
    """The error says in which file and line the Bucket was opened; no frame is kept for that."""

    def opening(bucket: Bucket) -> object:
        return registry.add(loop, SETTINGS, bucket)

    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    opening(bucket)
    line = opening.__code__.co_firstlineno + 1
    with pytest.raises(BucketAlreadyOpenError) as caught:
        registry.find(loop, replace(SETTINGS, quiet=True), Bucket)
    assert f"(opened at {__file__}:{line})" in str(caught.value)
    gc.disable()
    try:
        del bucket
        release()
        assert registry.buckets(loop) == []
    finally:
        gc.enable()


def test_forgotten_again_and_again() -> None:
    """A place whose Buckets nobody keeps is told once, with what to do."""
    registry: Registry[Any] = Registry()
    loop = Loop()
    said = []

    def opening(*, closes: bool = False) -> None:
        bucket = Bucket()
        leave = registry.add(loop, SETTINGS, bucket)
        said.append(registry.remark(loop, SETTINGS))
        if closes:
            leave()

    for _ in range(20):
        opening(closes=True)
    assert not any(said)
    for _ in range(20):
        opening()
        release(1)
    (text,) = filter(None, said)
    line = opening.__code__.co_firstlineno + 2
    assert f"bucket 'default' is opened again and again at {__file__}:{line}" in text
    assert "open it once, and keep it" in text
    # There is none now.
    assert registry.remark(loop, SETTINGS) == ""


def test_places_are_bounded() -> None:
    """Of however many buckets that come and go, a bounded number is counted."""
    registry: Registry[Any] = Registry()
    loop = Loop()
    for number in range(3000):
        registry.add(loop, replace(SETTINGS, bucket=f"b{number}"), Bucket())
    release()
    assert 0 < len(registry._lost) <= 1000


def test_no_opener() -> None:
    """Where only frames of ours are to be seen, as in a greenlet of its own, nothing is claimed."""
    registry: Registry[Any] = Registry()
    registry._own = frozenset({__name__.partition(".")[0], "_pytest", "pluggy", "pytest"})
    loop, bucket = Loop(), Bucket()
    thread = Thread(target=registry.add, args=(loop, SETTINGS, bucket))
    registry._own |= {"threading", "couchloop"}
    thread.start()
    thread.join()
    with pytest.raises(BucketAlreadyOpenError, match="on this loop with other settings"):
        registry.find(loop, replace(SETTINGS, quiet=True), Bucket)


def config(**more: Any) -> ClusterConfig:
    """Return a configuration of the bucket."""
    return ClusterConfig(Revision(1, 1), (), bucket="default", **more)


def test_rivals() -> None:
    """One bucket by other nodes is recognised by what its Bucket knows of it now."""
    registry: Registry[Any] = Registry()
    loop, bucket = Loop(), Bucket()
    known: dict[Bucket, ClusterConfig] = {}
    registry.add(loop, SETTINGS, bucket)
    own = replace(SETTINGS, seeds=(Address("c", 1),), quiet=True)

    def rival(config: ClusterConfig, settings: Settings = own) -> BucketAlreadyOpenError | None:
        return registry.rival(loop, settings, known.get, config)

    assert rival(config(uuid="1")) is None, "it is not open yet"
    known[bucket] = config(uuid="1")
    assert "(quiet, seeds differ)" in str(rival(config(uuid="1")))
    assert rival(config(uuid="1"), replace(own, seeds=(B, A))) is None, "that is itself"
    assert rival(config(uuid="2")) is None
    known[bucket] = config(uuid="2")
    assert rival(config(uuid="2")) is not None, "made anew"
    assert rival(config(uuid="1")) is None
    known[bucket] = config(uuid="3", cluster_uuid="c")
    assert rival(config(uuid="4", cluster_uuid="c")) is not None, "made anew, not heard of yet"
    assert rival(ClusterConfig(Revision(1, 1), (), "beer", "5", "c")) is None
    known[bucket] = config()
    assert rival(config()) is None, "servers that tell no UUID"
