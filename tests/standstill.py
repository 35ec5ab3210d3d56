"""Code that blocks, as applications have it: the loop stands still, and the network does not."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from couchloop.exceptions import CouchbaseError, LoopBlockedError

TIMEOUT: Final = 0.2
"""Seconds that an operation has."""
_PATIENCE: Final = 20.0
BLOCKED: Final = 0.35
"""Seconds for which the loop stands still, at least."""


def block(descriptors: Iterable[int] = (), seconds: float = BLOCKED) -> None:
    """Keep the loop from running for so long, and until each of *descriptors* has an answer."""
    begun = time.monotonic()
    silent = set(descriptors)
    while silent or time.monotonic() < begun + seconds:
        assert time.monotonic() < begun + _PATIENCE, "no answer has come, or it was read before"
        silent -= set(select.select(silent, (), (), 0)[0])
        time.sleep(0.002)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process hang, as a node does whose machine swaps: its system still takes what comes."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def assert_tells(error: CouchbaseError) -> str:
    """Assert that *error* tells how long the loop stood still; give its text."""
    assert "the event loop stood still meanwhile" in str(error)
    cause = error.__cause__
    assert isinstance(cause, LoopBlockedError)
    assert cause.duration >= BLOCKED - TIMEOUT - 0.05
    assert f"{cause.duration:.2f}" not in str(error)
    return str(error)
