"""What setup.cfg cannot say: the compiled twin of the hot path, where Cython and a compiler are.

Without either, or with COUCHLOOP_SPEEDUPS=0, what is built is pure Python, and says so. With
COUCHLOOP_ABI3=1 the twin is one for every CPython from 3.11 on, which costs a little.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOT = "core/couchloop/hot"
OLDEST = (3, 11)
"""Python whose limited ABI is meant."""


def tell(why: str) -> None:
    """Say that what is built is pure Python, and why."""
    print(f"couchloop is built without its compiled hot path: {why}", file=sys.stderr)  # noqa: T201


def obstacle() -> str:
    """Return why nothing can be compiled, or nothing."""
    if os.environ.get("COUCHLOOP_SPEEDUPS") == "0":
        return "COUCHLOOP_SPEEDUPS=0"
    if sys.implementation.name != "cpython":
        return "only CPython gains by it"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "to import it would give a free-threaded Python its lock back"
    try:
        import Cython  # noqa: F401, PLC0415 - it may be missing
    except ImportError:
        return "Cython is not installed"
    return ""


def extension(*, is_limited: bool) -> Any:
    """Return the extension module to build; a compiler that fails is no failure."""
    from Cython.Build import cythonize  # noqa: PLC0415 - see obstacle()

    text = Path("core/couchloop/__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.*)"', text, re.MULTILINE)
    assert version is not None
    macros: list[tuple[str, str | None]] = [("COUCHLOOP_VERSION", f'"{version[1]}"')]
    if is_limited:
        macros.append(("Py_LIMITED_API", f"0x{OLDEST[0]:02X}{OLDEST[1]:02X}0000"))
    made = cythonize(
        [
            Extension(
                "couchloop.hot._twin",
                [f"{HOT}/_twin.pyx"],
                define_macros=macros,
                py_limited_api=is_limited,
            )
        ],
        build_dir="build/cython",
    )[0]
    # Cython leaves that out.
    made.optional = True
    return made


class Build(build_ext):
    """Compiles; where that failed, what is built is no less than the pure distribution."""

    def run(self) -> None:
        """Build the extension, or say that there is none."""
        super().run()
        if not self.extensions or Path(self.get_ext_fullpath(self.extensions[0].name)).exists():
            return
        tell("the compiler failed")
        self.distribution.ext_modules = []
        wheel: Any = self.distribution.get_command_obj("bdist_wheel", create=False)
        if wheel is not None:
            # Its name says what is in it: py3-none-any.
            wheel.root_is_pure = True


def main() -> None:
    """Build what can be built."""
    why = obstacle()
    if why:
        tell(why)
        setup()
        return
    is_limited = os.environ.get("COUCHLOOP_ABI3") == "1"
    tag = {"py_limited_api": f"cp{OLDEST[0]}{OLDEST[1]}"} if is_limited else {}
    setup(
        cmdclass={"build_ext": Build},
        ext_modules=[extension(is_limited=is_limited)],
        options={"bdist_wheel": tag},
    )


# Whoever builds imports this file by this name, too.
if __name__ == "__main__":
    main()
