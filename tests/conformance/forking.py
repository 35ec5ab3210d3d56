"""What test_fork has done in processes of its own; a loop's own part: `forking.py` of its tests.

    python -m tests.ADAPTER.forking SCENARIO WAY CONNECTION_STRING

Each line on standard input lets the program take one more step; it says on standard output when it
has. A failed assertion, in whatever process, ends up on standard error.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from couchloop.exceptions import AmbiguousError, ForkedProcessError
from tests.garbage import release

KEYS: Final = [f"key-{number}" for number in range(30)]
"""On every node there are some of these."""
PATH: Final = "/pools/default/nodeServices"
"""What a service is asked for."""
SLOW: Final = "/pools/default/buckets"
"""What it takes a while to answer."""
CHILDREN: Final = 4
"""So many fork from a parent at work."""

Outcome = list[Any]
"""What a call gave, or the exception that it raised; empty as long as it goes on."""


def say(what: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def step() -> None:
    """Wait until the test wants more; the loop stands still meanwhile."""
    os.read(0, 1)


def sockets() -> set[str]:
    """Return the sockets of this process."""
    links = (str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return {link for link in links if link.startswith("socket:")}


class Program(ABC):
    """A process that has a Bucket open and forks; a loop says what differs on it."""

    fork: Callable[[], int]
    waitpid: Callable[[int, int], tuple[int, int]]

    def __init__(self, address: str) -> None:
        self.address = address
        before = sockets()
        self.bucket = self.open()
        assert self.wait(self.bucket.upsert_multi({key: key for key in KEYS})).all_ok
        self.own_sockets = sockets() - before
        """Those of the connections."""
        assert len(self.own_sockets) == 3
        self.done = 0
        """Operations of those that are at work."""

    # The loop

    @abstractmethod
    def open(self, at: str = "") -> Any:
        """Open the bucket, or give the one that is open; *at*: of another address."""

    @abstractmethod
    def cluster(self) -> Any:
        """Return a Cluster."""

    @abstractmethod
    def wait(self, result: Any) -> Any:
        """Return what a method of a Bucket gave, once it is there."""

    @abstractmethod
    def start(self, call: Callable[..., Any], *arguments: object) -> Outcome:
        """Begin a call that goes on beside others."""

    @abstractmethod
    def until(self, condition: Callable[[], object]) -> None:
        """Run the loop until *condition* holds."""

    @abstractmethod
    def end(self) -> None:
        """End the loop, if that takes anything."""

    # What a child does with what it has inherited, and then ends

    def drop(self) -> None:
        """Have the last reference to the Bucket go."""
        held = weakref.ref(self.bucket)
        del self.bucket
        release()
        assert held() is None

    @abstractmethod
    def idle_children(self) -> Sequence[Callable[[], object]]:
        """Return those that do not use the bucket, though they may do much else."""

    @abstractmethod
    def busy_children(self) -> Sequence[Callable[[], object]]:
        """Return those that use it, by connections of their own."""

    @abstractmethod
    def use_amid_work(self, number: int) -> None:
        """Use it in a child, the so-manieth, that has inherited work of its parent's."""

    # What goes on when a process forks

    @abstractmethod
    def begin_work(self) -> None:
        """Begin work that counts in `done`, and goes on."""

    @abstractmethod
    def end_work(self) -> None:
        """End it; it must not have ended by itself."""

    @abstractmethod
    def more_that_waits(self) -> dict[str, Outcome]:
        """Begin other calls that are under way when a process forks."""

    @abstractmethod
    def check_in_child(self, more: dict[str, Outcome]) -> None:
        """See what has become of them in the child, and that it can open the bucket if it may."""

    @abstractmethod
    def check_in_parent(self, more: dict[str, Outcome]) -> None:
        """See that the fork is not known where it happened."""

    @abstractmethod
    def check_dialling(self, opening: Outcome) -> None:
        """See what an opening is in a child in which its connection is let go of."""

    # Steps

    def use(self, bucket: Any) -> None:
        """Read what is there."""
        results = self.wait(bucket.get_multi(KEYS))
        assert [result.value for result in results.values()] == KEYS

    def in_child(self, work: Callable[[], object]) -> int:
        """Fork; the child works, then ends as programs do, with all that the interpreter does."""
        pid = self.fork()
        if not pid:
            # It has none of its parent's connections, though maybe descriptors in their place.
            assert not sockets() & self.own_sockets
            work()
            sys.exit()
        return pid

    def wait_for(self, pid: int) -> None:
        """Wait for a child, while the loop goes on; it must have ended in order."""
        statuses: list[int] = []

        def look() -> bool:
            ended, status = self.waitpid(pid, os.WNOHANG)
            if ended:
                statuses.append(status)
            return bool(statuses)

        self.until(look)
        assert os.waitstatus_to_exitcode(statuses[0]) == 0, statuses

    @abstractmethod
    def ask_in_child(self, cluster: Any) -> None:
        """Ask a service in a child, by a connection of its own."""

    # Scenarios

    def silent(self) -> None:
        """Fork children that do all that could disturb the parent."""
        say("open")
        step()
        for work in (lambda: None, self.drop, *self.idle_children()):
            self.wait_for(self.in_child(work))
        say("unused")
        step()
        for work in self.busy_children():
            self.wait_for(self.in_child(work))
        say("used")
        step()
        self.use(self.bucket)
        say("parent")
        step()
        # One that outlives the parent's Bucket.
        pid = self.fork()
        if not pid:
            step()
            os._exit(0)
        self.wait(self.bucket.close())
        say("closed")
        self.wait_for(pid)
        self.end()

    def services(self) -> None:
        """Fork with connections to services, idle and in use."""
        before = sockets()
        self.fork_amid_requests(self.cluster(), before)
        step()
        self.wait(self.bucket.close())
        say("done")
        self.end()

    def fork_amid_requests(self, cluster: Any, before: set[str]) -> None:
        """Fork while one is under way; *before*: the sockets that there were before any."""
        self.wait(cluster.http_request(PATH))
        under_way = self.start(cluster.http_request, SLOW)
        pools = cluster._ask_services()._driver.session.services.pools

        def is_sent() -> bool:
            channels = list(pools.by_id.values())
            return all(each.timer is None for each in channels) and any(c.call for c in channels)

        self.until(is_sent)
        # The loop writes it in a turn of its own.
        self.wait(self.bucket.get(KEYS[0]))
        self.own_sockets |= sockets() - before
        say("asked")
        step()
        self.wait_for(self.in_child(lambda: self.ask_in_child(cluster)))
        say("child")
        step()
        self.until(lambda: under_way)
        assert under_way[0].http_status == 200, under_way
        self.wait(cluster.http_request(PATH))
        say("parent")

    def load(self) -> None:
        """Fork while work goes on."""
        parent = os.getpid()
        self.begin_work()
        pids = []
        for number in range(CHILDREN):
            seen = self.done
            self.until(lambda seen=seen: self.done >= seen + 50)  # type: ignore[misc]
            pid = self.in_child(lambda number=number: self.use_amid_work(number))  # type: ignore[misc]
            if number % 2:
                pids.append(pid)
            else:
                self.wait_for(pid)
        for pid in pids:
            self.wait_for(pid)
        assert os.getpid() == parent
        self.end_work()
        self.use(self.bucket)
        say("done")
        step()
        self.wait(self.bucket.close())
        self.end()

    def pending(self) -> None:
        """Fork while operations wait for a node that does not answer."""
        bucket = self.bucket
        waiting = {
            "get": self.start(bucket.get, "silent"),
            "upsert": self.start(bucket.upsert, "silent", 1),
            "batch": self.start(bucket.upsert_multi, {"silent": 1, "key-0": "key-0"}),
        }
        more = self.more_that_waits()
        self.until(lambda: bucket._driver.session.in_flight == 3)
        say("waiting")
        step()
        pid = self.fork()
        if not pid:
            assert not any(waiting.values())
            self.until(lambda: all(waiting.values()))
            for name, (error,) in waiting.items():
                assert isinstance(error, ForkedProcessError), (name, error)
                assert isinstance(error, AmbiguousError) is (name != "get"), (name, error)
            self.check_in_child(more)
            os._exit(0)
        self.wait_for(pid)
        say("forked")
        assert not any(waiting.values())
        bucket._close()
        self.until(lambda: all(waiting.values()))
        for name, (outcome,) in waiting.items():
            assert not isinstance(outcome, ForkedProcessError), (name, outcome)
        self.check_in_parent(more)
        self.wait(bucket.close())
        say("done")
        self.end()

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
            opening = self.open_beside(f"couchbase://127.0.0.1:{port}")
            self.until(lambda: sockets() - before)
            (dialled,) = sockets() - before
            self.own_sockets.add(dialled)
            self.wait_for(self.in_child(lambda: self.check_dialling(opening)))
            assert sockets() - before == {dialled}
            self.give_up_opening()
        self.wait(self.bucket.close())
        say("done")
        self.end()

    @abstractmethod
    def open_beside(self, address: str) -> Outcome:
        """Begin to open the bucket of another cluster."""

    @abstractmethod
    def give_up_opening(self) -> None:
        """End what `open_beside` has begun."""


def run(program: type[Program], scenario: str, address: str) -> None:
    """Run one scenario."""
    try:
        getattr(program(address), scenario)()
    except Exception:  # noqa: BLE001 - threads of the loop's would keep the process going
        traceback.print_exc()
        os._exit(1)
