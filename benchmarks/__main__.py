"""Measure what an operation costs, how that grows, and how long it takes.

    python -m benchmarks [--only TEXT ...] [--rounds N] [--quick] [--no-save]
    python -m benchmarks --write docs       # no measurement: tables and pictures from the raw data

The parts are costs, queries, growth, turns, latency and compression; `instructions` (valgrind, and
so the same on a busy machine) is measured only if it is asked for: `--only instructions`. Each
client is a process of its own, pinned to another core than the responder; rounds are interleaved,
so that whatever else the machine does falls on all alike, and figures are medians. What fails is
told at the end, and its row says so; all else goes on.

The raw data, .cache/benchmarks/results.json, is stored after each process; git ignores it. A run
may be interrupted: what was measured so far is written. What is measured anew replaces what has the
same name there. docs/performance.md and its pictures are written from it, unless with `--no-save`
or `--quick` (a tenth of the operations, one round).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from benchmarks import works as all_works
from benchmarks.counted import counted
from benchmarks.raw import RawData
from benchmarks.report import write
from benchmarks.works import Work

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = Path(__file__).resolve().parent
RAW_DATA: Final = ROOT / ".cache" / "benchmarks" / "results.json"
LIMIT: Final = 120.0
"""Seconds of one process: more is a failure."""
LATENCY_SECONDS: Final = 3


def environment() -> dict[str, str]:
    """Return what the project's own programs need."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'core'}"}


class Servers:
    """The servers that works need: each is started when it is needed first."""

    def __init__(self, cpu: int) -> None:
        self._cpu = cpu
        self._started: dict[tuple[str, ...], str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of(self, work: Work) -> str:
        """Return the port, or connection string, that *work* is done with."""
        if work.client == "idle":
            return str(
                json.loads(self._line("couchloop.embedded", "--nodes=3"))["connection_string"]
            )
        numbers = (self._cpu, work.nodes, work.size)
        return self._line("benchmarks.responder", *map(str, numbers))

    def _line(self, *program: str) -> str:
        """Return the first line that a server printed."""
        if program not in self._started:
            process = self._stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", *program],
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    env=environment(),
                )
            )
            self._stack.callback(process.kill)
            assert process.stdout is not None
            self._started[program] = process.stdout.readline().strip()
        return self._started[program]


def command(work: Work, server: str, official: Path | None) -> list[str]:
    """Return the program that does *work*, with its arguments."""
    arguments = [work.loop, work.operation, work.shape, server, str(work.times)]
    if work.client == "official":
        return [str(official), str(HERE / "client_official.py"), *arguments, work.setting]
    module = "client_couchloop"
    if work.client == "idle":
        module, arguments = "idle", [work.loop, server, str(work.times)]
    elif work.client == "bare":
        arguments[0] = f"bare-{work.loop}"
    elif work.part in {"turns", "latency"}:
        module = f"client_{work.part}"
    elif work.part == "compression":
        module = "client_compression"
    elif work.operation in {"rows", "select"}:
        module = "client_rows"
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def measure(work: Work, server: str, cpu: int, official: Path | None) -> dict[str, float]:
    """Run one client; return its figures.

    Raises subprocess.SubprocessError or ValueError if it fails.
    """
    around = {**environment(), **work.environment, "BENCH_CPU": str(cpu)}
    if work.client == "official":
        # Not our paths: the official package has a `txcouchbase` of its own.
        del around["PYTHONPATH"]
    if work.part == "instructions":
        return counted(work, command(work, server, official), around)
    done = subprocess.run(
        command(work, server, official),
        env=around,
        cwd=HERE if work.client == "official" else ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    lines = done.stdout.splitlines()
    if not lines:
        raise ValueError("it printed nothing")
    figures: dict[str, float] = json.loads(lines[-1])
    return figures


def why(error: Exception) -> str:
    """Return in one line why a work failed."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or "").strip().splitlines() or ["it said nothing"]
        return f"status {error.returncode}: {lines[-1]}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"not done within {error.timeout:g} s"
    return f"{type(error).__name__}: {error}"


def twins() -> tuple[str, ...]:
    """Return the twins of the hot path that there are here."""
    from couchloop.hot import speedups

    return all_works.TWINS if speedups.NAME else all_works.TWINS[:1]


def selected(only: Sequence[str]) -> list[Work]:
    """Return the works whose name contains any of *only*; if that is empty all but instructions."""
    here = twins()
    if len(here) == 1:
        print("the compiled twin is not built (make speedups): left out", file=sys.stderr)
    works = [
        *all_works.costs(here),
        *all_works.queries(),
        *all_works.growth(),
        *all_works.turns(),
        *all_works.latency(LATENCY_SECONDS),
        *all_works.compression(),
    ]
    if only:
        works += all_works.instructions(here)
        works = [work for work in works if any(text in work.name for text in only)]
    return works


def run(works: Sequence[Work], raw: RawData, failures: dict[str, str]) -> None:
    """Do *works*, round by round; note in *failures* why which of them failed."""
    official = None
    if any(work.client == "official" for work in works):
        from tools import peers

        official = peers.python_sdk()
    cpus = sorted(os.sched_getaffinity(0))
    rounds = max(work.rounds for work in works)
    raw.forget(work.name for work in works)
    raw.note("python", f"{platform.python_implementation()} {platform.python_version()}")
    raw.note("processors", str(len(cpus)))
    with Servers(cpus[0]) as servers:
        for number in range(rounds):
            for work in works:
                if number >= work.rounds or work.name in failures:
                    continue
                print(f"\rround {number + 1}/{rounds}: {work.name:70}", end="", file=sys.stderr)
                try:
                    raw.add(work.name, measure(work, servers.of(work), cpus[-1], official))
                except (subprocess.SubprocessError, ValueError, OSError) as error:
                    failures[work.name] = why(error)
                raw.save()
    print(file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status: 1 if any work failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", default=[], help="works whose name contains any of these"
    )
    parser.add_argument("--rounds", type=int, help="at most so many")
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations, one round")
    parser.add_argument("--no-save", action="store_true", help="leave docs/ as it is")
    parser.add_argument("--write", metavar="FOLDER", type=Path, help="write only, measure nothing")
    parser.add_argument("--raw", type=Path, default=RAW_DATA, help="file of the raw data")
    options = parser.parse_args(arguments)
    raw = RawData(options.raw)
    failures: dict[str, str] = {}
    folder: Path | None = options.write or ROOT / "docs"
    if options.write is None:
        works = selected(options.only)
        if not works:
            parser.error("no work has such a name")
        limit = 1 if options.quick else options.rounds
        if limit:
            works = [work._replace(rounds=min(limit, work.rounds)) for work in works]
        if options.quick:
            works = [work._replace(times=max(1, work.times // 10)) for work in works]
            folder = None
        began = time.monotonic()
        try:
            run(works, raw, failures)
        except KeyboardInterrupt:
            failures["all that was not measured yet"] = "interrupted"
        print(f"measured in {time.monotonic() - began:.0f} s")
    for text in write(raw.medians(), None if options.no_save else folder):
        print(text, end="\n\n")
    for name, reason in failures.items():
        print(f"FAILED {name}: {reason}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
