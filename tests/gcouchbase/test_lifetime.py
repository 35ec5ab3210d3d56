"""The life of a gevent Bucket: one per bucket per hub, from its opening to its last reference."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import gevent
import pytest
from gevent.exceptions import BlockingSwitchOutError, LoopExit

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    BucketAlreadyOpenError,
    CouchbaseError,
    ObjectDestroyedError,
    RequestCanceledError,
    WrongLoopError,
)
from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.garbage import needs_counting
from tests.gcouchbase.support import (
    cluster_of,
    hellos,
    in_thread,
    is_idle,
    key_of_node,
    start,
    until,
)

DATA: Final = (Opcode.GET, Opcode.SET)


@contextmanager
def without_gc() -> Iterator[None]:
    """Leave it to reference counts alone."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def no_connections(served: ServedCluster) -> None:
    """Wait until the server has no connection of a client left."""
    until(lambda: not served.cluster.connections(), "the server still has connections")


class TestIdentity:
    """One Bucket per bucket per hub."""

    def test_opening_again_gives_the_same_object(self, served: ServedCluster) -> None:
        """Through the same Cluster, another Cluster, or the constructor."""
        first = cluster_of(served).open_bucket("default")
        assert cluster_of(served).open_bucket("default") is first
        direct = Bucket(f"{served.connection_string}/default", username="user", password="password")
        assert direct is first

    def test_no_copies(self, served: ServedCluster, bucket: Bucket) -> None:
        """A Bucket is its loop's: a copy, deep or not, or a pickle is refused, and says so."""
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            for each in (bucket, {"of": [bucket]}):
                if make is copy.copy and each is not bucket:
                    continue
                with pytest.raises(TypeError, match="a Bucket is not copied or pickled"):
                    make(each)
        with pytest.raises(TypeError, match="a Bucket is not copied"):
            copy.deepcopy(bucket.threadsafe())
        assert bucket.upsert("key", 1).success

    def test_subclass(self, served: ServedCluster) -> None:
        """What a subclass passes on says which Bucket is meant; its constructor runs once."""
        made: list[str] = []

        class Orders(Bucket):
            """Has a constructor of its own."""

            def __init__(self, host: str, *, label: str = "") -> None:
                super().__init__(
                    f"{host}/default", username="user", password="password", quiet=True
                )
                made.append(label)

        first = Orders(served.connection_string, label="first")
        assert Orders(served.connection_string, label="again") is first
        assert cluster_of(served).open_bucket("default", quiet=True) is first
        assert made == ["first"]
        with pytest.raises(BucketAlreadyOpenError, match="quiet"):
            cluster_of(served).open_bucket("default")

    def test_subclass_with_a_metaclass(self, served: ServedCluster) -> None:
        """A subclass may be abstract, and see nothing of how it is given; nothing keeps it open."""
        seen: list[BaseException] = []

        class Store(Bucket, ABC):
            @abstractmethod
            def kind(self) -> str:
                """Note what it stores."""

        class Orders(Store):
            def __init__(self, host: str) -> None:
                try:
                    super().__init__(f"{host}/default", username="user", password="password")
                except BaseException as error:
                    seen.append(error)
                    raise

            def kind(self) -> str:
                return "orders"

        first = Orders(served.connection_string)
        assert Orders(served.connection_string) is first
        assert (first.kind(), seen) == ("orders", [])
        assert first.upsert("a", 1).success
        with without_gc():
            del first
            until(lambda: not served.cluster.connections())

    def test_other_settings_conflict(self, served: ServedCluster, cluster: Cluster) -> None:
        """Opening with other settings names what differs, never a secret, and harms nobody."""
        bucket = cluster.open_bucket("default")
        with pytest.raises(BucketAlreadyOpenError, match="quiet") as caught:
            cluster.open_bucket("default", quiet=True)
        with pytest.raises(BucketAlreadyOpenError, match="login") as caught:
            cluster_of(served, password="another-secret").open_bucket("default")
        assert "secret" not in str(caught.value)
        assert f"(opened at {__file__}:" in str(caught.value)
        bucket.upsert("a", 1)

    def test_another_way_to_one_cluster(self, served: ServedCluster) -> None:
        """By other nodes of one cluster: whoever learns it second fails, and has sent no data."""
        clusters = [
            Cluster(f"couchbase://127.0.0.1:{node.ports['kv']}") for node in served.cluster.nodes
        ]
        for cluster in clusters:
            cluster.authenticate(PasswordAuthenticator("user", "password"))
        openers = [start(cluster.open_bucket, "default") for cluster in clusters]
        gevent.joinall(openers)
        (bucket,) = [opener.value for opener in openers if isinstance(opener.value, Bucket)]
        errors = [opener.value for opener in openers if opener.value is not bucket]
        assert [type(error) for error in errors] == [BucketAlreadyOpenError] * 2
        assert all("one cluster" in str(error) for error in errors)
        counted = served.cluster.operations
        assert {opcode.name for opcode in DATA} & counted.keys() == set()
        assert Bucket._registry.buckets(gevent.get_hub()) == [bucket]
        bucket.upsert("a", 1)
        bucket.close()
        for cluster in clusters:
            with cluster.open_bucket("default") as bucket:
                assert bucket.get("a").value == 1

    def test_not_shared(self, served: ServedCluster, cluster: Cluster) -> None:
        """With shared=False Buckets of one bucket stand side by side, each with connections."""
        shared = cluster.open_bucket("default")
        keys = [key_of_node(served, shared, node) for node in range(3)]
        own = [cluster.open_bucket("default", shared=False, quiet=True) for _ in range(3)]
        for bucket in (shared, *own):
            bucket.get_multi(keys, quiet=True)
        assert len({shared, *own}) == 4
        assert len(served.cluster.connections()) == 12
        assert cluster.open_bucket("default") is shared
        own.clear()
        del bucket
        until(lambda: len(served.cluster.connections()) == 3)

    def test_concurrent_opening_is_one_bootstrap(
        self, served: ServedCluster, cluster: Cluster
    ) -> None:
        """A hundred greenlets that open at once get one object; the server sees one client."""
        openers = [gevent.spawn(cluster.open_bucket, "default") for _ in range(100)]
        gevent.joinall(openers, raise_error=True)
        (bucket,) = {opener.value for opener in openers}
        assert bucket is not None
        bucket.get_multi([key_of_node(served, bucket, node) for node in range(3)], quiet=True)
        assert hellos(served) == served.cluster.accepted == 3

    def test_waiting_openers_each_get_their_own_error(self, served: ServedCluster) -> None:
        """When the opening fails, every opener has an exception of its own; none is left behind."""
        cluster = cluster_of(served, password="wrong")
        errors: list[CouchbaseError] = []

        def open_it() -> None:
            with pytest.raises(CouchbaseError) as caught:
                cluster.open_bucket("default")
            errors.append(caught.value)

        gevent.joinall([gevent.spawn(open_it) for _ in range(10)], raise_error=True)
        assert len({id(error) for error in errors}) == 10
        assert len({str(error) for error in errors}) == 1
        assert hellos(served) == 1
        no_connections(served)

    def test_the_opening_outlives_its_opener(self, served: ServedCluster, cluster: Cluster) -> None:
        """The greenlet that opens is killed; those that wait for the same opening get the Bucket.

        There is still one bootstrap only.
        """
        hello = served.cluster.inject(opcode=Opcode.HELLO, delay=3600.0)
        opener = gevent.spawn(cluster.open_bucket, "default")
        others = [gevent.spawn(cluster.open_bucket, "default") for _ in range(5)]
        until(lambda: hello.hits == 1)
        opener.kill()
        hello.remove()
        # Their opening must go on, with the next seed.
        served.cluster.drop_connections()
        gevent.joinall(others, raise_error=True)
        assert len({other.value for other in others}) == 1
        assert Bucket._registry.buckets(gevent.get_hub()) == [others[0].value]

    def test_the_last_opener_killed_ends_the_opening(
        self, served: ServedCluster, cluster: Cluster
    ) -> None:
        """Nobody waits any more: the connections go, and the next opening starts anew."""
        for node in served.cluster.nodes:
            served.cluster.hang(node)
        opener = gevent.spawn(cluster.open_bucket, "default")
        until(served.cluster.connections)
        opener.kill()
        until(lambda: not Bucket._registry.buckets(gevent.get_hub()))
        no_connections(served)
        for node in served.cluster.nodes:
            served.cluster.restart(node)
        cluster.open_bucket("default").upsert("a", 1)

    def test_each_thread_has_its_own(self, served: ServedCluster, cluster: Cluster) -> None:
        """A plain thread with its own hub opens a Bucket of its own."""
        bucket = cluster.open_bucket("default")
        bucket.upsert("a", 1)
        # gevent keeps the frames that destroy a hub: they must not hold the Bucket of this thread.
        identity = id(bucket)

        def work() -> tuple[bool, Any]:
            with cluster.open_bucket("default") as own:
                value = own.get("a").value
                same = id(own) == identity
            gevent.get_hub().destroy(destroy_loop=True)
            return same, value

        assert in_thread(work) == (False, 1)


@needs_counting
class TestLastReference:
    """Closing without being asked to."""

    def test_reference_counts_suffice(self, served: ServedCluster, cluster: Cluster) -> None:
        """Without the garbage collector: the last reference goes, the server sees it."""
        with without_gc():
            bucket = cluster.open_bucket("default")
            bucket.get_multi([key_of_node(served, bucket, node) for node in range(3)], quiet=True)
            assert len(served.cluster.connections()) == 3
            gone = weakref.ref(bucket)
            del bucket
            assert gone() is None
            no_connections(served)

    def test_no_error_keeps_the_bucket(self, served: ServedCluster, cluster: Cluster) -> None:
        """Exceptions that are stored, tracebacks and all, do not keep the Bucket open."""
        with without_gc():
            held = {"bucket": cluster.open_bucket("default")}
            kept: list[BaseException] = []
            served.cluster.inject(opcode=Opcode.GET, key="slow", silent=True)
            for method, keywords in (
                ("get", {"key": "missing"}),
                ("get", {"key": ""}),
                ("get_multi", {"keys": ["missing", "too"]}),
                ("get", {"key": "slow", "timeout": 0.01}),
                ("get", {"key": "slow", "timeout": 60}),
            ):
                try:
                    with gevent.Timeout(0.1):
                        getattr(held["bucket"], method)(**keywords)
                except BaseException as error:  # noqa: BLE001 - a gevent.Timeout among them
                    kept.append(error)
            assert len(kept) == 5
            assert all(error.__traceback__ for error in kept)
            gone = weakref.ref(held["bucket"])
            held.clear()
            assert gone() is None
            no_connections(served)

    def test_an_operation_in_flight_keeps_it(self, served: ServedCluster, cluster: Cluster) -> None:
        """`open().get(key)` works: the operation holds its Bucket until it is answered."""
        with without_gc():
            cluster.open_bucket("default").upsert("a", {"n": 1})
            no_connections(served)
            assert cluster.open_bucket("default").get("a").value == {"n": 1}
            no_connections(served)

    def test_dropped_inside_the_hub(self, served: ServedCluster, cluster: Cluster) -> None:
        """The last reference goes in a callback of the loop."""
        held = [cluster.open_bucket("default")]
        gevent.get_hub().loop.run_callback(held.clear)
        until(lambda: not held)
        no_connections(served)

    def test_dropped_in_another_thread(self, served: ServedCluster, cluster: Cluster) -> None:
        """The finaliser runs in a foreign thread: the owning hub closes."""
        held = [cluster.open_bucket("default")]
        in_thread(held.clear)
        no_connections(served)

    @pytest.mark.parametrize("destroy", [True, False])
    def test_dropped_after_its_hub(
        self, served: ServedCluster, cluster: Cluster, *, destroy: bool
    ) -> None:
        """The thread has ended, its hub destroyed or standing still: the descriptors are closed."""
        held: list[Bucket] = []

        def work() -> None:
            held.append(cluster.open_bucket("default"))
            if destroy:
                gevent.get_hub().destroy(destroy_loop=True)

        in_thread(work)
        assert served.cluster.connections()
        held.clear()
        no_connections(served)

    @pytest.mark.parametrize("used", [False, True])
    def test_dropped_as_its_thread_ends(
        self, served: ServedCluster, cluster: Cluster, *, used: bool
    ) -> None:
        """A thread ends with its Bucket: its hub never runs again, yet the connections close."""

        def work() -> None:
            bucket = cluster.open_bucket("default")
            if used:
                bucket.upsert("k", 1)

        for _ in range(3):
            in_thread(work)
        assert served.cluster.accepted
        no_connections(served)

    def test_idle_bucket_does_not_hold_the_hub(self, bucket: Bucket) -> None:
        """In a thread: gevent.wait() returns and waiting for nothing is LoopExit, Bucket open."""
        bucket.upsert("a", 1)
        settings = bucket._settings

        def work() -> str:
            own = Bucket(
                f"couchbase://{','.join(map(str, settings.seeds))}/default",
                username="user",
                password="password",
            )
            own.get("a")
            assert gevent.get_hub().join()
            assert gevent.wait()
            try:
                gevent.event.AsyncResult().get()
            except LoopExit:
                own.get("a")
                own.close()
                return "LoopExit"
            return "returned"

        assert in_thread(work) == "LoopExit"

    def test_a_node_that_stays_away_does_not_hold_the_hub(self, served: ServedCluster) -> None:
        """The Bucket goes on trying to reconnect, but nobody waits: the hub may end."""
        cluster = cluster_of(served)
        stop = threading.Event()
        stopped = threading.Event()

        def work() -> bool:
            with cluster.open_bucket("default") as own:
                own.get_multi([key_of_node(served, own, node) for node in range(3)], quiet=True)
                stop.set()
                stopped.wait()
                gevent.sleep(0.01)
                return bool(gevent.get_hub().join(timeout=20))

        result = gevent.get_hub().threadpool.spawn(in_thread, work)
        until(stop.is_set)
        served.cluster.stop(served.cluster.nodes[2])
        stopped.set()
        assert result.get()

    def test_opening_and_closing_leaves_nothing(
        self, served: ServedCluster, cluster: Cluster
    ) -> None:
        """After hundreds of cycles there are no more objects of ours than after the first few."""

        def cycles(count: int) -> int:
            for _ in range(count):
                with cluster.open_bucket("default") as bucket:
                    bucket.get("a", quiet=True)
            no_connections(served)
            gc.collect()
            ours = ("gcouchbase", "couchloop.session.session", "couchloop.kv.connection")
            return sum(str(type(thing).__module__).startswith(ours) for thing in gc.get_objects())

        assert cycles(200) <= cycles(5)


class TestClosing:
    """Closing by hand."""

    def test_close_waits_for_operations(self, served: ServedCluster, bucket: Bucket) -> None:
        """What is in flight is answered, then the connections are gone; later calls fail."""
        slow = served.cluster.inject(opcode=Opcode.SET, key="slow", delay=0.05)
        writer = gevent.spawn(bucket.upsert, "slow", 1)
        until(lambda: slow.hits)
        bucket.close()
        no_connections(served)
        assert writer.get().success
        with pytest.raises(ObjectDestroyedError):
            bucket.get("slow")
        assert bucket.closed

    def test_close_fails_what_is_not_answered(self, served: ServedCluster, bucket: Bucket) -> None:
        """Each waiter has an error of its own, also when a greenlet closes at once."""
        served.cluster.inject(opcode=Opcode.GET, silent=True)
        readers = [start(bucket.get, f"k{n}") for n in range(10)]
        gevent.sleep(0)
        bucket._close()
        gevent.joinall(readers)
        errors = {id(reader.value): reader.value for reader in readers}
        assert len(errors) == 10
        assert {type(error) for error in errors.values()} == {RequestCanceledError}
        no_connections(served)
        assert is_idle(bucket)

    def test_close_by_several_and_again(self, served: ServedCluster, cluster: Cluster) -> None:
        """Any greenlet may close, at once with others, inside `with`, and again afterwards."""
        with cluster.open_bucket("default") as bucket:
            closers = [gevent.spawn(bucket.close) for _ in range(5)]
            gevent.joinall(closers, raise_error=True)
            assert bucket._get_close_future().is_set()
        bucket.close()
        bucket._close()
        again = cluster.open_bucket("default")
        assert again is not bucket
        again.upsert("a", 1)

    def test_close_while_it_opens(self, served: ServedCluster, cluster: Cluster) -> None:
        """Closing a Bucket that is being opened fails the opening, for all who wait for it."""
        for node in served.cluster.nodes:
            served.cluster.hang(node)
        openers = [start(cluster.open_bucket, "default") for _ in range(3)]
        until(lambda: Bucket._registry.buckets(gevent.get_hub()))
        (opening,) = Bucket._registry.buckets(gevent.get_hub())
        opening.close()
        gevent.joinall(openers)
        assert [type(opener.value) for opener in openers] == [ObjectDestroyedError] * 3
        no_connections(served)

    def test_close_inside_the_hub(self, served: ServedCluster, cluster: Cluster) -> None:
        """A callback of the loop may close at once; only waiting for the end is refused there."""
        bucket = cluster.open_bucket("default")
        gone = bucket._get_close_future()
        served.cluster.inject(opcode=Opcode.GET, silent=True)
        reader = start(bucket.get, "a")
        gevent.sleep(0)
        gevent.get_hub().loop.run_callback(bucket._close)
        gone.wait()
        assert isinstance(reader.get(), RequestCanceledError)
        assert bucket.closed
        other = cluster.open_bucket("default")
        caught: list[BaseException] = []

        def close() -> None:
            try:
                other.close()
            except BlockingSwitchOutError as error:
                caught.append(error)

        gevent.get_hub().loop.run_callback(close)
        until(lambda: caught)
        assert "_close()" in str(caught[0])
        assert not other.closed
        other.upsert("a", 1)
        other.close()

    def test_close_future_without_closing(self, served: ServedCluster, cluster: Cluster) -> None:
        """The Event of `_get_close_future` is set, too, when the last reference goes."""
        bucket = cluster.open_bucket("default")
        gone = bucket._get_close_future()
        assert not gone.is_set()
        del bucket
        gone.wait()
        no_connections(served)

    def test_closing_writes_the_backlog(self, cluster: Cluster, served: ServedCluster) -> None:
        """A large value that was issued is written although the Bucket is closed at once."""
        bucket = cluster.open_bucket("default")
        key = key_of_node(served, bucket, 0)
        value = "x" * 10_000_000
        writer = start(bucket.upsert, key, value)
        gevent.sleep(0)
        bucket._close()
        gevent.joinall([writer])
        assert isinstance(writer.value, RequestCanceledError)
        no_connections(served)
        assert served.cluster.operations[Opcode.SET.name] == 1
        assert cluster.open_bucket("default").get(key).value == value


class TestThreads:
    """Calls that must be refused."""

    def test_a_foreign_thread_is_refused(self, bucket: Bucket) -> None:
        """Operations and closing raise WrongLoopError there, and the Bucket is unharmed."""
        for call in (lambda: bucket.get("a"), bucket.close, bucket._close):
            with pytest.raises(WrongLoopError, match="another thread"):
                in_thread(call)
        bucket.upsert("a", 1)

    def test_the_hub_itself_is_refused(self, served: ServedCluster, bucket: Bucket) -> None:
        """A callback of the loop cannot wait; nothing is sent for it."""
        caught: list[BaseException] = []

        def callback() -> None:
            try:
                bucket.upsert("a", 1)
            except BlockingSwitchOutError as error:
                caught.append(error)

        gevent.get_hub().loop.run_callback(callback)
        until(lambda: caught)
        assert "spawn" in str(caught[0])
        bucket.get("b", quiet=True)
        assert served.cluster.operations[Opcode.SET.name] == 0

    def test_a_destroyed_hub_is_told(self, served: ServedCluster, cluster: Cluster) -> None:
        """A Bucket whose hub was destroyed says so; the bucket can be opened on the new hub."""

        def work() -> int:
            old = cluster.open_bucket("default")
            gevent.get_hub().destroy(destroy_loop=True)
            with pytest.raises(WrongLoopError, match="destroyed"):
                old.get("a")
            del old  # gevent keeps the frame that destroys a hub
            with cluster.open_bucket("default") as new:
                new.upsert("a", 1)
            gevent.get_hub().destroy(destroy_loop=True)
            return 1

        assert in_thread(work) == 1
        no_connections(served)


@needs_counting  # a finaliser tells of a thread's end
@pytest.mark.parametrize("ended", [False, True], ids=["alive", "ended"])
def test_a_thread_with_the_number_of_another(
    served: ServedCluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    """A Bucket of a thread that has ended is of none that is given its number, and says so."""
    kept: list[Bucket] = []
    numbers: list[int] = []
    over = threading.Event()

    def work() -> None:
        kept.append(cluster.open_bucket("default"))
        numbers.append(threading.get_ident())
        if not ended:
            over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: not thread.is_alive() if ended else bool(numbers))
    try:
        if ended:
            monkeypatch.setattr("gcouchbase.driver.thread_ident", lambda: numbers[0])
        whose = "a thread that has ended: open it in one" if ended else "another thread: open one"
        for call in (lambda: kept[0].get("a"), kept[0].close):
            with pytest.raises(WrongLoopError, match=f"{whose}.*gunicorn -k gevent"):
                call()
        del call
    finally:
        monkeypatch.undo()
        kept.clear()
        over.set()
        until(lambda: not thread.is_alive())
    no_connections(served)


def test_two_clusters_side_by_side(served: ServedCluster) -> None:
    """The same bucket name on two clusters means two Buckets."""
    with (
        serve(EmbeddedCluster(nodes=1, clock=SystemClock())) as other,
        cluster_of(served).open_bucket("default") as one,
        cluster_of(other).open_bucket("default") as two,
    ):
        assert one is not two
        one.upsert("a", 1)
        assert two.get("a", quiet=True).value is None
