"""Documents as values of types (`type=`), on either loop over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from couchloop import subdocument as sd
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidSettingError,
    NotFoundError,
    ValueFormatError,
)
from couchloop.items import ItemOptionDict
from couchloop.kv_range_scan import PrefixScan
from couchloop.transcoder import FMT_UTF8, JSONTranscoder, Transcoder
from tests.conformance.loops import Loop, cluster_of, opened

pytest.importorskip("msgspec")

import msgspec


@dataclass
class Place:
    """Where somebody is."""

    city: str


class User(msgspec.Struct):
    """A document."""

    name: str
    places: list[Place] = []


class Named(TypedDict):
    """A part of it."""

    name: str


ADA = User("Ada", [Place("London")])


@pytest.fixture
def bucket(loop: Loop) -> Iterator[Any]:
    """Open a bucket with replicas that holds a user."""
    with (
        loop.serving(loop.embedded(2, replicas=1)) as served,
        opened(loop, cluster_of(loop, served)) as bucket,
    ):
        loop.wait(bucket.upsert("ada", ADA))
        yield bucket


READS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("get", ("ada",), {}),
    ("get", ("ada", 5), {}),
    ("get", ("ada",), {"replica": True}),
    ("get", ("ada",), {"with_expiry": True}),
    ("get_and_touch", ("ada", 5), {}),
    ("lock", ("ada", 5), {}),
    ("get_and_lock", ("ada", 5), {}),
    ("rget", ("ada",), {}),
    ("get_any_replica", ("ada",), {}),
]
BATCHES: list[tuple[str, dict[str, Any]]] = [
    ("get_multi", {}),
    ("get_multi", {"replica": True}),
    ("lock_multi", {"ttl": 5}),
    ("get_and_lock_multi", {"lock_time": 5}),
    ("get_and_touch_multi", {"expiry": 5}),
    ("rget_multi", {}),
    ("get_any_replica_multi", {}),
]


@pytest.mark.parametrize(("name", "given", "named"), READS)
def test_each_read(
    loop: Loop, bucket: Any, name: str, given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """It gives a value of the type; refused are what is no type, and two ways to read at once."""
    read = getattr(bucket, name)
    for wrong in ({"type": 5}, {"type": User, "transcoder": JSONTranscoder}):
        with pytest.raises(ArgumentError) as caught:
            loop.wait(read(*given, **named, **wrong))
        assert caught.value.key == "ada"
    with pytest.raises(ArgumentError, match="each says how the value is read"):
        loop.wait(read(*given, **named, type=User, no_format=True))
    assert loop.wait(read(*given, **named, type=User)).value == ADA


@pytest.mark.parametrize(("name", "named"), BATCHES)
def test_each_batch(loop: Loop, bucket: Any, name: str, named: dict[str, Any]) -> None:
    """All of its values are of the type; what is no type is told at once, whatever its size."""
    read = getattr(bucket, name)
    with pytest.raises(InvalidSettingError):
        loop.wait(read([f"k{number}" for number in range(2000)], type=5, **named))
    loop.wait(bucket.upsert_multi({"bob": User("Bob"), "eve": {"name": "Eve"}}))
    found = loop.wait(read(["ada", "bob", "eve"], type=User, **named))
    assert [each.value for each in found.values()] == [ADA, User("Bob"), User("Eve")]
    assert found.all_ok


def test_what_does_not_fit_harms_no_other(loop: Loop, bucket: Any) -> None:
    """It names the key, the field, the node and the operation, in a batch beside the others."""
    loop.wait(bucket.upsert("bob", {"name": 5}))
    with pytest.raises(ValueFormatError) as caught:
        loop.wait(bucket.get("bob", type=User))
    error = caught.value
    assert (error.key, error.path) == ("bob", "$.name")
    assert error.context is not None
    assert (error.context.operation, error.context.bucket) == ("get", "default")
    assert str(error).startswith("the field name does not fit User: expected str, got int (get, ")
    with pytest.raises(ValueFormatError) as caught:
        loop.wait(bucket.get_multi(["bob", "ada"], type=User))
    good, bad = caught.value.split_results()
    assert (caught.value.key, list(bad), good["ada"].value) == ("bob", ["bob"], ADA)
    loop.wait(bucket.upsert("text", "Ada", format=FMT_UTF8))
    with pytest.raises(ValueFormatError, match="type= reads JSON, and the document is FMT_UTF8"):
        loop.wait(bucket.get("text", type=User))


def test_a_document_that_is_not_there(loop: Loop, bucket: Any) -> None:
    """It is as without a type."""
    with pytest.raises(NotFoundError):
        loop.wait(bucket.get("nobody", type=User))
    missed = loop.wait(bucket.get("nobody", quiet=True, type=User))
    assert (missed.success, missed.value) == (False, None)


def test_parts(loop: Loop, bucket: Any) -> None:
    """Parts that are put together are converted; those of a lookup are decoded one by one."""
    found = loop.wait(bucket.get("ada", project=["name"], type=Named))
    assert found.value == {"name": "Ada"}
    many = [f"f{number}" for number in range(20)]
    found = loop.wait(bucket.get("ada", project=["name", *many], with_expiry=True, type=User))
    assert found.value == User("Ada")
    with pytest.raises(ValueFormatError) as caught:
        loop.wait(bucket.get("ada", project=["places"], type=User))
    assert (caught.value.key, caught.value.path) == ("ada", "$.name")
    specs = sd.get("places[0]"), sd.get("name"), sd.get("nothing"), sd.exists("name")
    for name in ("lookup_in", "lookup_in_any_replica"):
        found = loop.wait(getattr(bucket, name)("ada", *specs))
        assert found.content_as[Place](0) == Place("London")
        assert found.content_as[Place]("places[0]") == Place("London")
        assert found.content_as[str](1) == "Ada"
        assert found.content_as[bool](3)
        with pytest.raises(ValueFormatError) as caught:
            found.content_as[list[str]](1)
        assert caught.value.key == "ada"
        assert str(caught.value).startswith("the document does not fit list[str]")
        with pytest.raises(CouchbaseError, match="path"):
            found.content_as[Place](2)
        with pytest.raises(InvalidSettingError):
            found.content_as[5](1)


def test_streams_and_scans(loop: Loop, bucket: Any) -> None:
    """Their results have values of the type; one that does not fit has an error."""
    loop.wait(bucket.upsert("adb", {"name": 5}))
    with pytest.raises(InvalidSettingError):
        bucket.get_stream(["ada"], type=5)
    with pytest.raises(InvalidSettingError):
        bucket.scan(PrefixScan("ad"), type=5)
    for stream in (
        bucket.get_stream(["ada", "adb"], type=User),
        bucket.scan(PrefixScan("ad"), type=User),
    ):
        results = {each.key: each for each in loop.take(stream)}
        assert results["ada"].value == ADA
        error = results["adb"].error
        assert isinstance(error, ValueFormatError)
        assert (error.key, error.path) == ("adb", "$.name")


def test_copies(loop: Loop, bucket: Any) -> None:
    """Each copy has a value of the type."""
    copies = loop.wait(bucket.get_all_replicas("ada", type=User))
    assert [copy.value for copy in copies] == [ADA] * 2
    many = loop.wait(bucket.get_all_replicas_multi(["ada"], type=User))
    assert [copy.value for copy in many["ada"]] == [ADA] * 2


def test_items_collections_threads(loop: Loop, bucket: Any) -> None:
    """Wherever a document is read from, and by whom."""
    items = ItemOptionDict()
    item = items.create_and_add("ada")
    loop.wait(bucket.get_multi(items, type=User))
    assert item.value == ADA
    collection = bucket.default_collection()
    assert loop.wait(collection.get("ada", type=User)).value == ADA
    safe = bucket.threadsafe()
    assert loop.in_thread(lambda: safe.get("ada", type=User)).value == ADA
    with pytest.raises(InvalidSettingError):
        loop.in_thread(lambda: safe.get("ada", type=5))


def test_every_change_takes_records(loop: Loop, bucket: Any) -> None:
    """They are stored as JSON, whole or in parts."""
    loop.wait(bucket.replace("ada", User("Ada")))
    loop.wait(bucket.insert("place", Place("Rome")))
    loop.wait(bucket.mutate_in("ada", sd.array_append("places", Place("Rome"))))
    loop.wait(bucket.upsert_multi({"a": Place("A"), "b": [Place("B")]}))
    loop.take(bucket.upsert_stream([("c", Place("C"))]))
    assert loop.wait(bucket.get("ada")).value == {"name": "Ada", "places": [{"city": "Rome"}]}
    assert loop.wait(bucket.get("b")).value == [{"city": "B"}]
    found = loop.wait(bucket.get_multi(["place", "a", "c"], type=Place))
    assert [each.value.city for each in found.values()] == ["Rome", "A", "C"]
    with pytest.raises(ValueFormatError) as caught:
        loop.wait(bucket.upsert("nan", [Place(float("nan"))]))  # type: ignore[arg-type]
    assert caught.value.key == "nan"


class Reversed(Transcoder):
    """What is stored cannot be read without it."""

    def encode_value(self, value: Any, format: int = 0) -> tuple[bytes, int]:  # noqa: A002
        """Write it backwards."""
        data, _ = super().encode_value(value)
        return data[::-1], 0x0F000000

    def decode_value(self, value: Any, flags: int) -> Any:
        """Read it so."""
        return super().decode_value(bytes(value)[::-1], 0x02000000)


def test_a_transcoder_of_the_bucket(loop: Loop, bucket: Any) -> None:
    """It reads the bytes, and its value is converted."""
    bucket.transcoder = Reversed()
    loop.wait(bucket.upsert("ada", ADA))
    assert loop.wait(bucket.get("ada", type=User)).value == ADA
    assert loop.wait(bucket.get_multi(["ada"], type=User))["ada"].value == ADA
