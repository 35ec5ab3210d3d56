"""BucketService in a MultiService, on a clock that stands still; programs: see test_examples."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from twisted.application.service import (
    Application,
    IService,
    IServiceCollection,
    MultiService,
    Service,
)
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from couchloop.exceptions import (
    AuthError,
    BucketAlreadyOpenError,
    BucketNotFoundError,
    InvalidTimeoutError,
    ObjectDestroyedError,
    RequestCanceledError,
    ServiceNotRunningError,
)
from couchloop.wire import Opcode
from tests.strictness import STRICT
from tests.txcouchbase.support import Memory, error_of, outcome
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.service import BucketService


class _Slow(Service):
    """Takes its time to end."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return self.ended


class ServiceTests(SynchronousTestCase):
    """A service and a cluster in memory; what it leaves behind fails the test."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.clock = self.memory.reactor
        self.cluster = Cluster(
            self.memory.connection_string,
            reactor=self.clock,
            endpoint_factory=self.memory.endpoint_factory,
        )
        self.cluster.authenticate(PasswordAuthenticator("user", "password"))
        self.parent: Any = MultiService()  # type: ignore[no-untyped-call]
        self.service = self.make()

    def make(self, **arguments: Any) -> BucketService:
        service = BucketService(self.cluster, "default", **arguments)
        service.setServiceParent(self.parent)  # type: ignore[no-untyped-call]
        return service

    def stop(self) -> list[Any]:
        """Stop what the application consists of; give what became of that."""
        return outcome(self.parent.stopService())


class StartingTests(ServiceTests):
    """From the making to the open bucket."""

    def test_interface(self) -> None:
        """It is what an Application takes."""
        assert verifyObject(IService, self.service)
        application: Any = Application("test")  # type: ignore[no-untyped-call]
        service: Any = BucketService(self.cluster, "default")
        service.setServiceParent(application)
        assert list(IServiceCollection(application)) == [service]

    def test_nothing_before_the_start(self) -> None:
        """Making one opens nothing; its Bucket is not there before it is started."""
        self.clock.advance(1)
        assert not self.memory.cluster.accepted
        with pytest.raises(ServiceNotRunningError, match=r"bucket 'default'.*start it"):
            _ = self.service.bucket
        assert "not running" in repr(self.service)

    def test_no_reactor_before_the_start(self) -> None:
        """Importing and making one installs no reactor: the program may still choose."""
        program = (
            "import sys\n"
            "from txcouchbase.cluster import Cluster, PasswordAuthenticator\n"
            "from txcouchbase.service import BucketService\n"
            "BucketService(Cluster('couchbase://localhost'), 'default')\n"
            "assert 'twisted.internet.reactor' not in sys.modules\n"
        )
        subprocess.run([sys.executable, *STRICT, "-c", program], check=True)

    def test_operations_wait(self) -> None:
        """StartService returns at once, and what is issued then is done once the bucket is open."""
        self.parent.startService()
        stored = self.service.bucket.upsert("k", 1)
        assert not stored.called
        assert self.memory.result(stored).success
        assert self.stop() == []
        self.clock.advance(0)
        assert self.memory.idle

    def test_arguments(self) -> None:
        """What open_bucket takes goes through, and what it refuses stops the start."""
        service = BucketService(self.cluster, "default", quiet=True)
        service.startService()
        assert not self.memory.result(service.bucket.get("k")).success
        with pytest.raises(BucketAlreadyOpenError):
            self.parent.startService()
        self.memory.result(service.stopService())

    def test_times(self) -> None:
        """A limit for closing that is no time is refused where it is given."""
        endless: list[Any] = [float("inf"), float("nan"), 1e9, "1", True]
        for timeout in endless:
            with pytest.raises(InvalidTimeoutError):
                BucketService(self.cluster, "default", close_timeout=timeout)

    def test_when_ready(self) -> None:
        """Each waiter has a Deferred of its own, before the start and after, and may cancel it."""
        early, gone = self.service.when_ready(), self.service.when_ready()
        gone.cancel()
        assert isinstance(error_of(gone), CancelledError)
        self.parent.startService()
        late = self.service.when_ready()
        late.addCallback(lambda _: "changed by a callback")
        assert not early.called
        assert self.memory.result(early) is self.service.bucket
        assert self.memory.result(self.service.when_ready()) is self.service.bucket
        self.memory.result(self.parent.stopService())

    def away(self) -> Callable[[], None]:
        """Stop all nodes; give what starts them again."""
        nodes = list(self.memory.cluster.nodes)
        for node in nodes:
            self.memory.cluster.stop(node)

        def restart() -> None:
            for node in nodes:
                self.memory.cluster.restart(node)

        return restart

    def test_a_cluster_that_starts_later(self) -> None:
        """The Bucket opens by itself, and who waits for it is told at once."""
        restart = self.away()
        ready = self.service.when_ready()
        self.parent.startService()
        bucket = self.service.bucket
        waiting = bucket.get("k", quiet=True, timeout=60)
        for _ in range(30):
            self.clock.advance(0.1)
        assert [waiting.called, ready.called] == [False, False]
        restart()
        while not bucket.connected:
            self.clock.advance(0.1)
            assert self.clock.seconds() < 20
        self.clock.advance(0)
        assert self.memory.result(ready) is bucket
        assert not self.memory.result(waiting).success
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_a_bucket_that_is_made_later(self) -> None:
        """Where somebody has to do something it tries again itself, after pauses that double."""
        self.memory.cluster.remove_bucket("default")
        ready = self.service.when_ready()
        self.parent.startService()
        bucket = self.service.bucket
        waiting = bucket.get("k", quiet=True)
        self.clock.advance(0)
        assert isinstance(error_of(waiting), BucketNotFoundError)
        assert isinstance(error_of(bucket.get("k")), BucketNotFoundError), "not in silence"
        pauses = []
        for _ in range(8):
            (call,) = self.clock.getDelayedCalls()
            pauses.append(call.getTime() - self.clock.seconds())
            self.clock.advance(pauses[-1])
            self.clock.advance(0)
        assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
        assert not ready.called
        self.memory.cluster.add_bucket("default")
        self.clock.advance(30)
        assert self.memory.result(ready) is bucket
        self.memory.result(self.parent.stopService())

    def test_place_taken(self) -> None:
        """If others have opened the bucket while it could not, it shares theirs, and closes it."""
        self.memory.cluster.remove_bucket("default")
        self.parent.startService()
        ready, failed = self.service.when_ready(), self.service.bucket
        self.clock.advance(0)
        self.memory.cluster.add_bucket("default")
        theirs = self.cluster.open_bucket("default")
        self.memory.result(theirs.connect())
        assert theirs is not failed
        self.clock.advance(1)
        self.clock.advance(2)
        assert self.memory.result(ready) is theirs is self.service.bucket
        self.memory.result(self.parent.stopService())
        assert theirs.closed
        assert self.memory.idle

    def test_place_taken_otherwise(self) -> None:
        """If others have opened it with other settings, it tries until they have closed theirs."""
        self.memory.cluster.remove_bucket("default")
        self.parent.startService()
        ready = self.service.when_ready()
        self.clock.advance(0)
        self.memory.cluster.add_bucket("default")
        theirs = self.cluster.open_bucket("default", quiet=True)
        for pause in (1, 2, 4):
            self.clock.advance(pause)
        assert not ready.called
        self.memory.result(theirs.close())
        self.clock.advance(8)
        assert self.memory.result(ready) is self.service.bucket
        assert not self.service.bucket.quiet
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_a_pause_of_ones_own(self) -> None:
        """It is the longest there is between two tries, also where the Bucket tries by itself."""
        restart = self.away()
        service = BucketService(self.cluster, "default", retry_pause=lambda _: 0.2)
        service.startService()
        ready = service.when_ready()
        for _ in range(300):
            self.clock.advance(0.1)
        restart()
        self.clock.advance(0.2)
        assert self.memory.result(ready) is service.bucket
        assert not self.clock.getDelayedCalls()[1:], "the Bucket's alone"
        self.memory.result(service.stopService())
        assert self.memory.idle

    def test_a_password_that_is_mended(self) -> None:
        """From a cause that passes to one that does not, and from there on: it gets there."""
        restart = self.away()
        self.cluster.authenticate(PasswordAuthenticator("user", "wrong"))
        ready = self.service.when_ready()
        self.parent.startService()
        self.clock.advance(0)
        restart()
        self.clock.advance(0.1)
        assert isinstance(error_of(self.service.bucket.get("k")), AuthError)
        self.cluster.set_authenticator(PasswordAuthenticator("user", "password"))
        self.clock.advance(1)
        self.clock.advance(1)
        assert self.memory.result(ready) is self.service.bucket
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_pause(self) -> None:
        """How long it waits between tries can be said."""
        heard: list[int] = []

        def pause(failures: int) -> float:
            heard.append(failures)
            return 0.5

        self.cluster.authenticate(PasswordAuthenticator("user", "wrong"))
        service = BucketService(self.cluster, "default", retry_pause=pause)
        service.startService()
        for _ in range(3):
            self.clock.advance(0)
            assert isinstance(error_of(service.bucket.get("k")), AuthError)
            self.clock.advance(0.5)
        self.clock.advance(0)
        assert heard == [1, 2, 3, 4]
        self.memory.result(service.stopService())
        assert self.memory.idle


class StoppingTests(ServiceTests):
    """From stopService to the last connection."""

    def setUp(self) -> None:
        super().setUp()
        self.parent.startService()
        self.bucket: Bucket = self.memory.result(self.service.when_ready())

    def test_operations_are_answered_first(self) -> None:
        """What is in flight is answered; then the connections close; then the Deferred fires."""
        self.memory.cluster.inject(opcode=Opcode.SET, delay=0.5)
        stored = self.bucket.upsert("k", 1)
        self.clock.advance(0)
        stopped = self.stop()
        self.clock.advance(0.4)
        assert not stored.called
        with pytest.raises(ObjectDestroyedError):
            raise error_of(self.bucket.get("k"))
        seen: list[bool] = []
        stored.addCallback(lambda _: seen.append(bool(self.memory.cluster.connections())))
        self.clock.advance(0.1)
        assert seen == [True]
        self.clock.advance(0)
        assert stopped
        assert self.memory.idle
        with pytest.raises(ServiceNotRunningError):
            _ = self.service.bucket

    def test_their_time_is_limited(self) -> None:
        """What is not answered in close_timeout fails, and stopping goes on."""
        self.memory.result(self.parent.stopService())
        self.service.disownServiceParent()  # type: ignore[no-untyped-call]
        service = self.make(close_timeout=0.3)
        self.parent.startService()
        self.memory.result(service.when_ready())
        self.memory.cluster.inject(opcode=Opcode.GET, silent=True)
        waiting = service.bucket.get("k", timeout=60)
        self.clock.advance(0)
        stopped = self.stop()
        self.clock.advance(0.2)
        assert not stopped
        self.clock.advance(0.1)
        assert isinstance(error_of(waiting), RequestCanceledError)
        self.clock.advance(0)
        assert stopped
        assert self.memory.idle

    def test_services_under_it_end_first(self) -> None:
        """Services that use the Bucket still can while they stop, one operation after another."""

        class User(Service):
            def __init__(self, couchbase: BucketService) -> None:
                self.couchbase = couchbase
                self.asked: Deferred[None] = Deferred()
                self.seen: list[int] = []

            async def _end(self) -> None:
                await self.asked
                for _ in range(2):
                    self.seen.append((await self.couchbase.bucket.counter("n", initial=1)).value)

            def stopService(self) -> Deferred[None]:
                super().stopService()  # type: ignore[no-untyped-call]
                return Deferred.fromCoroutine(self._end())

        user = User(self.service)
        user.setServiceParent(self.service)  # type: ignore[no-untyped-call]
        assert user.running, "as its parent is"
        stopped = self.stop()
        self.clock.advance(10)
        assert not self.bucket.closed
        user.asked.callback(None)
        self.clock.advance(0)
        assert user.seen == [1, 2]
        assert self.bucket.closed
        assert stopped

    def test_shared_by_two(self) -> None:
        """Services of one bucket share its Bucket: who stops first leaves it to the other."""
        second = self.make()
        assert self.memory.result(second.when_ready()) is self.bucket
        self.memory.result(self.service.stopService())
        with pytest.raises(ServiceNotRunningError):
            _ = self.service.bucket
        assert self.memory.result(second.bucket.upsert("k", 1)).success
        self.service.startService()
        assert self.memory.result(self.service.when_ready()) is self.bucket
        self.memory.result(second.stopService())
        assert self.memory.result(self.bucket.get("k")).value == 1
        self.memory.result(self.parent.stopService())
        assert self.bucket.closed
        assert self.memory.idle

    def test_one_of_two_stops_between_tries(self) -> None:
        """A service that stops while its Bucket fails to open tries no more; the other one does."""
        self.memory.result(self.parent.stopService())
        for node in self.memory.cluster.nodes:
            self.memory.cluster.stop(node)
        second = self.make()
        self.parent.startService()
        ready, others = self.service.when_ready(), second.when_ready()
        self.memory.result(self.service.stopService())
        assert isinstance(error_of(ready), ServiceNotRunningError)
        late = self.service.when_ready()
        self.clock.advance(0)
        for node in self.memory.cluster.nodes:
            self.memory.cluster.restart(node)
        self.clock.advance(1)
        assert self.memory.result(others) is second.bucket
        assert not late.called
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_restart(self) -> None:
        """It can be started again, with a new Bucket; also while it is still stopping."""
        self.memory.result(self.parent.stopService())
        self.parent.startService()
        second = self.memory.result(self.service.when_ready())
        assert second is not self.bucket
        self.memory.cluster.inject(opcode=Opcode.SET, delay=0.5)
        stored = second.upsert("k", 1)
        self.clock.advance(0)
        first_stop = self.stop()
        self.parent.startService()
        ready = self.service.when_ready()
        self.clock.advance(0.5)
        assert self.memory.result(stored).success
        third = self.memory.result(ready)
        assert first_stop
        assert third is self.service.bucket
        assert third is not second
        assert self.memory.result(third.get("k")).value == 1
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_stop_twice(self) -> None:
        """Stopping twice, or before the start, is harmless; each call has its own Deferred."""
        first, second = self.service.stopService(), self.service.stopService()
        assert self.memory.result(first) is None
        assert self.memory.result(second) is None
        assert self.memory.result(self.service.stopService()) is None
        self.parent.stopService()

    def test_stop_while_opening(self) -> None:
        """Stopped before it is open, it opens nothing more, and whoever waits hears of it."""
        self.memory.result(self.parent.stopService())
        self.parent.startService()
        ready, waiting = self.service.when_ready(), self.service.bucket.get("k")
        stopped = self.stop()
        self.clock.advance(0)
        assert stopped
        assert isinstance(error_of(ready), ServiceNotRunningError)
        assert isinstance(error_of(waiting), RequestCanceledError)
        assert self.memory.idle

    def test_stop_between_tries(self) -> None:
        """Stopped in the pause after a failure, it leaves no timer and tries no more."""
        self.memory.result(self.parent.stopService())
        for node in self.memory.cluster.nodes:
            self.memory.cluster.stop(node)
        self.parent.startService()
        ready = self.service.when_ready()
        self.clock.advance(0)
        assert self.clock.getDelayedCalls()
        self.memory.result(self.parent.stopService())
        assert isinstance(error_of(ready), ServiceNotRunningError)
        assert self.memory.idle

    def test_no_try_while_it_stops(self) -> None:
        """While services under it end, a pause that is over opens nothing, and leaves nothing open.

        Not even where the place is taken by then: what would be opened nobody would close.
        """
        self.memory.result(self.parent.stopService())
        self.memory.cluster.remove_bucket("default")
        slow = _Slow()
        slow.setServiceParent(self.service)  # type: ignore[no-untyped-call]
        self.parent.startService()
        self.clock.advance(0)
        self.memory.cluster.add_bucket("default")
        theirs = self.cluster.open_bucket("default")
        self.memory.result(theirs.connect())
        self.clock.advance(1)
        assert self.clock.getDelayedCalls(), "it tries again, for the place is taken"
        stopped = self.stop()
        self.clock.advance(60)
        slow.ended.callback(None)
        self.clock.advance(0)
        assert stopped
        with pytest.raises(ServiceNotRunningError):
            _ = self.service.bucket
        assert theirs.connected
        self.memory.result(theirs.close())
        assert self.memory.idle

    def test_started_again_while_it_stops(self) -> None:
        """What is tried again after that is the new Bucket, and that alone."""
        self.memory.result(self.parent.stopService())
        self.memory.cluster.remove_bucket("default")
        slow = _Slow()
        slow.setServiceParent(self.service)  # type: ignore[no-untyped-call]
        self.parent.startService()
        self.clock.advance(0)
        first = self.service.bucket
        stopped = self.stop()
        self.parent.startService()
        self.clock.advance(10)
        slow.ended.callback(None)
        self.clock.advance(0)
        assert stopped
        assert first.closed
        self.memory.cluster.add_bucket("default")
        self.clock.advance(1)
        assert self.memory.result(self.service.when_ready()) is not first
        slow.ended = succeed(None)
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_start_from_a_waiter(self) -> None:
        """Who hears that it has stopped may start it again from there."""
        self.memory.result(self.parent.stopService())
        for node in self.memory.cluster.nodes:
            self.memory.cluster.stop(node)
        self.parent.startService()
        again: list[Any] = []

        def restart(_: object) -> None:
            for node in self.memory.cluster.nodes:
                self.memory.cluster.restart(node)
            self.parent.startService()
            again.append(self.service.when_ready())

        self.service.when_ready().addErrback(restart)
        self.memory.result(self.parent.stopService())
        assert self.memory.result(again[0]) is self.service.bucket
        self.memory.result(self.parent.stopService())
        assert self.memory.idle

    def test_leaving_its_parent(self) -> None:
        """Taken out of an application that runs, it stops, and says when."""
        gone: Deferred[Any] = self.service.disownServiceParent()  # type: ignore[no-untyped-call]
        assert self.memory.result(gone) is None
        assert self.memory.idle
        self.parent.stopService()
