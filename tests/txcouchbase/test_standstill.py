"""A reactor that stands still, for some code blocks: answers count that came meanwhile.

`trial --reactor=NAME` runs this on each.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from couchloop.exceptions import AmbiguousTimeoutError, NodeTimeoutError, UnambiguousTimeoutError
from couchloop.pytest_plugin import run_cluster
from couchloop.transcoder import FMT_BYTES
from tests.standstill import TIMEOUT, assert_tells, block, stopped
from txcouchbase.bucket import Bucket
from txcouchbase.patience import PatientCall


class StandstillTests(TestCase):
    """A cluster that runs while this process does not."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - the runner has installed it

        self.reactor: Any = reactor
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.process = stack.enter_context(run_cluster("--nodes", "1"))

    def opened(self, options: str = "") -> Bucket:
        """Open its bucket."""
        return Bucket(
            f"{self.process.connection_string}/default?{options}",
            username="user",
            password="password",
            reactor=self.reactor,
        )

    async def later(self, bucket: Bucket, call: Callable[[], object]) -> None:
        """Call after what is to be written is so, and before anything is read.

        Transports write in a turn after that in which they are given something.
        """
        await deferLater(self.reactor, 0)
        while any(
            writer._tempDataBuffer or writer.dataBuffer for writer in self.transports(bucket)
        ):
            await deferLater(self.reactor, 0)
        call()

    @staticmethod
    def transports(bucket: Bucket) -> list[Any]:
        """Return the Bucket's transports that are connected."""
        made: list[Any] = list(bucket._driver.transports.values())
        return [each.transport for each in made if hasattr(each, "transport")]

    def blocked(self, bucket: Bucket, *calls: Deferred[Any]) -> None:
        """Block until all answers are there, unless they have been read before."""
        if not all(call.called for call in calls):
            block([transport.fileno() for transport in self.transports(bucket)])

    async def test_answers_are_read_first(self) -> None:
        """What is in the socket when the reactor goes on is an answer, though its time is over."""
        async with self.opened() as bucket:
            await bucket.upsert("k", 1)
            calls = gatherResults([bucket.get("k", timeout=TIMEOUT) for _ in range(100)])
            await self.later(bucket, lambda: self.blocked(bucket, calls))
            assert [result.value for result in await calls] == [1] * 100

    async def test_large_answers_are_read_first(self) -> None:
        """One of a megabyte, too, which takes many turns of the reactor to read."""
        value = bytes(1_000_000)
        async with self.opened("compression=off") as bucket:
            await bucket.upsert("large", value, format=FMT_BYTES)
            call = bucket.get("large", timeout=TIMEOUT)
            await self.later(bucket, lambda: self.blocked(bucket, call))
            assert (await call).value == value

    async def test_no_answer(self) -> None:
        """What has no answer then ends, and its error tells of the loop, in equal words each time.

        One that was issued in the very turn that blocked was not even sent.
        """
        texts = set()
        async with self.opened("circuit_breaker=2") as bucket:
            await bucket.upsert("k", 1)
            for is_late in (False, True):
                with stopped(self.process.pid):
                    stores = [bucket.upsert("k", 1, timeout=TIMEOUT) for _ in range(5)]
                    read = bucket.get("k", timeout=TIMEOUT)
                    if is_late:
                        block()
                    else:
                        await self.later(bucket, block)
                    for store in stores:
                        with pytest.raises(AmbiguousTimeoutError) as raised:
                            await store
                        texts.add(assert_tells(raised.value).partition(" (")[0])
                    with pytest.raises(UnambiguousTimeoutError) as missed:
                        await read
                    assert_tells(missed.value)
                # Nobody blames the node: its circuit breaker is closed.
                assert (await bucket.upsert("k", 1)).success
        assert len(texts) == 1

    async def test_opening_while_the_reactor_stands_still(self) -> None:
        """A node has its time while the reactor runs; so has the search."""
        bucket = self.opened(f"config_node_timeout={TIMEOUT}&config_total_timeout={TIMEOUT * 1.2}")
        # As a module does that opens a Bucket, and goes on importing.
        block()
        for _ in range(3):
            await deferLater(self.reactor, 0, block)
        await bucket.connect()
        assert (await bucket.upsert("k", 1)).success
        await bucket.close()

    async def test_a_node_that_hangs_meanwhile(self) -> None:
        """Where a node does hang, the error tells of both."""
        with stopped(self.process.pid):
            bucket = self.opened(f"config_node_timeout={TIMEOUT}&bootstrap_on=cccp")
            await self.later(bucket, block)
            with pytest.raises(NodeTimeoutError, match="answer the handshake") as raised:
                await bucket.connect()
            assert "the event loop stood still meanwhile" in str(raised.value)
            # It would be tried again.
            await bucket.close()

    async def test_closing_while_the_reactor_stands_still(self) -> None:
        """Answers count that came while it stood still, though the time to close is over."""
        bucket = self.opened()
        await bucket.upsert("k", 1)
        stored = bucket.upsert("k", 2)
        closing = bucket.close(TIMEOUT)
        await self.later(bucket, lambda: self.blocked(bucket, stored))
        assert (await stored).success
        await closing


class PatientCallTests(SynchronousTestCase):
    """Delayed calls that let the reactor read first."""

    def test_clock_for_tests(self) -> None:
        """A clock that is set forward is not late: the call is made when that is done."""
        clock = Clock()
        made: list[int] = []
        call = PatientCall(clock, 2.0, made.append, 1)
        clock.advance(1.9)
        assert call.active()
        clock.advance(100)
        assert made == [1]
        assert not call.active()

    def test_cancelled(self) -> None:
        """One that is cancelled is not made, and leaves nothing in the reactor."""
        clock = Clock()
        call = PatientCall(clock, 2.0, self.fail)
        call.cancel()
        call.cancel()
        assert not clock.getDelayedCalls()
        clock.advance(3)
