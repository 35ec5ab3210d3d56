"""What tests/conformance/test_fork.py runs of gevent, and test_fork: a program that forks.

`python -m tests.gcouchbase.forking SCENARIO WAY,LOOP CONNECTION_STRING`. LOOP is one of gevent's.
WAY is how it forks: `os` (os.fork, nothing patched), `gevent` (gevent.os.fork), `patched` (os.fork
as gevent patches it), or a start method of multiprocessing, with `patched-` before it or not.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

if __name__ in {"__main__", "__mp_main__"}:
    WAY, os.environ["GEVENT_LOOP"] = sys.argv[2].split(",")

import gevent
from gevent import monkey
from gevent import os as gevent_os

if __name__ in {"__main__", "__mp_main__"} and WAY.startswith("patched"):
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
from tests.conformance.forking import CHILDREN, KEYS, PATH, Outcome, Program, run, say, step


def cluster_at(connection_string: str) -> Cluster:
    """Return a Cluster."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster


def open_bucket(connection_string: str) -> Bucket:
    """Open the bucket, or give the one that is open."""
    return cluster_at(connection_string).open_bucket("default")


def use(bucket: Bucket) -> None:
    """Read what is there."""
    assert [result.value for result in bucket.get_multi(KEYS).values()] == KEYS


def note(call: Callable[..., Any], *arguments: object) -> Any:
    """Return what *call* gives, or the exception that it raises."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - any, to look at
        return error


class OnHub(Program):
    """A process with a hub. A child of it uses the Bucket that it has inherited."""

    def __init__(self, address: str) -> None:
        module: Any = gevent_os if WAY == "gevent" else os
        self.fork = module.fork
        self.waitpid = module.waitpid
        if WAY != "os":
            # gevent watches for ends of children from its first `child` watcher on, which may be
            # too late for the first child.
            gevent.get_hub().loop.install_sigchld()
        super().__init__(address)

    def open(self, at: str = "") -> Bucket:
        """Wait until it is open."""
        return open_bucket(at or self.address)

    def cluster(self) -> Cluster:
        """See `Program`."""
        return cluster_at(self.address)

    def ask_in_child(self, cluster: Cluster) -> None:
        """By the same Cluster: greenlets of the parent's are not to be waited for."""
        assert cluster.http_request(PATH).http_status == 200
        os._exit(0)

    def wait(self, result: Any) -> Any:
        """It has been waited for."""
        return result

    def start(self, call: Callable[..., Any], *arguments: object) -> Outcome:
        """Spawn a greenlet."""
        outcomes: Outcome = []
        gevent.spawn(lambda: outcomes.append(note(call, *arguments)))
        return outcomes

    def until(self, condition: Callable[[], object]) -> None:
        """Let other greenlets run."""
        while not condition():
            gevent.sleep(0.001)

    def end(self) -> None:
        """It ends with its thread."""

    # Children

    def idle_children(self) -> Sequence[Callable[[], object]]:
        """One that drops it, and runs its loop until nothing is left; one that closes it."""

        def drop_and_run() -> None:
            self.drop()
            gevent.get_hub().join()
            os._exit(0)

        def close() -> None:
            self.bucket.close()
            assert self.bucket.closed

        return drop_and_run, close

    def busy_children(self) -> Sequence[Callable[[], object]]:
        """Use it themselves, by a collection, by threads, or open it again, and fork again."""
        bucket = self.bucket
        collection = bucket.scope("app").collection("c")
        handle = bucket.threadsafe()

        def use_it() -> None:
            # It is the same object, and has connections of its own, as has a collection that was
            # made before the fork.
            assert not bucket.connected
            assert collection.upsert("k", 1).success
            assert collection.get("k").value == 1
            use(bucket)
            assert open_bucket(self.address) is bucket
            bucket.close()

        def open_it() -> None:
            # And leave it open.
            assert open_bucket(self.address) is bucket
            assert bucket.connected
            use(bucket)

        def use_it_in_threads() -> None:
            results = gevent.get_hub().threadpool.map(handle.get, KEYS)
            assert [result.value for result in results] == KEYS

        def fork_again() -> None:
            use(bucket)
            pid = self.fork()
            use(bucket)
            if pid:
                self.wait_for(pid)

        return use_it, open_it, use_it_in_threads, fork_again

    def use_amid_work(self, number: int) -> None:
        """All of the parent's greenlets were waiting, and none of them for an answer to a child."""
        use(self.bucket)
        assert self.ended == [True] * len(self.workers), self.ended
        if number % 2:
            self.bucket.upsert(f"child-{number}", number)
            os._exit(0)

    # Work

    def begin_work(self) -> None:
        """In greenlets, which a child inherits: their operations are the parent's, and say so."""
        parent = os.getpid()
        bucket = self.bucket
        self.ended: list[bool] = []

        def work(number: int) -> None:
            mutation = bool(number % 2)
            key, count = f"of-{number}", 0
            try:
                while True:
                    count += 1
                    if mutation:
                        bucket.upsert(key, count)
                    else:
                        use(bucket)
                    self.done += 1
            except ForkedProcessError as error:
                assert os.getpid() != parent
                self.ended.append(isinstance(error, AmbiguousError) == mutation)

        self.workers = [gevent.spawn(work, number) for number in range(8)]

    def end_work(self) -> None:
        """Kill them."""
        assert all(self.workers), "the parent's work has ended"
        gevent.killall(self.workers)
        numbers = range(1, CHILDREN, 2)
        found = [self.bucket.get(f"child-{number}").value for number in numbers]
        assert found == list(numbers)

    def more_that_waits(self) -> dict[str, Outcome]:
        """A closing."""
        return {"closing": self.start(self.bucket.close, 60)}

    def check_in_child(self, more: dict[str, Outcome]) -> None:
        """Being closed, it is not renewed, but made anew."""
        self.until(lambda: all(more.values()))
        assert more == {"closing": [None]}
        assert self.bucket.closed
        again = open_bucket(self.address)
        assert again is not self.bucket
        use(again)

    def check_in_parent(self, more: dict[str, Outcome]) -> None:
        """It is closed."""
        self.until(lambda: all(more.values()))
        assert more == {"closing": [None]}

    # A connection that is being made

    def open_beside(self, address: str) -> Outcome:
        """Open it in a greenlet."""
        outcomes: Outcome = []
        self.opening = gevent.spawn(lambda: outcomes.append(note(open_bucket, address)))
        return outcomes

    def give_up_opening(self) -> None:
        """Kill that."""
        self.opening.kill()

    def check_dialling(self, opening: Outcome) -> None:
        """Whoever waits for the opening is told; another Bucket works."""
        self.until(lambda: opening)
        assert isinstance(opening[0], ForkedProcessError)
        use(self.bucket)

    # Scenarios of gevent's own

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
            assert isinstance(note(open_bucket, self.address), NodeUnreachableError)
            # It does not keep its loop going.
            gevent.get_hub().join()
            waiting = gevent.spawn(use, bucket)
            say("waiting")
            waiting.get()
            assert open_bucket(self.address) is bucket
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
                    own = open_bucket(self.address)
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


if __name__ == "__main__":
    if sys.argv[1] == "processes":
        run_in_processes(WAY, sys.argv[3])
    else:
        run(OnHub, sys.argv[1], sys.argv[3])
