"""What setup.cfg cannot say: the compiled twin of the hot path, where Cython and a compiler are.

Without either, or with COUCHLOOP_SPEEDUPS=0, what is built is pure Python, and says so.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup

HOT = "core/couchloop/hot"


def extensions() -> list[Any]:
    """Return the extension modules to build; a compiler that fails is no failure."""
    why = ""
    if os.environ.get("COUCHLOOP_SPEEDUPS") == "0":
        why = "COUCHLOOP_SPEEDUPS=0"
    elif sys.implementation.name != "cpython":
        why = "only CPython gains by it"
    else:
        try:
            from Cython.Build import cythonize  # noqa: PLC0415 - it may be missing
        except ImportError:
            why = "Cython is not installed"
    if why:
        print(f"couchloop is built without its compiled hot path: {why}", file=sys.stderr)  # noqa: T201
        return []
    text = Path("core/couchloop/__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.*)"', text, re.MULTILINE)
    assert version is not None
    extension = Extension(
        "couchloop.hot._twin",
        [f"{HOT}/_twin.pyx"],
        define_macros=[("COUCHLOOP_VERSION", f'"{version[1]}"')],
    )
    made = list(cythonize([extension], build_dir="build/cython"))
    for each in made:
        # Cython leaves that out.
        each.optional = True
    return made


setup(ext_modules=extensions())
