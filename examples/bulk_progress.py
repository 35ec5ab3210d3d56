"""How far it is, for the examples of bulk: tqdm's bar if that is installed, or a plain line."""

from __future__ import annotations

import sys
from typing import Any, Self

EVERY = 10_000
"""Documents after which the plain line is written anew."""


class ProgressBar:
    """What a stream takes as `progress`; a context that ends the line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = 0
        self._bar: Any = None
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415 - if it is there
        except ImportError:
            return
        self._bar = tqdm(desc=what, unit="doc")

    def __call__(self, done: int, failed: int, total: int | None) -> None:
        """Show the numbers."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        elif done - self._shown >= EVERY:
            self._shown = done
            of = "" if total is None else f" of {total}"
            print(f"{self._what}: {done}{of}, {failed} failed", file=sys.stderr)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()
