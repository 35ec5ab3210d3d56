"""Python's garbage collector, paused while a batch is decoded: `gc_while_decoding=off`.

Documents are made by the thousand there, and none of them can be garbage yet; the collector walks
them all the same, several times. It is the program's, so nothing happens to it unless asked for.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def paused(read: Callable[[], T]) -> T:
    """Return what *read* gives, or raise what it raises; the collector is paused meanwhile.

    Its threshold is 0 so long, in place of `gc.disable`: whoever switches it off or on in between,
    or sets a threshold, has the last word. So has a program that never has it on. PyPy's has no
    threshold, and goes on.
    """
    known = gc.get_threshold() if gc.isenabled() and hasattr(gc, "get_threshold") else (0,)
    if not known[0]:
        return read()
    none = (0, *known[1:])
    gc.set_threshold(*none)
    try:
        return read()
    finally:
        if gc.get_threshold() == none:
            gc.set_threshold(*known)
