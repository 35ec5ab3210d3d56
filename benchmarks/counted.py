"""Instructions of a client's operations, adapter and all, under valgrind.

A client is run twice, with so many operations and with three times as many: what the two differ by
is the work of those. They repeat nearly to the digit, whatever else the machine does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.works import Work

_IMPORTS = {
    "twisted": (
        "import twisted.internet.reactor, twisted.internet.defer, twisted.internet.endpoints",
        "import txcouchbase.cluster",
    ),
    "gevent": ("import gevent, gevent.event, gevent.ssl", "import gcouchbase.cluster"),
}
"""The framework alone; what is added by us."""
_LIMIT = 900.0


def counted(work: Work, command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Return the instructions of one operation of *work*, or of an import.

    Raises subprocess.SubprocessError if the client fails, or valgrind is not there.
    """
    # One collection more or less that walks all modules would count for thousands of operations.
    around = {**environment, "PYTHONHASHSEED": "0", "BENCH_CPU": "-1", "BENCH_FREEZE": "1"}
    if work.operation == "import":
        alone, ours = _IMPORTS[work.loop]
        _run([sys.executable, "-c", ours], around)
        less = _instructions([sys.executable, "-c", alone], around)
        more = _instructions([sys.executable, "-c", f"{alone}\n{ours}"], around)
        return {"instructions": more - less}
    *before, times = command
    _run(command, around)
    less = _instructions([*before, times], around)
    more = _instructions([*before, str(3 * int(times))], around)
    return {"instructions": (more - less) / (2 * work.times)}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run *command*. The first run of a new checkout compiles each module: it must not count."""
    subprocess.run(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_LIMIT,
    )


def _instructions(command: Sequence[str], environment: Mapping[str, str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        valgrind = (
            "valgrind",
            "--quiet",
            "--tool=cachegrind",
            "--cache-sim=no",
            f"--cachegrind-out-file={folder}/%p",
        )
        _run([*valgrind, *command], environment)
        texts = [each.read_text(encoding="utf-8") for each in Path(folder).iterdir()]
    found = re.search(r"^summary: (\d+)", "".join(texts), re.MULTILINE)
    if found is None:
        raise subprocess.SubprocessError("valgrind gave no summary")
    return int(found[1])
