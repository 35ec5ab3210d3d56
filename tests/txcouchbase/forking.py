"""What test_fork runs in processes of its own: `python forking.py SCENARIO REACTOR ADDRESS`.

The reactor is turned by hand, so that a child can end as programs do, outside of its callbacks.
Each line on standard input lets the program take one more step; it says on standard output when it
has. A failed assertion, in whatever process, ends up on standard error.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

if __name__ == "__main__":
    import_module(f"twisted.internet.{sys.argv[2]}reactor").install()

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from couchloop.exceptions import AmbiguousError, ForkedProcessError
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

T = TypeVar("T")

KEYS = [f"key-{number}" for number in range(30)]
"""On every node there are some of these."""


def say(what: str) -> None:
    """Write a line for the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def step() -> None:
    """Wait until the test wants more; the reactor stands still meanwhile."""
    os.read(0, 1)


def turn(reactor: Any, condition: Callable[[], object]) -> None:
    """Turn *reactor* until *condition* holds."""
    while not condition():
        reactor.iterate(0.01)


def outcome(deferred: Deferred[T]) -> list[Any]:
    """Return a list that will hold what *deferred* fires with."""
    outcomes: list[Any] = []

    def take(result: T | Failure) -> None:
        outcomes.append(result.value if isinstance(result, Failure) else result)

    deferred.addBoth(take)
    return outcomes


def result_of(reactor: Any, deferred: Deferred[T]) -> Any:
    """Return what *deferred* fires with, an exception included."""
    outcomes = outcome(deferred)
    turn(reactor, lambda: outcomes)
    return outcomes[0]


def sockets() -> set[str]:
    """Name the sockets of this process."""
    links = (str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return {link for link in links if link.startswith("socket:")}


def installed_reactor() -> Any:
    """Return the reactor that this program has chosen."""
    from twisted.internet import reactor  # noqa: PLC0415 - it is installed by now

    return reactor


def new_reactor(inherited: Any) -> Any:
    """Make a reactor of the same kind for a child."""
    kind: Any = type(inherited)
    made: Any = kind(asyncio.new_event_loop()) if "asyncio" in kind.__module__ else kind()
    made.startRunning(installSignalHandlers=False)
    return made


def end(reactor: Any) -> None:
    """Have a reactor's threads end."""
    reactor.fireSystemEvent("shutdown")
    turn(reactor, lambda: not reactor.getDelayedCalls())


class Program:
    """One scenario after the other uses these."""

    def __init__(self, address: str) -> None:
        self.reactor = installed_reactor()
        self.address = address
        self.reactor.startRunning(installSignalHandlers=False)
        before = sockets()
        self.bucket = self.open_on(self.reactor)
        self.store()
        self.own_sockets = sockets() - before
        """Those of the connections."""
        assert len(self.own_sockets) == 3

    def open_on(self, reactor: Any) -> Bucket:
        """Begin to open the bucket, or give the one that is open."""
        cluster = Cluster(self.address, reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        return cluster.open_bucket("default")

    def store(self) -> None:
        """Store what `use` reads."""
        assert result_of(self.reactor, self.bucket.upsert_multi({key: key for key in KEYS})).all_ok

    def use(self, bucket: Bucket) -> None:
        """Read what is there."""
        results = result_of(bucket.reactor, bucket.get_multi(KEYS))
        assert [result.value for result in results.values()] == KEYS

    def use_anew(self, inherited: Bucket) -> None:
        """Open the bucket in a child, on a reactor of the child's own."""
        own = new_reactor(self.reactor)
        bucket = self.open_on(own)
        assert bucket is not inherited
        assert self.open_on(own) is bucket
        self.use(bucket)
        result_of(own, bucket.close())
        end(own)
        if hasattr(own, "_asyncioEventloop"):
            own._asyncioEventloop.close()

    def wait_for(self, pid: int) -> None:
        """Wait for a child, while the reactor turns; it must have ended in order."""
        status = None
        while status is None:
            ended, code = os.waitpid(pid, os.WNOHANG)
            if ended:
                status = code
            self.reactor.iterate(0.001)
        assert os.waitstatus_to_exitcode(status) == 0, status

    def in_child(self, work: Callable[[], object]) -> None:
        """Fork; the child works, then ends as programs do, with all that the interpreter does."""
        pid = os.fork()
        if not pid:
            # It has none of its parent's connections any more, though descriptors in their place.
            assert not sockets() & self.own_sockets
            work()
            sys.exit()
        self.wait_for(pid)

    # Scenarios

    def silent(self) -> None:
        """Fork children that do all that could disturb the parent."""
        bucket, reactor = self.bucket, self.reactor
        say("open")
        step()
        self.in_child(lambda: None)

        def drop() -> None:
            nonlocal bucket
            del bucket, self.bucket

        def close() -> None:
            assert outcome(bucket.close()) == [None]
            assert bucket.closed

        def refused() -> None:
            failed: list[Deferred[Any]] = [
                bucket.get("key-0"),
                bucket.upsert_multi({"a": 1}),
                bucket.connect(),
            ]
            for deferred in failed:
                (error,) = outcome(deferred)
                assert isinstance(error, ForkedProcessError), error
                assert not isinstance(error, AmbiguousError)
                assert "open it again" in str(error)

        def turn_inherited() -> None:
            for _ in range(20):
                reactor.iterate(0.001)

        def stop_inherited() -> None:
            # It complains, for what it wants to take from the kernel is not there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            reactor.fireSystemEvent("shutdown")
            turn_inherited()
            os._exit(0)

        for work in (drop, close, refused, turn_inherited, stop_inherited):
            self.in_child(work)
        say("unused")
        step()
        self.in_child(lambda: self.use_anew(bucket))
        say("used")
        step()
        self.use(bucket)
        say("parent")
        step()
        pid = os.fork()
        if not pid:
            step()
            os._exit(0)
        result_of(reactor, bucket.close())
        say("closed")
        self.wait_for(pid)
        end(reactor)

    def load(self) -> None:
        """Fork, within callbacks as well, while work goes on."""
        bucket, reactor = self.bucket, self.reactor
        parent = os.getpid()
        done = [0]
        running = [True]
        pids: list[int] = []

        async def work(number: int) -> None:
            count = 0
            while running[0]:
                count += 1
                if number % 2:
                    await bucket.upsert(f"of-{number}", count)
                else:
                    results = await bucket.get_multi(KEYS)
                    assert [result.value for result in results.values()] == KEYS
                done[0] += 1

        async def fork() -> None:
            # Within the delivery of an answer: others are on their way to the same connection.
            while running[0]:
                await bucket.get("key-1")
                if len(pids) < 4:
                    pid = os.fork()
                    if pid:
                        pids.append(pid)
                    else:
                        (error,) = outcome(bucket.get("key-1"))
                        os._exit(0 if isinstance(error, ForkedProcessError) else 1)

        workers = [outcome(Deferred.fromCoroutine(work(number))) for number in range(8)]
        forker = outcome(Deferred.fromCoroutine(fork()))
        for _ in range(3):
            seen = done[0]
            while done[0] < seen + 50:
                reactor.iterate(0.01)
            self.in_child(lambda: self.use_anew(bucket))
        assert os.getpid() == parent
        turn(reactor, lambda: len(pids) == 4)
        assert not any(workers), workers
        running[0] = False
        turn(reactor, lambda: all(workers) and forker)
        assert [*workers, forker] == [[None]] * 9
        for pid in pids:
            self.wait_for(pid)
        self.use(bucket)
        say("done")
        step()
        result_of(reactor, bucket.close())
        end(reactor)

    def pending(self) -> None:
        """Fork while Deferreds wait, as a program that becomes a daemon: its reactor goes on."""
        bucket, reactor = self.bucket, self.reactor
        second = Bucket(
            self.address.replace("?", "/default?"),
            username="user",
            password="password",
            shared=False,
            reactor=reactor,
        )
        waiting = {
            "get": outcome(bucket.get("silent")),
            "upsert": outcome(bucket.upsert("silent", 1)),
            "batch": outcome(bucket.upsert_multi({"silent": 1, "key-0": "key-0"})),
            "ready": outcome(second.wait_until_ready(10)),
            "opening": outcome(second.connect()),
            "parked": outcome(second.upsert("key-0", "key-0")),
        }
        turn(reactor, lambda: bucket._driver.session.in_flight == 3)
        say("waiting")
        step()
        pid = os.fork()
        if not pid:
            assert not any(waiting.values())
            turn(reactor, lambda: all(waiting.values()))
            for name, (error,) in waiting.items():
                assert isinstance(error, ForkedProcessError), (name, error)
                is_mutation = name in {"upsert", "batch", "parked"}
                assert isinstance(error, AmbiguousError) is is_mutation, (name, error)
            os._exit(0)
        self.wait_for(pid)
        say("forked")
        turn(reactor, lambda: waiting["parked"] and waiting["ready"] and waiting["opening"])
        bucket._close()
        assert all(waiting.values())
        for name, (result,) in waiting.items():
            assert not isinstance(result, ForkedProcessError), (name, result)
        assert waiting["opening"] == [None]
        assert not isinstance(waiting["parked"][0], Exception)
        result_of(reactor, second.close())
        result_of(reactor, bucket.close())
        say("done")
        end(reactor)

    def dialling(self) -> None:
        """Fork while a connection is being made, to where nobody accepts one."""
        reactor = self.reactor
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
            bucket = Bucket(
                f"couchbase://127.0.0.1:{port}/default",
                username="user",
                password="password",
                reactor=reactor,
            )
            opening = outcome(bucket.connect())
            turn(reactor, lambda: sockets() - before)
            (dialled,) = sockets() - before
            self.own_sockets.add(dialled)
            self.in_child(lambda: None)
            assert sockets() - before == {dialled}
            result_of(reactor, bucket.close())
            assert opening
        result_of(reactor, self.bucket.close())
        say("done")
        end(reactor)


def main(scenario: str, _: str, address: str) -> None:
    """Run one scenario."""
    try:
        getattr(Program(address), scenario)()
    except Exception:  # noqa: BLE001 - the reactor's threads would keep the process going
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
