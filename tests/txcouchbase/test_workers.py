"""Threads of our own: how many, how long, and what they tell."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from subprocess import run
from threading import Barrier, Event, Thread
from typing import Any

from twisted.python.failure import Failure

from txcouchbase.workers import Workers

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
    """Give the threads that are at work."""
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
