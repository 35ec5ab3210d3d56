"""What every measured client does: pin itself, count its CPU, tell as JSON. Standard library only.

A client is a program of its own: it gets ready, runs a warm-up, then calls `Meter.start`, does
its work and calls `Meter.stop`, then perhaps a second, shorter run for latencies.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DOCUMENT_BYTES = (Path(__file__).parent / "document.json").read_bytes()
DOCUMENT = json.loads(DOCUMENT_BYTES)
KEYS = [f"order::2026-11-22::{number:06}" for number in range(1000)]


def document_of(size: int) -> bytes:
    """Return JSON of so many bytes (100 at least): an order with as many lines as it takes."""
    head, middle, tail = b'{"id":"order::2026-11-22::000042","items":[', b'],"note":"', b'"}'
    left = size - len(head) - len(middle) - len(tail)
    lines: list[bytes] = []
    number = 0
    while True:
        line = (
            b'{"sku":"SKU-%05d","title":"Laptop stand %d","qty":%d,"price":%d.95,"tags":["usb"]}'
            % (number * 7919 % 100_000, number, number % 7 + 1, number * 37 % 500)
        )
        if len(line) + 1 > left:
            return head + b",".join(lines) + middle + b"." * (left + bool(lines)) + tail
        left -= len(line) + 1
        lines.append(line)
        number += 1


def percentile(ordered: list[float], part: float) -> float | None:
    """Return what *part* of these is below, in microseconds; None: there are none."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e6


def tell_latencies(maximum: float, loads: Sequence[int], found: Sequence[list[float]]) -> None:
    """Print, as one JSON line, the maximum rate and the latencies at each load."""
    told: dict[str, float | None] = {"maximum": maximum}
    for load, latencies in zip(loads, found, strict=True):
        ordered = sorted(latencies)
        for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            told[f"{name}_{load}"] = percentile(ordered, part)
    print(json.dumps(told), flush=True)


class Meter:
    """CPU (user and system, all threads) and time of one piece of work."""

    def __init__(self) -> None:
        cpu = int(os.environ.get("BENCH_CPU", "-1"))
        if cpu >= 0:
            os.sched_setaffinity(0, {cpu})
        self.operations = 0
        self.cpu = 0.0
        self.wall = 0.0
        self.latencies: list[float] = []
        self.port = 0
        """Of the server."""

    @staticmethod
    def _cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def start(self) -> None:
        """Begin to measure."""
        if os.environ.get("BENCH_FREEZE"):
            # As an application may do once it has started: collections leave out what it is.
            gc.freeze()
        self._cpu_began = self._cpu()
        self._wall_began = time.perf_counter()

    def stop(self, operations: int) -> None:
        """End, after so many operations."""
        self.wall = time.perf_counter() - self._wall_began
        self.cpu = self._cpu() - self._cpu_began
        self.operations = operations

    def tell(self, **more: float) -> None:
        """Print the figures as one JSON line."""
        ordered = sorted(self.latencies)
        print(
            json.dumps(
                {
                    "cpu_us": self.cpu / self.operations * 1e6,
                    "per_second": self.operations / self.wall,
                    "p50_us": percentile(ordered, 0.5),
                    "p99_us": percentile(ordered, 0.99),
                    "p999_us": percentile(ordered, 0.999),
                    "operations": self.operations,
                    **more,
                }
            ),
            flush=True,
        )


def run_and_leave(measure: Callable[..., object], *arguments: object) -> None:
    """Make a measurement in this process, pinned, and end it: nothing is taken down first."""
    Meter()  # It pins this process.
    try:
        measure(*arguments)
    except SystemExit as end:  # task.react ends the program
        if end.code:
            raise
    sys.stdout.flush()
    os._exit(0)
