"""Counting what a process holds, and telling what has become more."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path
from typing import NamedTuple


class Holdings(NamedTuple):
    """What a process holds at one time."""

    objects: Counter[str]
    """Objects that the garbage collector knows, by module and class."""
    descriptors: int
    waiting: int
    """What the loop has to do: greenlets, or delayed calls and selectables."""


def holdings(waiting: int) -> Holdings:
    """Count; *waiting* is what only the loop's own side can count."""
    gc.collect()
    kinds = Counter(map(_kind, gc.get_objects()))
    return Holdings(kinds, len(list(Path("/proc/self/fd").iterdir())), waiting)


def _kind(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def more(before: Holdings, after: Holdings, cycles: int) -> list[str]:
    """Name what has become more in so many *cycles*; empty: nothing leaks.

    Descriptors and what the loop has to do must be the same, and none of our objects more. Others
    come and go with the loop's own needs (a reactor keeps up to fifty cancelled calls), but not one
    in ten cycles: less than any way of ending a Bucket would leave.
    """
    grown = []
    for kind, count in after.objects.items():
        growth = count - before.objects[kind]
        ours = kind.startswith(("couchloop.", "txcouchbase.", "gcouchbase."))
        if growth > (0 if ours else cycles / 10):
            grown.append(f"{kind}: {growth} more in {cycles} cycles")
    for what in ("descriptors", "waiting"):
        growth = getattr(after, what) - getattr(before, what)
        if growth > 0:
            grown.append(f"{what}: {growth} more in {cycles} cycles")
    return grown
