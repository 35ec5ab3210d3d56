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

from couchloop.exceptions import FeatureNotAvailableError, WrongLoopError
from couchloop.wire import Opcode
from tests.strictness import STRICT
from tests.txcouchbase.support import Memory, turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.testing import ServedCluster, serve

PROGRAM: Final = Path(__file__).with_name("threads_program.py")


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
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


def test_reactors_without_threads() -> None:
    """A reactor for tests that takes no calls from threads has no handles, and says so."""
    memory = Memory()
    bucket = memory.open()
    with pytest.raises(FeatureNotAvailableError, match="IReactorFromThreads"):
        bucket.threadsafe()
    memory.result(bucket.close())


async def test_a_cluster_in_another_thread(reactor: Any) -> None:
    """Its handle is made where the reactor runs, though nothing is connected yet."""
    cluster = Cluster("couchbase://127.0.0.1", reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with pytest.raises(WrongLoopError, match="the thread of its reactor"):
        await deferToThread(cluster.threadsafe)
    alone = Cluster("couchbase://127.0.0.1", reactor=Memory())
    alone.authenticate(PasswordAuthenticator("user", "password"))
    with pytest.raises(FeatureNotAvailableError):
        alone.threadsafe()


@pytest.mark.parametrize("mode", ["stop", "interrupt", "fork"])
async def test_programs(served: ServedCluster, reactor: Any, mode: str) -> None:
    """A reactor that stops, SIGINT in a waiting thread, a fork: the call ends, the program too."""
    swallowed = served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    program = Program()
    command = [sys.executable, "-X", "dev", *STRICT, str(PROGRAM), mode]
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
