"""Open and close Buckets by the thousand, and see that nothing is left of them.

    python -m tests.soak [--loop twisted | gevent] [--cycles 10000] [--connections 5000]

Each work of each loop runs in a process of its own. The exit status is 1 if anything is left:
objects of the client, descriptors, greenlets, delayed calls, connections by the server's own count.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Sequence

LOOPS = ("twisted", "gevent")
_WORK = """
import logging, sys
from tests.soak import on_{loop} as works
# A program is warned of what this does by intent: it opens a bucket again and again.
logging.disable(logging.WARNING)
grown = works.{work}({count})
sys.stdout.write("; ".join(grown) or "nothing left")
sys.exit(bool(grown))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--loop", choices=LOOPS, help="only this one")
    parser.add_argument("--cycles", type=int, default=10_000, help="openings, one after another")
    parser.add_argument("--connections", type=int, default=5_000, help="connections at once")
    options = parser.parse_args(arguments)
    # Each connection takes a descriptor, in the client and in the server.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    status = 0
    for loop in (options.loop,) if options.loop else LOOPS:
        for work, count, what in (
            ("cycles", options.cycles, "openings and closings"),
            ("many", options.connections, "connections at once"),
        ):
            sys.stdout.write(f"{loop}: {count} {what}: ")
            sys.stdout.flush()
            program = _WORK.format(loop=loop, work=work, count=count)
            status |= subprocess.run([sys.executable, "-c", program], check=False).returncode
            sys.stdout.write("\n")
    return int(bool(status))


if __name__ == "__main__":
    sys.exit(main())
