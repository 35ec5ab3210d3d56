"""Measure what an operation costs, beside the bare loops and the official SDK.

    python -m benchmarks [--rounds 5] [--quick] [--only TEXT] [--save]

Every figure is client CPU (user and system) per operation, the median of the rounds. Each client
is a process of its own, pinned to another core than the responder; rounds are interleaved, so that
whatever else the machine does falls on all alike. `--save` renews docs/performance.svg and the
table in docs/performance.md, and keeps the raw data in .cache/benchmarks/results.json, which git
ignores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import draw, save_table, table

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
RAW_DATA = ROOT / ".cache" / "benchmarks" / "results.json"


ROWS = 1_000_000
"""Rows of 200 bytes that are taken from one query."""


class Work(NamedTuple):
    """One measurement: who does what, how, and how often."""

    client: str
    """couchloop, bare, official, or idle: Buckets that do nothing."""
    loop: str
    operation: str
    shape: str
    times: int
    setting: str = ""
    frozen: bool = False
    """Whether gc.freeze() is called before."""

    @property
    def name(self) -> str:
        """Name in the raw data and the table."""
        shape = f"{self.shape}-frozen" if self.frozen else self.shape
        return "/".join(filter(None, (self.client, self.setting, self.loop, self.operation, shape)))


def all_works() -> list[Work]:
    """Return every measurement of a round."""
    works = [Work("couchloop", "core", "decode", "1", 100_000)]
    works += [Work("idle", loop, "bucket", "3 nodes", 200) for loop in ("twisted", "gevent")]
    for loop in ("twisted", "gevent"):
        works += [
            Work("couchloop", loop, "rows", "stream", ROWS),
            Work("couchloop", loop, "select", "1", 3_000),
        ]
    works += [
        Work("official", api, operation, shape, times, setting)
        for operation, shape, times in (("rows", "stream", ROWS), ("select", "1", 3_000))
        for api in ("twisted", "sync")
        for setting in ("default", "lean")
    ]
    for operation in ("get", "upsert"):
        works += [Work("bare", loop, operation, "64", 200_000) for loop in ("twisted", "gevent")]
        for loop in ("twisted", "gevent"):
            works += [
                Work("couchloop", loop, operation, "1", 10_000),
                Work("couchloop", loop, operation, "64", 50_000),
                Work("couchloop", loop, operation, "batch", 50_000),
                Work("couchloop", loop, operation, "batch", 50_000, frozen=True),
            ]
        works.append(Work("official", "sync", operation, "batch", 20_000, "lean", frozen=True))
        for setting in ("default", "lean"):
            works += [
                Work("official", "twisted", operation, "1", 3_000, setting),
                Work("official", "twisted", operation, "64", 10_000, setting),
                Work("official", "sync", operation, "1", 5_000, setting),
                Work("official", "sync", operation, "64", 20_000, setting),
                Work("official", "sync", operation, "batch", 20_000, setting),
            ]
    return works


@contextmanager
def _serving(*program: str) -> Iterator[str]:
    """Run a server; give the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", *program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=_environment(),
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'core'}"}


def measure(work: Work, server: str, cpu: int, official: Path | None) -> dict[str, float]:
    """Run one client against *server* (a port, or a connection string); give its figures.

    Raises subprocess.CalledProcessError if it fails.
    """
    arguments = [work.operation, work.shape, server, str(work.times)]
    environment = _environment()
    if work.client == "official":
        # Not our paths: the official package has a `txcouchbase` of its own.
        del environment["PYTHONPATH"]
        client = [str(official), str(HERE / "client_official.py"), work.loop]
        arguments.append(work.setting)
    elif work.client == "idle":
        client, arguments = [sys.executable, "-m", "benchmarks.idle"], [work.loop, *arguments[2:]]
    elif work.operation in {"rows", "select"}:
        client = [sys.executable, "-m", "benchmarks.client_rows", work.loop]
    else:
        loop = f"bare-{work.loop}" if work.client == "bare" else work.loop
        client = [sys.executable, "-m", "benchmarks.client_couchloop", loop]
    environment["BENCH_CPU"] = str(cpu)
    if work.frozen:
        environment["BENCH_FREEZE"] = "1"
    done = subprocess.run(
        client + arguments,
        env=environment,
        cwd=HERE if work.client == "official" else ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations, one round")
    parser.add_argument("--only", default="", help="measurements whose name contains this")
    parser.add_argument("--save", action="store_true", help="renew the figures in docs/")
    options = parser.parse_args(arguments)
    works = [work for work in all_works() if options.only in work.name]
    rounds = 1 if options.quick else options.rounds
    if options.quick:
        works = [work._replace(times=max(1000, work.times // 10)) for work in works]
    official = None
    if any(work.client == "official" for work in works):
        from tools import peers

        official = peers.python_sdk()
    cpus = sorted(os.sched_getaffinity(0))
    raw: dict[str, list[dict[str, float]]] = {work.name: [] for work in works}
    responder = _serving("benchmarks.responder", str(cpus[0]))
    with responder as port, _serving("couchloop.embedded", "--nodes=3") as cluster:
        connection_string = json.loads(cluster)["connection_string"]
        for number in range(rounds):
            for work in works:
                print(f"\rround {number + 1}/{rounds}: {work.name:50}", end="", file=sys.stderr)
                server = connection_string if work.client == "idle" else port
                raw[work.name].append(measure(work, server, cpus[-1], official))
    print(file=sys.stderr)
    medians = {
        name: {
            figure: statistics.median(values)
            for figure in runs[0]
            if (values := [run[figure] for run in runs if run[figure] is not None])
        }
        for name, runs in raw.items()
    }
    text = table(medians)
    print(text)
    if options.save:
        RAW_DATA.parent.mkdir(parents=True, exist_ok=True)
        RAW_DATA.write_text(json.dumps(raw, indent=1) + "\n")
        (ROOT / "docs" / "performance.svg").write_text(draw(medians))
        save_table(ROOT / "docs" / "performance.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
