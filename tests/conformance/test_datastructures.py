"""Documents as maps, lists, sets and queues, on either loop against the embedded cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    NotFoundError,
    QueueEmpty,
    RequestCanceledError,
    SubdocCantInsertValueError,
    SubdocPathExistsError,
    SubdocPathMismatchError,
    SubdocPathNotFoundError,
    ValueFormatError,
)
from couchloop.operations.procedure import Pause, Procedure, Steps
from tests.conformance.loops import Loop, cluster_of, open_bucket, opened


@contextmanager
def a_bucket(loop: Loop) -> Iterator[Any]:
    """Open a bucket of an embedded cluster."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


def classes(loop: Loop) -> Any:
    """Return the module of the containers for this loop."""
    return import_module(loop.Bucket.__module__.replace(".bucket", ".datastructures"))


def test_methods_of_a_bucket(loop: Loop) -> None:
    """SDK 2.5's methods: each structure is made, filled, read and emptied."""
    with a_bucket(loop) as bucket:
        wait = loop.wait
        wait(bucket.map_add("m", "a.b", 1, create=True))
        assert wait(bucket.map_get("m", "a.b")).value == 1
        assert wait(bucket.map_size("m")) == 1
        wait(bucket.map_remove("m", "a.b"))
        with pytest.raises(IndexError):
            wait(bucket.map_get("m", "a.b"))
        wait(bucket.list_append("l", 1, create=True))
        wait(bucket.list_prepend("l", 0))
        wait(bucket.list_set("l", 1, "one"))
        assert wait(bucket.list_get("l", -1)).value == "one"
        assert wait(bucket.list_size("l")) == 2
        wait(bucket.list_remove("l", 0))
        assert wait(bucket.set_add("s", 1, create=True)).success
        assert wait(bucket.set_add("s", 1)) is None
        assert wait(bucket.set_contains("s", 1)) is True
        assert wait(bucket.set_size("s")) == 1
        assert wait(bucket.set_remove("s", 1)).success
        assert wait(bucket.set_remove("s", 1)) is None
        wait(bucket.queue_push("q", "first", create=True))
        wait(bucket.queue_push("q", "second"))
        assert wait(bucket.queue_size("q")) == 2
        assert [wait(bucket.queue_pop("q")).value for _ in range(2)] == ["first", "second"]
        with pytest.raises(QueueEmpty):
            wait(bucket.queue_pop("q"))
        with pytest.raises(NotFoundError):
            wait(bucket.queue_pop("no"))


def test_bad_input(loop: Loop) -> None:
    """What cannot be sent is refused with its key, and the Bucket stays in use."""
    with a_bucket(loop) as bucket:
        wait = loop.wait
        calls: list[tuple[Any, type[CouchbaseError]]] = [
            (lambda: bucket.map_add("k", "", 1), ArgumentError),
            (lambda: bucket.map_add("k", 5, 1), ArgumentError),
            (lambda: bucket.list_get("k", -2), ArgumentError),
            (lambda: bucket.list_append("k", {1}), ValueFormatError),
        ]
        for call, kind in calls:
            with pytest.raises(kind) as caught:
                wait(call())
            assert caught.value.key == "k"
        wait(bucket.upsert("k", {"a": 1}))
        with pytest.raises(SubdocPathMismatchError):
            wait(bucket.list_append("k", 1))
        assert wait(bucket.get("k")).value == {"a": 1}


def test_many_at_once(loop: Loop) -> None:
    """Of many who pop at once each has an item of its own, and what is changed is not lost."""
    with a_bucket(loop) as bucket:
        loop.wait(bucket.upsert("q", list(range(30))))
        items = classes(loop).CouchbaseList("l", bucket)
        pops = [loop.start(bucket.queue_pop, "q") for _ in range(30)]
        inserts = [loop.start(items.insert, 0, number) for number in range(20)]
        popped = [each.outcome() for each in pops]
        assert sorted(each.value for each in popped) == list(range(30))
        assert [each.outcome() for each in inserts] == [None] * 20
        assert sorted(loop.wait(items.get_all())) == list(range(20))


def test_from_threads(loop: Loop) -> None:
    """A handle for threads has the methods, too."""
    with a_bucket(loop) as bucket:
        handle = bucket.threadsafe()

        def work() -> Any:
            handle.queue_push("q", 1, create=True)
            handle.set_add("s", 2, create=True)
            return handle.queue_pop("q").value, handle.set_remove("s", 2).success

        assert loop.in_thread(work) == (1, True)
        with pytest.raises(QueueEmpty):
            loop.in_thread(lambda: handle.queue_pop("q"))


def test_cancelled(loop: Loop) -> None:
    """A caller that goes away between two steps leaves nothing behind."""
    with a_bucket(loop) as bucket:
        loop.wait(bucket.upsert("q", [1]))
        for _ in range(3):
            started = loop.start(bucket.queue_pop, "q")
            loop.until(lambda: bucket._driver.session.in_flight)
            started.cancel()
        loop.until(lambda: bucket._driver.session.in_flight == 0)
        assert loop.wait(bucket.queue_push("q", 2)).success


def test_closed_meanwhile(loop: Loop) -> None:
    """A Bucket that is closed ends what has steps to go, with an error that says so."""

    def steps() -> Steps[None]:
        yield Pause(60.0)

    with loop.serving() as served:
        bucket = open_bucket(loop, cluster_of(loop, served))
        waits = Procedure("waits", bucket._defaults, "k", 90.0, steps())
        owner = () if loop.name == "gevent" else (bucket,)
        started = loop.start(bucket._driver.run, waits, *owner)
        loop.until(lambda: bucket._driver.session._procedures.is_active)
        loop.wait(bucket.close(0))
        assert type(started.outcome()) is RequestCanceledError


def test_lists(loop: Loop) -> None:
    """A list by SDK 4.6's names; what is not there is empty."""
    with a_bucket(loop) as bucket:
        wait = loop.wait
        items = classes(loop).CouchbaseList("k", bucket)
        assert wait(items.size()) == 0
        assert wait(items.get_all()) == []
        for call in (lambda: items.get_at(0), lambda: items.set_at(0, 1), items.pop):
            with pytest.raises(IndexError):
                wait(call())
        wait(items.append("b"))
        wait(items.prepend("a"))
        wait(items.extend(["d", "e"]))
        wait(items.insert(2, "c"))
        wait(items.set_at(0, "A"))
        assert wait(items.get_at(-1)) == "e"
        assert wait(items.index_of("c")) == 2
        assert wait(items.index_of("zz")) == -1
        assert wait(items.pop()) == "e"
        assert wait(items.pop(0)) == "A"
        wait(items.remove_at(0))
        wait(items.remove("c"))
        with pytest.raises(ValueError, match="not in list"):
            wait(items.remove("c"))
        assert wait(items.get_all()) == ["d"]
        wait(items.clear())
        assert wait(bucket.get("k")).value == []


def test_maps(loop: Loop) -> None:
    """A map by SDK 4.6's names, and Python's."""
    with a_bucket(loop) as bucket:
        wait = loop.wait
        members = classes(loop).CouchbaseMap("k", bucket)
        assert wait(members.size()) == 0
        assert wait(members.get("a", 5)) == 5
        for call in (lambda: members.remove("a"), lambda: members.pop("a"), members.popitem):
            with pytest.raises(KeyError):
                wait(call())
        wait(members.add("a", 1))
        wait(members.update({"b": 2}, c=3))
        assert wait(members.setdefault("a", 9)) == 1
        assert wait(members.setdefault("d", 9)) == 9
        assert wait(members.exists("d"))
        assert wait(members.pop("d")) == 9
        assert wait(members.pop("d", "none")) == "none"
        assert list(wait(members.keys())) == ["a", "b", "c"]
        assert list(wait(members.values())) == [1, 2, 3]
        assert dict(wait(members.items())) == wait(members.get_all()) == {"a": 1, "b": 2, "c": 3}
        assert wait(members.popitem()) == ("c", 3)
        wait(members.remove("a"))
        wait(members.clear())
        assert wait(bucket.get("k")).value == {}


def test_sets(loop: Loop) -> None:
    """A set by SDK 4.6's names, and Python's."""
    with a_bucket(loop) as bucket:
        wait = loop.wait
        values = classes(loop).CouchbaseSet("k", bucket)
        assert wait(values.size()) == 0
        assert not wait(values.contains(1))
        wait(values.discard(1))
        for call in (lambda: values.remove(1), values.pop):
            with pytest.raises(KeyError):
                wait(call())
        wait(values.add(1))
        wait(values.add(1))
        wait(values.update([1, 2], ["3"]))
        assert wait(values.values()) == {1, 2, "3"}
        assert wait(values.contains("3"))
        wait(values.discard("3"))
        wait(values.remove(1))
        with pytest.raises(KeyError):
            wait(values.remove(1))
        assert wait(values.pop()) == 2
        wait(values.clear())
        assert wait(bucket.get("k")).value == []


def test_queues(loop: Loop) -> None:
    """A queue by SDK 4.6's names."""
    with a_bucket(loop) as bucket:
        wait = loop.wait
        queue = classes(loop).CouchbaseQueue("k", bucket)
        assert wait(queue.size()) == 0
        with pytest.raises(QueueEmpty):
            wait(queue.pop())
        for number in range(3):
            wait(queue.push(number))
        assert wait(queue.size()) == 3
        assert [wait(queue.pop()) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(QueueEmpty):
            wait(queue.pop())
        wait(queue.push(4))
        wait(queue.clear())
        assert wait(queue.size()) == 0


def test_bad_values(loop: Loop) -> None:
    """A value that JSON has no form for is refused, and the document stays as it is."""
    with a_bucket(loop) as bucket:
        items = classes(loop).CouchbaseList("k", bucket)
        loop.wait(items.append(1))
        with pytest.raises(ValueFormatError):
            loop.wait(items.append({1}))
        with pytest.raises(ValueFormatError):
            loop.wait(items.insert(0, {1}))
        assert loop.wait(items.get_all()) == [1]
        names = classes(loop).CouchbaseMap("m", bucket)
        loop.wait(names.update({"1": "one"}))
        for name in (1, None, True, ""):
            # JSON would have the first three as texts: "1" would be there twice.
            with pytest.raises(ArgumentError) as caught:
                loop.wait(names.update({name: "other"}))
            assert caught.value.key == "m"
            with pytest.raises(ArgumentError):
                loop.wait(names.setdefault(name, "other"))
        assert loop.wait(bucket.get("m", no_format=True)).value == b'{"1":"one"}'
        values = classes(loop).CouchbaseSet("s", bucket)
        loop.wait(values.add(1))
        unhashable: list[Any] = [[2], {}, (2,)]
        for value in unhashable:
            for put, given in ((values.add, value), (values.update, [value])):
                with pytest.raises(SubdocCantInsertValueError) as refused:
                    loop.wait(put(given))
                assert refused.value.key == "s"
        assert loop.wait(values.values()) == {1}
        assert repr(items).startswith("<CouchbaseList 'k' of <")


def test_in_a_collection(loop: Loop) -> None:
    """A collection has sub-documents and structures of its own, and the errors name it."""
    with loop.serving(loop.embedded(3)) as served:
        served.cluster.create_collection("default", "app.stuff")
        with opened(loop, cluster_of(loop, served)) as bucket:
            wait = loop.wait
            stuff = bucket.scope("app").collection("stuff")
            wait(stuff.map_add("k", "a", 1, create=True))
            wait(stuff.mutate_in("k", sd.upsert("b", 2)))
            assert wait(stuff.lookup_in("k", sd.get("a"), sd.get("b")))["b"] == 2
            assert list(wait(stuff.lookup_in("k", *[sd.get("a")] * 20))) == [1] * 20
            assert wait(stuff.get("k", project=["b"], with_expiry=True)).value == {"b": 2}
            assert wait(stuff.lookup_in_any_replica("k", sd.get("a")))["a"] == 1
            items = classes(loop).CouchbaseList("l", stuff)
            wait(items.append(1))
            wait(items.insert(0, 0))
            assert wait(items.get_all()) == [0, 1]
            wait(stuff.queue_push("q", 1, create=True))
            assert wait(stuff.queue_pop("q")).value == 1
            for key in ("k", "l", "q"):
                assert not wait(bucket.get(key, quiet=True)).success
            calls: list[Any] = [
                lambda: stuff.map_get("no", "a"),
                lambda: stuff.mutate_in("no", sd.upsert("a", 1)),
                lambda: stuff.lookup_in("no", *[sd.get("a")] * 20),
            ]
            with pytest.raises(ValueFormatError) as unsent:
                wait(items.append({1}))
            assert unsent.value.context is not None
            assert unsent.value.context.collection == "stuff"
            for call in calls:
                with pytest.raises(NotFoundError) as caught:
                    wait(call())
                context = caught.value.context
                assert context is not None
                assert (context.scope, context.collection) == ("app", "stuff")
            with pytest.raises(SubdocPathExistsError) as failed:
                wait(stuff.mutate_in("k", sd.insert("a", 1)))
            assert failed.value.context is not None
            assert failed.value.context.collection == "stuff"
            result = wait(stuff.lookup_in("k", sd.get("zz")))
            with pytest.raises(SubdocPathNotFoundError) as missing:
                _ = result["zz"]
            assert missing.value.context is not None
            assert missing.value.context.collection == "stuff"


CHANGES: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "CouchbaseList": [
        ("append", (1,)),
        ("prepend", (2,)),
        ("insert", (0, 3)),
        ("set_at", (0, 4)),
        ("extend", ([5, 6],)),
        ("remove_at", (0,)),
        ("pop", ()),
        ("remove", (1,)),
        ("clear", ()),
    ],
    "CouchbaseMap": [
        ("add", ("a", 1)),
        ("setdefault", ("b", 2)),
        ("update", ({"c": 3, "d": 4},)),
        ("remove", ("a",)),
        ("pop", ("b",)),
        ("popitem", ()),
        ("clear", ()),
    ],
    "CouchbaseSet": [
        ("add", (1,)),
        ("update", ([2, 3, 4],)),
        ("remove", (1,)),
        ("discard", (2,)),
        ("pop", ()),
        ("clear", ()),
    ],
    "CouchbaseQueue": [("push", (1,)), ("push", (2,)), ("pop", ()), ("clear", ())],
}
"""Every method of each class that changes its document."""


@pytest.mark.parametrize("kind", CHANGES)
def test_expiry(loop: Loop, kind: str) -> None:
    """What is said of a container's expiry holds for each of its changes."""
    with a_bucket(loop) as bucket:
        make = getattr(classes(loop), kind)

        def expires_after(container: Any, name: str, arguments: tuple[Any, ...]) -> Any:
            loop.wait(getattr(container, name)(*arguments))
            return loop.wait(bucket.get("k", with_expiry=True)).expiry

        expiring = make("k", bucket, ttl=1000)
        for name, arguments in CHANGES[kind]:
            assert expires_after(expiring, name, arguments) is not None, name
            loop.wait(bucket.touch("k", 0))
        until = expires_after(make("k", bucket, ttl=2000), *CHANGES[kind][0])
        for name, arguments in CHANGES[kind][1:]:
            keeping = make("k", bucket, ttl=5, preserve_expiry=True)
            assert expires_after(keeping, name, arguments) == until, name
        assert expires_after(make("k", bucket), *CHANGES[kind][0]) is None
        loop.wait(bucket.remove("k"))
        # Of what is created there is nothing to preserve.
        made = make("k", bucket, ttl=1000, preserve_expiry=True)
        assert expires_after(made, *CHANGES[kind][0]) is not None


def test_bad_expiry(loop: Loop) -> None:
    """What is no expiry is refused: at once, or by the first change."""
    with a_bucket(loop) as bucket:
        make = classes(loop).CouchbaseQueue
        with pytest.raises(ArgumentError):
            make("k", bucket, preserve_expiry="no")
        with pytest.raises(ArgumentError):
            loop.wait(make("k", bucket, ttl=-1).push(1))
        with pytest.raises(NotFoundError):
            loop.wait(bucket.get("k"))
