"""What test_threads runs in processes of its own: `threads_program.py MODE CONNECTION_STRING`.

`patched`: gevent has patched everything, and real threads (the hub's pool's, and some begun by the
original function) call a Bucket of the main thread. `interrupt`: the hub runs in another thread,
and the main thread waits until it gets SIGINT. `fork`: a thread of a forked child uses the handle
of its parent.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import gevent
from gevent import monkey


def say(*what: object) -> None:
    """Write a line for the test."""
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


def opened(connection_string: str) -> Any:
    """Open the bucket on this thread's hub."""
    from gcouchbase.cluster import Cluster, PasswordAuthenticator  # noqa: PLC0415 - after patching

    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster.open_bucket("default")


def patched(connection_string: str) -> None:
    """Let real threads call while the hub's greenlets go on."""
    monkey.patch_all()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            gevent.sleep(0.001)

    ticker = gevent.spawn(tick)
    with opened(connection_string) as bucket:
        handle = bucket.threadsafe()
        results: list[int] = []

        def work(number: int) -> None:
            handle.upsert(f"k{number}", number)
            results.append(handle.get(f"k{number}").value)

        def wait() -> None:
            while len(results) < 3:
                gevent.sleep(0.001)

        before = ticks
        for number in (1, 2, 3):
            gevent.get_hub().threadpool.spawn(work, number)
        wait()
        say("pool", sorted(results))
        results.clear()
        for number in (1, 2, 3):
            monkey.get_original("_thread", "start_new_thread")(work, (number,))
        wait()
        say("threads", sorted(results))
        say("ticks", ticks > before)
    ticker.kill()


def interrupt(connection_string: str) -> None:
    """Wait in the main thread, and be interrupted."""
    import threading  # noqa: PLC0415 - not patched

    handles: list[Any] = []
    opened_one, done = threading.Event(), threading.Event()

    def run() -> None:
        with opened(connection_string) as bucket:
            handles.append(bucket.threadsafe())
            opened_one.set()
            while not done.is_set():
                gevent.sleep(0.001)
            # The way of the cancelled call to this thread takes its time.
            with gevent.Timeout(30):
                while bucket._driver.session.in_flight:
                    gevent.sleep(0.001)
            say("in flight", bucket._driver.session.in_flight)
        handles.clear()
        del bucket
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=run)
    thread.start()
    opened_one.wait()
    try:
        handles[0].get("silent", timeout=60)
    except KeyboardInterrupt:
        say("interrupted")
    done.set()
    thread.join()


def fork(connection_string: str) -> None:
    """Call in a thread of a forked child, whose Bucket connects anew."""
    with opened(connection_string) as bucket:
        handle = bucket.threadsafe()
        bucket.upsert("k", 1)
        child = os.fork()
        if not child:
            got: Any = gevent.get_hub().threadpool.spawn(handle.get, "k").get()
            say("child", got.value)
            os._exit(0)
        say("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        say("parent", bucket.get("k").value)


if __name__ == "__main__":
    {"patched": patched, "interrupt": interrupt, "fork": fork}[sys.argv[1]](sys.argv[2])
