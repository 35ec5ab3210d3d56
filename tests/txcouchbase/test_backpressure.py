"""A slow network where only Twisted has anything to say: producers, transports that are one.

What holds on either loop is in tests/conformance; on the other reactors: see test_reactors.
"""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from couchloop.client.backlog import HIGH
from couchloop.exceptions import (
    ArgumentError,
    RequestCanceledError,
)
from couchloop.hot.pipe import ROOM
from couchloop.transcoder import FMT_BYTES
from tests.garbage import needs_counting
from tests.txcouchbase.support import Memory, Reading, error_of, kept, outcome, turn
from txcouchbase.bucket import Bucket
from txcouchbase.protocol import CouchbaseProtocol
from txcouchbase.testing import ServedCluster, serve

NOISE = os.urandom(10_000)
"""A value that no compression makes smaller."""


def open_bucket(served: ServedCluster, options: str) -> Bucket:
    """Open the bucket with these options."""
    text = f"{served.connection_string}/default?operation_timeout=60&{options}"
    return Bucket(text, username="user", password="password", reactor=served.reactor)


@implementer(IPushProducer)
class Source:
    """Upserts ten documents in each turn of the reactor until it has done so many, or is paused."""

    def __init__(self, bucket: Bucket, count: int, keys: list[str] | None = None) -> None:
        self.told: list[str] = []
        self.done: list[Any] = []
        self.ended: Deferred[None] = Deferred()
        self._bucket = bucket
        self._left = count
        self._keys = keys or [f"k{number}" for number in range(100)]
        self._is_paused = False
        self._is_scheduled = False

    def produce(self) -> None:
        self._is_scheduled = False
        if self._is_paused:
            return
        for _ in range(min(10, self._left)):
            self._left -= 1
            key = self._keys[self._left % len(self._keys)]
            stored = self._bucket.upsert(key, NOISE, format=FMT_BYTES)
            stored.addCallbacks(self.done.append, self.ended.errback)
        if self._left:
            self._schedule()
        else:
            self.ended.callback(None)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._bucket.reactor.callLater(0, self.produce)

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self._is_paused = True

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self._is_paused = False
        self._schedule()

    def stopProducing(self) -> None:
        self.told.append("stop")
        self._is_paused = True


@pytest.mark.timeout(120)
async def test_push_producer() -> None:
    """A producer that pauses when it is told never meets an OverloadedError, whatever is slow."""
    served = serve()
    reading = Reading(served)
    async with open_bucket(served, "max_queued_bytes=2000000") as bucket:
        await bucket.wait_until_ready(10)
        source = Source(bucket, 5000)
        bucket.registerProducer(source, streaming=True)
        reading.stop()
        source.produce()
        await turn(served.reactor, lambda: source.told == ["pause"])
        assert kept(bucket) < 2_000_000 + 3 * (HIGH + 3 * ROOM)
        reading.go_on()
        await source.ended
        await turn(served.reactor, lambda: len(source.done) == 5000)
        assert source.told[:2] == ["pause", "resume"]
        bucket.unregisterProducer(source)
    assert "stop" not in source.told
    await served.stop()


class Intake(LineReceiver):
    """Stores each line under its first word; the Bucket pauses the connection it comes from."""

    delimiter = b"\n"
    MAX_LENGTH = 20_000

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.stored: list[Any] = []
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.bucket.registerProducer(transport, streaming=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        transport: Any = self.transport
        self.bucket.unregisterProducer(transport)
        self.gone.callback(None)

    def lineReceived(self, line: bytes) -> None:
        key, _, value = line.partition(b" ")
        self.bucket.upsert(key, value, format=FMT_BYTES).addBoth(self.stored.append)


@pytest.mark.timeout(120)
async def test_a_transport_as_producer() -> None:
    """A server's own connection stops reading while the nodes do; then every line is stored."""
    served = serve()
    reactor = served.reactor
    reading = Reading(served)
    async with open_bucket(served, "max_queued_bytes=2000000") as bucket:
        await bucket.wait_until_ready(10)
        intake = Intake(bucket)
        listening = reactor.listenTCP(0, Factory.forProtocol(lambda: intake), interface="127.0.0.1")
        where = HostnameEndpoint(reactor, "127.0.0.1", listening.getHost().port)
        client: Any = await connectProtocol(where, Protocol())  # type: ignore[no-untyped-call]
        reading.stop()
        noise = NOISE.replace(b"\n", b"")
        for number in range(4000):
            client.transport.write(b"k%d %s\n" % (number % 100, noise))
        transport: Any = intake.transport
        await turn(reactor, lambda: transport not in reactor.getReaders())
        assert kept(bucket) < 2_000_000 + 3 * (HIGH + 3 * ROOM)
        reading.go_on()
        await turn(reactor, lambda: len(intake.stored) == 4000)
        assert all(getattr(each, "success", False) for each in intake.stored)
        client.transport.loseConnection()
        await intake.gone
        await listening.stopListening()
    await served.stop()


class ProducerTests(SynchronousTestCase):
    """Producers in memory: who is told what, and when."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.clock = self.memory.reactor
        self.bucket = self.memory.open(options="?max_queued_operations=8")
        self.memory.result(self.bucket.wait_until_ready(1))

    def tearDown(self) -> None:
        self.memory.result(self.bucket.close())
        assert self.memory.idle

    def load(self, *, count: int = 4) -> None:
        """Have operations wait, by a transport that takes no more."""
        for number in self.bucket._driver.transports:
            self.bucket._driver.paused(number)
        self.waiting = [self.bucket.upsert(f"k{number}", 1) for number in range(count)]
        self.clock.advance(0)

    def relieve(self) -> None:
        """Let the transports take more."""
        for number in self.bucket._driver.transports:
            self.bucket._driver.resumed(number)
        self.clock.advance(0)
        assert all(outcome(stored) for stored in self.waiting)

    def source(self) -> Source:
        source = Source(self.bucket, 0)
        verifyObject(IPushProducer, source)
        return source

    def test_all_of_them(self) -> None:
        """Each is told, also one that comes while too much waits; none after it was taken out."""
        first, second, late = (self.source() for _ in range(3))
        self.bucket.registerProducer(first, streaming=True)
        self.bucket.registerProducer(second, streaming=True)
        self.load()
        self.bucket.registerProducer(late, streaming=True)
        self.bucket.unregisterProducer(second)
        self.bucket.unregisterProducer(second)
        self.relieve()
        self.clock.advance(1)
        assert [source.told for source in (first, second, late)] == [
            ["pause", "resume"],
            ["pause"],
            ["pause", "resume"],
        ]
        self.bucket.unregisterProducer(first)
        self.bucket.unregisterProducer(late)

    def test_twice(self) -> None:
        """One that is registered cannot be registered again."""
        source = self.source()
        self.bucket.registerProducer(source, streaming=True)
        for streaming in (True, False):
            with pytest.raises(ArgumentError, match="registered already"):
                self.bucket.registerProducer(source, streaming=streaming)

    def test_pull_producer(self) -> None:
        """A pull producer is asked once in each turn in which more may be issued, and no more."""

        class Pulled:
            def __init__(self, bucket: Bucket) -> None:
                self.issued: list[Any] = []
                self.stopped = 0
                self._bucket = bucket

            def resumeProducing(self) -> None:
                self.issued.append(outcome(self._bucket.upsert(f"k{len(self.issued)}", 1)))
                if len(self.issued) == 20:
                    self._bucket.unregisterProducer(producer)

            def stopProducing(self) -> None:
                self.stopped += 1

        pulled = Pulled(self.bucket)
        producer: Any = pulled
        self.load(count=0)
        self.bucket.registerProducer(producer, streaming=False)
        self.clock.advance(0)
        assert len(pulled.issued) == 4, "half of what may wait"
        self.clock.advance(0)
        assert len(pulled.issued) == 4
        self.relieve()
        assert len(pulled.issued) == 20
        assert all(result.success for (result,) in pulled.issued)
        self.load()
        self.bucket.registerProducer(producer, streaming=False)
        self.clock.advance(0)
        assert (len(pulled.issued), pulled.stopped) == (20, 0)
        self.bucket._close()
        assert all(isinstance(error_of(stored), RequestCanceledError) for stored in self.waiting)
        assert (len(pulled.issued), pulled.stopped) == (20, 1)

    def test_closing(self) -> None:
        """A Bucket that closes tells them to stop, once; then it forgets them."""
        source = self.source()
        self.bucket.registerProducer(source, streaming=True)
        self.bucket._close()
        self.memory.result(self.bucket.close())
        assert source.told == ["stop"]

    def test_errors(self) -> None:
        """What a producer raises is logged, and neither other producers nor operations suffer."""

        class Failing(Source):
            def pauseProducing(self) -> None:
                raise ZeroDivisionError

        other = self.source()
        failing = Failing(self.bucket, 0)
        self.bucket.registerProducer(failing, streaming=True)
        self.bucket.registerProducer(other, streaming=True)
        self.load()
        assert other.told == ["pause"]
        logged = self.flushLoggedErrors(ZeroDivisionError)  # type: ignore[no-untyped-call]
        assert len(logged) == 1
        self.relieve()

    def test_reentrant(self) -> None:
        """A producer may issue operations, register others and close the Bucket when it is told."""
        test = self

        class Meddling(Source):
            def pauseProducing(self) -> None:
                super().pauseProducing()
                test.waiting.append(test.bucket.upsert("of the producer", 1))
                test.bucket.registerProducer(other, streaming=True)

            def resumeProducing(self) -> None:
                super().resumeProducing()
                test.bucket.unregisterProducer(self)
                closed.append(test.bucket.close())

        other = self.source()
        closed: list[Deferred[None]] = []
        meddling = Meddling(self.bucket, 0)
        self.bucket.registerProducer(meddling, streaming=True)
        self.load()
        self.relieve()
        assert meddling.told == ["pause", "resume"]
        assert other.told[0] == "pause"
        assert other.told[-1] == "stop"
        assert outcome(closed[0]) == [None]


@needs_counting
class LastReferenceTests(SynchronousTestCase):
    """The life of a Bucket that has producers."""

    def test_at_once(self) -> None:
        """The last reference to the Bucket closes it, whatever producers are registered."""
        memory = Memory()
        bucket = memory.open()
        memory.result(bucket.connect())
        source: Any = StringTransport()  # type: ignore[no-untyped-call]
        bucket.registerProducer(source, streaming=True)
        gc.disable()
        self.addCleanup(gc.enable)
        del bucket
        memory.reactor.advance(0)
        assert memory.idle


class ProtocolTests(SynchronousTestCase):
    """What the Protocol keeps while its transport has enough."""

    def setUp(self) -> None:
        self.told: list[str] = []
        test = self

        class Driver:
            def __init__(self) -> None:
                self.transports = {1: None}

            def connected(self, *_: object) -> None:
                """Do nothing."""

            def paused(self, _: int) -> None:
                test.told.append("paused")

            def progressed(self, _: int, __: int) -> None:
                test.told.append("progressed")

            def resumed(self, _: int) -> None:
                test.told.append("resumed")

        driver: Any = Driver()
        self.protocol = CouchbaseProtocol(driver, 1)
        self.transport: Any = StringTransport()  # type: ignore[no-untyped-call]
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def test_interface(self) -> None:
        """It is its transport's producer."""
        assert verifyObject(IPushProducer, self.protocol)
        assert self.transport.producer is self.protocol
        assert self.transport.streaming

    def test_kept(self) -> None:
        """What is written meanwhile is kept, and follows in order; too much is said, once."""
        self.protocol.write(b"a")
        self.protocol.pauseProducing()
        pieces = [bytes([65 + number]) * (HIGH // 4) for number in range(8)]
        for piece in pieces:
            self.protocol.write(piece)
        assert self.transport.value() == b"a"
        assert self.told == ["paused"]
        self.protocol.resumeProducing()
        assert self.transport.value() == b"a" + b"".join(pieces)
        assert self.told == ["paused", "progressed", "resumed"]
        self.protocol.write(b"z")
        assert self.transport.value().endswith(b"Hz")

    def test_enough_again(self) -> None:
        """It stops as soon as the transport has enough again, and loses nothing."""
        self.protocol.pauseProducing()
        pieces = [b"%d" % number for number in range(6)]
        for piece in pieces:
            self.protocol.write(piece)
        write, count = self.transport.write, 0

        def write_two(data: bytes) -> None:
            nonlocal count
            count += 1
            write(data)
            if not count % 2:
                self.protocol.pauseProducing()

        self.transport.write = write_two
        for wanted in (b"01", b"0123", b"012345"):
            self.protocol.resumeProducing()
            assert self.transport.value() == wanted
        assert self.told == ["progressed"] * 3

    def test_large(self) -> None:
        """What is large goes out in parts, so that it is seen that the peer takes it."""
        data = os.urandom(3 * HIGH)
        write = self.transport.write
        sizes: list[int] = []

        def write_one(data: bytes) -> None:
            sizes.append(len(data))
            write(data)
            self.protocol.pauseProducing()

        self.transport.write = write_one
        self.protocol.write(data)
        assert self.told == ["paused"]
        while sum(sizes) < len(data):
            self.protocol.resumeProducing()
        assert self.transport.value() == data
        assert max(sizes) <= HIGH // 4
        assert self.told.count("progressed") == len(sizes) - 1
        assert self.told.count("resumed") == 1
