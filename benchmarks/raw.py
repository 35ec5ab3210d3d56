"""The raw data: figures of each run, by the name of its work, in a file that git ignores."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path

Figures = dict[str, dict[str, float]]
"""Medians, by work and figure."""


class RawData:
    """What was measured, now or before; stored by `save`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.notes: dict[str, str] = found.get("notes", {})
        self._runs: dict[str, list[dict[str, float | None]]] = found.get("runs", {})

    def note(self, what: str, text: str) -> None:
        """Say where it was measured."""
        self.notes[what] = text

    def forget(self, names: Iterable[str]) -> None:
        """Drop what has these names: they are measured anew."""
        for name in names:
            self._runs.pop(name, None)

    def add(self, name: str, figures: dict[str, float]) -> None:
        """Add what one process has told."""
        self._runs.setdefault(name, []).append(dict(figures))

    def save(self) -> None:
        """Store all of it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        made = {"notes": self.notes, "runs": self._runs}
        self._path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")

    def medians(self) -> Figures:
        """Return the median of each figure; one that no run has is left out."""
        return {
            name: {
                figure: statistics.median(known)
                for figure in runs[0]
                if (known := [each for run in runs if (each := run.get(figure)) is not None])
            }
            for name, runs in self._runs.items()
        }
