"""Plain threads that share a Bucket on a hub, by `bucket.threadsafe()`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

import gevent
import pytest
from gevent import subprocess
from gevent.threadpool import ThreadPool

from couchloop import LOCKMODE_EXC
from couchloop.client.threads import ThreadSafeBucket
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, finish, is_idle, until
from tests.threads import Threads

THREADS: Final = 64
PROGRAM: Final = ROOT / "tests" / "gcouchbase" / "threads_program.py"


def ended(threads: Threads) -> dict[int, Any]:
    """Wait, with the hub running, until all have ended; give their results."""
    until(lambda: threads.ended, "a thread hangs")
    return threads.results


def test_many_threads(served: ServedCluster, bucket: Bucket) -> None:
    """Each of 64 threads gets what it has stored itself, over one connection per node."""
    handle = bucket.threadsafe()

    def work(number: int) -> list[Any]:
        keys = [f"{number}-{n}" for n in range(10)]
        for key in keys:
            handle.upsert(key, {"key": key})
        handle.counter("all", initial=1)
        results = handle.get_multi(keys)
        return [results[key].value["key"] == key for key in keys]

    assert ended(Threads(work)) == {number: [True] * 10 for number in range(THREADS)}
    assert bucket.get("all").value == THREADS
    assert served.cluster.accepted == 3


def test_threads_pipeline(served: ServedCluster, bucket: Bucket) -> None:
    """The server has 64 threads' requests on one connection, and has answered none of them yet.

    When the Bucket is closed then, each thread gets an error of its own.
    """
    handle = bucket.threadsafe()
    swallowed = served.cluster.inject(opcode=Opcode.GET, silent=True)
    threads = Threads(lambda _: handle.get("same key", timeout=60))
    until(lambda: swallowed.hits == THREADS)
    pending = [len(connection.pending) for connection in bucket._driver.session.connections]
    assert max(pending) >= THREADS
    assert not threads.results
    bucket._close()
    results = ended(threads)
    assert {type(error) for error in results.values()} == {RequestCanceledError}
    assert len({id(error) for error in results.values()}) == THREADS


def test_from_gevents_thread_pool(bucket: Bucket) -> None:
    """The hub's own pool, and another: results, batches and health, as the Bucket has them."""
    handle = bucket.threadsafe()
    spawn: Any = gevent.get_hub().threadpool.spawn
    stored = spawn(handle.upsert, "k", [1]).get()
    got = spawn(handle.get, "k").get()
    assert (got.value, got.cas) == ([1], stored.cas)
    assert spawn(handle.get_multi, ["k", "l"], quiet=True).get()["l"].value is None
    spawn(handle.wait_until_ready, 10).get()
    assert len(spawn(handle.ping).get()["kv"]) == 3
    pool = ThreadPool(8)
    try:
        stored_all = pool.map(lambda n: handle.upsert(f"k{n}", n).success, range(50))
    finally:
        pool.kill()
    assert stored_all == [True] * 50


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("get", {"key": "missing"}, NotFoundError),
        ("get", {"key": ""}, ArgumentError),
        ("get_multi", {"keys": ["missing"]}, NotFoundError),
        ("get", {"key": "silent", "timeout": 0.05}, UnambiguousTimeoutError),
    ],
)
def test_errors(
    served: ServedCluster,
    bucket: Bucket,
    method: str,
    arguments: dict[str, Any],
    kind: type[CouchbaseError],
) -> None:
    """The thread's call raises what the operation met, its timeout too."""
    served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    handle = bucket.threadsafe()
    (error,) = ended(Threads(lambda _: getattr(handle, method)(**arguments), 1)).values()
    assert isinstance(error, kind)
    assert is_idle(bucket)


def test_refused(bucket: Bucket) -> None:
    """In the hub's thread a call would wait for itself; a handle is made there only."""
    handle = bucket.threadsafe()
    with pytest.raises(WrongLoopError, match="other threads"):
        handle.get("k")
    (error,) = ended(Threads(lambda _: bucket.threadsafe(), 1)).values()
    assert isinstance(error, WrongLoopError)
    bucket.close()
    (error,) = ended(Threads(lambda _: handle.get("k"), 1)).values()
    assert isinstance(error, ObjectDestroyedError)


@pytest.mark.parametrize("destroy", [True, False])
def test_a_hub_that_ends(served: ServedCluster, cluster: Cluster, *, destroy: bool) -> None:
    """The hub's thread ends while others wait on it: they are told, and later ones too."""
    handles: list[ThreadSafeBucket] = []
    swallowed = served.cluster.inject(opcode=Opcode.GET, silent=True)

    def own_hub(_: int) -> None:
        bucket = cluster.open_bucket("default")
        handles.append(bucket.threadsafe())
        while swallowed.hits < 2:
            gevent.sleep(0.001)
        del bucket
        if destroy:
            gevent.get_hub().destroy(destroy_loop=True)

    owner = Threads(own_hub, 1)
    until(lambda: handles)
    # On libuv gevent destroys no loop before its last timer is due: the deadline may come first.
    timeout = 1 if destroy else 60
    waiting = Threads(lambda _: handles[0].get("k", timeout=timeout), 2)
    assert ended(owner) == {0: None}
    for error in ended(waiting).values():
        if not (destroy and isinstance(error, UnambiguousTimeoutError)):
            assert type(error) is RequestCanceledError
            assert "stopped" in str(error)
    (late,) = ended(Threads(lambda _: handles[0].get("k"), 1)).values()
    assert "nothing was sent" in str(late)
    handles.clear()
    del late, error
    waiting.results.clear()
    until(lambda: not served.cluster.connections())


def test_the_handle_keeps_the_bucket(served: ServedCluster, cluster: Cluster) -> None:
    """A handle, and a call under way, keep a Bucket; when they are gone it closes."""
    handles = [cluster.open_bucket("default").threadsafe()]
    (result,) = ended(Threads(lambda _: handles[0].upsert("k", 1).success, 1)).values()
    assert result is True
    assert served.cluster.connections()
    handles.clear()
    until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
@pytest.mark.parametrize("mode", ["patched", "interrupt", "fork"])
def test_programs(served: ServedCluster, mode: str, loop: str) -> None:
    """With everything patched, real threads block alone; SIGINT ends a wait and cancels the call.

    What is waited for in the first case comes from the same hub, while its ticker goes on. In a
    forked child the handle works too, as the Bucket does.
    """
    swallowed = served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-X", "dev", "-W", "error", PROGRAM, mode),
            served.connection_string,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "core")]),
            "GEVENT_LOOP": loop,
        },
    )
    if mode == "interrupt":
        until(lambda: swallowed.hits)
        process.send_signal(signal.SIGINT)
    output, errors = finish(process)
    assert (process.returncode, errors) == (0, "")
    assert (
        output.splitlines()
        == {
            "patched": ["pool [1, 2, 3]", "threads [1, 2, 3]", "ticks True"],
            "interrupt": ["interrupted", "in flight 0"],
            "fork": ["child 1", "ended 0", "parent 1"],
        }[mode]
    )


def test_lockmodes(cluster: Cluster) -> None:
    """SDK 2.5's arguments are taken and change nothing; other values are refused."""
    with cluster.open_bucket("default", lockmode=LOCKMODE_EXC, unlock_gil=True) as bucket:
        assert cluster.open_bucket("default") is bucket
        assert (bucket.lockmode, bucket.unlock_gil) == (0, False)
        with pytest.raises(ArgumentError, match="LOCKMODE_WAIT"):
            cluster.open_bucket("default", lockmode=7)
