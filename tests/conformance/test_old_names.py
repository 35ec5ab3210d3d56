"""Names of SDK 2.5 that programs still use, on either loop."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.exceptions import KeyExistsError, NotFoundError
from couchloop.operations.old_names import OLD_NAMES
from tests.conformance.loops import Loop, cluster_of, open_bucket, opened


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


def test_deprecated(loop: Loop, bucket: Any) -> None:
    """Each old name warns in the line that uses it, and does what the new one does."""
    calls: list[tuple[str, Any, Any]] = [
        ("set", ("k", 1), "k"),
        ("set_multi", ({"a": 1},), {"a": None}),
        ("add", ("l", 1), "l"),
        ("add_multi", ({"b": 1},), {"b": None}),
        ("incr", ("k", 4), 5),
        ("decr", ("k", 3), 2),
        ("incr_multi", (["k"], 5), {"k": 7}),
        ("decr_multi", (["k"], 6), {"k": 1}),
        ("delete", ("k",), "k"),
        ("delete_multi", (["a", "b"],), {"a": None, "b": None}),
    ]
    assert {name for name, *_ in calls} == {old.name for old in OLD_NAMES}
    for name, arguments, expected in calls:
        with pytest.warns(DeprecationWarning, match=rf"^{name}\(\) is called ") as caught:
            result = loop.wait(getattr(bucket, name)(*arguments))
        assert caught[0].filename == __file__
        if isinstance(expected, dict):
            assert {key: each.value for key, each in result.items()} == expected
        else:
            assert expected in (result.key, result.value)
    assert not loop.wait(bucket.exists("k"))


def test_arguments(loop: Loop, bucket: Any) -> None:
    """What else the operation takes can be given by name."""
    with pytest.warns(DeprecationWarning, match="is called"):
        assert loop.wait(bucket.incr("n", initial=7, ttl=60)).value == 7
    with pytest.warns(DeprecationWarning, match="is called"):
        assert loop.wait(bucket.decr("n", amount=2, initial=7)).value == 5
    with pytest.warns(DeprecationWarning, match="is called"), pytest.raises(KeyExistsError):
        loop.wait(bucket.add("n", 1, timeout=5))
    with pytest.warns(DeprecationWarning, match="is called"), pytest.raises(NotFoundError):
        loop.wait(bucket.delete("no", quiet=False))


def test_an_error_holds_no_bucket(loop: Loop, served: Any) -> None:
    """Neither a failure nor a warning that is an error keeps a Bucket open by its frames."""
    bucket = open_bucket(loop, cluster_of(loop, served))
    watched = weakref.ref(bucket)
    kept: list[BaseException] = []
    try:
        with pytest.warns(DeprecationWarning, match="is called"):
            loop.wait(bucket.delete("no"))
    except NotFoundError as error:
        kept.append(error)
    try:
        # As a warning is here, as long as nobody catches it.
        loop.wait(bucket.set("k", 1))
    except DeprecationWarning as error:
        kept.append(error)
    assert len(kept) == 2
    loop.wait(bucket.close())
    del bucket
    loop.until(lambda: gc.collect() is not None and watched() is None)


def test_camel_case(loop: Loop, bucket: Any) -> None:
    """On Twisted the batches have names in its style, too, without a warning."""
    if loop.name != "twisted":
        assert not hasattr(bucket, "getMulti")
        return
    loop.wait(bucket.upsertMulti({"a": 1, "b": 2}))
    with pytest.warns(DeprecationWarning, match="set_multi"):
        loop.wait(bucket.setMulti({"a": 3}))
    assert loop.wait(bucket.getMulti(["a", "b"]))["a"].value == 3
