"""What `gcouchbase.internals` expects of gevent; `tools/gevents.py` runs it with several versions.

It needs nothing but gevent, pytest and what the core needs, and runs programs of its own where a
process forks, is patched, or may end by a fault.
"""

from __future__ import annotations

import os
import socket
import sys
import textwrap
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import gevent
import pytest
from gevent import subprocess
from gevent.event import Event
from gevent.pool import Pool

from gcouchbase import internals

ROOT: Final = Path(__file__).resolve().parent.parent.parent
LIMIT: Final = 20.0


def run(program: str, *arguments: str, **variables: str) -> str:
    """Run a program in a process of its own, on the loop of this one; give what it prints."""
    paths = f"{ROOT}{os.pathsep}{ROOT / 'core'}"
    environment = {**os.environ, "PYTHONPATH": paths, **variables}
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    process = subprocess.run(
        command, env=environment, timeout=LIMIT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return str(process.stdout)


def test_idle_watcher_ends_no_wait() -> None:
    """A loop ends while a socket is watched, and nothing else is left to do."""
    program = """
        import socket, gevent
        from gcouchbase.internals import READ, io_watcher

        ours, theirs = socket.socketpair()
        watcher = io_watcher(gevent.get_hub(), ours.fileno(), READ)
        watcher.start(print, "read")
        print(gevent.wait())
        watcher.stop()
        watcher.close()
    """
    assert run(program) == "True\n"


def test_watcher_sees() -> None:
    """It calls when its socket can be read, and another of the same socket when it takes bytes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hub = gevent.get_hub()
        can_read, can_write = Event(), Event()
        reader = internals.io_watcher(hub, ours.fileno(), internals.READ)
        writer = internals.io_watcher(hub, ours.fileno(), internals.WRITE)
        try:
            reader.start(can_read.set)
            writer.start(can_write.set)
            assert can_write.wait(LIMIT)
            assert not can_read.is_set()
            theirs.send(b"x")
            assert can_read.wait(LIMIT)
        finally:
            for watcher in (reader, writer):
                watcher.stop()
                watcher.close()


def test_read_to_the_end() -> None:
    """A peer that closes before it has read all resets the connection: all it said is read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    with ours:
        ours.setblocking(False)
        ours.send(b"never read")
        theirs.send(b"last")
        read: list[bytes] = []
        over = Event()
        watcher = internals.io_watcher(gevent.get_hub(), ours.fileno(), internals.READ)

        def readable() -> None:
            try:
                read.append(ours.recv(1))
            except ConnectionResetError:
                read.append(b"")
            if not read[-1]:
                watcher.stop()
                watcher.close()
                over.set()

        # The end comes together with the bytes.
        theirs.close()
        internals.start_io(watcher, readable)
        assert over.wait(LIMIT)
        assert b"".join(read) == b"last"


def test_no_watcher_is_forgotten() -> None:
    """However Buckets, Clusters and served ones fail or end, they leave libuv no pointer."""
    program = """
        import gc, logging, sys, warnings, gevent
        from couchloop.exceptions import CouchbaseError
        from gcouchbase.bucket import Bucket
        from gcouchbase.cluster import Cluster, PasswordAuthenticator
        from gcouchbase.testing import serve

        sys.stderr = sys.stdout
        logging.disable()
        warnings.simplefilter("always")

        class Unmakable:
            def __init__(self):
                raise LookupError

            encode_key = encode_value = decode_key = decode_value = None

        def open(string, **more):
            return Bucket(f"{string}/default", username="user", password="password", **more)

        def fails(string, **more):
            try:
                open(string, **more)
            except CouchbaseError as error:
                print(type(error).__name__)

        def ask(string):
            cluster = Cluster(string)
            cluster.authenticate(PasswordAuthenticator("user", "password"))
            try:
                print(cluster.http_request("/pools/default/nodeServices").http_status)
            except CouchbaseError as error:
                print(type(error).__name__)

        with serve() as served:
            here = served.connection_string
            fails(here, transcoder=Unmakable)
            fails(here.replace("couchbase:", "couchbases:"))
            fails("couchbases://127.0.0.1:1", ssl_context=3)
            fails("couchbase://127.0.0.1:1")
            # The cluster's session looks again at its next use, and has an end without that.
            ask(here)
            ask(here.replace("couchbase:", "couchbases:"))
            ask("couchbase://127.0.0.1:1")
            open(here).upsert("key", 1)
            with open(here) as bucket:
                served.cluster.drop_connections()
                bucket.get("key", timeout=60)
            unused = open(here)
            del unused
            while served.cluster.connections():
                gevent.sleep(0.001)
        hub = gevent.get_hub()
        gc.collect()
        hub.destroy(destroy_loop=True)
        gc.collect()
        print("over")
    """
    shown = run(program, GEVENT_LOOP="libuv-cffi", GEVENT_DEBUG="debug").splitlines()
    assert shown == [
        "ArgumentError",
        "TlsError",
        "ArgumentError",
        "NodeUnreachableError",
        "200",
        "TlsError",
        "NodeUnreachableError",
        "over",
    ]


def test_writable() -> None:
    """A socket takes bytes until its peer, which reads nothing, has enough of them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        assert internals.is_writable(ours.fileno())
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))
        assert not internals.is_writable(ours.fileno())


def test_shortest_timer() -> None:
    """A timer of TICK is fired, and no loop warns of it."""
    fired = Event()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timer = gevent.get_hub().loop.timer(internals.TICK)
        timer.start(fired.set)
    assert fired.wait(LIMIT)
    timer.stop()
    timer.close()


def test_guarded() -> None:
    """An error of a call from the loop is shown with whose it is, and the hub goes on."""
    program = """
        import sys, gevent
        from gevent.event import Event
        from gcouchbase.internals import guarded

        sys.stderr = sys.stdout
        hub, over = gevent.get_hub(), Event()
        hub.loop.run_callback(guarded, hub, "ours", lambda: 1 / 0)
        hub.loop.run_callback(guarded, hub, "ours", over.set)
        print(over.wait(10))
    """
    shown = run(program)
    assert "ours failed with ZeroDivisionError" in shown
    assert shown.endswith("True\n")


def test_call_from_a_thread() -> None:
    """A thread has a hub make a call, in the hub's thread and once the hub waits."""
    hub, over = gevent.get_hub(), Event()
    made_in: list[int] = []

    def call() -> None:
        made_in.append(internals.thread_ident())
        over.set()

    thread = threading.Thread(target=internals.call_in_hub, args=(hub, "ours", call))
    thread.start()
    assert over.wait(LIMIT)
    thread.join()
    assert made_in == [internals.thread_ident()] == [threading.get_ident()]


def test_destroyed_hub() -> None:
    """A hub that was destroyed is known for it, in any thread, and is handed nothing any more."""
    hubs: list[Any] = []

    def live() -> None:
        hub = gevent.get_hub()
        hubs.append(hub)
        gevent.sleep(0)
        assert not internals.is_destroyed(hub)
        hub.destroy(destroy_loop=True)

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    (hub,) = hubs
    assert internals.is_destroyed(hub)
    internals.call_in_hub(hub, "ours", pytest.fail, "it was called")
    gevent.sleep(internals.TICK)


def test_originals() -> None:
    """Patching leaves locks, numbers of threads and `poll` what they were."""
    program = """
        import _thread, select
        before = _thread.allocate_lock, _thread.get_ident, _thread._local, select.poll

        from gevent import monkey
        monkey.patch_all()

        from gcouchbase import internals
        kept = internals.allocate_lock, internals.thread_ident, internals.thread_local
        print((*kept, internals._poll) == before, _thread.get_ident is before[1])
    """
    assert run(program) == "True False\n"


FORK: Final = """
    import os, socket, sys
    import gevent
    from gevent.event import Event
    from gcouchbase.internals import READ, TICK, io_watcher, renew_after_fork

    uses_pool = sys.argv[1] == "pool"
    hub = gevent.get_hub()
    ours, theirs = socket.socketpair()
    seen = Event()
    watcher = io_watcher(hub, ours.fileno(), READ)
    watcher.start(seen.set)
    if uses_pool:
        hub.threadpool.apply(len, ("warm",))
    gevent.sleep(TICK)
    of_pool = hub.threadpool.fork_watcher if uses_pool else None
    child = os.fork()
    if not child:
        status = 1
        try:
            renew_after_fork(hub)
            # The loop must not know it any more once nothing refers to it.
            assert of_pool is None or of_pool.callback is None
            watcher.stop()
            watcher.close()
            ours.close()
            gevent.sleep(TICK)
            status = hub.threadpool.apply(len, ("",))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    theirs.send(b"x")
    print(status, seen.wait(10))
    watcher.stop()
    watcher.close()
"""


@pytest.mark.parametrize("pool", ["pool", "none"])
def test_fork(pool: str) -> None:
    """What a child stops goes on in its parent; the child's loop and pool of threads work."""
    assert run(FORK, pool) == "0 True\n"


def test_renewal_makes_no_pool() -> None:
    """A hub that nobody wanted a pool of has none after a fork either."""
    program = """
        import gevent
        from gcouchbase.internals import renew_after_fork

        hub = gevent.get_hub()
        renew_after_fork(hub)
        print(hub._threadpool)
    """
    assert run(program) == "None\n"


def test_thread_local() -> None:
    """What a thread keeps for itself ends with it, and not with a greenlet."""
    local, ended = internals.thread_local(), threading.Event()

    class End:
        def __del__(self) -> None:
            ended.set()

    def live() -> None:
        local.end = End()
        pool = Pool()
        pool.spawn(lambda: None)
        pool.join()
        kept.append(not ended.is_set())

    kept: list[bool] = []
    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    assert kept == [True]
    assert ended.wait(LIMIT)
