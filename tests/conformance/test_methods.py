"""The generated methods are not a Bucket's alone: what has defaults and a driver can take them."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.client import thread_methods
from couchloop.exceptions import EmptyKeyError, NotFoundError, WrongLoopError
from tests.conformance.loops import Loop, cluster_of, opened


def part_of(loop: Loop, bucket: Any) -> Any:
    """Return an object of a few lines that does to documents what *bucket* does."""
    methods: Any = next(kind for kind in loop.Bucket.__mro__ if kind.__name__ == "DocumentMethods")

    class Part(methods):  # type: ignore[misc]
        __slots__ = ("_bucket", "_defaults", "_driver")

        def __init__(self) -> None:
            self._bucket = bucket
            self._defaults = bucket._defaults
            self._driver = bucket._driver

    return Part()


def test_an_object_that_is_no_bucket(loop: Loop) -> None:
    """Such an object has all operations on documents, and their errors; of the connections none."""
    with (
        loop.serving() as served,
        opened(loop, cluster_of(loop, served)) as bucket,
    ):
        part = part_of(loop, bucket)
        loop.wait(part.upsert("k", 1))
        assert loop.wait(part.get("k")).value == 1
        assert loop.wait(part.get_multi(["k"]))["k"].value == 1
        with pytest.raises(NotFoundError):
            loop.wait(part.get("nosuch"))
        with pytest.raises(EmptyKeyError):
            loop.wait(part.get(""))
        with pytest.raises(WrongLoopError):
            loop.in_thread(lambda: part.get("k"))
        assert not hasattr(part, "ping")


def test_for_threads(loop: Loop) -> None:
    """So it is with what threads have, by a handle of its own."""

    class Handle(thread_methods.DocumentMethods):
        def __init__(self, target: Any, cross: Any) -> None:
            self._target = target
            self._cross = cross

    with (
        loop.serving() as served,
        opened(loop, cluster_of(loop, served)) as bucket,
    ):
        own = Handle(part_of(loop, bucket), bucket.threadsafe()._cross)
        assert loop.in_thread(lambda: own.upsert("k", 2)).success
        assert loop.in_thread(lambda: own.get("k")).value == 2


def test_warnings_point_at_the_caller(loop: Loop) -> None:
    """A key that is named twice is warned of where the batch was asked for."""
    with (
        loop.serving() as served,
        opened(loop, cluster_of(loop, served)) as bucket,
    ):
        with pytest.warns(RuntimeWarning, match="duplicate keys") as caught:
            loop.wait(bucket.get_multi(["k", "k"], quiet=True))
        assert [each.filename for each in caught] == [__file__]
