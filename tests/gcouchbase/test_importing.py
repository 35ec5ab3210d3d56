"""Nothing of ours is imported first in a plain thread, where gevent has patched Python's locks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

import pytest
from gevent import subprocess

from couchloop.embedded import EmbeddedCluster
from gcouchbase.testing import ServedCluster, serve
from tests.gcouchbase.support import ROOT

PROGRAM: Final = ROOT / "tests" / "gcouchbase" / "importing_program.py"


@pytest.fixture
def served() -> Iterator[ServedCluster]:
    """Few vbuckets: each scan asks all of them."""
    with serve(EmbeddedCluster(nodes=3, vbuckets=16)) as served:
        yield served


def run(served: ServedCluster, mode: str, loop: str) -> list[str]:
    """Run the program to its end; return the lines that it writes."""
    process = subprocess.Popen(
        [sys.executable, "-W", "always", PROGRAM, mode, served.connection_string],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "core")]),
            "GEVENT_LOOP": loop,
        },
    )
    # It has a limit of its own.
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output.splitlines()


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
def test_handles(served: ServedCluster, loop: str) -> None:
    """Whatever a thread calls of the handles it is given, errors included, is there already."""
    served.cluster.create_collection("default", "s.c")
    assert run(served, "handles", loop) == ["imported []", "wrong []", "calls True True"]


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
def test_hubs(served: ServedCluster, loop: str) -> None:
    """Hubs of several threads import what they use first one at a time."""
    assert run(served, "hubs", loop) == ["imported []", "ends [None, None, None, None]"]


def test_after_a_fork(served: ServedCluster) -> None:
    """A child that is forked while a thread imports something imports it as well."""
    assert run(served, "fork", "libev-cext") == ["child 0", "waited True"]
