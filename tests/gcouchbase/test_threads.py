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

from couchloop.client.threads import ThreadSafeBucket
from couchloop.exceptions import (
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, finish, until
from tests.strictness import STRICT
from tests.threads import Threads

PROGRAM: Final = ROOT / "tests" / "gcouchbase" / "threads_program.py"


def ended(threads: Threads) -> dict[int, Any]:
    """Wait, with the hub running, until all have ended; give their results."""
    until(lambda: threads.ended, "a thread hangs")
    return threads.results


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
            *(sys.executable, "-X", "dev", *STRICT, PROGRAM, mode),
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
