"""How far a command is: a bar on a terminal, else a line now and then; always on standard error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Final, Self, TextIO

_EVERY: Final = 0.2
"""Seconds after which the bar is drawn anew."""
_EVERY_LINE: Final = 5.0
"""Seconds between two lines where there is no terminal."""
_BAR: Final = 24
"""Characters of the bar."""


class Progress:
    """Shows how much is done; a context that ends the line.

    Args:
        what: is done, as the line says.
        out: where it is shown.
        clock: gives the time in seconds, from any beginning.
        share: gives how much of the whole is done, from 0 to 1; None: nobody knows.
    """

    def __init__(
        self,
        what: str,
        out: TextIO,
        clock: Callable[[], float],
        share: Callable[[], float] | None = None,
    ) -> None:
        self._what, self._out, self._clock, self._share = what, out, clock, share
        self._is_terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._began = self._shown = clock()
        self._is_bar_there = False

    def __call__(self, done: int, failed: int = 0, total: int | None = None) -> None:  # noqa: ARG002
        """Show so many documents, if the last time was long enough ago."""
        now = self._clock()
        if now - self._shown < (_EVERY if self._is_terminal else _EVERY_LINE):
            return
        self._shown = now
        text = self._text(done, failed, now - self._began)
        if self._is_terminal:
            self._is_bar_there = True
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r\033[2K{text[:width]}")
        else:
            self._out.write(f"{text}\n")
        self._out.flush()

    def _text(self, done: int, failed: int, passed: float) -> str:
        bar = ""
        if self._share is not None:
            share = min(1.0, max(0.0, self._share()))
            full = round(share * _BAR)
            bar = f" [{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}"
        rate = f", {done / passed:,.0f} a second" if passed > 0 else ""
        missed = f", {failed:,} failed" if failed else ""
        return f"{self._what}:{bar} {done:,} documents{missed}{rate}"

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line clean for what comes."""
        if self._is_bar_there:
            self._out.write("\r\033[2K")
            self._out.flush()
