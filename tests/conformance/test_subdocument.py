"""Sub-documents, on either loop against the embedded cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.exceptions import (
    ArgumentError,
    CasMismatchError,
    NotFoundError,
    SubdocInvalidComboError,
    SubdocPathExistsError,
    SubdocPathNotFoundError,
    SubdocPathTooBigError,
    ValueFormatError,
)
from couchloop.result import SubdocResult
from couchloop.transcoder import Transcoder
from tests.conformance.loops import Loop, cluster_of, opened

DOCUMENT = {"name": {"first": "Ada"}, "tags": ["a", "b"], "n": 1}


def test_looked_up_and_changed(loop: Loop) -> None:
    """Parts are read and changed, each with its own value or error."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", DOCUMENT))
        result = loop.wait(bucket.lookup_in("k", sd.get("name.first"), sd.exists("zz")))
        assert isinstance(result, SubdocResult)
        assert (result["name.first"], result.exists("zz")) == ("Ada", False)
        with pytest.raises(SubdocPathNotFoundError):
            _ = result["zz"]
        changed = loop.wait(
            bucket.mutate_in(
                "k", sd.upsert("n", 2), sd.array_append("tags", "c"), sd.counter("count", 5)
            )
        )
        assert changed["count"] == 5
        found = loop.wait(bucket.retrieve_in("k", "tags[-1]", ""))
        assert (found[0], found[1]["n"]) == ("c", 2)
        assert found.cas == changed.cas
        with pytest.raises(CasMismatchError):
            loop.wait(bucket.mutate_in("k", sd.remove("n"), cas=1))
        with pytest.raises(SubdocPathExistsError) as caught:
            loop.wait(bucket.mutate_in("k", sd.upsert("x", 1), sd.insert("n", 1)))
        assert (caught.value.path, caught.value.index, caught.value.key) == ("n", 1, "k")


def test_more_specs_than_a_request_has(loop: Loop) -> None:
    """A lookup of many specs is one result, and a change of many is refused."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", {f"p{n}": n for n in range(40)}))
        result = loop.wait(bucket.lookup_in("k", *(sd.get(f"p{n}") for n in range(40))))
        assert list(result) == list(range(40))
        with pytest.raises(NotFoundError):
            loop.wait(bucket.lookup_in("no", *(sd.get(f"p{n}") for n in range(40))))
        with pytest.raises(SubdocInvalidComboError):
            loop.wait(bucket.mutate_in("k", *(sd.remove(f"p{n}") for n in range(17))))


def test_from_threads(loop: Loop) -> None:
    """A handle for threads has the same, procedures included."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", {f"p{n}": n for n in range(40)}))
        handle = bucket.threadsafe()

        def work() -> Any:
            handle.mutate_in("k", sd.upsert("p0", "changed"))
            return list(handle.lookup_in("k", *(sd.get(f"p{n}") for n in range(40))))

        assert loop.in_thread(work) == ["changed", *range(1, 40)]
        with pytest.raises(NotFoundError):
            loop.in_thread(lambda: handle.lookup_in("no", *(sd.get("a") for _ in range(40))))


@pytest.mark.parametrize("count", [1, 40])
def test_quietly(loop: Loop, count: int) -> None:
    """A quiet Bucket gives a result that says there is no document."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served), quiet=True) as bucket:
        result = loop.wait(bucket.lookup_in("no", *(sd.get("a") for _ in range(count))))
        assert not result.access_ok
        with pytest.raises(NotFoundError):
            _ = result[0]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda bucket: bucket.lookup_in("k"), ArgumentError),
        (lambda bucket: bucket.lookup_in("k", "a"), ArgumentError),
        (lambda bucket: bucket.lookup_in("k", sd.get("a" * 1025)), SubdocPathTooBigError),
        (lambda bucket: bucket.mutate_in("k", sd.upsert("a", {1})), ValueFormatError),
        (
            lambda bucket: bucket.mutate_in("k", sd.upsert(".".join("a" * 32), 1, True)),
            SubdocPathTooBigError,
        ),
    ],
)
def test_bad_input(loop: Loop, call: Any, kind: type[Exception]) -> None:
    """What cannot be sent, or is refused, has its exception; the connection stays in use."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", DOCUMENT))
        before = [each["id"] for each in bucket.diagnostics()["services"]["kv"]]
        with pytest.raises(kind) as caught:
            loop.wait(call(bucket))
        assert caught.value.key == "k"  # type: ignore[attr-defined]
        assert loop.wait(bucket.get("k")).value == DOCUMENT
        assert [each["id"] for each in bucket.diagnostics()["services"]["kv"]] == before


class Failing(Transcoder):
    """A transcoder whose hooks fail for some values."""

    def encode_value(self, value: object, format: int = 0) -> tuple[bytes, int]:  # noqa: A002
        """Fail for "bad"."""
        if value == "bad":
            raise ZeroDivisionError
        return super().encode_value(value, format)

    def decode_value(self, value: Any, flags: int) -> Any:
        """Fail for "worse"."""
        found = super().decode_value(value, flags)
        if found == "worse":
            raise ZeroDivisionError
        return found


def test_hooks_that_fail(loop: Loop) -> None:
    """What a user's transcoder raises is a ValueFormatError with key and cause."""
    with (
        loop.serving() as served,
        opened(loop, cluster_of(loop, served), transcoder=Failing()) as bucket,
    ):
        loop.wait(bucket.upsert("k", {"a": "worse", "b": 1}))
        with pytest.raises(ValueFormatError) as caught:
            loop.wait(bucket.mutate_in("k", sd.upsert("a", "bad")))
        assert isinstance(caught.value.inner_cause, ZeroDivisionError)
        result = loop.wait(bucket.retrieve_in("k", "a", "b"))
        assert result["b"] == 1
        with pytest.raises(ValueFormatError) as caught:
            _ = result["a"]
        assert isinstance(caught.value.inner_cause, ZeroDivisionError)
        assert caught.value.key == "k"


def test_parts_and_expiry(loop: Loop) -> None:
    """`get` gives parts of a document, and tells when it expires."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", DOCUMENT, ttl=1000))
        result = loop.wait(bucket.get("k", project=["name.first", "tags[-1]"], with_expiry=True))
        assert result.value == {"name": {"first": "Ada"}, "tags": ["b"]}
        left = result.expiry - datetime.now(UTC)
        assert timedelta(0) < left < timedelta(seconds=1001)
        assert loop.wait(bucket.get("k", with_expiry=True)).value == DOCUMENT
        many = loop.wait(bucket.get_multi(["k"], project=[f"p{n}" for n in range(20)] + ["n"]))
        assert many["k"].value == {"n": 1}
        handle = bucket.threadsafe()
        assert loop.in_thread(lambda: handle.get("k", project=["n"]).value) == {"n": 1}


def test_replicas(loop: Loop) -> None:
    """Copies are looked into: all of them, or whichever answers first."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", DOCUMENT))
        copies: list[SubdocResult] = []
        while len(copies) < 2:
            # The replica may not have it yet.
            copies = loop.wait(bucket.lookup_in_all_replicas("k", sd.get("n"), sd.exists("zz")))
        assert [(each["n"], each.is_replica) for each in copies] == [(1, False), (1, True)]
        assert loop.wait(bucket.lookup_in_any_replica("k", sd.get("n")))["n"] == 1
        with pytest.raises(NotFoundError):
            loop.wait(bucket.lookup_in_any_replica("no", sd.get("n")))
