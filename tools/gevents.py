"""Test what leans on gevent's own machinery with a gevent of a certain version.

    python tools/gevents.py oldest | newest [--loop LOOP]

The environment is made once, under .cache/, with gevent, pytest and h11, which the core needs: the
private parts of gevent are all in `gcouchbase/internals.py`. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    # Run as a file: Python looks for modules in this folder alone.
    sys.path.insert(0, str(ROOT))

from tools.peers import python_environment  # noqa: E402 - see above

VERSIONS: Final = {"oldest": "24.11.1", "newest": "26.9.0"}
"""The first that `setup.cfg` allows, and the last that there was when this was written."""

LOOPS: Final = ("libev-cext", "libuv-cffi")
TESTS: Final = "tests/gcouchbase/test_internals.py"


def packages(version: str) -> tuple[str, ...]:
    """Name what is installed to test gevent *version*."""
    # cffi is for libuv.
    return (f"gevent=={version}", "cffi>=1.17", "h11>=0.16", "pytest>=9", "pytest-timeout>=2.4")


def command(python: Path) -> tuple[str, ...]:
    """Return the command line of the tests."""
    # Without the fixtures of the folder, which need a Bucket, and with it much else.
    return (str(python), "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", TESTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests on each loop that the command line names; give the exit status."""
    parser = argparse.ArgumentParser(description="Test with another gevent.")
    parser.add_argument("version", choices=VERSIONS)
    parser.add_argument("--loop", choices=LOOPS, help="on this loop alone")
    options = parser.parse_args(arguments)
    version = VERSIONS[options.version]
    try:
        python = python_environment(f"gevent-{version}", packages(version))
    except subprocess.CalledProcessError as error:
        print(f"cannot install gevent {version}: pip ended with {error.returncode}")
        return 1
    path = os.pathsep.join((str(ROOT), str(ROOT / "core")))
    failed = False
    for loop in (options.loop,) if options.loop else LOOPS:
        print(f"gevent {version} on {loop}", flush=True)
        environment = {**os.environ, "PYTHONPATH": path, "GEVENT_LOOP": loop}
        process = subprocess.run(command(python), cwd=ROOT, env=environment, check=False)
        failed |= process.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
