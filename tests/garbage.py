"""What only the garbage collector could free."""

from __future__ import annotations

import gc
import sys
import unittest
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Final
from weakref import ref

import pytest

from couchloop.hot.frames import Frame

OURS = ("couchloop.", "txcouchbase.", "gcouchbase.")
OTHERS = ("couchloop.embedded.", "txcouchbase.testing", "gcouchbase.testing")
"""The other side, which ends when its listeners do."""

COUNTS: Final = sys.implementation.name == "cpython"
"""Whether what nobody refers to goes at once: elsewhere it goes with a collection."""

_WHY: Final = "where no references are counted the collector frees everything"
needs_counting = pytest.mark.skipif(not COUNTS, reason=_WHY)
"""For tests that show that the collector has nothing to free."""
trial_needs_counting = unittest.skipUnless(COUNTS, _WHY)
"""The same for those that trial runs, too."""
needs_thresholds = pytest.mark.skipif(
    not hasattr(gc, "get_threshold"), reason="this collector has no thresholds"
)
"""For tests that show that its thresholds are left as they are found."""


class _ThrownError(Exception):
    """Thrown into a coroutine."""


def _frames_go() -> bool:
    """Return whether what called a coroutine is let go of when the coroutine has ended.

    The first releases of CPython 3.12 and 3.13 keep it with the frame of a coroutine that an
    exception was thrown into, and that holds the exception: only a collection frees them.
    """

    class Once:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def use(_: object) -> None:
        with suppress(_ThrownError):
            await Once()

    def drive(coroutine: Coroutine[None, None, None], error: Exception) -> None:
        with suppress(StopIteration):
            coroutine.throw(error)

    def begin() -> tuple[Coroutine[None, None, None], ref[Once]]:
        held = Once()
        return use(held), ref(held)

    coroutine, held = begin()
    coroutine.send(None)
    drive(coroutine, _ThrownError())
    del coroutine
    return held() is None


needs_frames_to_go = pytest.mark.skipif(
    not COUNTS or not _frames_go(),
    reason="a coroutine that has caught an exception stays until the collector frees it",
)
"""For tests that show that nothing is left of a coroutine that failed."""


def release(rounds: int = 3) -> None:
    """Have what nobody refers to gone: CPython needs nothing for that.

    What ends in one collection may let go of what the next one frees: so many *rounds*, of which
    each looks at everything.
    """
    if not COUNTS:
        for _ in range(rounds):
            gc.collect()


def circles() -> list[object]:
    """Collect; return the client's own objects that were in a circle, or held by one.

    The caller has disabled the collector since before it made them.
    """
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [each for each in gc.garbage if _is_ours(type(each))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def _is_ours(kind: type) -> bool:
    # Frames are of the same type on the other side; here operations have them.
    module = kind.__module__
    return module.startswith(OURS) and not module.startswith(OTHERS) and kind is not Frame
