"""A twentieth of `make soak`: Buckets come and go, and nothing is left of them."""

from __future__ import annotations

import sys

from gevent import subprocess

from tests.gcouchbase.support import ROOT, finish

LEAK = """
import sys
from tests.soak import on_gevent as works

kept = []

def leak(cluster):
    bucket = cluster.open_bucket("default")
    kept.append(bucket._driver.session)
    bucket.close()

works.WAYS = (leak, *works.WAYS[1:])
sys.stdout.write("; ".join(works.cycles(50)))
"""


def run(*arguments: str) -> tuple[int | None, str]:
    """Run Python; give its exit status and what it writes."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, _ = finish(process)
    return process.returncode, output


def test_nothing_is_left() -> None:
    """Neither objects, descriptors, greenlets nor connections, however the Buckets end."""
    status, output = run("-m", "tests.soak", "--loop=gevent", "--cycles=500", "--connections=250")
    assert output.splitlines() == [
        "gevent: 500 openings and closings: nothing left",
        "gevent: 250 connections at once: nothing left",
    ]
    assert status == 0


def test_a_leak_is_told() -> None:
    """One kept session in five openings is found, by its name and number."""
    status, output = run("-c", LEAK)
    assert "couchloop.session.session.Session: 10 more in 50 cycles" in output
    assert status == 0
