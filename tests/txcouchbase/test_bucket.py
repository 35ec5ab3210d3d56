"""A Bucket on a clock that stands still and a cluster in memory: Deferreds, timers, life."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectError, DNSLookupError, TCPTimedOutError, UserError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from couchloop.exceptions import (
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    AuthError,
    BucketAlreadyOpenError,
    BucketNotFoundError,
    CouchbaseError,
    NodeUnreachableError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    UnknownHostError,
    ValueFormatError,
    WrongLoopError,
)
from couchloop.settings.values import Address
from couchloop.transcoder import Transcoder
from couchloop.wire import Opcode
from tests.garbage import needs_counting, needs_frames_to_go, release
from tests.signatures import check_arguments, check_methods
from tests.txcouchbase import support
from tests.txcouchbase.support import Memory, error_of, in_thread, outcome
from txcouchbase.bucket import Bucket, BucketArguments, OpenBucketArguments
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.management import (
    Admin,
    AnalyticsIndexManager,
    BucketManager,
    CollectionManager,
    CollectionQueryIndexManager,
    DesignManager,
    EventingFunctionManager,
    QueryIndexManager,
    SearchIndexManager,
    UserManager,
    ViewIndexManager,
)


class MemoryTests(SynchronousTestCase):
    """A cluster in memory; what a Bucket leaves behind fails the test."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.clock = self.memory.reactor
        self.cluster = self.memory.cluster

    def opened(self, **settings: Any) -> Bucket:
        """Return an open Bucket, connected to all nodes."""
        bucket = self.memory.open(**settings)
        self.memory.result(bucket.connect())
        return bucket

    def stop_all(self) -> None:
        for node in self.cluster.nodes:
            self.cluster.stop(node)

    def restart_all(self) -> None:
        for node in self.cluster.nodes:
            self.cluster.restart(node)


class OpeningTests(MemoryTests):
    """Readiness, and opening that fails."""

    def test_each_waiter_has_its_own_deferred(self) -> None:
        """Every connect() gives another Deferred, and each fires with None."""
        bucket = self.memory.open()
        first, second = bucket.connect(), bucket.connect()
        assert first is not second
        first.addCallback(lambda _: "changed by a callback")
        self.clock.advance(0)
        assert outcome(second) == [None]
        assert outcome(bucket.connect()) == [None]

    def test_each_waiter_has_its_own_error(self) -> None:
        """Waiters and waiting operations fail each with an exception object of its own."""
        bucket = self.memory.open(password="wrong")
        waiting: list[Deferred[Any]] = [
            *(bucket.connect() for _ in range(3)),
            bucket.get("k"),
            bucket.get_multi(["a", "b"]),
        ]
        self.clock.advance(0)
        errors = [error_of(deferred) for deferred in waiting]
        assert all(isinstance(error, AuthError) for error in errors)
        assert len({id(error) for error in errors}) == len(errors)
        assert isinstance(error_of(bucket.get("k")), AuthError), "later ones fail at once"
        assert self.memory.idle

    def test_cancelled_waiter(self) -> None:
        """Cancelling connect() releases that waiter; opening goes on for the others."""
        bucket = self.memory.open()
        gone, other = bucket.connect(), bucket.connect()
        gone.cancel()
        assert isinstance(error_of(gone), CancelledError)
        assert self.memory.result(other) is None
        assert bucket.connected

    def test_connect_again_from_errbacks(self) -> None:
        """Waiters and operations may try anew from within the failure, and both get there."""
        for issue in (Bucket.connect, lambda bucket: bucket.get("k", quiet=True)):
            with self.subTest(issue=issue):
                self.cluster.remove_bucket("default")
                bucket = self.memory.open()
                other = bucket.connect()

                def again(_: object, bucket: Bucket = bucket) -> Deferred[None]:
                    self.cluster.add_bucket("default")
                    return bucket.connect()

                retried = issue(bucket).addErrback(again)
                self.clock.advance(0)
                assert outcome(retried) == [None]
                assert isinstance(error_of(other), BucketNotFoundError)
                assert self.memory.open() is bucket
                self.memory.result(bucket.close())

    def test_place_taken(self) -> None:
        """A Bucket that failed cannot come back once another has taken its place."""
        self.cluster.remove_bucket("default")
        failed = self.memory.open()
        self.clock.advance(0)
        self.cluster.add_bucket("default")
        bucket = self.opened()
        assert bucket is not failed
        assert isinstance(error_of(failed.connect()), BucketAlreadyOpenError)

    def test_nobody_waits(self) -> None:
        """A failure to open is noise to nobody and leaves nothing: no error is logged later."""
        self.stop_all()
        bucket = self.memory.open()
        self.clock.advance(0)
        assert not bucket.connected
        del bucket
        gc.collect()
        self.clock.advance(0)
        assert self.memory.idle
        assert not self.flushLoggedErrors()  # type: ignore[no-untyped-call]

    def test_unanswered_seeds(self) -> None:
        """Nodes that accept and say nothing cost config_node_timeout each, and leave nothing."""
        for node in self.cluster.nodes:
            self.cluster.hang(node)
        bucket = self.memory.open(options="?config_node_timeout=1.5")
        waiting = bucket.connect()
        self.clock.pump([0.1] * 44)
        assert not waiting.called
        self.clock.pump([0.1] * 3)
        assert "1.5 s" in str(error_of(waiting))
        self.memory.result(bucket.close())
        assert self.memory.idle


class EndpointTests(MemoryTests):
    """Endpoints of the user's own."""

    def test_failures(self) -> None:
        """Whatever an endpoint fails with, at once or later, by raising or not, is told clearly."""

        def raising(*_: object) -> Any:
            raise RuntimeError("no proxy")

        class Endpoint:
            def __init__(self, connect: Callable[..., Any]) -> None:
                self.connect = connect

        for factory, kind, text in (
            (raising, NodeUnreachableError, "RuntimeError: no proxy"),
            (lambda *_: Endpoint(raising), NodeUnreachableError, "no proxy"),
            (lambda *_: Endpoint(lambda _: fail(ConnectError())), NodeUnreachableError, "11210"),  # type: ignore[no-untyped-call]
            (
                lambda *_: Endpoint(lambda _: fail(TCPTimedOutError())),  # type: ignore[no-untyped-call]
                NodeUnreachableError,
                "11210",
            ),
            (lambda *_: Endpoint(lambda _: fail(UserError("x"))), NodeUnreachableError, "x"),  # type: ignore[no-untyped-call]
            (lambda *_: Endpoint(lambda _: fail(DNSLookupError())), UnknownHostError, "127.0.0.1"),
            (lambda *_: Endpoint(lambda _: fail(AuthError("no"))), AuthError, "no"),
        ):
            with self.subTest(text=text, kind=kind):
                bucket = self.memory.open(endpoint_factory=factory)
                error = self.memory.error(bucket.connect())
                assert type(error) is kind
                assert text in str(error)
                assert "127.0.0.1:1121" in str(error)
                self.memory.result(bucket.close())
                assert self.memory.idle

    def test_given_up_meanwhile(self) -> None:
        """A connection that comes about after it was given up is dropped, not used."""
        connecting: list[Callable[[], object]] = []

        class Endpoint:
            def __init__(self, memory: Memory, address: Address) -> None:
                self.address = address
                self.memory = memory

            def connect(self, factory: Any) -> Deferred[Any]:
                connecting.append(lambda: self.memory.connect(self.address, factory))
                return Deferred()

        bucket = self.memory.open(
            endpoint_factory=lambda _, address, __: Endpoint(self.memory, address)
        )
        self.clock.advance(0)
        assert len(connecting) == 1
        assert outcome(bucket.close()) == [None]
        connecting[0]()
        assert len(self.cluster.connections()) == 1
        self.clock.advance(0)
        assert self.memory.idle

    def test_connected_at_once(self) -> None:
        """An endpoint may connect within connect()."""

        class Endpoint:
            def __init__(self, memory: Memory, address: Address) -> None:
                self.address = address
                self.memory = memory

            def connect(self, factory: Any) -> Deferred[Any]:
                return succeed(self.memory.connect(self.address, factory))

        bucket = self.memory.open(
            endpoint_factory=lambda _, address, __: Endpoint(self.memory, address)
        )
        self.memory.result(bucket.upsert("k", 1))
        self.memory.result(bucket.close())
        assert self.memory.idle

    def test_another_factory(self) -> None:
        """The same bucket by other endpoints is a conflict: it might be a proxy."""
        bucket = self.memory.open()
        assert self.memory.open() is bucket
        with pytest.raises(BucketAlreadyOpenError, match="connector"):
            self.memory.open(endpoint_factory=None)

    def test_cluster_hands_it_on(self) -> None:
        """A Cluster gives its endpoint_factory to the Buckets that it opens."""
        memory = self.memory
        cluster = Cluster(
            memory.connection_string,
            reactor=memory.reactor,
            endpoint_factory=memory.endpoint_factory,
        )
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        assert memory.result(bucket.connect()) is None
        assert cluster.open_bucket("default") is bucket
        assert memory.open() is bucket


class RegistryTests(SynchronousTestCase):
    """One Bucket per bucket per reactor."""

    def test_no_copies(self) -> None:
        """A Bucket is its loop's: a copy, deep or not, or a pickle is refused, and says so."""
        bucket = Memory().open()
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="a Bucket is not copied or pickled"):
                make(bucket)

    def test_concurrent_opening(self) -> None:
        """Callbacks that open in one turn, and in the next ones, get one object: one bootstrap."""
        memory = Memory()
        opened: list[Bucket] = []
        for delay in range(100):
            memory.reactor.callLater(delay // 50, lambda: opened.append(memory.open()))
        memory.reactor.pump([0.5] * 4)
        assert len(opened) == 100
        assert len(set(opened)) == 1
        assert memory.cluster.operations["SELECT_BUCKET"] == memory.cluster.accepted == 3

    def test_subclass(self) -> None:
        """What a subclass passes on says which Bucket is meant; its constructor runs once."""
        memory = Memory()
        made: list[str] = []

        class Orders(Bucket):
            """Has a constructor of its own, and defaults."""

            def __init__(self, *arguments: Any, label: str, **keywords: Any) -> None:
                super().__init__(*arguments, quiet=True, **keywords)
                made.append(label)

        cluster = Cluster(
            memory.connection_string,
            bucket_class=Orders,
            reactor=memory.reactor,
            endpoint_factory=memory.endpoint_factory,
        )
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        # What `open_bucket` is typed to take is what Bucket takes.
        mine: dict[str, Any] = {"label": "first"}
        first = cluster.open_bucket("default", **mine)
        assert cluster.open_bucket("default", **mine) is first
        assert made == ["first"]
        assert not memory.result(first.get("k")).success, "quiet"
        cluster.set_authenticator(PasswordAuthenticator("user", "another"))
        assert cluster.open_bucket("default", **mine) is first
        with pytest.raises(BucketAlreadyOpenError, match="quiet"):
            memory.open()
        memory.result(first.close())

    def test_subclass_with_a_metaclass(self) -> None:
        """A subclass may be abstract, or a protocol's, and see nothing of how it is given."""
        memory = Memory()
        seen: list[BaseException] = []

        class Store(Bucket, ABC):
            @abstractmethod
            def kind(self) -> str:
                """Note what it stores."""

        class Orders(Store):
            def __init__(self, *arguments: Any, **keywords: Any) -> None:
                try:
                    super().__init__(*arguments, **keywords)
                except BaseException as error:
                    seen.append(error)
                    raise

            def kind(self) -> str:
                return "orders"

        cluster = Cluster(
            memory.connection_string,
            bucket_class=Orders,
            reactor=memory.reactor,
            endpoint_factory=memory.endpoint_factory,
        )
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        first = cluster.open_bucket("default")
        assert cluster.open_bucket("default") is first
        assert isinstance(first, Orders)
        assert first.kind() == "orders"
        assert seen == []
        assert not memory.result(first.get("k", quiet=True)).success
        memory.result(first.close())
        assert memory.idle

    def test_opener(self) -> None:
        """A conflict says in which file and line the Bucket was opened that stands in the way."""
        memory = Memory()
        bucket = memory.open()
        with pytest.raises(BucketAlreadyOpenError) as caught:
            memory.open(quiet=True)
        assert f"(opened at {support.__file__}:" in str(caught.value)
        memory.result(bucket.close())

    def test_another_way_to_one_cluster(self) -> None:
        """By other nodes of one cluster: whoever learns it second fails, and has sent no data."""
        memory = Memory()
        nodes = [f"couchbase://127.0.0.1:{node.ports['kv']}" for node in memory.cluster.nodes]
        buckets = [memory.open(at=node) for node in nodes]
        waiting = [bucket.upsert("k", n) for n, bucket in enumerate(buckets)]
        memory.reactor.advance(0)
        assert [bucket.connected for bucket in buckets] == [True, False, False]
        assert outcome(waiting[0])[0].success
        for deferred in waiting[1:]:
            error = error_of(deferred)
            assert isinstance(error, BucketAlreadyOpenError)
            assert "one cluster" in str(error)
        assert memory.cluster.operations["SET"] == 1
        memory.result(buckets[0].close())
        memory.result(buckets[1].connect())
        assert memory.result(buckets[1].get("k")).value == 0
        assert isinstance(memory.error(buckets[2].connect()), BucketAlreadyOpenError)
        memory.result(buckets[1].close())
        assert memory.idle

    def test_not_shared(self) -> None:
        """With shared=False Buckets of one bucket stand side by side, each with connections."""
        memory = Memory()
        shared = memory.open()
        own = [memory.open(shared=False, quiet=True) for _ in range(3)]
        memory.reactor.advance(0)
        assert len({shared, *own}) == 4
        assert all(bucket.connected for bucket in (shared, *own))
        assert len(memory.cluster.connections()) == 12
        assert memory.open() is shared
        own.clear()
        release()
        memory.reactor.advance(0)
        assert len(memory.cluster.connections()) == 3
        memory.result(shared.close())
        assert memory.idle

    def test_reactors_apart(self) -> None:
        """Each reactor has its own Buckets; the registry keeps neither reactor nor Bucket."""
        first, second = Memory(), Memory()
        buckets = [first.open(), second.open()]
        assert buckets[0] is not buckets[1]
        assert [first.open(), second.open()] == buckets
        kept = [ref(first.reactor), ref(second.reactor)]
        for memory in (first, second):
            memory.reactor.advance(0)
        buckets.clear()
        release()
        for memory in (first, second):
            memory.reactor.advance(0)
            assert memory.idle
        del first, second, memory
        gc.collect()
        release()
        assert [reference() for reference in kept] == [None, None]

    def test_reactors_of_twisted(self) -> None:
        """Twisted's own reactor for tests will do as well."""
        memory = Memory(reactor=MemoryReactorClock())  # type: ignore[no-untyped-call]
        bucket = memory.open()
        assert memory.result(bucket.upsert("k", 1)).success
        memory.result(bucket.close())
        assert memory.idle


class ThreadTests(MemoryTests):
    """Calls from threads that are not the reactor's."""

    def test_refused(self) -> None:
        """Once the reactor has run the Bucket, calls from another thread are refused, unsent."""
        bucket = self.opened()
        sent = sum(self.cluster.operations.values())
        calls: list[Callable[[], object]] = [
            lambda: bucket.get("k"),
            lambda: bucket.upsert_multi({"k": 1}),
            bucket.ping,
            bucket.connect,
            bucket.close,
            bucket._close,
            bucket.diagnostics,
        ]
        for call in calls:
            with pytest.raises(WrongLoopError, match="thread"):
                in_thread(call)
        self.clock.advance(0)
        assert sum(self.cluster.operations.values()) == sent
        assert self.memory.result(bucket.upsert("k", 1)).success

    def test_cancelling_is_refused(self) -> None:
        """A Deferred is cancelled in the reactor's thread only; elsewhere it goes on unharmed."""
        bucket = self.opened()
        held = self.cluster.inject(opcode=Opcode.HELLO, delay=1)
        opening = self.memory.open(shared=False).connect()
        self.clock.advance(0)
        waiting = bucket.upsert("k", 1)
        assert held.hits == 1
        for deferred in (opening, waiting):
            with pytest.raises(WrongLoopError):
                in_thread(deferred.cancel)
        self.clock.advance(1)
        assert self.memory.result(waiting).success
        assert outcome(opening) == [None]

    @needs_counting
    def test_the_refusal_keeps_no_bucket(self) -> None:
        """An error that is stored does not keep open the Bucket that refused."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        held = [self.opened()]
        with pytest.raises(WrongLoopError) as kept:
            in_thread(lambda: held[0].get("k"))
        reference = ref(held[0])
        held.clear()
        assert reference() is None
        assert kept.value.__traceback__ is not None
        self.clock.advance(0)
        assert self.memory.idle

    def test_made_elsewhere(self) -> None:
        """A Bucket may be made before the reactor runs, in any thread: it learns where that is."""
        bucket: Bucket = in_thread(self.memory.open)
        stored: Deferred[Any] = in_thread(lambda: bucket.upsert("k", 1))
        assert self.memory.result(stored).success
        assert self.memory.result(bucket.get("k")).value == 1
        with pytest.raises(WrongLoopError):
            in_thread(lambda: bucket.get("k"))

    @needs_counting
    def test_last_reference(self) -> None:
        """The last reference may go in any thread: the reactor's closes the Bucket."""
        held = [self.opened()]
        in_thread(held.clear)
        assert self.cluster.connections()
        self.clock.advance(0)
        assert self.memory.idle


class OperationTests(MemoryTests):
    """Deferreds of operations, and user code that runs within them."""

    def test_arguments_fail_the_deferred(self) -> None:
        """A bad argument fails the Deferred; nothing is sent and nobody need yield first."""
        bucket = self.opened()
        error = error_of(bucket.get(""))
        assert isinstance(error, CouchbaseError)
        assert error.__traceback__ is None

    def test_methods(self) -> None:
        """A Bucket has every operation, with the builder's arguments; a method gives a Deferred."""
        check_methods(
            Bucket,
            CollectionManager,
            lambda result: Deferred[result],  # type: ignore[valid-type]
            Cluster,
            {
                "AdminMethods": Admin,
                "AnalyticsIndexManagerMethods": AnalyticsIndexManager,
                "BucketManagerMethods": BucketManager,
                "CollectionManagerMethods": CollectionManager,
                "CollectionQueryIndexManagerMethods": CollectionQueryIndexManager,
                "DesignMethods": DesignManager,
                "N1qlIndexMethods": DesignManager,
                "QueryIndexManagerMethods": QueryIndexManager,
                "EventingFunctionManagerMethods": EventingFunctionManager,
                "SearchIndexManagerMethods": SearchIndexManager,
                "UserManagerMethods": UserManager,
                "ViewIndexManagerMethods": ViewIndexManager,
            },
        )
        assert str(inspect.signature(Bucket.touch)) == (
            "(self, key: 'Key', ttl: 'Expiry' = 0, *, expiry: 'Expiry | None' = None, "
            "timeout: 'float | None' = None, "
            "retry_strategy: 'RetryStrategy | None' = None) -> 'Deferred[OperationResult]'"
        )

    def test_arguments(self) -> None:
        """What `open_bucket` is typed to take are the constructor's arguments but the reactor."""
        check_arguments(Bucket, OpenBucketArguments, "reactor")
        check_arguments(Bucket, BucketArguments, "reactor", "shared")

    def test_a_slip_is_raised(self) -> None:
        """An argument that a method does not have is a TypeError, raised at once by its name."""
        bucket = self.opened()
        with pytest.raises(TypeError, match=r"get\(\) got an unexpected keyword argument 'nosuch'"):
            bucket.get("k", nosuch=1)  # type: ignore[call-overload]

    def test_users_error_is_theirs(self) -> None:
        """An exception in a callback stays in its Deferred, and disturbs nobody."""
        bucket = self.opened()
        self.memory.result(bucket.upsert("k", 1))

        def broken(_: object) -> None:
            raise ZeroDivisionError

        one, two = bucket.get("k").addCallback(broken), bucket.get("k")
        self.clock.advance(0)
        assert isinstance(error_of(one), ZeroDivisionError)
        assert outcome(two)[0].value == 1
        bucket.get("k").addCallback(broken)
        self.clock.advance(0)
        gc.collect()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1, "not eaten"  # type: ignore[no-untyped-call]

    def test_transcoders_error_is_theirs(self) -> None:
        """What a transcoder raises while decoding is the cause of that operation's error alone."""

        class Broken(Transcoder):
            def decode_value(self, value: Any, flags: int) -> Any:
                if value == b'"bad"':
                    raise LookupError("by the user")
                return super().decode_value(value, flags)

        bucket = self.opened(transcoder=Broken)
        self.memory.result(bucket.upsert_multi({"bad": "bad", "good": "good"}))
        one, two = bucket.get("bad"), bucket.get("good")
        self.clock.advance(0)
        error = error_of(one)
        assert isinstance(error, ValueFormatError)
        assert error.key == "bad"
        assert isinstance(error.__cause__, LookupError)
        assert outcome(two)[0].value == "good"

    def test_issue_within_callbacks(self) -> None:
        """A callback may issue operations; they are sent when the present bytes are done with."""
        bucket = self.opened()
        chain = bucket.upsert("k", 1)
        for n in range(100):
            chain.addCallback(lambda _, n: bucket.upsert("k", n), n)
        assert self.memory.result(chain.addCallback(lambda _: bucket.get("k"))).value == 99

    def test_close_within_callbacks(self) -> None:
        """A callback may close the Bucket; answers behind that one fail as cancelled."""
        bucket = self.opened()
        keys = [f"k{n}" for n in range(30)]
        self.memory.result(bucket.upsert_multi(dict.fromkeys(keys, 1)))
        outcomes: list[object] = []
        closed: list[Deferred[None]] = []
        for key in keys:
            bucket.get(key).addBoth(outcomes.append)
        bucket.get(keys[0]).addCallback(lambda _: closed.append(bucket.close(0)))
        for key in keys:
            bucket.upsert(key, 2).addBoth(outcomes.append)
        self.clock.advance(0)
        assert len(outcomes) == 60
        kinds = {type(getattr(each, "value", each)) for each in outcomes[30:]}
        assert AmbiguousRequestCanceledError in kinds
        assert outcome(closed[0]) == [None]
        assert self.memory.idle

    def test_orderly_close_within_callbacks(self) -> None:
        """Closed in order by a callback, the Bucket still waits for the answers behind that one."""
        bucket = self.opened()
        self.memory.cluster.inject(opcode=Opcode.SET, delay=0.5)
        closed: list[Deferred[None]] = []
        bucket.get("k", quiet=True).addCallback(lambda _: closed.append(bucket.close()))
        stored = bucket.upsert("k", 1)
        self.clock.advance(0)
        assert not outcome(closed[0])
        assert isinstance(error_of(bucket.get("k")), ObjectDestroyedError)
        self.clock.advance(0.5)
        assert self.memory.result(stored).success
        assert outcome(closed[0]) == [None]
        assert self.memory.idle

    def test_cancel_within_callbacks(self) -> None:
        """A callback may cancel operations whose answers are in the same bytes."""
        bucket = self.opened()
        self.memory.result(bucket.upsert("k", 1))
        second: list[Deferred[Any]] = []
        first = bucket.get("k").addCallback(lambda _: second[0].cancel())
        second.append(bucket.get("k"))
        third = bucket.get("k")
        self.clock.advance(0)
        assert outcome(first) == [None]
        assert isinstance(error_of(second[0]), CancelledError)
        assert outcome(third)[0].value == 1

    def test_deadline(self) -> None:
        """An operation without an answer fails at its deadline, and the timer is gone then."""
        bucket = self.opened(options="?config_poll_interval=0")
        self.cluster.inject(key=b"k", silent=True)
        reading, writing = bucket.get("k", timeout=1), bucket.upsert("k", 1, timeout=2)
        self.clock.advance(0.99)
        assert not reading.called
        self.clock.advance(0.01)
        assert isinstance(error_of(reading), UnambiguousTimeoutError)
        self.clock.advance(1)
        assert isinstance(error_of(writing), AmbiguousTimeoutError)
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()

    def test_one_timer(self) -> None:
        """However many operations wait, the reactor has one timer of ours, and none when idle."""
        bucket = self.opened(options="?config_poll_interval=0")
        assert not self.clock.getDelayedCalls()
        held = self.cluster.inject(opcode=Opcode.GET, silent=True)
        waiting = [bucket.get(f"k{n}", timeout=1 + n / 100, quiet=True) for n in range(100)]
        self.clock.advance(0)
        assert len(self.clock.getDelayedCalls()) == 1
        self.clock.advance(1.5)
        assert len(self.clock.getDelayedCalls()) == 1
        held.remove()
        for deferred in waiting:
            deferred.addErrback(lambda _: None)
            deferred.cancel()
        self.memory.result(bucket.get("k", quiet=True))
        assert not self.clock.getDelayedCalls()


class CancelTests(MemoryTests):
    """Cancelling, at each stage of an operation."""

    def stages(self) -> Iterator[tuple[str, Bucket]]:
        """Yield Buckets, in turn, that make an operation wait for different things."""
        for node in self.cluster.nodes:
            self.cluster.hang(node)
        bucket = self.memory.open()
        yield "opening", bucket
        self.restart_all()
        self.memory.result(bucket.connect())
        yield "not written", bucket
        held = self.cluster.inject(silent=True)
        yield "in flight", bucket
        held.remove()
        self.stop_all()
        self.clock.advance(0)
        yield "parked", bucket
        self.restart_all()
        self.clock.advance(10)
        held = self.cluster.inject(opcode=Opcode.SET, status=0x86)
        yield "to be sent again", bucket
        held.remove()

    def test_stages(self) -> None:
        """Wherever it waits a cancelled operation fails at once, once, and nothing is kept."""
        for stage, bucket in self.stages():
            with self.subTest(stage=stage):
                one = bucket.upsert("k", 1)
                many = bucket.upsert_multi({"k": 2, "l": 3})
                timed = bucket.upsert("k", 4).addTimeout(0, self.clock)
                if stage != "not written":
                    self.clock.advance(0)
                assert not one.called
                one.cancel()
                many.cancel()
                assert isinstance(error_of(one), CancelledError)
                assert isinstance(error_of(many), CancelledError)
                self.clock.advance(0)
                assert isinstance(error_of(timed), DeferredTimeoutError)
                session = bucket._driver.session
                assert session.in_flight == 0
                assert not any(connection.pending for connection in session.connections)
        assert self.memory.result(bucket.upsert("k", 1)).success
        self.memory.result(bucket.close())
        assert self.memory.idle

    def test_late_answer(self) -> None:
        """The answer to a cancelled operation is counted as an orphan."""
        bucket = self.opened()
        self.cluster.inject(delay=1, count=1)
        late = bucket.upsert("k", 1)
        self.clock.advance(0)
        late.cancel()
        assert isinstance(error_of(late), CancelledError)
        self.clock.advance(1)
        assert bucket._driver.session.orphans == 1
        assert self.memory.result(bucket.get("k")).value == 1

    @needs_counting
    def test_releases_the_bucket(self) -> None:
        """A cancelled operation no longer keeps its Bucket, though the server never answers."""
        gc.disable()
        self.addCleanup(gc.enable)
        bucket = self.opened()
        self.cluster.inject(silent=True)
        deferred = bucket.get("k")
        self.clock.advance(0)
        del bucket
        self.clock.advance(0)
        assert self.cluster.connections(), "the operation keeps it"
        deferred.cancel()
        assert isinstance(error_of(deferred), CancelledError)
        self.clock.advance(0)
        assert self.memory.idle


class ClosingTests(MemoryTests):
    """Closing by hand."""

    def test_waits_for_operations(self) -> None:
        """close() lets what is in flight be answered, and takes nothing new."""
        bucket = self.opened()
        self.cluster.inject(delay=1)
        waiting = bucket.upsert("k", 1)
        self.clock.advance(0)
        closed = bucket.close()
        assert isinstance(error_of(bucket.get("k")), ObjectDestroyedError)
        assert isinstance(error_of(bucket.connect()), ObjectDestroyedError)
        self.clock.advance(0.9)
        assert not closed.called
        self.clock.advance(0.2)
        assert outcome(waiting)[0].success
        assert outcome(closed) == [None]
        assert self.memory.idle

    def test_gives_up(self) -> None:
        """What is not answered in time fails: ambiguous where the server may have done it."""
        bucket = self.opened()
        self.cluster.inject(silent=True)
        reading, writing = bucket.get("k"), bucket.upsert("k", 1)
        closed = bucket.close(1)
        self.clock.advance(0.9)
        assert not closed.called
        self.clock.advance(0.2)
        assert type(error_of(reading)) is RequestCanceledError
        assert type(error_of(writing)) is AmbiguousRequestCanceledError
        assert outcome(closed) == [None]
        assert self.memory.idle

    def test_cancelled_operations_are_not_waited_for(self) -> None:
        """The last operation that is cancelled ends the wait of close()."""
        bucket = self.opened()
        self.cluster.inject(silent=True)
        waiting = bucket.get("k")
        closed = bucket.close()
        waiting.cancel()
        assert isinstance(error_of(waiting), CancelledError)
        self.clock.advance(0)
        assert outcome(closed) == [None]
        assert self.memory.idle

    def test_while_opening(self) -> None:
        """close() before the bucket is open ends the attempt; waiters and operations fail."""
        for advance in (False, True):
            with self.subTest(advance=advance):
                bucket = self.memory.open()
                ready, waiting = bucket.connect(), bucket.get("k")
                if advance:
                    self.clock.pump([0])
                closed = bucket.close() if not advance else None
                if closed is None:
                    self.memory.result(ready)
                    self.memory.error(waiting)
                    self.memory.result(bucket.close())
                else:
                    assert isinstance(error_of(waiting), RequestCanceledError)
                    assert isinstance(error_of(ready), ObjectDestroyedError)
                    self.clock.advance(0)
                    assert outcome(closed) == [None]
                assert self.memory.idle

    def test_idempotent(self) -> None:
        """Every close() has a Deferred of its own, before, while and after the Bucket closes."""
        bucket = self.opened()
        first, second = bucket.close(), bucket.close()
        assert first is not second
        self.clock.advance(0)
        assert outcome(first) == outcome(second) == outcome(bucket.close()) == [None]

    def test_register_deferred(self) -> None:
        """SDK 2.5's events: `connect` once it is open, `_dtor` once the last connection is gone."""
        bucket = self.memory.open()
        early: dict[str, Deferred[None]] = {"connect": Deferred(), "_dtor": Deferred()}
        late: dict[str, Deferred[None]] = {"connect": Deferred(), "_dtor": Deferred()}
        for event, deferred in early.items():
            bucket.registerDeferred(event, deferred)
        assert not early["connect"].called
        self.clock.advance(0)
        assert outcome(early["connect"]) == [None]
        bucket.registerDeferred("connect", late["connect"])
        assert outcome(late["connect"]) == [None]
        with pytest.raises(ValueError, match="_dtor"):
            bucket.registerDeferred("close", Deferred())
        bucket._close()
        assert not early["_dtor"].called, "connections are still there"
        self.clock.advance(0)
        assert outcome(early["_dtor"]) == [None]
        bucket.registerDeferred("_dtor", late["_dtor"])
        assert outcome(late["_dtor"]) == [None]
        assert self.memory.idle

    def test_register_deferred_fails(self) -> None:
        """`connect` fails with what opening met; it does not open anew."""
        self.stop_all()
        bucket = self.memory.open()
        deferreds: list[Deferred[None]] = [Deferred(), Deferred()]
        bucket.registerDeferred("connect", deferreds[0])
        self.clock.advance(0)
        self.restart_all()
        bucket.registerDeferred("connect", deferreds[1])
        assert [type(error_of(each)) for each in deferreds] == [NodeUnreachableError] * 2
        assert not self.cluster.accepted
        self.memory.result(bucket.close())
        assert self.memory.idle

    def test_register_deferred_keeps_no_bucket(self) -> None:
        """With `_dtor` the Bucket may go when its last reference does; the Deferred fires then."""
        bucket = self.opened()
        destroyed: Deferred[None] = Deferred()
        bucket.registerDeferred("_dtor", destroyed)
        del bucket
        release()
        self.clock.advance(0)
        assert outcome(destroyed) == [None]
        assert self.memory.idle

    def test_last_resort(self) -> None:
        """_close() ends it at once; what was issued is still written."""
        bucket = self.opened()
        lost = bucket.upsert("k", 1)
        bucket._close()
        assert type(error_of(lost)) is AmbiguousRequestCanceledError
        self.clock.advance(0)
        assert self.memory.idle
        assert self.memory.result(self.opened().get("k")).value == 1

    def test_peer_that_takes_nothing(self) -> None:
        """A peer that does not take what is to be written is cut off after the time of grace."""
        bucket = self.opened()
        transports = [protocol.transport for protocol in bucket._driver.transports.values()]  # type: ignore[attr-defined]
        aborted = []
        for transport in transports:
            transport.loseConnection = lambda: None
            abort = transport.abortConnection

            def record(abort: Callable[[], None] = abort, transport: Any = transport) -> None:
                aborted.append(transport)
                del transport.loseConnection
                abort()

            transport.abortConnection = record
        closed = bucket.close()
        self.clock.advance(1.9)
        assert not closed.called
        self.clock.advance(0.1)
        assert aborted == transports
        assert outcome(closed) == [None]
        assert self.memory.idle

    def test_context_manager(self) -> None:
        """`async with` waits until the bucket is open, and closes it also after an error."""

        async def use() -> None:
            async with self.memory.open() as bucket:
                assert bucket.connected
                await bucket.get("missing")

        error = self.memory.error(Deferred.fromCoroutine(use()))
        assert isinstance(error, NotFoundError)
        assert self.memory.idle


@needs_counting
class LastReferenceTests(MemoryTests):
    """A Bucket that nobody refers to ends, by reference counts alone."""

    def setUp(self) -> None:
        super().setUp()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def gone(self, bucket: ref[Bucket]) -> None:
        assert bucket() is None
        self.clock.advance(0)
        assert self.memory.idle

    def test_after_success(self) -> None:
        """Results and their Deferreds keep no Bucket."""
        bucket = self.opened()
        kept: list[Deferred[Any]] = [
            bucket.upsert("k", 1),
            bucket.get("k"),
            bucket.get_multi(["k"]),
            bucket.connect(),
        ]
        self.clock.advance(0)
        reference = ref(bucket)
        del bucket
        self.gone(reference)
        assert [deferred.called for deferred in kept] == [True] * 4

    def test_after_errors(self) -> None:
        """Exceptions that are kept, and Deferreds that failed, hold no Bucket."""
        bucket = self.opened()
        self.cluster.inject(opcode=Opcode.SET, silent=True)
        deferreds: list[Deferred[Any]] = [
            bucket.get("missing"),
            bucket.get_multi(["missing", "too"]),
            bucket.get(""),
            bucket.upsert("k", object()),
            bucket.upsert("k", 1, timeout=1),
            bucket.touch("k").addTimeout(0, self.clock),
        ]
        kept = [outcome(deferred) for deferred in deferreds]
        self.clock.advance(1)
        assert all(isinstance(error, BaseException) for (error,) in kept)
        reference = ref(bucket)
        del bucket
        self.gone(reference)

    @needs_frames_to_go
    def test_after_await(self) -> None:
        """An exception that went through a coroutine holds its frames, and no longer than it."""

        async def use(bucket: Bucket) -> ref[Bucket]:
            with contextlib.suppress(NotFoundError):
                await bucket.get("missing")
            return ref(bucket)

        self.gone(self.memory.result(Deferred.fromCoroutine(use(self.opened()))))

    def test_after_failed_opening(self) -> None:
        """Errors of an opening that failed hold no Bucket either."""
        bucket = self.memory.open(password="wrong")
        kept = [outcome(bucket.connect()), outcome(bucket.get("k"))]
        self.clock.advance(0)
        assert all(isinstance(error, AuthError) for (error,) in kept)
        reference = ref(bucket)
        del bucket
        self.gone(reference)

    def test_while_operations_wait(self) -> None:
        """Operations and connect() keep their Bucket until they have fired, and no longer."""
        waiting = [self.memory.open().connect()]
        self.memory.result(self.memory.open().upsert("k", 1))
        assert waiting[0].called
        self.clock.advance(0)
        assert self.memory.idle
        got = self.memory.open().get("k")
        assert self.memory.result(got).value == 1
        self.clock.advance(0)
        assert self.memory.idle

    def test_before_it_is_open(self) -> None:
        """A Bucket that is dropped at once closes what it had begun."""
        self.gone(ref(self.memory.open()))
        bucket: Bucket | None = self.memory.open()
        assert bucket is not None
        reference = ref(bucket)
        bucket = None
        self.gone(reference)

    def test_pending_writes_are_sent(self) -> None:
        """What was issued is sent and answered before the last connection closes."""
        bucket = self.opened()
        for n in range(50):
            bucket.upsert(f"k{n}", n)
        del bucket
        self.clock.advance(0)
        assert self.memory.idle
        keys = [f"k{n}" for n in range(50)]
        assert self.memory.result(self.memory.open().get_multi(keys)).all_ok
