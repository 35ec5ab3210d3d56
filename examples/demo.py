"""Show couchloop at work: a cluster of three nodes, then one program on Twisted, one on gevent.

This file starts three programs and prints what they say. What to read, and to copy, are the two
clients: demo_twisted.py and demo_gevent.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent


def lines(stream: IO[str]) -> Iterator[dict[str, object]]:
    """Yield what the cluster reports, as it comes."""
    for line in stream:
        yield json.loads(line)


def run_client(name: str, connection_string: str, reports: Iterator[dict[str, object]]) -> bool:
    """Run one client; let it end when the cluster has seen its connections go."""
    print(f"\n--- {name} " + "-" * (60 - len(name)))
    client = subprocess.Popen(
        [sys.executable, HERE / name, connection_string], stdin=subprocess.PIPE, text=True
    )
    most = 0
    for report in reports:
        count = int(str(report["connections"]))
        most = max(most, count)
        if count == 0:
            print(f"cluster: {most} connections were open, none is left")
            break
    # The client waits for this: it still runs, and yet its connections are gone.
    client.communicate("go\n")
    return client.returncode == 0


def main() -> int:
    """Run the demonstration; give its exit status."""
    cluster = subprocess.Popen(
        [sys.executable, "-m", "couchloop.embedded", "--nodes", "3", "--report"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert cluster.stdout is not None
    try:
        reports = lines(cluster.stdout)
        connection_string = str(next(reports)["connection_string"])
        print(f"an embedded cluster of three nodes: {connection_string}")
        good = [
            run_client(name, connection_string, reports)
            for name in ("demo_twisted.py", "demo_gevent.py")
        ]
    finally:
        cluster.terminate()
        cluster.communicate()
    print("\nboth programs did their work" if all(good) else "\na program failed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
