"""Scopes and collections over real sockets, on either loop."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from weakref import ref

import pytest

from couchloop.embedded.kv import hello
from couchloop.exceptions import (
    CollectionNotFoundError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidNameError,
    KeyTooLongError,
    NotFoundError,
    ObjectDestroyedError,
    ScopeNotFoundError,
    WrongLoopError,
)
from couchloop.retries import FailFast
from couchloop.subdocument import get as path
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Feature, Opcode, Status
from tests.conformance.loops import Loop, cluster_of, open_bucket, opened
from tests.garbage import needs_counting

MANY = 3000
HOTELS = "inventory.hotels"
SOON = 0.2


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve three nodes whose bucket has a collection."""
    with loop.serving(loop.embedded(3)) as served:
        served.cluster.create_collection("default", HOTELS)
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Open the bucket."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


@pytest.fixture
def hotels(bucket: Any) -> Any:
    """Return the collection."""
    return bucket.scope("inventory").collection("hotels")


def test_endure(loop: Loop, bucket: Any) -> None:
    """Where there is no such collection, that is said: no change was made that could be lost."""
    nowhere = bucket.collection("nosuch")
    with pytest.raises(CollectionNotFoundError, match=r"\(endure,"):
        loop.wait(nowhere.endure("k", timeout=SOON))
    with pytest.raises(CollectionNotFoundError, match=r"\(endure_multi,") as caught:
        loop.wait(nowhere.endure_multi(["k", "l"], timeout=SOON))
    assert caught.value.all_results is not None
    assert [*caught.value.all_results] == ["k", "l"]
    with pytest.raises(ScopeNotFoundError):
        loop.wait(bucket.scope("nosuch").collection("c").endure("k", timeout=SOON))


class TestHandles:
    """Scopes and collections as objects."""

    def test_identity(self, bucket: Any) -> None:
        """They are values, and a collection is one object as long as anything refers to it."""
        scope = bucket.scope("inventory")
        hotels = scope.collection("hotels")
        assert hotels is bucket.scope("inventory").collection("hotels")
        assert scope == bucket.scope("inventory")
        assert len({scope, bucket.scope("inventory"), hotels}) == 2
        assert scope != bucket.default_scope()
        assert hotels != scope.collection("rooms")
        default = bucket.default_collection()
        assert default is bucket.collection("_default")
        assert default is bucket.scope("_default").collection("_default")
        assert bucket.default_scope() == bucket.scope("_default")
        assert (hotels.bucket, hotels.scope, hotels.name) == ("default", "inventory", "hotels")
        assert (scope.bucket, scope.name) == ("default", "inventory")
        assert "inventory.hotels" in repr(hotels)
        assert "inventory" in repr(scope)

    def test_default(self, loop: Loop, bucket: Any) -> None:
        """The Bucket's own methods are those of the default collection."""
        loop.wait(bucket.default_collection().upsert("k", 1))
        assert loop.wait(bucket.get("k")).value == 1
        loop.wait(bucket.upsert("k", 2))
        assert loop.wait(bucket.collection("_default").get("k")).value == 2

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("", "empty"),
            ("a.b", "dot"),
            ("é", "other|another character"),
            ("a b", "another character"),
            ("a\n", "another character"),
            ("_x", "begins with _"),
            ("%x", "begins with %"),
            ("x" * 252, "251"),
            (b"x", "str, not bytes"),
            (None, "str, not NoneType"),
        ],
    )
    def test_names(self, bucket: Any, name: Any, text: str) -> None:
        """What cannot be a name is refused at once, by both."""
        for ask in (bucket.scope, bucket.collection, bucket.scope("s").collection):
            with pytest.raises(InvalidNameError, match=text):
                ask(name)
        assert bucket.scope("A-%_9" + "x" * 246).name

    def test_no_copies(self, hotels: Any) -> None:
        """As Buckets they are neither copied nor pickled."""
        with pytest.raises(TypeError, match="not copied"):
            hotels.__reduce_ex__(2)

    @needs_counting
    def test_keeps_its_bucket(self, loop: Loop, served: Any) -> None:
        """A collection alone keeps its Bucket open; without it the Bucket closes, without gc."""
        bucket = open_bucket(loop, cluster_of(loop, served))
        gone = ref(bucket)
        hotels = bucket.scope("inventory").collection("hotels")
        del bucket
        gc.collect()
        gc.disable()
        try:
            assert loop.wait(hotels.upsert("k", 1)).success
            del hotels
            loop.until(lambda: gone() is None, "the Bucket lives")
            loop.until(lambda: not served.cluster.connections(), "a connection is open")
        finally:
            gc.enable()

    def test_closed(self, loop: Loop, served: Any) -> None:
        """A collection of a closed Bucket fails as the Bucket does; one of its successor works."""
        cluster = cluster_of(loop, served)
        bucket = open_bucket(loop, cluster)
        hotels = bucket.scope("inventory").collection("hotels")
        loop.wait(hotels.upsert("k", 1))
        loop.wait(bucket.close())
        with pytest.raises(ObjectDestroyedError):
            loop.wait(hotels.get("k"))
        with opened(loop, cluster) as again:
            assert again.scope("inventory").collection("hotels") != hotels
            assert loop.wait(again.scope("inventory").collection("hotels").get("k")).value == 1

    def test_other_thread(self, loop: Loop, hotels: Any) -> None:
        """It belongs to the loop's thread, as its Bucket does."""
        with pytest.raises(WrongLoopError):
            loop.in_thread(lambda: hotels.get("k"))

    def test_settings(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """The Bucket's settings are those of its collections, also when they are changed later."""
        with pytest.raises(NotFoundError):
            loop.wait(hotels.get("nosuch"))
        bucket.quiet = True
        bucket.default_format = FMT_BYTES
        assert not loop.wait(hotels.get("nosuch")).success
        loop.wait(hotels.upsert("k", b"\0"))
        assert loop.wait(hotels.get("k")).value == b"\0"
        assert hotels._defaults.timeout == bucket.timeout
        bucket.timeout = 1.5
        assert hotels._defaults.timeout == 1.5


class TestDocuments:
    """What can be done with the documents of a collection."""

    def test_apart(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """One key is another document in each collection, for every kind of operation."""
        loop.wait(bucket.upsert("k", "default"))
        stored = loop.wait(hotels.insert("k", {"rooms": 1}))
        assert loop.wait(hotels.get("k")).cas == stored.cas
        assert loop.wait(hotels.get("k")).content_as[dict] == {"rooms": 1}
        loop.wait(hotels.replace("k", {"rooms": 2}, stored.cas))
        assert loop.wait(hotels.counter("n", initial=5)).value == 5
        assert loop.wait(hotels.exists("n"))
        assert not loop.wait(bucket.exists("n"))
        loop.wait(hotels.touch("k", expiry=100))
        cas = loop.wait(hotels.get_and_lock("k", 5)).cas
        loop.wait(hotels.unlock("k", cas))
        assert loop.wait(hotels.lookup_in("k", path("rooms")))[0] == 2
        loop.wait(hotels.remove("k"))
        assert loop.wait(bucket.get("k")).value == "default"

    def test_copies(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """Replicas and what copies tell are those of the collection."""
        loop.wait(bucket.upsert("k", "default"))
        loop.wait(hotels.upsert("k", "hotel"))
        assert loop.wait(hotels.get_any_replica("k")).value == "hotel"
        assert loop.wait(hotels.rget("k", 0)).value == "hotel"
        seen = loop.wait(hotels.observe("k")).value
        assert len(seen) == 2
        assert {each.cas for each in seen} == {loop.wait(hotels.get("k")).cas}
        missing = loop.wait(bucket.scope("inventory").collection("hotels").observe("nosuch")).value
        assert {each.flags for each in missing} == {0x80}

    def test_first_use_by_observe(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Also what has its key within its value waits for the collection's number."""
        served.cluster.create_collection("default", "inventory.new")
        new = bucket.scope("inventory").collection("new")
        assert {each.flags for each in loop.wait(new.observe("k")).value} == {0x80}

    def test_bad_arguments(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """What is refused at the call names the collection as well as the key."""
        safe = bucket.threadsafe().scope("inventory").collection("hotels")
        calls: list[Callable[[], Any]] = [
            lambda: loop.wait(hotels.upsert("k", {1})),
            lambda: loop.wait(hotels.get("k", ttl=-1)),
            lambda: loop.wait(hotels.lookup_in("k")),
            lambda: loop.in_thread(lambda: safe.upsert("k", {1})),
        ]
        for call in calls:
            with pytest.raises(CouchbaseError, match=r"collection inventory\.hotels") as caught:
                call()
            assert caught.value.key == "k"

    def test_long_keys(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """In a named collection a key has 246 bytes at most, in the default one 250."""
        loop.wait(hotels.upsert("k" * 246, 1))
        with pytest.raises(KeyTooLongError) as caught:
            loop.wait(hotels.upsert("k" * 247, 1))
        context = caught.value.context
        assert context is not None
        assert (context.scope, context.collection) == ("inventory", "hotels")
        assert caught.value.key == "k" * 247
        loop.wait(bucket.upsert("k" * 250, 1))
        loop.wait(bucket.default_collection().upsert("k" * 250, 2))

    def test_batches(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """Small batches and large ones are the collection's, on its very first use too."""
        documents = {f"k{number}": number for number in range(MANY)}
        assert loop.wait(hotels.upsert_multi(documents)).all_ok
        found = loop.wait(hotels.get_multi([*documents]))
        assert {key: result.value for key, result in found.items()} == documents
        assert not loop.wait(bucket.exists("k0"))
        assert loop.wait(hotels.get_multi(["k1", "k2"]))["k2"].value == 2
        assert loop.wait(hotels.remove_multi([*documents])).all_ok

    def test_streams(self, loop: Loop, bucket: Any, hotels: Any) -> None:
        """Streams are the collection's, too."""
        pairs = ((f"k{number}", number) for number in range(MANY))
        assert all(result.success for result in loop.take(hotels.upsert_stream(pairs)))
        found = loop.take(hotels.get_stream(f"k{number}" for number in range(MANY)))
        assert sorted(result.value for result in found) == [*range(MANY)]
        assert not loop.wait(bucket.exists("k0"))

    def test_threads(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Handles for threads have scopes and collections, whose methods block the thread."""
        safe = bucket.threadsafe()
        hotels = safe.scope("inventory").collection("hotels")
        assert hotels == bucket.threadsafe().scope("inventory").collection("hotels")
        assert len({hotels, safe.scope("inventory").collection("hotels")}) == 1
        assert safe.scope("inventory") == safe.scope("inventory")
        assert loop.in_thread(lambda: hotels.upsert("k", 1)).success
        assert loop.in_thread(lambda: hotels.get_multi(["k"]))["k"].value == 1
        assert not loop.in_thread(lambda: safe.default_collection().exists("k"))
        documents = {f"k{number}": number for number in range(MANY)}
        assert loop.in_thread(lambda: hotels.upsert_multi(documents)).all_ok
        made = loop.in_thread(lambda: safe.scope("inventory").collection("rooms").name)
        assert made == "rooms"
        served.cluster.create_collection("default", "inventory.rooms")
        rooms = loop.in_thread(lambda: safe.scope("inventory").collection("rooms"))
        assert loop.in_thread(lambda: rooms.upsert("k", 1)).success
        with pytest.raises(InvalidNameError):
            safe.collection("")


class TestChanges:
    """Collections that come and go."""

    def test_made_again(self, loop: Loop, served: Any, hotels: Any) -> None:
        """A collection that is dropped and made again is used at once, and is empty."""
        loop.wait(hotels.upsert("k", 1))
        served.cluster.drop_collection("default", HOTELS)
        served.cluster.create_collection("default", HOTELS)
        assert not loop.wait(hotels.exists("k"))
        loop.wait(hotels.upsert("k", 2))
        assert loop.wait(hotels.get("k")).value == 2

    def test_made_later(self, loop: Loop, served: Any, bucket: Any) -> None:
        """What waits for a collection is done once it is made."""
        rooms = bucket.scope("inventory").collection("rooms")
        storing = loop.start(rooms.upsert, "k", 1)
        with pytest.raises(CollectionNotFoundError):
            loop.wait(rooms.get("nosuch", quiet=True, timeout=SOON))
        assert not storing.done
        served.cluster.create_collection("default", "inventory.rooms")
        assert storing.outcome().success

    def test_lagging_nodes(self, loop: Loop, served: Any, bucket: Any) -> None:
        """Nodes that do not know a collection yet are waited for, in order, and only for them."""
        nodes = served.cluster.nodes
        rooms = bucket.scope("inventory").collection("rooms")
        served.cluster.create_collection("default", "inventory.rooms", nodes=nodes[:1])
        documents = {f"k{number}": number for number in range(50)}
        storing = loop.start(rooms.upsert_multi, documents)
        later = loop.start(rooms.upsert_multi, dict.fromkeys(documents, "later"))
        loop.until(lambda: bucket.queued.operations)
        served.cluster.spread_manifest("default")
        assert storing.outcome().all_ok
        assert later.outcome().all_ok
        found = loop.wait(rooms.get_multi([*documents]))
        assert {result.value for result in found.values()} == {"later"}

    def test_missing(self, loop: Loop, bucket: Any) -> None:
        """An error says whether the scope or the collection is missing, and names them."""
        rooms = bucket.scope("inventory").collection("rooms")
        with pytest.raises(CollectionNotFoundError, match=r"collection inventory\.rooms") as caught:
            loop.wait(rooms.get("k", timeout=SOON))
        assert caught.value.key == "k"
        assert caught.value.context is not None
        assert caught.value.context.scope == "inventory"
        assert caught.value.context.bucket == "default"
        nowhere = bucket.scope("nowhere").collection("rooms")
        with pytest.raises(ScopeNotFoundError, match="the scope does not exist"):
            loop.wait(nowhere.get("k", timeout=SOON))
        with pytest.raises(CollectionNotFoundError):
            loop.wait(rooms.get("k", retry_strategy=FailFast()))

    def test_missing_in_batches(self, loop: Loop, bucket: Any) -> None:
        """A large batch for a collection that is missing ends within one timeout."""
        rooms = bucket.scope("inventory").collection("rooms")
        documents = dict.fromkeys(map(str, range(20_000)), 1)
        with pytest.raises(CollectionNotFoundError) as caught:
            loop.wait(rooms.upsert_multi(documents, timeout=SOON))
        results = caught.value.all_results
        assert results is not None
        assert len(results) == len(documents)
        assert not any(result.success for result in results.values())

    def test_asked_once(self, loop: Loop, served: Any, bucket: Any, hotels: Any) -> None:
        """The number is asked for once, by whatever comes first, also by handles made anew."""
        asked = served.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID)
        calls = [loop.start(hotels.upsert, f"k{number}", 1) for number in range(20)]
        assert all(call.outcome().success for call in calls)
        for _ in range(3):
            loop.wait(bucket.scope("inventory").collection("hotels").get("k1"))
        assert asked.hits == 1


class TestManifest:
    """Which scopes and collections there are."""

    def test_all_scopes(self, loop: Loop, served: Any, bucket: Any) -> None:
        """All are told of, with how long documents live at most; to threads, too."""
        served.cluster.create_collection("default", "inventory.short", max_ttl=60)
        found = loop.wait(bucket.collections().get_all_scopes())
        assert sorted(scope.name for scope in found) == ["_default", "inventory"]
        (inventory,) = [scope for scope in found if scope.name == "inventory"]
        assert sorted((each.name, each.max_expiry) for each in inventory.collections) == [
            ("hotels", timedelta(0)),
            ("short", timedelta(seconds=60)),
        ]
        assert {each.scope_name for each in inventory.collections} == {"inventory"}
        safe = bucket.threadsafe()
        told = loop.in_thread(lambda: safe.collections().get_all_scopes())
        assert told == found

    def test_a_node_is_away(self, loop: Loop, served: Any, bucket: Any) -> None:
        """A node that does not answer does not matter."""
        silent = served.cluster.inject(
            opcode=Opcode.COLLECTIONS_GET_MANIFEST, node=served.cluster.nodes[0], silent=True
        )
        assert loop.wait(bucket.collections().get_all_scopes())
        assert silent.hits == 1

    def test_older_servers(self, loop: Loop, served: Any, bucket: Any) -> None:
        """A server that has none says so."""
        status = Status.UNKNOWN_COMMAND
        served.cluster.inject(opcode=Opcode.COLLECTIONS_GET_MANIFEST, status=status)
        with pytest.raises(FeatureNotAvailableError, match="no scopes and collections") as caught:
            loop.wait(bucket.collections().get_all_scopes())
        assert caught.value.key is None


def test_servers_without_collections(
    loop: Loop, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the default collection works, and a named one is not available."""
    monkeypatch.setattr(hello, "_GRANTED", hello._GRANTED - {Feature.COLLECTIONS})
    with opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.default_collection().upsert("k", 1))
        assert loop.wait(bucket.get("k")).value == 1
        with pytest.raises(FeatureNotAvailableError, match="default one") as caught:
            loop.wait(bucket.scope("inventory").collection("hotels").get("k"))
        assert caught.value.context is not None
        assert caught.value.context.collection == "hotels"
        with pytest.raises(FeatureNotAvailableError):
            loop.wait(bucket.scope("inventory").collection("hotels").upsert_multi({"k": 1}))
