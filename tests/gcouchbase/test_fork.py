"""Forked children on gevent, which use what they have inherited; all else is in tests/conformance.

The program is forking.py, in processes of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster, serve
from tests.conformance.on_gevent import GeventLoop
from tests.conformance.programs import Program, running
from tests.gcouchbase.support import until


@contextmanager
def forking(scenario: str, way: str) -> Iterator[tuple[ServedCluster, Program]]:
    """Serve a cluster and start the program; in the end it must have ended well.

    It never speaks unasked, and has the time that a busy machine takes.
    """
    options = "config_poll_interval=0&operation_timeout=30&config_node_timeout=30"
    with serve() as served:
        arguments = (scenario, way, f"{served.connection_string}?{options}")
        with running(GeventLoop(), "tests.gcouchbase.forking", *arguments) as program:
            yield served, program


@pytest.mark.parametrize("gevents_loop", ["libev-cext", "libuv-cffi"])
def test_an_inherited_bucket_heals(gevents_loop: str) -> None:
    """It waits for nodes that are away, each operation for its own time, and keeps no loop going.

    A child's child that inherits it unused has it too.
    """
    with forking("healing", f"os,{gevents_loop}") as (served, program):
        program.says("open")
        for node in served.cluster.nodes:
            served.cluster.stop(node)
        program.go_on()
        program.says("waiting")
        for node in served.cluster.nodes:
            served.cluster.restart(node)
        program.says("done")


def test_a_thread_forks() -> None:
    """A child that a thread without the hub has forked opens a Bucket of its own."""
    with forking("thread", "os,libev-cext") as (served, program):
        program.says("done")
        until(lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 6
        program.go_on()


@pytest.mark.parametrize(
    ("method", "gevents_loop"),
    [
        ("fork", "libev-cext"),
        ("forkserver", "libev-cext"),
        ("spawn", "libuv-cffi"),
        ("patched-fork", "libev-cext"),
        ("patched-spawn", "libev-cext"),
    ],
)
def test_multiprocessing(method: str, gevents_loop: str) -> None:
    """Processes of multiprocessing open the bucket and use it, whatever starts them.

    Their parent is told how each of them ended, and works on meanwhile.
    """
    with forking("processes", f"{method},{gevents_loop}") as (served, program):
        program.says("done")
        until(lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 3 + 4 * 3
        assert served.cluster.operations[Opcode.HELLO.name] == 15
        program.go_on()
