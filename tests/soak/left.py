"""Counting what a process holds, and telling what has become more."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

PATIENCE: Final = 5.0
"""Seconds that connections have to be closed before what is left counts."""


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
    return Holdings(kinds, len(_descriptors()), waiting)


def sockets() -> int:
    """Count the sockets of this process: connections that are not closed are among them."""
    return sum(target.startswith("socket:") for target in _descriptors())


def _descriptors() -> list[str]:
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The folder's own is closed by now.
        with suppress(OSError):
            targets.append(str(descriptor.readlink()))
    return targets


def _kind(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def more(before: Holdings, after: Holdings, cycles: int) -> list[str]:
    """Name what has become more in so many *cycles*; empty: nothing leaks.

    Descriptors and what the loop has to do must be the same, and none of our objects more. Others
    come and go with the loop's own needs, but not one in ten cycles: less than any way of ending a
    Bucket would leave.
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
