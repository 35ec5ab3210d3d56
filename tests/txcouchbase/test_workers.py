"""Threads of our own: how many, how long, and what they tell."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from subprocess import run
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from twisted.python.failure import Failure

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import CouchbaseError
from couchloop.kv.scram import SaltedPasswords
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ReactorClock, serve
from txcouchbase.workers import MOST, Workers

_FORKING = """
import os, sys
from threading import Event
from txcouchbase.workers import Workers

workers, go, begun = Workers(), Event(), []
for _ in range(20):
    workers.callInThreadWithCallback(lambda *_: None, lambda: (begun.append(1), go.wait()))
while len(begun) < 10:
    pass
child = os.fork()
if not child:
    workers.callInThreadWithCallback(lambda ok, n: os._exit(n if ok else 1), lambda: 7)
    Event().wait(60)
    os._exit(2)
go.set()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def ours() -> list[Thread]:
    """Return the threads that are at work."""
    return [thread for thread in threading.enumerate() if thread.name == "couchloop"]


def test_ten_at_once() -> None:
    """Ten works run at once, more wait their turn; when all is done the threads end."""
    workers = Workers()
    outcomes: list[tuple[bool, Any]] = []
    met, told = Barrier(10), Event()

    def tell(success: bool, outcome: Any) -> None:
        outcomes.append((success, outcome))
        if len(outcomes) == 40:
            told.set()

    def work(number: int, *, plus: int) -> int:
        # It is passed only by ten together; 40 works are four times ten.
        met.wait(60)
        return number + plus

    for number in range(40):
        workers.callInThreadWithCallback(tell, work, number, plus=1)
    assert len(ours()) <= 10
    assert told.wait(60)
    assert sorted(outcomes) == [(True, number + 1) for number in range(40)]
    for thread in ours():
        thread.join(60)
    assert not ours()


def test_failure() -> None:
    """What a work raises is told as a Failure, and the next work is done."""
    workers = Workers()
    outcomes: list[tuple[bool, Any]] = []
    told = Event()

    def tell(success: bool, outcome: Any) -> None:
        outcomes.append((success, outcome))
        if len(outcomes) == 2:
            told.set()

    workers.callInThreadWithCallback(tell, lambda: 1 // 0)
    workers.callInThreadWithCallback(tell, int, "7")
    assert told.wait(60)
    results = dict(outcomes)
    assert results[True] == 7
    assert isinstance(results[False], Failure)
    assert isinstance(results[False].value, ZeroDivisionError)
    for thread in ours():
        thread.join(60)


class NoThreads:
    """A system that starts no threads; a test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused = 0
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(Thread, "start", self._start)

    def _start(self) -> None:
        self.refused += 1
        raise RuntimeError("can't start new thread")

    def over(self) -> None:
        self._monkeypatch.undo()


def test_threads_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each work that nobody can do fails, however many; once threads start again all is well."""
    workers = Workers()
    outcomes: list[tuple[bool, Any]] = []
    system = NoThreads(monkeypatch)
    for _ in range(3 * MOST):
        workers.callInThreadWithCallback(lambda *outcome: outcomes.append(outcome), int, "7")
    assert [type(failure.value) for _, failure in outcomes] == [RuntimeError] * 3 * MOST
    assert system.refused == 3 * MOST
    system.over()
    told = Event()
    workers.callInThreadWithCallback(lambda *_: told.set(), int, "7")
    assert told.wait(60)


def test_a_thread_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one thread runs it does what no other could be started for."""
    workers = Workers()
    outcomes: list[tuple[bool, Any]] = []
    begun, go, told = Event(), Event(), Event()

    def tell(*outcome: Any) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 3:
            told.set()

    def first() -> None:
        begun.set()
        go.wait(60)

    workers.callInThreadWithCallback(tell, first)
    assert begun.wait(60)
    NoThreads(monkeypatch)
    workers.callInThreadWithCallback(tell, int, "7")
    workers.callInThreadWithCallback(tell, int, "8")
    assert outcomes == []
    go.set()
    assert told.wait(60)
    assert outcomes[1:] == [(True, 7), (True, 8)]


async def test_a_bucket_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that cannot be looked up, and logins that cannot be derived, are tried again."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    cluster = EmbeddedCluster(1, seed="without threads", clock=ReactorClock(reactor))
    served = serve(cluster, reactor=reactor)
    port = cluster.nodes[0].ports["kv"]
    for host in ("127.0.0.1", "localhost"):
        # One that still runs would do the work, and a key is derived once.
        for thread in ours():
            thread.join(60)
        monkeypatch.setattr("couchloop.client.derivations._salted_passwords", SaltedPasswords())
        # It is tried more often than there may be threads: the pauses need not grow.
        monkeypatch.setattr("couchloop.session.reopening.pause", lambda *_: 0.01)
        system = NoThreads(monkeypatch)
        bucket = Bucket(
            f"couchbase://{host}:{port}/default?ipv6=disabled",
            username="user",
            password="password",
            reactor=reactor,
        )
        for _ in range(MOST + 1):
            with pytest.raises(CouchbaseError) as caught:
                await bucket.connect()
            assert "can't start new thread" in str(caught.value.__cause__)
        stored = bucket.upsert("k", 1, timeout=30)
        assert not stored.called
        system.over()
        assert (await stored).success
        await bucket.close()
    await served.stop()


def test_forked() -> None:
    """A child that was forked while all threads were busy has none of them, and new ones."""
    root = Path(__file__).resolve().parent.parent.parent
    paths = os.pathsep.join([str(root), str(root / "core")])
    done = run(
        [sys.executable, "-c", _FORKING],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "7\n"
