"""Run the compiled twin of the hot path under valgrind: no byte that is not its own is touched.

    python tools/memory.py [SCENARIOS]

Sessions are led through made-up steps, the same ones each time. The exit status is 1 if valgrind
has found anything in what is ours, or the twin is not built.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SCENARIOS: Final = 60


def main() -> int:
    """Run it, and say what was found."""
    count = int(sys.argv[1]) if sys.argv[1:] else SCENARIOS
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: left out")
        return 0
    paths = [str(ROOT), str(ROOT / "core")]
    # With its own allocator Python hides from valgrind what lies beyond an object.
    environment = {
        **os.environ,
        "COUCHLOOP_SPEEDUPS": "1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = ["valgrind", "--tool=memcheck", "--leak-check=no", "--num-callers=8"]
    program = [sys.executable, "-m", "tests.core.hot.twins", str(count)]
    run = subprocess.run(
        [*command, *program], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    reports = re.split(r"^==\d+== \n", run.stderr, flags=re.MULTILINE)
    ours = [report for report in reports if "_twin" in report and " at 0x" in report]
    print(run.stdout, end="")
    print("\n".join(ours) or "valgrind has found nothing in the compiled twin")
    if run.returncode:
        print(run.stderr[-2000:])
    return int(bool(ours) or bool(run.returncode))


if __name__ == "__main__":
    sys.exit(main())
