"""Build the compiled twin of the hot path in place: `make speedups`.

    python tools/speedups.py [--check]

It says why where it cannot, for want of Cython or a compiler; with `--check` that is a failure.
What is there, and younger than its sources, is left.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HOT: Final = ROOT / "core" / "couchloop" / "hot"
SOURCES: Final = (HOT / "_twin.pyx", ROOT / "core" / "couchloop" / "__init__.py", ROOT / "setup.py")


def built(hot: Path = HOT) -> list[Path]:
    """Return what was built for this interpreter, or for all of its kind (COUCHLOOP_ABI3=1)."""
    names = (f"_twin.{sys.implementation.cache_tag}-*.so", "_twin.abi3.so")
    return sorted(path for name in names for path in hot.glob(name))


def is_fresh() -> bool:
    """Whether what was built is younger than all that it was built of."""
    made = built()
    if not made:
        return False
    oldest = min(path.stat().st_mtime for path in made)
    return all(path.stat().st_mtime <= oldest for path in SOURCES)


def build() -> str:
    """Build it unless it is there; return why it cannot be built, or nothing."""
    if is_fresh():
        return ""
    for path in built():
        path.unlink()
    made = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if built():
        return ""
    lines = made.stdout.strip().splitlines() or ["nothing was said"]
    wrong = [line for line in lines if "error" in line.lower()]
    return (wrong or [line for line in lines if "without its compiled" in line] or lines)[-1]


def main() -> int:
    """Build, and say what came of it."""
    why = build()
    print(f"the hot path stays pure Python: {why}" if why else f"built: {built()[0].name}")
    return int(bool(why) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
