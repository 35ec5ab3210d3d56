"""Data structures of a whole bucket in virtual time, and who is faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    ArgumentError,
    CasMismatchError,
    ContentionError,
    CouchbaseError,
    ElementNotFoundError,
    NotFoundError,
    QueueEmpty,
    SubdocCantInsertValueError,
    SubdocPathMismatchError,
    SubdocPathNotFoundError,
    UnambiguousTimeoutError,
    ValueFormatError,
)
from couchloop.operations import containers, lists, maps, queues, sets
from couchloop.operations import document as docs
from couchloop.operations.containers import UNCHANGED
from couchloop.operations.procedure import TRIES, Procedure
from tests.core.session.support import error_of, opened
from tests.core.world import World
from tests.share import share


def value(w: World) -> Any:
    """Return the whole of `k`."""
    return w.do(docs.get(w.defaults, "k")).value


class TestMaps:
    """Objects."""

    def test_life_of_a_map(self) -> None:
        """Made, filled, read, emptied."""
        w, d = _with_defaults()
        with pytest.raises(NotFoundError):
            w.do(maps.map_add(d, "k", "a", 1))
        added = w.do(maps.map_add(d, "k", "a", [1], create=True))
        assert added.cas
        w.do(maps.map_add(d, "k", "b.c[0]`", 2, create=True))
        found = w.do(maps.map_get(d, "k", "b.c[0]`"))
        assert found.value == 2
        assert w.do(maps.map_size(d, "k")) == 2
        assert value(w) == {"a": [1], "b.c[0]`": 2}
        w.do(maps.map_remove(d, "k", "a", cas=found.cas))
        assert value(w) == {"b.c[0]`": 2}
        w.advance(10)
        w.assert_idle()

    @pytest.mark.parametrize("build", [maps.map_get, maps.map_remove])
    def test_what_is_not_there(self, build: Callable[..., Any]) -> None:
        """It is an IndexError as in SDK 2.5, a KeyError, and an error of its path."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", {}))
        error = error_of(_done(w, build(d, "k", "zz")))
        assert type(error) is ElementNotFoundError
        for kind in (IndexError, KeyError, SubdocPathNotFoundError):
            assert isinstance(error, kind)
        assert (error.key, error.path) == ("k", "zz")
        assert error.context is not None
        assert error.context.operation == build.__name__

    @pytest.mark.parametrize("mapkey", ["", 5, None, b"a"])
    def test_bad_keys(self, mapkey: Any) -> None:
        """A map has texts as keys, and not the empty one."""
        d = opened().defaults
        for build in (
            lambda: maps.map_add(d, "k", mapkey, 1),
            lambda: maps.map_get(d, "k", mapkey),
        ):
            with pytest.raises(ArgumentError) as caught:
                build()
            assert caught.value.key == "k"

    @settings(max_examples=share(60), deadline=None)
    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
            st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
            min_size=1,
            max_size=5,
        )
    )
    def test_any_key(self, members: dict[str, Any]) -> None:
        """Whatever text is a key: it is one member of the document, and found again."""
        w = World(EmbeddedCluster(1, seed=0, vbuckets=4))
        w.open()
        for name, inner in members.items():
            w.do(maps.map_add(w.defaults, "k", name, inner, create=True))
        assert value(w) == members
        for name, inner in members.items():
            assert w.do(maps.map_get(w.defaults, "k", name)).value == inner


class TestLists:
    """Arrays."""

    def test_life_of_a_list(self) -> None:
        """Made, filled at both ends, read, changed, emptied."""
        w, d = _with_defaults()
        with pytest.raises(NotFoundError):
            w.do(lists.list_append(d, "k", 1))
        w.do(lists.list_append(d, "k", 1, create=True))
        w.do(lists.list_append(d, "k", [2], create=True))
        w.do(lists.list_prepend(d, "k", 0, create=True))
        assert w.do(lists.list_get(d, "k", -1)).value == [2]
        assert w.do(lists.list_get(d, "k", 0)).value == 0
        w.do(lists.list_set(d, "k", 1, "one"))
        assert w.do(lists.list_size(d, "k")) == 3
        w.do(lists.list_remove(d, "k", 0))
        w.do(lists.list_remove(d, "k", -1))
        assert value(w) == ["one"]

    @pytest.mark.parametrize(
        "build",
        [
            lambda d: lists.list_get(d, "k", 5),
            lambda d: lists.list_set(d, "k", 5, 1),
            lambda d: lists.list_remove(d, "k", 5),
        ],
    )
    def test_what_is_not_there(self, build: Callable[..., Any]) -> None:
        """An index past the end is an IndexError."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [1]))
        assert isinstance(error_of(_done(w, build(d))), IndexError)

    @pytest.mark.parametrize("index", [-2, 1.0, "0", None, True])
    def test_bad_indexes(self, index: Any) -> None:
        """An index is an integer from 0, or -1."""
        with pytest.raises(ArgumentError):
            lists.list_get(opened().defaults, "k", index)

    def test_of_another_kind(self) -> None:
        """A document that is no list is changed by none of these."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", {"a": 1}))
        for build in (
            lists.list_append(d, "k", 1, create=True),
            sets.set_contains(d, "k", 1),
            sets.set_remove(d, "k", 1),
            queues.queue_pop(d, "k"),
        ):
            assert type(error_of(_done(w, build))) is SubdocPathMismatchError
        assert value(w) == {"a": 1}

    def test_cas_and_expiry(self) -> None:
        """A change may depend on a CAS, and say when the document expires."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [1]))
        with pytest.raises(CasMismatchError):
            w.do(lists.list_append(d, "k", 2, cas=5))
        w.do(lists.list_append(d, "k", 2, ttl=10))
        w.advance(20)
        assert not w.do(docs.get(d, "k", quiet=True)).success

    @pytest.mark.parametrize(
        "build",
        [
            lambda d: lists.list_append(d, "k", 2, preserve_expiry=True),
            lambda d: lists.list_remove(d, "k", 0, preserve_expiry=True),
            lambda d: sets.set_add(d, "k", 2, preserve_expiry=True),
            lambda d: sets.set_remove(d, "k", 1, preserve_expiry=True),
            lambda d: queues.queue_push(d, "k", 2, preserve_expiry=True),
            lambda d: queues.queue_pop(d, "k", preserve_expiry=True),
        ],
    )
    def test_expiry_that_stays(self, build: Callable[..., Any]) -> None:
        """An expiry stays where that is asked for."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [1], ttl=10))
        w.do(build(d))
        w.advance(20)
        assert not w.do(docs.get(d, "k", quiet=True)).success

    def test_values_that_are_none(self) -> None:
        """What JSON has no form for is refused at the call, with the key."""
        with pytest.raises(ValueFormatError) as caught:
            lists.list_append(opened().defaults, "k", {1, 2})
        assert caught.value.key == "k"


class TestSets:
    """Arrays without twins."""

    def test_life_of_a_set(self) -> None:
        """What is there is not added again, what is not there not removed: both give None."""
        w, d = _with_defaults()
        assert w.do(sets.set_add(d, "k", 1, create=True)).cas
        assert w.do(sets.set_add(d, "k", 1)) is None
        for other in (True, "1", None, 1.5, False):
            assert w.do(sets.set_add(d, "k", other)) is not None
        assert w.do(sets.set_size(d, "k")) == 6
        assert w.do(sets.set_contains(d, "k", True)) is True
        assert w.do(sets.set_contains(d, "k", 1.0)) is False
        assert w.do(sets.set_contains(d, "k", 0)) is False
        assert w.do(sets.set_remove(d, "k", True)).cas
        assert w.do(sets.set_remove(d, "k", True)) is None
        assert value(w) == [1, "1", None, 1.5, False]

    def test_lists_are_no_members(self) -> None:
        """Only what is no list or dict is a member."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [1]))
        with pytest.raises(SubdocCantInsertValueError):
            w.do(sets.set_add(d, "k", [1]))

    @pytest.mark.parametrize(
        "build",
        [
            lambda d: sets.set_contains(d, "k", 1),
            lambda d: sets.set_remove(d, "k", 1),
            lambda d: sets.set_add(d, "k", 1),
            lambda d: sets.set_size(d, "k"),
            lambda d: queues.queue_pop(d, "k"),
            lambda d: queues.queue_push(d, "k", 1),
            lambda d: lists.list_get(d, "k", 0),
            lambda d: maps.map_get(d, "k", "a"),
        ],
    )
    def test_without_a_document(self, build: Callable[..., Any]) -> None:
        """Where there is no document that is a NotFoundError, also of a quiet Bucket."""
        w, d = _with_defaults()
        d.quiet = True
        assert type(error_of(_done(w, build(d)))) is NotFoundError


class TestQueues:
    """First in, first out."""

    def test_life_of_a_queue(self) -> None:
        """What was pushed first is popped first, and then it is empty."""
        w, d = _with_defaults()
        for number in range(3):
            w.do(queues.queue_push(d, "k", number, create=True))
        assert w.do(queues.queue_size(d, "k")) == 3
        popped = [w.do(queues.queue_pop(d, "k")) for _ in range(3)]
        assert [each.value for each in popped] == [0, 1, 2]
        assert popped[-1].cas == w.do(docs.get(d, "k")).cas
        error = error_of(_done(w, queues.queue_pop(d, "k")))
        assert type(error) is QueueEmpty
        assert error.key == "k"


class TestContention:
    """Many who change one document."""

    def test_each_item_is_popped_once(self) -> None:
        """However many pop at once, each item has one of them, and all get one."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", list(range(20))))
        asked = [w.submit(queues.queue_pop(d, "k")) for _ in range(20)]
        w.advance(2.5)
        assert sorted(each.result().value for each in asked) == list(range(20))
        assert value(w) == []
        w.advance(10)
        w.assert_idle()

    def test_each_value_is_removed_once(self) -> None:
        """Of many who remove one value of a set one has done it."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", list(range(20))))
        asked = [w.submit(sets.set_remove(d, "k", number % 10)) for number in range(20)]
        w.advance(2.5)
        done = [each.result() is not None for each in asked]
        assert sum(done) == 10
        assert sorted(value(w)) == list(range(10, 20))

    @pytest.mark.parametrize("kind", ["pop", "remove", "change"])
    def test_a_bound(self, kind: str) -> None:
        """Who is never fast enough is told so after a bound, with the last mismatch as cause."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [0, 1]))
        tries = meddle(w)
        asked: Procedure[Any] = change(w, lambda values: ([*values, 2], None), timeout=60)
        if kind == "pop":
            asked = queues.queue_pop(d, "k", timeout=60)
        elif kind == "remove":
            asked = sets.set_remove(d, "k", 1, timeout=60)
        w.submit(asked)
        w.advance(30)
        error = error_of(asked)
        assert type(error) is ContentionError
        assert isinstance(error.__cause__, CasMismatchError)
        assert error.is_transient
        assert len(tries) == TRIES
        assert value(w) == [0, 1]

    def test_time_that_runs_out(self) -> None:
        """The time of the call bounds it too: nothing was done then, and the error says why."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [0, 1]))
        meddle(w)
        asked = w.submit(queues.queue_pop(d, "k", timeout=0.5))
        w.advance(0.6)
        error = error_of(asked)
        assert type(error) is UnambiguousTimeoutError
        assert isinstance(error.__cause__, CasMismatchError)

    def test_pauses_differ(self) -> None:
        """Those who collide do not try again at the same time."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", list(range(8))))
        times: dict[float, int] = {}
        session: Any = w.session.dispatcher
        submit = session.submit

        def noting(op: Any, now: float) -> None:
            times[now] = times.get(now, 0) + 1
            submit(op, now)

        session.submit = noting
        for _ in range(8):
            w.submit(queues.queue_pop(d, "k"))
        w.advance(2.5)
        # All look at once; the seven that were too late try again, each at a time of its own.
        assert len(times) == 1 + 7


def meddle(w: World) -> list[int]:
    """Have `k` stored anew behind each look at it; count the looks."""
    session: Any = w.session.dispatcher
    submit = session.submit
    looks: list[int] = []

    def meddling(op: Any, now: float) -> None:
        submit(op, now)
        if op.name == "lookup_in":
            looks.append(len(looks))
            submit(docs.upsert(w.defaults, "k", [0, 1]), now)

    session.submit = meddling
    return looks


def change(
    w: World, alter: Callable[[Any], tuple[Any, Any]], kind: type = list, **more: Any
) -> Procedure[Any]:
    """Change `k` as a container."""
    return containers.change("alter", alter, kind, w.defaults, "k", **more)


class TestContainers:
    """The whole of a document."""

    def test_changed(self) -> None:
        """A function makes the new value of the old, and gives something beside."""
        w, _ = _with_defaults()
        assert w.do(change(w, lambda values: ([*values, 1], "made"))) == "made"
        assert w.do(change(w, lambda values: ([*values, 2], len(values)))) == 1
        assert value(w) == [1, 2]

    def test_unchanged(self) -> None:
        """Nothing is stored if there is nothing to store."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [1]))
        before = w.do(docs.get(d, "k")).cas
        assert w.do(change(w, lambda _: (UNCHANGED, 5))) == 5
        assert w.do(docs.get(d, "k")).cas == before

    def test_without_a_document(self) -> None:
        """It is an empty one that is created, or an error."""
        w, d = _with_defaults()
        with pytest.raises(NotFoundError):
            w.do(change(w, lambda values: (values, None), create=False))
        assert w.do(containers.read("look", len, list, d, "k")) == 0
        with pytest.raises(NotFoundError):
            w.do(containers.read("look", len, list, d, "k", missing_is_empty=False))
        assert w.do(change(w, lambda members: ({"a": 1}, None), dict)) is None
        assert value(w) == {"a": 1}

    def test_errors_of_the_function(self) -> None:
        """What it raises is the caller's, and nothing is stored."""
        w, d = _with_defaults()
        w.do(docs.upsert(d, "k", [1]))

        def pop(values: list[Any]) -> tuple[Any, Any]:
            values.pop(5)
            return values, None

        with pytest.raises(IndexError):
            w.do(change(w, pop))
        with pytest.raises(SubdocPathMismatchError):
            w.do(change(w, lambda members: (members, None), dict))
        with pytest.raises(ValueFormatError):
            w.do(change(w, lambda _: ({1}, None)))
        assert value(w) == [1]

    def test_several_who_change_it(self) -> None:
        """No change of any of them is lost, the creation included."""
        w, _ = _with_defaults()
        asked = [w.submit(change(w, _append(number))) for number in range(20)]
        w.advance(2.5)
        for each in asked:
            each.result()
        assert sorted(value(w)) == list(range(20))

    def test_removed_meanwhile(self) -> None:
        """A document that is removed between look and change is created anew, or an error."""
        for create in (True, False):
            w, d = _with_defaults()
            w.do(docs.upsert(d, "k", [1]))
            removals = [1]

            def alter(values: list[Any], w: World = w, left: list[int] = removals) -> Any:
                if left:
                    left.pop()
                    w.session.submit(docs.remove(w.defaults, "k"), w.now)
                return [*values, 2], None

            asked = change(w, alter, create=create)
            w.submit(asked)
            w.advance(1)
            if create:
                asked.result()
                assert value(w) == [2]
            else:
                assert type(error_of(asked)) is NotFoundError


def _append(number: int) -> Callable[[Any], tuple[Any, Any]]:
    return lambda values: ([*values, number], None)


def _with_defaults() -> tuple[World, Any]:
    w = opened()
    return w, w.defaults


def _done(w: World, asked: Procedure[Any]) -> Procedure[Any]:
    w.submit(asked)
    w.settle()
    return asked


def test_an_error_is_a_couchbase_error() -> None:
    """Who catches all errors of the client catches these."""
    assert issubclass(ElementNotFoundError, CouchbaseError)
    assert issubclass(QueueEmpty, CouchbaseError)
