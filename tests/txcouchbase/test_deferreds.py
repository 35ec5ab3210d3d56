"""What Twisted users rely on of every Deferred: one result, one's own error, nothing eaten."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
)
from couchloop.wire import Opcode, Status
from tests.txcouchbase.support import Memory, error_of, outcome
from txcouchbase.bucket import Bucket


def frames(error: BaseException) -> list[str]:
    """Name the functions in the traceback of *error*."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


class Deferreds(SynchronousTestCase):
    """A cluster in memory; an error that nobody has seen fails the test, and so does a timer."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.clock = self.memory.reactor
        self.cluster = self.memory.cluster

    def opened(self, **settings: Any) -> Bucket:
        bucket = self.memory.open(**settings)
        self.memory.result(bucket.wait_until_ready(1))
        return bucket

    def logged(self, kind: type[BaseException]) -> int:
        """Count what Twisted has logged of such errors so far, and count it as seen."""
        gc.collect()
        return len(self.flushLoggedErrors(kind))  # type: ignore[no-untyped-call]


class UnhandledTests(Deferreds):
    """Errors that nobody handles."""

    def test_logged(self) -> None:
        """An operation's error that nobody handles is logged by Twisted, once, when it is gone."""
        bucket = self.opened()
        stored: Deferred[Any] | None = bucket.get("missing")
        self.clock.advance(0)
        assert self.logged(NotFoundError) == 0, "somebody may still handle it"
        stored = None
        assert stored is None
        assert self.logged(NotFoundError) == 1
        bucket.get_multi(["missing", "missing too"])
        self.clock.advance(0)
        assert self.logged(NotFoundError) == 1, "one for the batch"
        bucket.get("")
        assert self.logged(CouchbaseError) == 1
        self.memory.result(bucket.close())

    def test_waiters(self) -> None:
        """So is the failure of an opening to each who waited for it, and to nobody else."""
        bucket = self.memory.open(password="wrong")
        for _ in range(3):
            bucket.connect()
        self.clock.advance(0)
        assert self.logged(AuthError) == 3
        del bucket
        self.clock.advance(0)
        assert self.logged(CouchbaseError) == 0

    def test_cancelled(self) -> None:
        """What comes after a cancellation is nobody's: neither answer nor error is logged."""
        bucket = self.opened()
        self.cluster.inject(key="k", status=Status.EINTERNAL, delay=0.1)
        waiting = bucket.get("k")
        self.clock.advance(0)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.clock.advance(1)
        assert self.logged(CouchbaseError) == 0
        self.memory.result(bucket.close())

    def test_in_a_callback_of_an_errback(self) -> None:
        """An error in an errback is the user's: it is logged as such, and disturbs nobody."""
        bucket = self.opened()

        def broken(_: object) -> None:
            raise ZeroDivisionError

        bucket.get("missing").addErrback(broken)
        other = bucket.get("missing")
        assert isinstance(self.memory.error(other), NotFoundError)
        assert self.logged(ZeroDivisionError) == 1
        self.memory.result(bucket.close())
        assert self.memory.idle


class OwnErrorTests(Deferreds):
    """An exception belongs to whom it was given."""

    def raised(self, *waits: Callable[[], Deferred[Any]]) -> list[BaseException]:
        """Await each in a coroutine of its own, named `waiter0`, `waiter1`…; give the errors."""
        waiters = []
        for number, wait in enumerate(waits):
            names: dict[str, Any] = {}
            exec(f"async def waiter{number}(wait): return await wait()", names)  # noqa: S102
            waiters.append(Deferred.fromCoroutine(names[f"waiter{number}"](wait)))
        self.clock.advance(0)
        return [error_of(waiter) for waiter in waiters]

    def check(self, errors: list[BaseException]) -> None:
        for number, error in enumerate(errors):
            met = [name for name in frames(error) if name.startswith("waiter")]
            assert met == [f"waiter{number}"]
        assert len({id(error) for error in errors}) == len(errors)

    def test_opening(self) -> None:
        """The tracebacks of those who wait for one opening do not mix."""
        self.cluster.remove_bucket("default")
        bucket = self.memory.open()
        errors = self.raised(
            bucket.connect,
            bucket.connect,
            lambda: bucket.get("k"),
            lambda: bucket.get_multi(["a", "b"]),
            lambda: bucket.wait_until_ready(1),
        )
        assert {type(error) for error in errors} == {BucketNotFoundError}
        self.check(errors)
        later = self.raised(lambda: bucket.get("k"), lambda: bucket.get("k"))
        self.check(later)
        self.check(errors)

    def test_closing(self) -> None:
        """Nor do those of operations that closing has cancelled, or that came too late."""
        bucket = self.opened()
        self.cluster.inject(opcode=Opcode.GET, silent=True)

        def closing() -> Deferred[Any]:
            return bucket.close(0).addCallback(lambda _: bucket.get("k"))

        errors = self.raised(lambda: bucket.get("a"), lambda: bucket.get("b"), closing)
        assert isinstance(errors[0], RequestCanceledError)
        assert isinstance(errors[2], ObjectDestroyedError)
        self.check(errors)

    def test_a_lost_connection(self) -> None:
        """Nor those of operations that were on one connection when it was lost."""
        bucket = self.opened()
        self.cluster.inject(opcode=Opcode.INCREMENT, silent=True)
        for node in self.cluster.nodes:
            self.clock.callLater(0, self.cluster.stop, node)
        errors = self.raised(*(lambda: bucket.counter("n", initial=1) for _ in range(3)))
        self.check(errors)
        assert len({id(error.__cause__) for error in errors}) == 3
        self.memory.result(bucket.close())


class OnceTests(Deferreds):
    """Every Deferred fires once, whatever user code does meanwhile."""

    def test_closing_from_every_callback(self) -> None:
        """Callbacks and errbacks that all close the Bucket, and issue more, fire once each."""
        bucket = self.opened()
        self.cluster.inject(opcode=Opcode.GET, delay=0.1)
        fired: list[str] = []
        late: list[Deferred[Any]] = []

        def again(_: object, key: str) -> None:
            fired.append(key)
            late.extend([bucket.close(0), bucket.get(key), bucket.get_multi([key]), bucket.ping()])

        keys = [f"k{number}" for number in range(20)]
        for key in keys:
            bucket.upsert(key, 1).addBoth(again, key)
            bucket.get(key).addBoth(again, key)
        self.clock.advance(0)
        self.clock.advance(1)
        assert sorted(fired) == sorted(keys * 2)
        outcomes = [outcome(deferred) for deferred in late]
        assert all(len(each) == 1 for each in outcomes)
        assert {type(each) for (each,) in outcomes} == {type(None), ObjectDestroyedError}
        assert self.memory.idle

    def test_reopening_from_a_callback(self) -> None:
        """Who hears that the Bucket is closed may open the next from there."""
        bucket = self.opened()

        def again(_: object) -> Deferred[Any]:
            opened.append(self.memory.open())
            return opened[0].upsert("k", 1)

        opened: list[Bucket] = []
        stored = bucket.close().addCallback(again)
        assert self.memory.result(stored).success
        assert opened[0] is not bucket
        self.memory.result(opened[0].close())
        assert self.memory.idle

    def test_a_failure_that_opens_anew(self) -> None:
        """Every errback of a failed opening may issue an operation, or open, without end."""
        self.cluster.remove_bucket("default")
        bucket = self.memory.open()
        left = 50

        def again(_: object) -> Deferred[Any]:
            nonlocal left
            left -= 1
            return bucket.connect().addErrback(again) if left else bucket.get("k")

        last = bucket.get("k").addErrback(again)
        self.clock.advance(0)
        assert isinstance(error_of(last), BucketNotFoundError)
        assert left == 0

    def test_a_chain_without_end(self) -> None:
        """A coroutine may await ten thousand operations in a row: nothing grows by that."""
        bucket = self.opened()

        async def count() -> int:
            for _ in range(10_000):
                last = await bucket.counter("n", initial=1)
            return int(last.value)

        counted = Deferred.fromCoroutine(count())
        assert self.memory.result(counted) == 10_000
        self.memory.result(bucket.close())

    def test_a_chained_deferred(self) -> None:
        """An operation's Deferred may be returned from a callback, gathered, and awaited."""
        bucket = self.opened()
        stored = bucket.upsert("a", 1).addCallback(lambda _: bucket.upsert("b", 2))
        got = stored.addCallback(lambda _: gatherResults([bucket.get("a"), bucket.get("b")]))
        assert [each.value for each in self.memory.result(got)] == [1, 2]
        self.memory.result(bucket.close())

    def test_context_manager(self) -> None:
        """`async with` waits for the opening, closes at the end, and hides no error within."""

        async def use() -> None:
            async with self.memory.open() as bucket:
                assert bucket.connected
                kept.append(bucket)
                raise ZeroDivisionError

        kept: list[Bucket] = []
        used = Deferred.fromCoroutine(use())
        self.clock.advance(0)
        with pytest.raises(ZeroDivisionError):
            raise error_of(used)
        assert kept[0].closed
        assert self.memory.idle
