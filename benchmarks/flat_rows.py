"""Whether rows stream in flat memory: so many of one query are taken, on either loop.

    python -m benchmarks.flat_rows [ROWS]       # 1,000,000

Prints for each loop the CPU per row (user and system, of the client), the most memory that the
process has had, and by how much that has grown since a first query of 20,000 rows. The exit status
is 1 if it has grown by more than 4 MB: a thousandth of a million rows, decoded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROWS = 1_000_000
MOST_KB = 4096
"""Growth that is no sign of rows that are kept."""


def main(rows: int = ROWS) -> int:
    """Run both loops, and print; return the exit status."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'core'}"}
    cpus = sorted(os.sched_getaffinity(0))
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.responder", str(cpus[0])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert server.stdout is not None
    is_flat = True
    try:
        port = server.stdout.readline().strip()
        environment["BENCH_CPU"] = str(cpus[-1])
        for loop in ("gevent", "twisted"):
            command = [sys.executable, "-m", "benchmarks.client_rows"]
            done = subprocess.run(
                [*command, loop, "rows", "stream", port, str(rows)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                cwd=ROOT,
                env=environment,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            is_flat &= found["grown_kb"] <= MOST_KB
            print(
                f"{loop}: {rows:,} rows of 200 bytes, {found['cpu_us']:.2f} µs of CPU each; "
                f"memory at most {found['peak_kb'] / 1024:.1f} MB, "
                f"{found['grown_kb'] / 1024:.1f} MB more than after a first query",
                flush=True,
            )
    finally:
        server.kill()
        server.communicate()
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
