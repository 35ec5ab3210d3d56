"""A twentieth of `make soak`: Buckets come and go, and nothing is left of them."""

from __future__ import annotations

import subprocess
import sys

from tests.project.test_packaging import ROOT

LEAK = """
import sys
from tests.soak import on_twisted as works

kept = []

async def leak(cluster):
    bucket = cluster.open_bucket("default")
    await bucket.connect()
    kept.append(bucket._driver.session)
    await bucket.close()

works.WAYS = (leak, *works.WAYS[1:])
sys.stdout.write("; ".join(works.cycles(50)))
"""


def run(*arguments: str) -> tuple[int, str]:
    """Run Python; give its exit status and what it writes."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout


def test_nothing_is_left() -> None:
    """Neither objects, descriptors, delayed calls nor connections, however the Buckets end."""
    status, output = run("-m", "tests.soak", "--loop=twisted", "--cycles=500", "--connections=250")
    assert output.splitlines() == [
        "twisted: 500 openings and closings: nothing left",
        "twisted: 250 connections at once: nothing left",
    ]
    assert status == 0


def test_a_leak_is_told() -> None:
    """One kept session in five openings is found, by its name and number."""
    status, output = run("-c", LEAK)
    assert "couchloop.session.session.Session: 10 more in 50 cycles" in output
    assert status == 0
