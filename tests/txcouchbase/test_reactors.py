"""Buckets over real sockets, on whatever reactor runs: `trial --reactor=NAME` runs them on each."""

from __future__ import annotations

import gc
import os
from threading import get_ident
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from couchloop.client.backlog import HIGH
from couchloop.exceptions import (
    CasMismatchError,
    CouchbaseError,
    DocumentExistsError,
    NotFoundError,
    NotStoredError,
    ObjectDestroyedError,
    OverloadedError,
    RequestCanceledError,
    WrongLoopError,
)
from couchloop.hot.pipe import ROOM
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Opcode
from tests.garbage import trial_needs_counting
from tests.txcouchbase.support import Reading, error_of, kept, turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.testing import serve


class SocketTests(TestCase):
    """A cluster of three nodes on sockets; every test closes what it opens (trial looks)."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - the runner has installed it

        self.reactor: Any = reactor
        self.served = serve(reactor=reactor)
        self.addCleanup(self.served.stop)
        self.cluster = Cluster(self.served.connection_string, reactor=reactor)
        self.cluster.authenticate(PasswordAuthenticator("user", "password"))

    def disconnected(self) -> Deferred[None]:
        """Fire once the cluster has no connection any more."""
        return turn(self.reactor, lambda: not self.served.cluster.connections())


class ForeignThreadTests(SocketTests):
    """Threads beside the reactor's."""

    async def test_opening_in_a_thread(self) -> None:
        """A thread of the reactor's pool can neither open a Bucket nor get hold of an open one."""
        for _ in range(2):
            with pytest.raises(WrongLoopError, match="callFromThread"):
                await deferToThread(self.cluster.open_bucket, "default")
            async with self.cluster.open_bucket("default") as bucket:
                with pytest.raises(WrongLoopError, match="callFromThread"):
                    await deferToThread(self.cluster.open_bucket, "default")
                with pytest.raises(WrongLoopError, match="threadsafe"):
                    await deferToThread(bucket.get, "k")
                assert (await bucket.upsert("k", 1)).success

    async def test_threadsafe(self) -> None:
        """Every thread of the reactor's pool waits for a Bucket that is being opened: it opens.

        Then they go on, at once with the reactor's own operations.
        """
        port = self.served.cluster.nodes[0].ports["kv"]
        cluster = Cluster(f"couchbase://localhost:{port}", reactor=self.reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        handle = bucket.threadsafe()
        calls = [deferToThread(handle.counter, "c", initial=1) for _ in range(50)]
        calls += [bucket.counter("c", initial=1) for _ in range(50)]
        numbers = [result.value for result in await gatherResults(calls)]
        assert sorted(numbers) == list(range(1, 101))
        with pytest.raises(NotFoundError):
            await deferToThread(handle.get, "missing")
        await bucket.close()

    async def test_last_reference_in_a_thread(self) -> None:
        """The last reference goes in a thread of the pool: the reactor closes the connections."""
        held = [self.cluster.open_bucket("default")]
        await held[0].upsert("k", 1)
        assert self.served.cluster.connections()
        await deferToThread(held.clear)
        await self.disconnected()


class OperationTests(SocketTests):
    """What every operation does."""

    async def test_own_ends(self) -> None:
        """The local ends in diagnostics are those that the server sees."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.wait_until_ready(10.0)
            ends = {entry["local"] for entry in bucket.diagnostics()["services"]["kv"]}
            assert ends == {connection.peer for connection in self.served.cluster.connections()}

    async def test_documents(self) -> None:
        """Every operation on one document, and how each fails."""
        async with self.cluster.open_bucket("default") as bucket:
            stored = await bucket.upsert("k", {"n": 1})
            got = await bucket.get("k")
            assert (got.value, got.cas, got.rc) == ({"n": 1}, stored.cas, 0)
            with pytest.raises(DocumentExistsError):
                await bucket.insert("k", 2)
            await bucket.replace("k", [2], cas=got.cas)
            with pytest.raises(CasMismatchError) as raised:
                await bucket.replace("k", [3], cas=got.cas)
            assert raised.value.key == "k"
            assert (await bucket.get("k")).value == [2]
            await bucket.touch("k", ttl=100)
            assert (await bucket.get("k", ttl=50)).value == [2]
            await bucket.remove("k")
            for missing in (bucket.get, bucket.remove, bucket.touch):
                with pytest.raises(NotFoundError):
                    await missing("k")
            assert not (await bucket.get("k", quiet=True)).success
            with pytest.raises(NotFoundError):
                await bucket.counter("c")
            assert (await bucket.counter("c", initial=7)).value == 7
            assert (await bucket.counter("c", delta=-2)).value == 5
            with pytest.raises(NotStoredError):
                await bucket.append("t", "x")
            await bucket.insert("t", "b", format=FMT_UTF8)
            await bucket.append("t", "c")
            await bucket.prepend("t", "a")
            assert (await bucket.get("t")).value == "abc"
            await bucket.upsert("b", b"\0\xff", format=FMT_BYTES)
            assert (await bucket.get("b")).value == b"\0\xff"

    async def test_batches(self) -> None:
        """Every operation on many documents, and the results that come with a failure."""
        keys = [f"k{n}" for n in range(100)]
        async with self.cluster.open_bucket("default") as bucket:
            assert (await bucket.upsert_multi(dict.fromkeys(keys, "v"))).all_ok
            got = await bucket.get_multi(keys)
            assert [got[key].value for key in keys] == ["v"] * 100
            await bucket.replace_multi({key: key for key in keys})
            await bucket.touch_multi(keys, ttl=100)
            removed = await bucket.remove_multi(dict(got.items()), quiet=True).addErrback(
                lambda failure: failure.value
            )
            assert isinstance(removed, CasMismatchError), "the CAS of before the replace"
            await bucket.remove_multi(keys[1:])
            with pytest.raises(NotFoundError) as raised:
                await bucket.get_multi(keys[:2])
            results = raised.value.all_results
            assert results is not None
            assert (results["k0"].value, results["k1"].success) == ("k0", False)
            assert not (await bucket.get_multi(keys[:2], quiet=True)).all_ok
            counters = await bucket.counter_multi(["c1", "c2"], initial=3)
            assert [result.value for result in counters.values()] == [3, 3]
            await bucket.insert_multi({"t1": "b", "t2": "b"}, format=FMT_UTF8)
            await bucket.append_multi({"t1": "c", "t2": "c"})
            await bucket.prepend_multi({"t1": "a", "t2": "a"})
            texts = await bucket.get_multi(["t1", "t2"])
            assert [result.value for result in texts.values()] == ["abc", "abc"]

    async def test_large_values(self) -> None:
        """Values that take many reads and writes arrive whole, many at once."""
        async with self.cluster.open_bucket("default") as bucket:
            values = {f"large{n}": bytes([n]) * 1_000_000 for n in range(8)}
            await gatherResults(
                [bucket.upsert(key, value, format=FMT_BYTES) for key, value in values.items()]
            )
            for key, value in values.items():
                assert (await bucket.get(key)).value == value


class LifeTests(SocketTests):
    """From open to the last reference."""

    async def test_operations_wait(self) -> None:
        """What is issued before the bucket is open is done, in order, once it is."""
        bucket = self.cluster.open_bucket("default")
        assert not bucket.connected
        bucket.upsert("k", 1)
        last = bucket.upsert("k", 2)
        assert (await bucket.get("k")).value == 2
        await last
        assert bucket.connected
        assert len(bucket.server_nodes) == 3
        await bucket.close()

    async def test_close(self) -> None:
        """close() waits for what is in flight, and fires when the connections are gone."""
        bucket = self.cluster.open_bucket("default")
        await bucket.connect()
        waiting = gatherResults([bucket.upsert(f"k{n}", n) for n in range(50)])
        await bucket.close()
        assert len(await waiting) == 50
        await self.disconnected()
        for refused in (bucket.get("k"), bucket.connect()):
            with pytest.raises(ObjectDestroyedError):
                await refused
        await bucket.close()
        again = self.cluster.open_bucket("default")
        assert again is not bucket
        await again.get("k0")
        await again.close()

    async def test_same_object(self) -> None:
        """Opening twice gives one Bucket, and as many connections as nodes."""
        bucket = self.cluster.open_bucket("default")
        assert self.cluster.open_bucket("default") is bucket
        await gatherResults([bucket.upsert(f"k{n}", n) for n in range(50)])
        assert self.served.cluster.accepted == 3
        await bucket.close()

    @trial_needs_counting
    async def test_last_reference(self) -> None:
        """The last reference going away closes the connections, without a run of the collector."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        bucket = self.cluster.open_bucket("default")
        await bucket.upsert("k", 1)
        with pytest.raises(NotFoundError):
            await bucket.get("missing")
        assert self.served.cluster.connections()
        del bucket
        await self.disconnected()

    @trial_needs_counting
    async def test_operation_keeps_its_bucket(self) -> None:
        """An operation in flight is answered though nobody else holds its Bucket."""
        gc.disable()
        self.addCleanup(gc.enable)
        await self.cluster.open_bucket("default").upsert("k", 1)
        await self.disconnected()
        assert (await self.cluster.open_bucket("default").get("k")).value == 1
        await self.disconnected()


class FaultTests(SocketTests):
    """Cancelling, and nodes that go away."""

    async def test_cancel(self) -> None:
        """A cancelled operation ends at once; its late answer reaches nobody else."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.wait_until_ready(10.0)
            await bucket.upsert_multi({"a": "a", "b": "b"})
            held = self.served.cluster.inject(opcode=Opcode.GET, key=b"a", delay=0.05, count=1)
            slow, other = bucket.get("a"), bucket.get("b")
            await turn(self.reactor, lambda: held.hits)
            slow.cancel()
            assert isinstance(error_of(slow), CancelledError)
            assert (await other).value == "b"
            assert (await bucket.get("a")).value == "a"
            assert self.served.cluster.accepted == 3

    async def test_add_timeout(self) -> None:
        """A timeout by addTimeout ends an operation that the server does not answer."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.upsert("a", 1)
            self.served.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
            with pytest.raises(DeferredTimeoutError):
                await bucket.get("a").addTimeout(0.01, self.reactor)
            assert (await bucket.get("a")).value == 1

    async def test_node_restart(self) -> None:
        """Operations wait for a node that is away, and go on when it is back."""
        keys = [f"k{n}" for n in range(64)]
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.upsert_multi(dict.fromkeys(keys, 1))
            for node in self.served.cluster.nodes:
                self.served.cluster.stop(node)
            await turn(self.reactor, lambda: not self.served.cluster.connections())
            waiting = bucket.get_multi(keys, timeout=20)
            assert not waiting.called
            for node in self.served.cluster.nodes:
                self.served.cluster.restart(node)
            assert (await waiting).all_ok

    async def test_restart_at_once(self) -> None:
        """A node that is stopped and started in one turn listens on its old port again."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.upsert("k", 1)
            for node in self.served.cluster.nodes:
                self.served.cluster.stop(node)
                self.served.cluster.restart(node)
            assert (await bucket.get("k", timeout=20)).value == 1
        assert self.served.cluster.accepted > 3

    async def test_connect_after_failure(self) -> None:
        """After a failure connect() tries anew, and finds the cluster that came up meanwhile."""
        for node in self.served.cluster.nodes:
            self.served.cluster.stop(node)
        bucket = self.cluster.open_bucket("default")
        waiting = bucket.get("k", quiet=True, timeout=20)
        with pytest.raises(CouchbaseError):
            await bucket.connect()
        assert not waiting.called
        for node in self.served.cluster.nodes:
            self.served.cluster.restart(node)
        await bucket.connect()
        assert self.cluster.open_bucket("default") is bucket
        assert not (await waiting).success
        await bucket.close()

    async def test_it_opens_by_itself(self) -> None:
        """What waits for a cluster that is not there yet is done once it is; nobody connects."""
        for node in self.served.cluster.nodes:
            self.served.cluster.stop(node)
        bucket = self.cluster.open_bucket("default")
        waiting = bucket.upsert("k", 1, timeout=20)
        with pytest.raises(CouchbaseError):
            await bucket.connect()
        for node in self.served.cluster.nodes:
            self.served.cluster.restart(node)
        assert (await waiting).success
        assert bucket.connected
        await bucket.close()

    async def test_failure_nobody_sees(self) -> None:
        """A Bucket that fails to open makes no noise where nobody waits, and leaves nothing."""
        for node in self.served.cluster.nodes:
            self.served.cluster.stop(node)
        bucket: Bucket | None = self.cluster.open_bucket("default")
        assert bucket is not None
        await turn(self.reactor, lambda: "waiting" in repr(bucket))
        bucket = None
        gc.collect()


class ThreadTests(SocketTests):
    """What may block runs beside the reactor."""

    async def test_in_thread(self) -> None:
        """Work runs in another thread; what it gave, or raised, is told in the reactor's."""
        ours = get_ident()
        where: list[int] = []
        told: list[Any] = []

        def work() -> int:
            where.append(get_ident())
            return 7

        def fail() -> int:
            raise OSError("no such thing")

        def done(outcome: int | BaseException) -> None:
            told.append((get_ident() == ours, outcome))

        async with self.cluster.open_bucket("default") as bucket:
            bucket._driver.in_thread(work, done)
            await turn(self.reactor, lambda: told)
            bucket._driver.in_thread(fail, done)
            await turn(self.reactor, lambda: len(told) == 2)
        assert where != [ours]
        assert told[0] == (True, 7)
        assert told[1][0]
        assert isinstance(told[1][1], OSError)


class SlowNetworkTests(SocketTests):
    """Nodes that read nothing for a while."""

    async def test_what_waits_is_bounded(self) -> None:
        """Upserts beyond the limit fail at once, the others are done when the nodes read again."""
        value = os.urandom(10_000)
        text = f"{self.served.connection_string}/default?max_queued_bytes=1000000"
        bucket = Bucket(
            f"{text}&operation_timeout=60",
            username="user",
            password="password",
            reactor=self.reactor,
        )
        async with bucket:
            await bucket.wait_until_ready(10)
            reading = Reading(self.served)
            reading.stop()
            done: list[Any] = []
            refused: list[Any] = []
            for number in range(10_000):
                stored = bucket.upsert(f"k{number % 100}", value, format=FMT_BYTES)
                stored.addCallbacks(done.append, lambda failure: refused.append(failure.type))
                if not number % 500:
                    await deferLater(self.reactor, 0)
            assert kept(bucket) < 1_000_000 + 3 * (HIGH + 3 * ROOM)
            reading.go_on()
            await turn(self.reactor, lambda: len(done) + len(refused) == 10_000)
            assert all(result.success for result in done)
            assert set(refused) == {OverloadedError}
            assert (await bucket.upsert("k", 1)).success
        await self.disconnected()

    async def test_closing_on_a_peer_that_reads_nothing(self) -> None:
        """What it does not take within its time is given up: the Bucket closes all the same."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.wait_until_ready(10)
            reading = Reading(self.served)
            reading.stop()
            value = os.urandom(10_000)
            # Each is sent whole: a larger batch would wait for the nodes to take it.
            stored = [
                bucket.upsert_multi(
                    {f"k{n}": value for n in range(first, first + 1000)},
                    format=FMT_BYTES,
                    timeout=60,
                )
                for first in range(0, 6000, 1000)
            ]
            # Until the transports are full.
            await turn(self.reactor, lambda: kept(bucket) - bucket.queued.bytes > HIGH)
            await bucket.close(0.01)
            assert all(isinstance(error_of(each), RequestCanceledError) for each in stored)
        reading.go_on()
        await self.disconnected()
