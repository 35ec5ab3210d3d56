"""With and without monkey patching, in either order, on either loop: a process for each."""

from __future__ import annotations

import os
import sys

import pytest
from gevent import subprocess

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, finish, until
from tests.strictness import STRICT


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
@pytest.mark.parametrize("when", ["never", "before", "after"])
def test_patching(served: ServedCluster, when: str, loop: str) -> None:
    """The same program does the same, and a ticker in it never stands still."""
    served.cluster.inject(opcode=Opcode.GET, key="silent", silent=True)
    program = ROOT / "tests" / "gcouchbase" / "application.py"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "core")])
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", *STRICT, program, when, served.connection_string],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "GEVENT_LOOP": loop},
    )
    output, errors = finish(process)
    assert (process.returncode, errors) == (0, "")
    assert output.splitlines() == [
        "timeout True",
        "killed True",
        "idle True",
        "closed True True",
        f"end True {when != 'never'}",
    ]
    until(lambda: not served.cluster.connections())
