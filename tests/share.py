"""How much a test does that runs twice in `make test`: where branches are counted only a share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent

ROOMS: Final = frozenset({"hot", "kv", "operations", "session"})
"""Rooms of tests/core whose tests also run, in full, where nothing is counted."""

_DIVISOR: Final = int(os.environ.get("COUCHLOOP_SHARE", "1"))


def share(count: int) -> int:
    """Return so many, or, where `tools/check.py` wants a share of it, that, but one at least."""
    return max(1, count // _DIVISOR)


def runs_twice(path: Path) -> bool:
    """Whether a file of tests is in one of `ROOMS`."""
    parts = path.relative_to(ROOT).parts if path.is_relative_to(ROOT) else ()
    return len(parts) > 2 and parts[0] == "core" and parts[1] in ROOMS
