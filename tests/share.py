"""How much a test does: in `make test` a share of what it does in `make test-full`, or alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_DIVISOR: Final = int(os.environ.get("COUCHLOOP_SHARE", "1"))

BRIEF: Final = _DIVISOR > 1
"""Whether it is only a share."""


def share(count: int) -> int:
    """Return so many, or, where `tools/check.py` wants a share of it, that, but one at least."""
    return max(1, count // _DIVISOR)


def spread(cases: Sequence[T]) -> Sequence[T]:
    """Return the cases, or so many of them, from the first one to the last ones."""
    return cases[::_DIVISOR]
