"""What tests/conformance/test_fork.py runs of Twisted: a program that forks, and its children.

`python -m tests.txcouchbase.forking SCENARIO REACTOR CONNECTION_STRING`. The reactor is turned by
hand, so that a child can end as programs do, outside of its callbacks.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

if __name__ == "__main__":
    # Without a loop Twisted 24.11 asks for the thread's, which Python has stopped to make.
    loops = [asyncio.new_event_loop()] if sys.argv[2] == "asyncio" else []
    import_module(f"twisted.internet.{sys.argv[2]}reactor").install(*loops)

from twisted.internet.defer import Deferred

from couchloop.exceptions import AmbiguousError, ForkedProcessError
from tests.conformance.forking import KEYS, PATH, Outcome, Program, run
from tests.txcouchbase.support import outcome
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator


def turn(reactor: Any, condition: Callable[[], object]) -> None:
    """Turn *reactor* until *condition* holds."""
    while not condition():
        reactor.iterate(0.01)


def end(reactor: Any) -> None:
    """Have a reactor's threads end."""
    reactor.fireSystemEvent("shutdown")
    turn(reactor, lambda: not reactor.getDelayedCalls())


def installed_reactor() -> Any:
    """Return the reactor that this program has chosen."""
    from twisted.internet import reactor  # noqa: PLC0415 - it is installed by now

    return reactor


def new_reactor(inherited: Any) -> Any:
    """Return a child a reactor of its own, of the same kind."""
    kind: Any = type(inherited)
    made: Any = kind(asyncio.new_event_loop()) if "asyncio" in kind.__module__ else kind()
    made.startRunning(installSignalHandlers=False)
    return made


class OnReactor(Program):
    """A process with a reactor. A child of it opens the bucket on another, or not at all."""

    fork = staticmethod(os.fork)
    waitpid = staticmethod(os.waitpid)

    def __init__(self, address: str) -> None:
        self.reactor = installed_reactor()
        self.reactor.startRunning(installSignalHandlers=False)
        super().__init__(address)

    def open(self, at: str = "") -> Bucket:
        """Begin to open it."""
        return self.open_on(self.reactor, at)

    def open_on(self, reactor: Any, at: str = "") -> Bucket:
        """Begin to open the bucket, or give the one that is open."""
        return self.cluster_on(reactor, at).open_bucket("default")

    def cluster(self) -> Cluster:
        """See `Program`."""
        return self.cluster_on(self.reactor)

    def cluster_on(self, reactor: Any, at: str = "") -> Cluster:
        """Return a Cluster on that reactor."""
        cluster = Cluster(at or self.address, reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        return cluster

    def ask_in_child(self, cluster: Cluster) -> None:
        """By one on a reactor of the child's: that of the parent's says why it does not."""
        (error,) = outcome(cluster.http_request(PATH))
        assert isinstance(error, ForkedProcessError), error
        own = new_reactor(self.reactor)
        answer = self.wait_on(own, self.cluster_on(own).http_request(PATH))
        assert answer.http_status == 200
        os._exit(0)

    def wait(self, result: Deferred[Any]) -> Any:
        """Turn the reactor."""
        return self.wait_on(self.reactor, result)

    def wait_on(self, reactor: Any, result: Deferred[Any]) -> Any:
        """Turn that reactor."""
        outcomes = outcome(result)
        turn(reactor, lambda: outcomes)
        if isinstance(outcomes[0], BaseException):
            raise outcomes[0]
        return outcomes[0]

    def start(self, call: Callable[..., Any], *arguments: object) -> Outcome:
        """Keep the Deferred's outcome."""
        return outcome(call(*arguments))

    def until(self, condition: Callable[[], object]) -> None:
        """Turn the reactor."""
        turn(self.reactor, condition)

    def end(self) -> None:
        """End the reactor's threads."""
        end(self.reactor)

    # Children

    def idle_children(self) -> Sequence[Callable[[], object]]:
        """All that could disturb the parent."""
        reactor = self.reactor

        def close() -> None:
            assert outcome(self.bucket.close()) == [None]
            assert self.bucket.closed

        def refused() -> None:
            bucket = self.bucket
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

        return close, refused, turn_inherited, stop_inherited

    def busy_children(self) -> Sequence[Callable[[], object]]:
        """Open it anew."""
        return (partial(self.use_anew, self.bucket),)

    def use_amid_work(self, number: int) -> None:
        """Likewise."""
        del number
        self.use_anew(self.bucket)

    def use_anew(self, inherited: Bucket) -> None:
        """Open the bucket in a child, on a reactor of the child's own."""
        own = new_reactor(self.reactor)
        bucket = self.open_on(own)
        assert bucket is not inherited
        assert self.open_on(own) is bucket
        results = self.wait_on(own, bucket.get_multi(KEYS))
        assert [result.value for result in results.values()] == KEYS
        self.wait_on(own, bucket.close())
        end(own)
        if hasattr(own, "_asyncioEventloop"):
            own._asyncioEventloop.close()

    # Work

    def begin_work(self) -> None:
        """In coroutines, one of which forks too, within the delivery of an answer."""
        bucket = self.bucket
        self.is_working = True
        self.forked_within: list[int] = []

        async def work(number: int) -> None:
            count = 0
            while self.is_working:
                count += 1
                if number % 2:
                    await bucket.upsert(f"of-{number}", count)
                else:
                    results = await bucket.get_multi(KEYS)
                    assert [result.value for result in results.values()] == KEYS
                self.done += 1

        async def fork() -> None:
            # Other answers are on their way to the same connection.
            while self.is_working:
                await bucket.get("key-1")
                if len(self.forked_within) < 4:
                    pid = os.fork()
                    if pid:
                        self.forked_within.append(pid)
                    else:
                        (error,) = outcome(bucket.get("key-1"))
                        os._exit(0 if isinstance(error, ForkedProcessError) else 1)

        self.workers = [
            *(outcome(Deferred.fromCoroutine(work(number))) for number in range(8)),
            outcome(Deferred.fromCoroutine(fork())),
        ]

    def end_work(self) -> None:
        """Let each come to the end of its round."""
        self.until(lambda: len(self.forked_within) == 4)
        assert not any(self.workers), self.workers
        self.is_working = False
        self.until(lambda: all(self.workers))
        assert self.workers == [[None]] * len(self.workers)
        for pid in self.forked_within:
            self.wait_for(pid)

    def more_that_waits(self) -> dict[str, Outcome]:
        """As in a program that becomes a daemon: an opening, and what waits for it."""
        self.second = Bucket(
            self.address.replace("?", "/default?"),
            username="user",
            password="password",
            shared=False,
            reactor=self.reactor,
        )
        return {
            "ready": outcome(self.second.wait_until_ready(10)),
            "opening": outcome(self.second.connect()),
            "parked": outcome(self.second.upsert("key-0", "key-0")),
        }

    def check_in_child(self, more: dict[str, Outcome]) -> None:
        """They end as all others do."""
        self.until(lambda: all(more.values()))
        for name, (error,) in more.items():
            assert isinstance(error, ForkedProcessError), (name, error)
            assert isinstance(error, AmbiguousError) is (name == "parked"), (name, error)

    def check_in_parent(self, more: dict[str, Outcome]) -> None:
        """They are done."""
        self.until(lambda: all(more.values()))
        for name, (result,) in more.items():
            assert not isinstance(result, BaseException), (name, result)
        self.wait(self.second.close())

    # A connection that is being made

    def open_beside(self, address: str) -> Outcome:
        """Keep the Bucket."""
        self.second = self.open(address)
        return outcome(self.second.connect())

    def give_up_opening(self) -> None:
        """Close it."""
        self.wait(self.second.close())

    def check_dialling(self, opening: Outcome) -> None:
        """Whoever waits is told where the reactor goes on, and only there."""
        assert opening == []


if __name__ == "__main__":
    run(OnReactor, sys.argv[1], sys.argv[3])
