"""Real WSGI servers under load: many processes that share nothing, and an end in order."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Final

import gevent
import pytest
from gevent import Greenlet, subprocess
from gevent import socket as gsocket

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import LIMIT, ROOT, ask, until
from tests.received import Received

WORKERS: Final = 4
CLIENTS: Final = 16
OPTIONS: Final = "?operation_timeout=30&config_poll_interval=0"
"""For a client that has the time that a busy machine takes, and never speaks unasked."""


@pytest.fixture
def ends(served: ServedCluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each connection to a node has ended: "in order", or the error that the node met."""
    ports = {node.ports["kv"] for node in served.cluster.nodes}
    receive = gsocket.socket.recv
    ends: list[str] = []

    def recv(sock: gsocket.socket, *arguments: Any) -> bytes:
        is_node = sock.getsockname()[1] in ports
        try:
            data = receive(sock, *arguments)
        except OSError as why:
            if is_node:
                ends.append(type(why).__name__)
            raise
        if is_node and not data:
            ends.append("in order")
        return data

    monkeypatch.setattr(gsocket.socket, "recv", recv)
    return ends


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Received:
    """Count the bytes that the nodes receive."""
    return Received(monkeypatch)


@contextmanager
def program(served: ServedCluster, *command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server; give it and its port. It is given the socket that it is to listen on."""
    with gsocket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        process = subprocess.Popen(
            [sys.executable, *(part.format(fd=listening.fileno()) for part in command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            pass_fds=[listening.fileno()],
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'core'}",
                "COUCHBASE": served.connection_string + OPTIONS,
            },
        )
        try:
            yield process, listening.getsockname()[1]
        finally:
            if process.poll() is None:
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(2 * LIMIT)
            process.kill()
            output = process.stdout
            assert output is not None
            sys.stderr.write(output.read())
            output.close()


def gunicorn(application: str) -> list[str]:
    """Return the command line of gunicorn."""
    return [
        *("-m", "gunicorn", "--preload", "--worker-class", "gevent", "--workers", f"{WORKERS}"),
        *("--bind", "fd://{fd}", "--keep-alive", "0", "--no-control-socket"),
        *("--chdir", str(ROOT / "examples"), application),
    ]


class Load:
    """Clients that ask one after the other, until they are told to stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count()
        self._stopping = False
        self.answers = 0
        self.workers: set[int] = set()
        self._greenlets: list[Greenlet[[], None]] = []

    def start(self, check: Any) -> None:
        """Begin; *check* is called with the port and a number that is new each time."""

        def run() -> None:
            while not self._stopping:
                check(self._port, next(self._numbers))
                self.answers += 1

        self._greenlets = [gevent.spawn(run) for _ in range(CLIENTS)]

    def stop(self) -> None:
        """Let what is under way be answered, and ask no more."""
        self._stopping = True
        gevent.joinall(self._greenlets, raise_error=True)


def put_and_get(port: int, number: int) -> None:
    """Store a document and read it."""
    path = f"/documents/{number}"
    status, _, tag = ask(port, "PUT", path, {"number": number})
    assert status == 204
    assert ask(port, "GET", path) == (200, {"number": number}, tag)


def end_under_load(
    served: ServedCluster,
    received: Received,
    process: subprocess.Popen[str],
    port: int,
    ends: list[str],
) -> None:
    """Send SIGTERM while every client waits for a node: each is answered, then all is closed."""
    assert ask(port, "PUT", "/documents/slow", "slow")[0] == 204
    before = received.total
    assert ask(port, "GET", "/documents/slow")[0] == 200
    size = received.total - before
    # A node begins with the next request of a connection when it is done with the one before: all
    # of them wait, on a single connection longer than a Bucket does that is being closed.
    served.cluster.inject(opcode=Opcode.GET, key="slow", delay=0.7, count=WORKERS)
    before = received.total
    asking = [gevent.spawn(ask, port, "GET", "/documents/slow") for _ in range(CLIENTS)]
    until(lambda: received.total == before + CLIENTS * size)
    connections = len(served.cluster.connections())
    del ends[:]
    process.send_signal(signal.SIGTERM)
    assert [greenlet.get()[:2] for greenlet in asking] == [(200, "slow")] * CLIENTS
    assert process.wait(2 * LIMIT) == 0
    until(lambda: not served.cluster.connections())
    assert ends == ["in order"] * connections


def test_gunicorn(served: ServedCluster, received: Received, ends: list[str]) -> None:
    """gunicorn, preloaded, with the example's factory: each worker has one connection to each node.

    Every request is answered right; after SIGTERM those under way are, then the connections close
    in order.
    """
    with program(served, *gunicorn("gunicorn_app:create()")) as (process, port):
        load = Load(port)
        load.start(put_and_get)
        until(lambda: len(served.cluster.connections()) == WORKERS * 3)
        seen = load.answers
        until(lambda: load.answers >= seen + 100)
        load.stop()
        assert served.cluster.accepted == WORKERS * 3
        per_node = [len(served.cluster.connections(node)) for node in served.cluster.nodes]
        assert per_node == [WORKERS] * 3
        end_under_load(served, received, process, port, ends)
        assert served.cluster.accepted == WORKERS * 3


def test_opened_before_the_fork(served: ServedCluster, ends: list[str]) -> None:
    """A bucket that gunicorn's master has opened is open anew in each worker, and stays the same.

    The master keeps its own connections, each worker has as many: every request is answered right.
    """
    workers: set[int] = set()

    def store(port: int, number: int) -> None:
        status, answer, _ = ask(port, "GET", f"/{number}")
        assert (status, answer["value"]) == (200, f"/{number}")
        workers.add(answer["worker"])

    command = gunicorn("tests.gcouchbase.preloaded:application")
    with program(served, *command) as (process, port):
        load = Load(port)
        load.start(store)
        until(lambda: len(served.cluster.connections()) == (1 + WORKERS) * 3)
        seen = load.answers
        until(lambda: load.answers >= seen + 100)
        load.stop()
        assert len(workers) == WORKERS
        assert served.cluster.accepted == (1 + WORKERS) * 3
        per_node = [len(served.cluster.connections(node)) for node in served.cluster.nodes]
        assert per_node == [1 + WORKERS] * 3
        del ends[:]
        process.terminate()
        assert process.wait(2 * LIMIT) == 0
        until(lambda: not served.cluster.connections())
        assert ends == ["in order"] * (1 + WORKERS) * 3


def test_pywsgi(served: ServedCluster, received: Received, ends: list[str]) -> None:
    """Gevent's own WSGI server with the example's application: the same end, by SIGTERM, in one."""
    command = ("examples/gevent_wsgi.py", served.connection_string + OPTIONS)
    with program(served, *command, "--port", "0") as (process, _):
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.split(":")[2].partition("/")[0])
        load = Load(port)
        load.start(put_and_get)
        until(lambda: load.answers >= 100)
        load.stop()
        assert served.cluster.accepted == 3
        end_under_load(served, received, process, port, ends)
