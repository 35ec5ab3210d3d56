"""What test_fork runs in processes of its own: `python forking.py SCENARIO WAY CONNECTION_STRING`.

WAY is how it forks: `os` (os.fork, nothing patched), `gevent` (gevent.os.fork), `patched` (os.fork
as gevent patches it), or a start method of multiprocessing, with `patched-` before it or not. Each
line on standard input lets the
program take one more step; it says on standard output when it has. A failed assertion, in whatever
process, ends up on standard error.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent import monkey
from gevent import os as gevent_os

if __name__ in {"__main__", "__mp_main__"} and sys.argv[2].startswith("patched"):
    monkey.patch_all()

from couchloop.exceptions import (
    AmbiguousError,
    ForkedProcessError,
    LoopBlockedError,
    NodeUnreachableError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator

KEYS = [f"key-{number}" for number in range(30)]
"""On every node there are some of these."""


def say(what: str) -> None:
    """Write a line for the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def step() -> None:
    """Wait until the test wants more; whoever else would run meanwhile does not."""
    os.read(0, 1)


def open_bucket(connection_string: str) -> Bucket:
    """Open the bucket, or give the one that is open."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster.open_bucket("default")


def use(bucket: Bucket) -> None:
    """Read what is there."""
    assert [result.value for result in bucket.get_multi(KEYS).values()] == KEYS


def sockets() -> set[str]:
    """Name the sockets of this process."""
    links = (str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return {link for link in links if link.startswith("socket:")}


def note(call: Callable[..., Any], *arguments: object) -> Any:
    """Return what *call* gives, or the exception that it raises."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - any, to look at
        return error


class Program:
    """One scenario after the other uses these."""

    def __init__(self, way: str, connection_string: str) -> None:
        module: Any = gevent_os if way == "gevent" else os
        self.fork: Callable[[], int] = module.fork
        self.waitpid: Callable[[int, int], tuple[int, int]] = module.waitpid
        self.connection_string = connection_string
        self.bucket = open_bucket(connection_string)
        assert self.bucket.upsert_multi({key: key for key in KEYS}).all_ok

    def wait_for(self, pid: int) -> None:
        """Wait for a child, while other greenlets run; it must have ended in order."""
        while True:
            ended, status = self.waitpid(pid, os.WNOHANG)
            if ended:
                break
            gevent.sleep(0.001)
        assert os.waitstatus_to_exitcode(status) == 0, status

    # Scenarios

    def silent(self) -> None:
        """Fork children that do nothing, that use the Bucket, and that end in every way."""
        bucket = self.bucket
        say("open")
        step()
        # One that knows nothing of it, and ends as programs end.
        pid = self.fork()
        if not pid:
            sys.exit()
        self.wait_for(pid)
        # One that drops the Bucket, and runs its loop until nothing is left.
        pid = self.fork()
        if not pid:
            del bucket, self.bucket
            gevent.get_hub().join()
            os._exit(0)
        self.wait_for(pid)
        # One that closes it, before any use.
        pid = self.fork()
        if not pid:
            bucket.close()
            assert bucket.closed
            sys.exit()
        self.wait_for(pid)
        say("unused")
        step()
        # One that uses it: it is the same object, and has connections of its own, as a collection
        # that was made before the fork.
        collection = bucket.scope("app").collection("c")
        pid = self.fork()
        if not pid:
            assert not bucket.connected
            assert collection.upsert("k", 1).success
            assert collection.get("k").value == 1
            use(bucket)
            assert open_bucket(self.connection_string) is bucket
            bucket.close()
            sys.exit()
        self.wait_for(pid)
        del collection
        # One that opens it, and leaves it open.
        pid = self.fork()
        if not pid:
            assert open_bucket(self.connection_string) is bucket
            assert bucket.connected
            use(bucket)
            sys.exit()
        self.wait_for(pid)
        # One whose threads use it, by the handle that was made before the fork.
        handle = bucket.threadsafe()
        pid = self.fork()
        if not pid:
            results = gevent.get_hub().threadpool.map(handle.get, KEYS)
            assert [result.value for result in results] == KEYS
            sys.exit()
        self.wait_for(pid)
        # A child's child.
        pid = self.fork()
        if not pid:
            use(bucket)
            pid = self.fork()
            use(bucket)
            if pid:
                self.wait_for(pid)
            sys.exit()
        self.wait_for(pid)
        say("used")
        step()
        use(bucket)
        say("parent")
        step()
        # One that outlives the parent's Bucket.
        pid = self.fork()
        if not pid:
            step()
            os._exit(0)
        bucket.close()
        say("closed")
        self.wait_for(pid)

    def load(self) -> None:
        """Fork, use, and end, while every greenlet of the parent goes on with its work."""
        parent = os.getpid()
        bucket = self.bucket
        done = [0]
        ended: list[bool] = []

        def work(number: int) -> None:
            # In a child this goes on too: its operation is the parent's, and says so.
            mutation = bool(number % 2)
            key, count = f"of-{number}", 0
            try:
                while True:
                    count += 1
                    if mutation:
                        bucket.upsert(key, count)
                    else:
                        use(bucket)
                    done[0] += 1
            except ForkedProcessError as error:
                assert os.getpid() != parent
                ended.append(isinstance(error, AmbiguousError) == mutation)

        workers = [gevent.spawn(work, number) for number in range(8)]
        for number in range(4):
            seen = done[0]
            while done[0] < seen + 50:
                gevent.sleep(0.001)
            pid = self.fork()
            if not pid:
                use(bucket)
                # All of them were waiting, and none of them for an answer to the child.
                assert ended == [True] * len(workers), ended
                if number % 2:
                    bucket.upsert(f"child-{number}", number)
                    os._exit(0)
                sys.exit()
            if number != 2:
                self.wait_for(pid)
            else:
                last = pid
        self.wait_for(last)
        assert all(workers), "the parent's work has ended"
        gevent.killall(workers)
        assert [bucket.get(f"child-{number}").value for number in (1, 3)] == [1, 3]
        use(bucket)
        say("done")
        step()

    def pending(self) -> None:
        """Fork while operations wait for a node that does not answer, and while one reconnects."""
        bucket = self.bucket
        waiting = [
            gevent.spawn(note, bucket.get, "silent"),
            gevent.spawn(note, bucket.upsert, "silent", 1),
            gevent.spawn(note, bucket.upsert_multi, {"silent": 1, "key-0": "key-0"}),
            gevent.spawn(note, bucket.close, 60),
        ]
        while not bucket._driver.session.in_flight >= 3:
            gevent.sleep(0.001)
        say("waiting")
        step()
        pid = self.fork()
        if not pid:
            outcomes = [greenlet.get() for greenlet in waiting]
            # Being closed, it is not renewed.
            assert [type(outcome).__name__ for outcome in outcomes] == [
                "ForkedProcessError",
                "AmbiguousForkedProcessError",
                "AmbiguousForkedProcessError",
                "NoneType",
            ], outcomes
            assert bucket.closed
            again = open_bucket(self.connection_string)
            assert again is not bucket
            use(again)
            sys.exit()
        self.wait_for(pid)
        say("forked")
        bucket._close()
        outcomes = [greenlet.get() for greenlet in waiting]
        assert not any(isinstance(outcome, ForkedProcessError) for outcome in outcomes), outcomes
        say("done")

    def dialling(self) -> None:
        """Fork while a connection is being made, to where nobody accepts one."""
        with (
            socket.create_server(("127.0.0.1", 0), backlog=0) as listening,
            socket.socket() as first,
            socket.socket() as second,
        ):
            port = listening.getsockname()[1]
            for each in (first, second):
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            before = sockets()
            opening = gevent.spawn(note, open_bucket, f"couchbase://127.0.0.1:{port}")
            while not sockets() - before:
                gevent.sleep(0.001)
            (dialled,) = sockets() - before
            pid = self.fork()
            if not pid:
                assert dialled not in sockets()
                assert isinstance(opening.get(), ForkedProcessError)
                use(self.bucket)
                sys.exit()
            self.wait_for(pid)
            assert sockets() - before == {dialled}
            opening.kill()
        say("done")

    def healing(self) -> None:
        """Fork while all nodes are away: an inherited Bucket opens by itself when they are back."""
        bucket = self.bucket
        # It says much of nodes that are away.
        logging.getLogger("gcouchbase").setLevel(logging.ERROR)
        say("open")
        step()
        pid = self.fork()
        if not pid:
            # One that has not used it forks once more.
            pid = self.fork()
            if pid:
                self.wait_for(pid)
                os._exit(0)
            error = note(lambda: bucket.get("key-0", timeout=0.5))
            assert isinstance(error, UnambiguousTimeoutError), error
            cause = error.__cause__
            if isinstance(cause, LoopBlockedError):
                # A busy machine.
                cause = cause.__cause__
            assert isinstance(cause, NodeUnreachableError), repr(cause)
            assert isinstance(note(open_bucket, self.connection_string), NodeUnreachableError)
            # It does not keep its loop going.
            gevent.get_hub().join()
            waiting = gevent.spawn(use, bucket)
            say("waiting")
            waiting.get()
            assert open_bucket(self.connection_string) is bucket
            bucket.close()
            os._exit(0)
        self.wait_for(pid)
        use(bucket)
        say("done")

    def thread(self) -> None:
        """Fork in a thread that has no hub: the child's Bucket is another, on a hub of its own."""
        bucket = self.bucket
        pids: list[int] = []

        def fork() -> None:
            pid = self.fork()
            if pid:
                pids.append(pid)
                return
            status = 1
            try:
                try:
                    bucket.get("key-0")
                except WrongLoopError:
                    own = open_bucket(self.connection_string)
                    assert own is not bucket
                    use(own)
                    del own
                    status = 0
            finally:
                os._exit(status)

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        self.wait_for(pids[0])
        use(bucket)
        say("done")
        step()


ENDS: dict[str, tuple[Callable[[], object], int]] = {
    "as programs do": (lambda: None, 0),
    "sys.exit": (lambda: sys.exit(3), 3),
    "os._exit": (lambda: os._exit(5), 5),
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
}
"""How a process ends, and what its parent is to see."""


def child(connection_string: str, end: str) -> None:
    """Run in a process that multiprocessing started: open the bucket, or use the inherited one."""
    bucket = open_bucket(connection_string)
    use(bucket)
    bucket.upsert(f"child-{os.getpid()}", os.getpid())
    ENDS[end][0]()


def run_in_processes(method: str, connection_string: str) -> None:
    """Start processes with *method* while this one works on."""
    bucket = open_bucket(connection_string)
    assert bucket.upsert_multi({key: key for key in KEYS}).all_ok
    context: Any = multiprocessing.get_context(method.removeprefix("patched-"))
    processes = [context.Process(target=child, args=(connection_string, end)) for end in ENDS]
    parent = os.getpid()

    def work() -> None:
        try:
            for _ in range(50):
                use(bucket)
        except ForkedProcessError:
            # A child inherits this greenlet too.
            assert os.getpid() != parent

    worker = gevent.spawn(work)
    for process in processes:
        process.start()
        use(bucket)
    for process, (_, status) in zip(processes, ENDS.values(), strict=True):
        process.join()
        assert process.exitcode == status
        assert bucket.get(f"child-{process.pid}").value == process.pid
    worker.get()
    use(bucket)
    say("done")
    step()


def main(scenario: str, way: str, connection_string: str) -> None:
    """Run one scenario."""
    if scenario == "processes":
        run_in_processes(way, connection_string)
    else:
        getattr(Program(way, connection_string), scenario)()


if __name__ == "__main__":
    main(*sys.argv[1:])
