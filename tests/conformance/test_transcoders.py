"""Transcoders of users, and SDK 2.5's settings, on either loop over real sockets."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    InvalidKeyError,
    NotFoundError,
    TooBigError,
    ValueFormatError,
)
from couchloop.transcoder import FMT_BYTES, FMT_JSON, Transcoder
from tests.conformance.loops import Loop, cluster_of, opened

MB = 1 << 20


class Broken(Transcoder):
    """Returns what a value says, and raises where it is an exception."""

    def encode_value(self, value: Any, format: int = FMT_JSON) -> Any:  # noqa: A002
        """Return it."""
        if isinstance(value, Exception):
            raise value
        return value if isinstance(value, tuple) else super().encode_value(value, format)

    def encode_key(self, key: Any) -> Any:
        """Return text as text for one key."""
        return key if key == "wrong" else super().encode_key(key)

    def decode_value(self, value: Any, flags: int) -> Any:
        """Raise for one value."""
        if bytes(value) == b'"unreadable"':
            raise LookupError("by the user")
        return super().decode_value(value, flags)


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve two nodes."""
    with loop.serving(loop.embedded(2)) as served:
        yield served


WRONG: list[Any] = [
    ("text", 0),
    (None, 0),
    (memoryview(array("I", [1, 2, 3])), 0),
    (b"x", 2**32),
    (b"x", None),
    (b"x",),
    RuntimeError("by the user"),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_result_harms_nobody(loop: Loop, served: Any, wrong: Any) -> None:
    """It is a ValueFormatError with the key, and all others on the connections are done."""
    with opened(loop, cluster_of(loop, served), transcoder=Broken()) as bucket:
        loop.wait(bucket.upsert("k", 1))
        accepted = served.cluster.accepted
        others = [loop.start(bucket.upsert, f"k{number}", number) for number in range(20)]
        with pytest.raises(ValueFormatError) as caught:
            loop.wait(bucket.upsert("the key", wrong))
        assert caught.value.key == "the key"
        with pytest.raises(InvalidKeyError):
            loop.wait(bucket.get("wrong"))
        others += [loop.start(bucket.get, "k") for _ in range(20)]
        assert all(other.outcome().success for other in others)
        assert served.cluster.accepted == accepted
        assert bucket._driver.session.in_flight == 0


def test_in_a_batch(loop: Loop, served: Any) -> None:
    """In a batch it is its own key's failure; so is what cannot be read."""
    with opened(loop, cluster_of(loop, served), transcoder=Broken()) as bucket:
        with pytest.raises(ValueFormatError, match="RuntimeError") as caught:
            loop.wait(bucket.upsert_multi({"a": 1, "bad": RuntimeError(), "c": "unreadable"}))
        good, bad = caught.value.split_results()
        assert (set(good), set(bad)) == ({"a", "c"}, {"bad"})
        with pytest.raises(ValueFormatError, match="LookupError") as caught:
            loop.wait(bucket.get_multi(["a", "c"]))
        good, bad = caught.value.split_results()
        assert (good["a"].value, set(bad)) == (1, {"c"})


def test_in_a_collection(loop: Loop, served: Any) -> None:
    """The error names scope and collection: of one key, in a batch, and in one sent in slices."""
    served.cluster.create_collection("default", "app.stuff")
    with opened(loop, cluster_of(loop, served), transcoder=Broken()) as bucket:
        stuff = bucket.scope("app").collection("stuff")
        loop.wait(stuff.upsert("a", "unreadable"))
        many = dict.fromkeys(map(str, range(1100)), 1)
        calls: list[Callable[[], Any]] = [
            lambda: stuff.get("a"),
            lambda: stuff.get_and_touch("a", 0),
            lambda: stuff.get_multi(["a", "b"]),
            lambda: stuff.get_multi(["a", *many], quiet=True),
            lambda: stuff.upsert("b", RuntimeError()),
            lambda: stuff.upsert_multi({"b": RuntimeError(), "c": 1}),
            lambda: stuff.upsert_multi({"b": RuntimeError(), **many}),
        ]
        for call in calls:
            with pytest.raises(ValueFormatError) as caught:
                loop.wait(call())
            context = caught.value.context
            assert context is not None
            assert (context.scope, context.collection) == ("app", "stuff")


@pytest.mark.timeout(120)
def test_too_big(loop: Loop, served: Any) -> None:
    """Values above 20 MiB are refused before anything is sent, and nobody else notices."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", b"x", format=FMT_BYTES))
        accepted = served.cluster.accepted
        big = bytes(31 * MB)
        others = [loop.start(bucket.upsert, f"k{number}", number) for number in range(20)]
        for method in (bucket.upsert, bucket.insert, bucket.replace, bucket.append, bucket.prepend):
            with pytest.raises(TooBigError, match="20 MiB"):
                loop.wait(method("k", big, format=FMT_BYTES))
        with pytest.raises(TooBigError) as caught:
            loop.wait(bucket.upsert_multi({"big": big, "small": b"x"}, format=FMT_BYTES))
        assert list(caught.value.split_results()[0]) == ["small"]
        assert all(other.outcome().success for other in others)
        assert served.cluster.accepted == accepted


@pytest.mark.parametrize("nothing", [None, False, Transcoder])
def test_no_transcoder(loop: Loop, served: Any, nothing: Any) -> None:
    """None and False mean the usual transcoder, a class one of it, as in SDK 2.5."""
    with opened(loop, cluster_of(loop, served), transcoder=Broken()) as bucket:
        bucket.transcoder = nothing
        assert type(bucket.transcoder) is Transcoder
        loop.wait(bucket.upsert("k", {"a": 1}))
        assert loop.wait(bucket.get("k")).value == {"a": 1}
        with pytest.raises(ArgumentError):
            bucket.transcoder = "json"


def test_names_of_2_5(loop: Loop, served: Any) -> None:
    """`connstr=` names the connection string, `timeout=` the seconds of operations."""
    where = f"{served.connection_string}/default"
    bucket = loop.bucket(None, connstr=where, username="user", password="password", timeout=7.5)  # type: ignore[arg-type]
    assert bucket.timeout == 7.5
    with pytest.raises(NotFoundError) as caught:
        loop.wait(bucket.get("missing"))
    assert caught.value.all_results == {"missing": caught.value.result}
    with pytest.raises(ArgumentError, match="one connection string"):
        loop.bucket(where, connstr=where, username="user", password="password")
    loop.wait(bucket.close())


class Interrupt(BaseException):
    """What is no error, as SystemExit is none."""


class Interrupted(Transcoder):
    """Raises it wherever it is asked."""

    def encode_value(self, value: Any, format: int = FMT_JSON) -> Any:  # noqa: A002
        """Raise it."""
        raise Interrupt

    def decode_value(self, value: Any, flags: int) -> Any:
        """Raise it."""
        raise Interrupt


def interrupted(*_: object) -> Iterator[Any]:
    """Give one key and its value, then raise it."""
    yield "a", 1
    raise Interrupt


def interrupting(*_: object) -> None:
    """Raise it."""
    raise Interrupt


def test_what_is_no_error(loop: Loop, served: Any) -> None:
    """It reaches the caller wherever user code runs, and no connection is lost with it."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert_multi({"a": 1, "b": 2}))
        accepted = served.cluster.accepted
        one: dict[str, Any] = {"transcoder": Interrupted()}
        calls: list[Callable[[], Any]] = [
            lambda: bucket.upsert("a", 1, **one),
            lambda: bucket.get("a", **one),
            lambda: bucket.get_multi(["a", "b"], **one),
            lambda: bucket.get_any_replica("a", **one),
            lambda: bucket.get_all_replicas("a", **one),
            lambda: bucket.get_any_replica_multi(["a", "b"], **one),
            lambda: bucket.get("a", replica=True, **one),
            lambda: bucket.upsert_multi({"a": 1}, persist_to=1, **one),
            lambda: bucket.upsert_multi(dict.fromkeys(map(str, range(1100)), 1), **one),
            lambda: bucket.get_stream(["a", "b"], **one).run(),
            lambda: bucket.upsert_stream({"a": 1}, **one).run(),
            lambda: bucket.upsert_stream(interrupted()).run(),
            lambda: bucket.get_stream(["a", "b"], progress=interrupting).run(),
        ]
        for call in calls:
            with pytest.raises(Interrupt):
                loop.wait(call())
            assert loop.wait(bucket.get("a")).value == 1
        assert served.cluster.accepted == accepted
        loop.until(lambda: not bucket._driver.session.in_flight, "something is under way")


class Asking(Transcoder):
    """Asks another place in vain while it decodes."""

    def decode_value(self, value: Any, flags: int) -> Any:
        """Raise what that has raised."""
        raise NotFoundError("there is no such secret", key="other")


def test_an_error_of_another_document(loop: Loop, served: Any) -> None:
    """An error of ours that a transcoder raises is not taken for one of this document."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("a", 1))
        calls: list[Callable[..., Any]] = [bucket.get, bucket.get_any_replica]
        for call in calls:
            with pytest.raises(ValueFormatError, match="raised NotFoundError") as caught:
                loop.wait(call("a", transcoder=Asking()))
            assert caught.value.key == "a"
            assert isinstance(caught.value.__cause__, NotFoundError)
