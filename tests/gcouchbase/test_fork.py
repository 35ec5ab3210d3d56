"""Forked children of a gevent program: the parent never notices them, and they get on alone.

The program is forking.py, in processes of its own; the cluster is served here, where every byte of
every connection is counted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gevent import subprocess

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import ROOT, finish, until
from tests.received import Received

WAYS = [
    ("os", "libev-cext", True),
    ("os", "libuv-cffi", False),
    ("gevent", "libuv-cffi", True),
    ("patched", "libev-cext", False),
]
"""How to fork, on which loop, and whether with TLS: each loop with TLS and without."""


@contextmanager
def serving(tmp_path: Path, tls: bool) -> Iterator[tuple[ServedCluster, str]]:
    """Serve a cluster; give it, and the connection string of a client that never speaks unasked.

    It has the time that a busy machine takes.
    """
    certificates = Certificates(tmp_path)
    with serve(tls=certificates.server() if tls else None) as served:
        served.cluster.create_collection("default", "app.c")
        address = served.connection_string
        options = "config_poll_interval=0&operation_timeout=30&config_node_timeout=30"
        if tls:
            address = served.connection_string_tls
            options += f"&certpath={certificates.ca}"
        yield served, f"{address}?{options}"


@contextmanager
def running(
    scenario: str, way: str, loop: str, connection_string: str
) -> Iterator[subprocess.Popen[str]]:
    """Start the program; at the end it must have ended well, and said nothing on standard error."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-X", "dev", "-W", "error"),
            *("-W", "ignore:This process .* is multi-threaded:DeprecationWarning"),
            *("-m", "tests.gcouchbase.forking", scenario, way, connection_string),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'core'}", "GEVENT_LOOP": loop},
    )
    try:
        yield process
    finally:
        _, errors = finish(process)
        sys.stderr.write(errors)
    assert (process.returncode, errors) == (0, "")


def said(process: subprocess.Popen[str], what: str) -> None:
    """Wait until the program says *what*."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"{what}\n", line


def go_on(process: subprocess.Popen[str]) -> None:
    """Let the program take a step."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize(("way", "loop", "tls"), WAYS)
def test_children_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, loop: str, tls: bool
) -> None:
    """No child says a byte on its parent's connections, however it lives and ends.

    They stay open, and are those that the parent uses afterwards; a child that uses the Bucket has
    connections of its own. When the parent closes them no child holds them back.
    """
    received = Received(monkeypatch)
    with (
        serving(tmp_path, tls) as (served, connection_string),
        running("silent", way, loop, connection_string) as process,
    ):
        said(process, "open")
        # It waits for its next step: nothing is on the way.
        before = received.by_those_open()
        assert len(before) == 3
        go_on(process)
        said(process, "unused")
        assert received.by_those_open() == before
        assert served.cluster.accepted == 3
        go_on(process)
        said(process, "used")
        until(lambda: len(served.cluster.connections()) == 3)
        assert received.by_those_open() == before
        assert served.cluster.accepted == 3 + 5 * 3
        go_on(process)
        said(process, "parent")
        after = received.by_those_open()
        assert after.keys() == before.keys()
        assert all(after[each] > before[each] for each in after)
        assert served.cluster.accepted == 3 + 5 * 3
        go_on(process)
        said(process, "closed")
        until(lambda: not served.cluster.connections(), "a child holds the connections")
        assert process.poll() is None
        go_on(process)


@pytest.mark.parametrize(("way", "loop", "tls"), WAYS[1:])
def test_the_parent_works_on(tmp_path: Path, way: str, loop: str, tls: bool) -> None:
    """Four children fork from a parent at work, work and end: none of its operations fails.

    In each child the operations that were under way end with ForkedProcessError, mutations with an
    ambiguous one.
    """
    with (
        serving(tmp_path, tls) as (served, connection_string),
        running("load", way, loop, connection_string) as process,
    ):
        said(process, "done")
        until(lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 3 + 4 * 3
        go_on(process)


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
def test_what_is_under_way(tmp_path: Path, loop: str) -> None:
    """A fork amid operations without answers, and amid close(): each process ends its own."""
    with serving(tmp_path, tls=False) as (served, connection_string):
        silence = served.cluster.inject(key="silent", silent=True)
        with running("pending", "os", loop, connection_string) as process:
            said(process, "waiting")
            until(lambda: silence.hits == 3)
            go_on(process)
            said(process, "forked")
            said(process, "done")


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
def test_a_connection_that_is_being_made(tmp_path: Path, loop: str) -> None:
    """It is not held in a child either, and whoever waits for the opening there is told so."""
    with (
        serving(tmp_path, tls=False) as (_, connection_string),
        running("dialling", "os", loop, connection_string) as process,
    ):
        said(process, "done")


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
def test_an_inherited_bucket_heals(tmp_path: Path, loop: str) -> None:
    """It waits for nodes that are away, each operation for its own time, and keeps no loop going.

    A child's child that inherits it unused has it too.
    """
    with (
        serving(tmp_path, tls=False) as (served, connection_string),
        running("healing", "os", loop, connection_string) as process,
    ):
        said(process, "open")
        for node in served.cluster.nodes:
            served.cluster.stop(node)
        go_on(process)
        said(process, "waiting")
        for node in served.cluster.nodes:
            served.cluster.restart(node)
        said(process, "done")


def test_a_thread_forks(tmp_path: Path) -> None:
    """A child that a thread without the hub has forked opens a Bucket of its own."""
    with (
        serving(tmp_path, tls=False) as (served, connection_string),
        running("thread", "os", "libev-cext", connection_string) as process,
    ):
        said(process, "done")
        until(lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 6
        go_on(process)


@pytest.mark.parametrize(
    ("method", "loop"),
    [
        ("fork", "libev-cext"),
        ("forkserver", "libev-cext"),
        ("spawn", "libuv-cffi"),
        ("patched-fork", "libev-cext"),
        ("patched-spawn", "libev-cext"),
    ],
)
def test_multiprocessing(tmp_path: Path, method: str, loop: str) -> None:
    """Processes of multiprocessing open the bucket and use it, whatever starts them.

    Their parent is told how each of them ended, and works on meanwhile.
    """
    with (
        serving(tmp_path, tls=False) as (served, connection_string),
        running("processes", method, loop, connection_string) as process,
    ):
        said(process, "done")
        until(lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 3 + 4 * 3
        assert served.cluster.operations[Opcode.HELLO.name] == 15
        go_on(process)
