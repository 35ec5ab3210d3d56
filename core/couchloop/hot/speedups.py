"""Which twin of the hot path runs: the compiled one where it was built, or Python's own.

`_twin.pyx` says what is compiled. It is taken if it was built of this very version; with
COUCHLOOP_SPEEDUPS=0 in the environment it is refused.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

from couchloop import __version__


def _load() -> Any:
    if os.environ.get("COUCHLOOP_SPEEDUPS") == "0":
        return None
    try:
        found = import_module("couchloop.hot._twin")
    except ImportError:
        return None
    return found if __version__ == found.VERSION else None


twin: Final = _load()
"""The compiled module; None: what is written in Python runs."""
NAME: Final[str | None] = None if twin is None else "compiled"
"""What `couchloop.__speedups__` is."""
