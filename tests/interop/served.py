"""An embedded cluster in a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return the environment in which our programs find our packages, from any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "core")])}


@contextmanager
def served(*arguments: str) -> Iterator[dict[str, Any]]:
    """Run the program; give what it says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "couchloop.embedded", *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        finally:
            process.kill()
