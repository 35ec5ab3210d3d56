"""Plain threads that share a Bucket on a reactor, by `bucket.threadsafe()`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from couchloop import LOCKMODE_WAIT
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    FeatureNotAvailableError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from couchloop.wire import Opcode
from tests.threads import Threads
from tests.txcouchbase.support import Memory, turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.testing import ServedCluster, serve

THREADS: Final = 64
PROGRAM: Final = Path(__file__).with_name("threads_program.py")


@pytest.fixture
def reactor() -> Any:
    """Give the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def bucket(served: ServedCluster, reactor: Any) -> AsyncIterator[Bucket]:
    """Its bucket, open."""
    cluster = Cluster(served.connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    async with cluster.open_bucket("default") as bucket:
        yield bucket


class Program(ProcessProtocol):
    """A program, what it writes, and its status in the end."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""
        self.ended: Deferred[int] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode)  # type: ignore[union-attr]


async def test_many_threads(served: ServedCluster, bucket: Bucket, reactor: Any) -> None:
    """Each of 64 threads gets what it has stored itself, over one connection per node."""
    handle = bucket.threadsafe()

    def work(number: int) -> list[Any]:
        keys = [f"{number}-{n}" for n in range(10)]
        for key in keys:
            handle.upsert(key, {"key": key})
        handle.counter("all", initial=1)
        results = handle.get_multi(keys)
        return [results[key].value["key"] == key for key in keys]

    threads = Threads(work)
    await turn(reactor, lambda: threads.ended)
    assert threads.results == {number: [True] * 10 for number in range(THREADS)}
    assert (await bucket.get("all")).value == THREADS
    assert served.cluster.accepted == 3


async def test_threads_pipeline(served: ServedCluster, bucket: Bucket, reactor: Any) -> None:
    """The server has 64 threads' requests on one connection, and has answered none of them yet.

    When the Bucket is closed then, each thread gets an error of its own.
    """
    handle = bucket.threadsafe()
    swallowed = served.cluster.inject(opcode=Opcode.GET, silent=True)
    threads = Threads(lambda _: handle.get("same key", timeout=60))
    await turn(reactor, lambda: swallowed.hits == THREADS)
    (used,) = {
        operation.connection
        for operation in bucket._driver.session._deadlines
        if operation.name == "get"
    }
    assert used is not None
    assert len(used.pending) >= THREADS
    assert not threads.results
    await bucket.close(0)
    await turn(reactor, lambda: threads.ended)
    assert {type(error) for error in threads.results.values()} == {RequestCanceledError}
    assert len({id(error) for error in threads.results.values()}) == THREADS


async def test_from_the_reactors_pool(bucket: Bucket) -> None:
    """deferToThread: results, batches and health, as the Bucket has them."""
    handle = bucket.threadsafe()
    stored = await deferToThread(handle.upsert, "k", [1])
    got = await deferToThread(handle.get, "k")
    assert (got.value, got.cas) == ([1], stored.cas)
    assert (await deferToThread(handle.get_multi, ["k", "l"], quiet=True))["l"].value is None
    await deferToThread(handle.wait_until_ready, 10)
    assert len((await deferToThread(handle.ping))["kv"]) == 3
    stored_all = await gatherResults([deferToThread(handle.upsert, f"k{n}", n) for n in range(50)])
    assert all(result.success for result in stored_all)


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("get", {"key": "missing"}, NotFoundError),
        ("get", {"key": ""}, ArgumentError),
        ("get_multi", {"keys": ["missing"]}, NotFoundError),
        ("get", {"key": "silent", "timeout": 0.05}, UnambiguousTimeoutError),
    ],
)
async def test_errors(
    served: ServedCluster,
    bucket: Bucket,
    method: str,
    arguments: dict[str, Any],
    kind: type[CouchbaseError],
) -> None:
    """The thread's call raises what the operation met, its timeout too."""
    served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    handle = bucket.threadsafe()
    with pytest.raises(kind) as caught:
        await deferToThread(getattr(handle, method), **arguments)
    assert type(caught.value) is kind or kind is ArgumentError


async def test_a_closed_bucket(bucket: Bucket) -> None:
    """A thread that comes after the Bucket was closed is told so."""
    handle = bucket.threadsafe()
    await bucket.close()
    assert handle.closed
    with pytest.raises(ObjectDestroyedError):
        await deferToThread(handle.get, "k")


async def test_refused(bucket: Bucket) -> None:
    """In the reactor's thread a call would wait for itself; a handle is made there only."""
    handle = bucket.threadsafe()
    with pytest.raises(WrongLoopError, match="other threads"):
        handle.get("k")
    with pytest.raises(WrongLoopError, match="thread of its reactor"):
        await deferToThread(bucket.threadsafe)


def test_reactors_without_threads() -> None:
    """A reactor for tests that takes no calls from threads has no handles, and says so."""
    memory = Memory()
    bucket = memory.open()
    with pytest.raises(FeatureNotAvailableError, match="IReactorFromThreads"):
        bucket.threadsafe()
    memory.result(bucket.close())


async def test_the_handle_keeps_the_bucket(
    served: ServedCluster, bucket: Bucket, reactor: Any
) -> None:
    """A handle, and a call under way, keep a Bucket; when they are gone it closes."""
    cluster = Cluster(served.connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    await bucket.close()
    handles = [cluster.open_bucket("default").threadsafe()]
    await deferToThread(handles[0].upsert, "k", 1)
    handles[0].get  # noqa: B018 - a bound method that is dropped keeps nothing
    handles.clear()
    await turn(reactor, lambda: not served.cluster.connections())


@pytest.mark.parametrize("mode", ["stop", "interrupt", "fork"])
async def test_programs(served: ServedCluster, reactor: Any, mode: str) -> None:
    """A reactor that stops, SIGINT in a waiting thread, a fork: the call ends, the program too."""
    swallowed = served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    program = Program()
    command = [sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), mode]
    root = PROGRAM.parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'core'}"}
    command.append(served.connection_string)
    process = reactor.spawnProcess(program, sys.executable, command, environment)
    if mode == "interrupt":
        await turn(reactor, lambda: swallowed.hits)
        process.signalProcess(signal.SIGINT)
    status = await program.ended
    assert (program.err.decode(), status) == ("", 0)
    expected = {
        "stop": ["RequestCanceledError: the loop of the Bucket has stopped"] * 2
        + ["RequestCanceledError: the loop of the Bucket has stopped: nothing was sent"],
        "interrupt": ["interrupted", "in flight: 0"],
        "fork": [
            (
                "ForkedProcessError: bucket 'default' was opened before this process was forked: "
                "open it again in this process, on an event loop of its own"
            ),
            "child: 0",
        ],
    }
    assert program.out.decode().splitlines() == expected[mode]


async def test_lockmodes(served: ServedCluster, reactor: Any) -> None:
    """SDK 2.5's arguments are taken and change nothing; other values are refused."""
    arguments: dict[str, Any] = {"username": "user", "password": "password", "reactor": reactor}
    text = f"{served.connection_string}/default"
    async with Bucket(text, lockmode=LOCKMODE_WAIT, unlock_gil=True, **arguments) as bucket:
        assert Bucket(text, **arguments) is bucket
        assert (bucket.lockmode, bucket.unlock_gil) == (0, False)
        with pytest.raises(ArgumentError, match="LOCKMODE_WAIT"):
            Bucket(text, lockmode=7, **arguments)
