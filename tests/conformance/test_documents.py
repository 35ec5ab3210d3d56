"""What can be done with documents, on either loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

import pytest

from couchloop.exceptions import (
    DocumentNotLockedError,
    DocumentUnretrievableError,
    InvalidTtlError,
    NotFoundError,
    StoreLockedError,
    ValueFormatError,
)
from couchloop.items import Item, ItemOptionDict
from couchloop.retries import FailFast
from couchloop.transcoder import FMT_UTF8, RawBinaryTranscoder
from tests.conformance.loops import Loop, cluster_of, opened


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


class TestExpiry:
    """When documents expire."""

    def test_moments_and_durations(self, loop: Loop, bucket: Any) -> None:
        """Durations of any length, moments with a time zone and numbers keep a document alive."""
        year = timedelta(days=365)
        for number, expiry in enumerate(
            (year, datetime.now(UTC) + year, int(time()) + 1000, 30 * 86400, timedelta(seconds=9.5))
        ):
            key = f"k{number}"
            loop.wait(bucket.upsert(key, number, ttl=expiry))
            loop.wait(bucket.touch(key, expiry=expiry))
            assert loop.wait(bucket.get(key, expiry)).value == number
            assert loop.wait(bucket.get_and_touch(key, expiry)).value == number
            assert loop.wait(bucket.exists(key))

    def test_preserved(self, loop: Loop, bucket: Any) -> None:
        """A document that is stored again may keep its expiry."""
        loop.wait(bucket.upsert("k", 1, ttl=1000))
        before = loop.wait(bucket.stats("k", keystats=True))["key_exptime"]
        loop.wait(bucket.upsert("k", 2, preserve_expiry=True))
        loop.wait(bucket.replace("k", 3, preserve_expiry=True))
        assert loop.wait(bucket.stats("k", keystats=True))["key_exptime"] == before
        assert set(before.values()) != {0}
        loop.wait(bucket.upsert("k", 2))
        assert set(loop.wait(bucket.stats("k", keystats=True))["key_exptime"].values()) == {0}

    def test_trap(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Forty days in seconds are refused; the option has them sent, as SDK 2.5 does."""
        with pytest.raises(InvalidTtlError, match="timedelta") as caught:
            loop.wait(bucket.upsert("k", 1, ttl=40 * 86400))
        assert caught.value.key == "k"
        assert not loop.wait(bucket.exists("k"))
        string = f"{served.connection_string}/default?past_expiry=send"
        old = loop.bucket(string, username="user", password="password", shared=False)
        loop.wait(old.upsert("k", 1, ttl=40 * 86400))
        assert not loop.wait(old.exists("k"))
        loop.wait(old.close())


class TestArguments:
    """Arguments reach the operation, by position and by name, on either loop and from threads."""

    def test_of_get(self, loop: Loop, bucket: Any) -> None:
        """What is seldom given does not take the place of another argument."""
        loop.wait(bucket.upsert("k", 1))
        assert loop.wait(bucket.get("k", no_format=True)).value == b"1"
        assert loop.wait(bucket.get("k", 0, None, False, True)).value == b"1"
        assert loop.wait(bucket.get("k", replica=True, no_format=True)).value == b"1"
        assert loop.wait(bucket.get_multi(["k"], no_format=True))["k"].value == b"1"
        assert loop.wait(bucket.get("k", no_format=True, with_expiry=True)).value == b"1"
        handle = bucket.threadsafe()
        assert loop.in_thread(lambda: handle.get("k", no_format=True)).value == b"1"
        assert loop.in_thread(lambda: handle.get("k", 0, True, True, True)).value == b"1"


class TestLocks:
    """Locked documents."""

    def test_locked_and_not_readable(self, loop: Loop, bucket: Any) -> None:
        """Who cannot decode what he has locked can unlock it, whatever he has called."""
        loop.wait(bucket.upsert("k", "text"))
        handle, reader = bucket.threadsafe(), RawBinaryTranscoder()
        locks: tuple[Callable[[], Any], ...] = (
            lambda: loop.wait(bucket.get_and_lock("k", 15, transcoder=reader)),
            lambda: loop.wait(bucket.lock("k", 15, transcoder=reader)),
            lambda: loop.wait(bucket.lock_multi(["k"], 15, transcoder=reader)),
            lambda: loop.in_thread(lambda: handle.lock("k", 15, transcoder=reader)),
        )
        for lock in locks:
            with pytest.raises(ValueFormatError) as caught:
                lock()
            assert loop.wait(bucket.unlock("k", caught.value.cas)).success
        loop.wait(bucket.upsert("k", 1))

    def test_lock(self, loop: Loop, bucket: Any) -> None:
        """Who has the CAS of the lock can change and unlock the document, nobody else."""
        loop.wait(bucket.upsert("k", "v"))
        locked = loop.wait(bucket.lock("k", 15))
        assert locked.value == "v"
        with pytest.raises(StoreLockedError):
            loop.wait(bucket.upsert("k", "w", retry_strategy=FailFast()))
        loop.wait(bucket.unlock("k", locked.cas))
        with pytest.raises(DocumentNotLockedError):
            loop.wait(bucket.unlock("k", locked.cas))
        both = loop.wait(bucket.lock_multi(["k"], 15))
        assert loop.wait(bucket.unlock_multi({"k": both["k"]})).all_ok
        both = loop.wait(bucket.get_and_lock_multi({"k": 15}))
        assert loop.wait(bucket.unlock_multi({"k": both["k"]})).all_ok
        assert loop.wait(bucket.get_and_lock("k", timedelta(seconds=15))).value == "v"


class TestExists:
    """Whether there is a document."""

    def test_exists(self, loop: Loop, bucket: Any) -> None:
        """The result is true or false, and what is missing no error."""
        loop.wait(bucket.upsert("k", 1))
        assert loop.wait(bucket.exists("k"))
        assert not loop.wait(bucket.exists("no"))
        found = loop.wait(bucket.exists_multi(["k", "no"]))
        assert [bool(result) for result in found.values()] == [True, False]
        with pytest.raises(NotFoundError):
            loop.wait(bucket.get_and_touch("no", 5))
        touched = loop.wait(bucket.get_and_touch_multi(["k"], timedelta(days=90)))
        assert touched["k"].value == 1
        assert loop.wait(bucket.get("k", with_expiry=True)).expiry is not None


class TestCopies:
    """Replicas, and what nodes tell."""

    @pytest.fixture
    def served(self, loop: Loop) -> Iterator[Any]:
        """Serve three nodes, whose bucket has two replicas."""
        with loop.serving(loop.embedded(3, replicas=2)) as served:
            yield served

    def test_replicas(self, loop: Loop, bucket: Any) -> None:
        """A document is read from a replica, from any copy and from all of them."""
        loop.wait(bucket.upsert("k", {"a": 1}))
        result = loop.wait(bucket.rget("k"))
        assert (result.value, result.is_replica) == ({"a": 1}, True)
        assert loop.wait(bucket.rget("k", 1)).value == {"a": 1}
        assert loop.wait(bucket.get_any_replica("k")).value == {"a": 1}
        copies = loop.wait(bucket.get_all_replicas("k"))
        assert [copy.is_replica for copy in copies] == [False, True, True]
        assert loop.wait(bucket.rget_multi(["k"])).all_ok
        assert loop.wait(bucket.get_any_replica_multi(["k"])).all_ok
        copies = loop.wait(bucket.get_all_replicas_multi(["k"]))["k"]
        assert [(copy.value, copy.is_replica) for copy in copies] == [
            ({"a": 1}, False),
            ({"a": 1}, True),
            ({"a": 1}, True),
        ]
        handle = bucket.threadsafe()
        assert loop.in_thread(lambda: len(handle.get_all_replicas_multi(["k"])["k"])) == 3
        with pytest.raises(DocumentUnretrievableError):
            loop.wait(bucket.get_any_replica("no"))

    def test_observe(self, loop: Loop, bucket: Any) -> None:
        """Each copy says whether it has the document."""
        stored = loop.wait(bucket.upsert("k", 1))
        infos = loop.wait(bucket.observe("k")).value
        assert [info.from_master for info in infos] == [True, False, False]
        assert {info.cas for info in infos} == {stored.cas}
        assert list(loop.wait(bucket.observe_multi(["k", "no"]))) == ["k", "no"]

    def test_stats(self, loop: Loop, bucket: Any) -> None:
        """Each node tells of itself, also to a plain thread."""
        assert set(loop.wait(bucket.stats())["curr_items"]) == set(bucket.server_nodes)
        with pytest.raises(NotFoundError, match="knows no statistics by that name"):
            loop.wait(bucket.stats("nosuch"))
        handle = bucket.threadsafe()
        assert len(loop.in_thread(lambda: handle.stats("uuid"))["uuid"]) == 3
        assert loop.in_thread(lambda: handle.rget("no", quiet=True)).value is None


class TestItems:
    """Items, which operations fill."""

    def test_items(self, loop: Loop, bucket: Any) -> None:
        """They are stored, read and appended to on either loop, and from a thread."""
        items = ItemOptionDict()
        item = items.create_and_add("k", "x", format=FMT_UTF8)
        assert loop.wait(bucket.upsert_multi(items))["k"] is item
        assert item.cas
        read = Item("k")
        loop.wait(bucket.get_multi(read.as_itcoll()))
        assert (read.value, read.cas) == ("x", item.cas)
        handle = bucket.threadsafe()
        loop.in_thread(lambda: handle.append_items(read.as_itcoll(fragment="y")))
        assert read.value == "xy"
        loop.wait(bucket.prepend_items(read.as_itcoll(fragment="w")))
        assert loop.wait(bucket.get("k")).value == read.value == "wxy"
