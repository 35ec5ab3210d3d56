"""Forked children of a Twisted program: the parent never notices them, and they are told the truth.

The program is forking.py, in processes of its own; the cluster is served here, where every byte of
every connection is counted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.certificates import Certificates
from tests.received import Received
from tests.txcouchbase.support import turn
from txcouchbase.testing import ServedCluster, serve

_ROOT = Path(__file__).resolve().parent.parent.parent


class Program(ProcessProtocol):
    """The program, running: what it says, step by step."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._said = b""
        self._errors = b""
        self.ended: list[int | None] = []

    def outReceived(self, data: bytes) -> None:
        self._said += data

    def errReceived(self, data: bytes) -> None:
        self._errors += data

    def processEnded(self, reason: Failure) -> None:
        self.ended.append(getattr(reason.value, "exitCode", None))

    async def says(self, what: str) -> None:
        """Wait until it has said *what*, the next line."""
        await turn(self._reactor, lambda: b"\n" in self._said or self.ended)
        line, _, self._said = self._said.partition(b"\n")
        assert line.decode() == what, f"{line!r}, and on standard error: {self._errors.decode()}"

    def go_on(self) -> None:
        """Let it take a step."""
        assert self.transport is not None
        self.transport.write(b"\n")

    async def ends(self) -> None:
        """Wait until it has ended; in order, and without a word on standard error."""
        await turn(self._reactor, lambda: self.ended)
        assert (self._errors.decode(), self.ended) == ("", [0])

    def kill(self) -> None:
        """End it if it has not ended."""
        if not self.ended and self.transport is not None:
            self.transport.signalProcess("KILL")


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@asynccontextmanager
async def running(
    reactor: Any, tmp_path: Path, scenario: str, kind: str, *, tls: bool
) -> AsyncIterator[tuple[ServedCluster, Program]]:
    """Serve a cluster and start the program; in the end it must have ended well."""
    certificates = Certificates(tmp_path)
    served = serve(reactor=reactor, tls=certificates.server() if tls else None)
    address = served.connection_string
    # A client that never speaks unasked, and has the time that a busy machine takes.
    options = "config_poll_interval=0&operation_timeout=30&config_node_timeout=30"
    if tls:
        address = served.connection_string_tls
        options += f"&certpath={certificates.ca}"
    program = Program(reactor)
    reactor.spawnProcess(
        program,
        sys.executable,
        [
            *(sys.executable, "-W", "error"),
            *("-W", "ignore:This process .* is multi-threaded:DeprecationWarning"),
            *("-m", "tests.txcouchbase.forking", scenario, kind, f"{address}?{options}"),
        ],
        {**os.environ, "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'core'}"},
        str(_ROOT),
    )
    try:
        yield served, program
        await program.ends()
    finally:
        program.kill()
        await turn(reactor, lambda: program.ended)
        await served.stop()


@pytest.mark.parametrize(
    ("kind", "tls"), [("epoll", True), ("epoll", False), ("asyncio", True), ("poll", False)]
)
async def test_children_are_silent(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, tls: bool
) -> None:
    """No child says a byte on its parent's connections, whatever it does to Bucket and reactor.

    They stay open, and are those that the parent uses afterwards; a child that opens the bucket on
    a reactor of its own has its own. When the parent closes them no child holds them back.
    """
    received = Received(monkeypatch)
    async with running(reactor, tmp_path, "silent", kind, tls=tls) as (served, program):
        await program.says("open")
        # It waits for its next step: nothing is on the way.
        before = received.by_those_open()
        assert len(before) == 3
        program.go_on()
        await program.says("unused")
        assert received.by_those_open() == before
        assert served.cluster.accepted == 3
        program.go_on()
        await program.says("used")
        await turn(reactor, lambda: len(served.cluster.connections()) == 3)
        assert received.by_those_open() == before
        assert served.cluster.accepted == 6
        program.go_on()
        await program.says("parent")
        after = received.by_those_open()
        assert after.keys() == before.keys()
        assert all(after[each] > before[each] for each in after)
        assert served.cluster.accepted == 6
        program.go_on()
        await program.says("closed")
        await turn(reactor, lambda: not served.cluster.connections())
        assert not program.ended
        program.go_on()


@pytest.mark.parametrize(("kind", "tls"), [("epoll", True), ("asyncio", False)])
async def test_the_parent_works_on(reactor: Any, tmp_path: Path, kind: str, tls: bool) -> None:
    """Children fork from a parent at work, between callbacks and within: nothing of it fails.

    Those of them that open the bucket on a reactor of their own read what is there.
    """
    async with running(reactor, tmp_path, "load", kind, tls=tls) as (served, program):
        await program.says("done")
        await turn(reactor, lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 3 + 3 * 3
        program.go_on()


async def test_what_is_under_way(reactor: Any, tmp_path: Path) -> None:
    """A daemon's Deferreds end with ForkedProcessError, mutations' ambiguously; the parent's go on.

    That holds for operations on the wire, for those that wait, and for an opening.
    """
    async with running(reactor, tmp_path, "pending", "poll", tls=False) as (served, program):
        silence = served.cluster.inject(key="silent", silent=True)
        await program.says("waiting")
        await turn(reactor, lambda: silence.hits == 3)
        program.go_on()
        await program.says("forked")
        await program.says("done")


@pytest.mark.parametrize("kind", ["epoll", "asyncio"])
async def test_a_connection_that_is_being_made(reactor: Any, tmp_path: Path, kind: str) -> None:
    """It is not held in a child either: the node would wait for the child's end of it."""
    async with running(reactor, tmp_path, "dialling", kind, tls=False) as (_, program):
        await program.says("done")
