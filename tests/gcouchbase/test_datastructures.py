"""Documents that behave as Python's own containers do."""

from __future__ import annotations

from collections.abc import (
    Collection,
    Iterator,
    MutableMapping,
    MutableSequence,
    MutableSet,
)
from typing import Any

import pytest

from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.datastructures import CouchbaseList, CouchbaseMap, CouchbaseQueue, CouchbaseSet
from gcouchbase.testing import serve


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Yield a Bucket of an embedded cluster."""
    with serve() as served:
        cluster = Cluster(served.connection_string)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        with cluster.open_bucket("default") as bucket:
            yield bucket


def test_lists(bucket: Bucket) -> None:
    """Each thing that is done to a list is done to the document, with the same outcome."""
    document = CouchbaseList("k", bucket)
    assert isinstance(document, MutableSequence)
    plain: Any = []
    both: tuple[Any, ...] = document, plain
    for values in both:
        values.append(1)
        values.extend([2, 3, 4, 5])
        values.insert(1, "one")
        values.insert(-1, "last but one")
        values[0] = 0
        values[-2] = "changed"
        values[1:3] = ["a", "b", "c"]
        del values[-1]
        del values[0:1]
        values += [7, 7]
        values.reverse()
        values.remove(7)
        assert values.pop() == "a"
        assert values.pop(0) == 7
    assert document == plain
    assert plain == list(document)
    assert document == CouchbaseList("k", bucket)
    assert document != tuple(plain)
    assert (len(document), document[0], document[-1]) == (len(plain), plain[0], plain[-1])
    assert document[1:] == plain[1:]
    assert document[-2] == plain[-2]
    assert list(reversed(document)) == plain[::-1]
    assert "b" in document
    assert "zz" not in document
    assert document.index("b") == plain.index("b")
    assert document.count("b") == 1
    for index in (99, -99):
        with pytest.raises(IndexError):
            _ = document[index]
        with pytest.raises(IndexError):
            document[index] = 1
        with pytest.raises(IndexError):
            del document[index]
    with pytest.raises(ValueError, match="not in list"):
        document.index("zz")
    document.clear()
    assert not document
    with pytest.raises(TypeError):
        hash(document)


def test_lists_without_a_document(bucket: Bucket) -> None:
    """It is an empty list, which has no elements to be read, changed or removed."""
    document = CouchbaseList("k", bucket)
    assert list(document) == []
    for call in (
        lambda: document[0],
        lambda: document.__setitem__(0, 1),
        lambda: document.__delitem__(-1),
    ):
        with pytest.raises(IndexError):
            call()
    assert not bucket.get("k", quiet=True).success


def test_maps(bucket: Bucket) -> None:
    """Each thing that is done to a dict is done to the document, with the same outcome."""
    document = CouchbaseMap("k", bucket)
    assert isinstance(document, MutableMapping)
    with pytest.raises(KeyError):
        _ = document["a"]
    with pytest.raises(KeyError):
        del document["a"]
    plain: dict[str, object] = {}
    for members in (document, plain):
        members["a"] = 1
        members["b.c"] = [2]
        members.update({"d": 3}, e=4)
        del members["a"]
        assert members.setdefault("d", 9) == 3
        assert members.pop("e") == 4
        assert members.pop("e", 5) == 5
        assert members.get("zz") is None
        assert members.get("d") == 3
    assert document == plain
    assert document == CouchbaseMap("k", bucket)
    assert document != 5
    assert dict(document) == dict(document.items()) == plain
    assert list(document) == list(document.keys()) == list(plain)
    assert list(document.values()) == list(plain.values())
    assert "b.c" in document
    assert "zz" not in document
    for call in (lambda: document["zz"], lambda: document.__delitem__("zz")):
        with pytest.raises(KeyError):
            call()
    assert len(document) == 2
    document.clear()
    assert not document


def test_sets(bucket: Bucket) -> None:
    """Each thing that is done to a set is done to the document, with the same outcome."""
    document = CouchbaseSet("k", bucket)
    assert isinstance(document, MutableSet)
    plain: Any = set()
    both: tuple[Any, ...] = document, plain
    for values in both:
        values.add(1)
        values.add(1)
        values |= {2, 3, "four"}
        values -= {3}
        values.discard(99)
        values.remove(2)
        with pytest.raises(KeyError):
            values.remove(2)
    assert document == plain
    assert len(document) == 2
    assert 1 in document
    assert 2 not in document
    common = document & {1, 5}
    assert common == {1}
    assert type(common) is set
    assert document | {5} == plain | {5}
    assert document <= {1, "four", 5}
    assert not document.isdisjoint({1})
    assert document.pop() in plain
    document.clear()
    assert not document


def test_queues(bucket: Bucket) -> None:
    """A queue has a length, is iterated from its oldest value on, and tells what is in it."""
    queue = CouchbaseQueue("k", bucket)
    assert isinstance(queue, Collection)
    assert not queue
    for number in range(3):
        queue.push(number)
    assert list(queue) == [0, 1, 2]
    assert len(queue) == 3
    assert 1 in queue
    assert 5 not in queue
