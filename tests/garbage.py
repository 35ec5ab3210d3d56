"""What only the garbage collector could free."""

from __future__ import annotations

import gc

from couchloop.hot.frames import Frame

OURS = ("couchloop.", "txcouchbase.", "gcouchbase.")
OTHERS = ("couchloop.embedded.", "txcouchbase.testing", "gcouchbase.testing")
"""The other side, which ends when its listeners do."""


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
