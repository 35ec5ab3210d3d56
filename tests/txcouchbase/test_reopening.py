"""A Bucket that could not be opened opens by itself once the cluster is there.

On gevent a constructor waits and raises: only what a forked child inherits heals (test_fork).
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from couchloop.exceptions import (
    AuthError,
    BucketAlreadyOpenError,
    NodeUnreachableError,
    UnambiguousTimeoutError,
)
from tests.garbage import needs_counting
from tests.txcouchbase.support import Memory, error_of, outcome
from txcouchbase.bucket import Bucket


class HealingTests(SynchronousTestCase):
    """On a clock that stands still, with a cluster that is away at first."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.clock = self.memory.reactor
        for node in self.memory.cluster.nodes:
            self.memory.cluster.stop(node)

    def come_up(self) -> None:
        """Start the nodes."""
        for node in self.memory.cluster.nodes:
            self.memory.cluster.restart(node)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def test_it_opens_by_itself(self) -> None:
        """A cluster that comes up three seconds later: what waits is done, and nobody connects."""
        bucket = self.memory.open()
        waiting = bucket.upsert("k", 1, timeout=20)
        self.wait(3)
        later = bucket.get("k", timeout=20)
        assert [waiting.called, later.called] == [False, False]
        self.come_up()
        self.wait(4)
        assert bucket.connected
        assert self.memory.result(waiting).success
        assert self.memory.result(later).value == 1
        self.memory.result(bucket.close())
        assert self.memory.idle

    def test_operations_have_their_own_time(self) -> None:
        """They end by their timeout, and say what opening met last."""
        bucket = self.memory.open()
        waiting = bucket.get("k")
        self.wait(2.6)
        error = error_of(waiting)
        assert isinstance(error, UnambiguousTimeoutError)
        assert isinstance(error.__cause__, NodeUnreachableError)
        self.memory.result(bucket.close())
        assert self.memory.idle

    def test_waiting_for_the_opening(self) -> None:
        """`connect()` and registerDeferred fail with each failure; `connect()` tries at once."""
        bucket = self.memory.open()
        first = bucket.connect()
        told: Deferred[None] = Deferred()
        bucket.registerDeferred("connect", told)
        self.clock.advance(0)
        assert isinstance(error_of(first), NodeUnreachableError)
        assert isinstance(error_of(told), NodeUnreachableError)
        self.wait(60)
        between: Deferred[None] = Deferred()
        bucket.registerDeferred("connect", between)
        assert isinstance(error_of(between), NodeUnreachableError)
        assert isinstance(self.memory.error(bucket.connect()), NodeUnreachableError)
        self.come_up()
        assert self.memory.result(bucket.connect()) is None
        assert bucket.connected
        self.memory.result(bucket.close())

    def test_it_stays_registered(self) -> None:
        """Opening it again gives the same Bucket meanwhile, and with other settings is refused."""
        bucket = self.memory.open()
        self.wait(1)
        assert self.memory.open() is bucket
        with pytest.raises(BucketAlreadyOpenError, match="quiet"):
            self.memory.open(quiet=True)
        self.come_up()
        self.wait(10)
        assert self.memory.open() is bucket
        assert bucket.connected
        self.memory.result(bucket.close())

    def test_a_cause_that_stays(self) -> None:
        """A wrong password ends it: operations fail at once, the place is free, no timer stays."""
        bucket = self.memory.open(password="wrong")
        waiting = bucket.get("k", timeout=60)
        self.wait(1)
        self.come_up()
        self.wait(3)
        assert isinstance(error_of(waiting), AuthError)
        assert isinstance(self.memory.error(bucket.get("k")), AuthError)
        another = self.memory.open()
        assert another is not bucket
        self.memory.result(another.connect())
        self.memory.result(another.close())
        assert self.memory.idle

    @needs_counting
    def test_the_last_reference(self) -> None:
        """It lives no longer than it is used: no timer is left, with the collector off."""
        gc.disable()
        self.addCleanup(gc.enable)
        bucket: Bucket | None = self.memory.open()
        self.wait(1)
        assert bucket is not None
        assert not bucket.connected
        assert self.clock.getDelayedCalls()
        bucket = None
        self.clock.advance(0)
        assert not self.clock.getDelayedCalls()
        assert self.memory.idle

    @needs_counting
    def test_an_operation_holds_it(self) -> None:
        """As long as one waits the Bucket is not dropped; then it goes."""
        waiting = self.memory.open().upsert("k", 1, timeout=20)
        self.wait(1)
        self.come_up()
        self.wait(5)
        assert self.memory.result(waiting).success
        self.clock.advance(0)
        assert self.memory.idle

    def test_closing(self) -> None:
        """Closed in a pause, it leaves no timer."""
        bucket = self.memory.open()
        self.wait(1)
        self.memory.result(bucket.close())
        assert bucket.closed
        assert self.memory.idle

    def test_until_ready(self) -> None:
        """`wait_until_ready` waits for the nodes, however many tries that takes."""
        bucket = self.memory.open()
        ready: Deferred[Any] = bucket.wait_until_ready(30)
        self.wait(2)
        assert outcome(ready) == []
        self.come_up()
        self.wait(5)
        assert self.memory.result(ready) is None
        self.memory.result(bucket.close())
