"""What every measured client does: pin itself, count its CPU, tell as JSON. Standard library only.

A client is a program of its own: it gets ready, runs a warm-up, then calls `Meter.start`, does
its work and calls `Meter.stop`, then perhaps a second, shorter run for latencies.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import time
from pathlib import Path

DOCUMENT_BYTES = (Path(__file__).parent / "document.json").read_bytes()
DOCUMENT = json.loads(DOCUMENT_BYTES)
KEYS = [f"order::2026-11-22::{number:06}" for number in range(1000)]


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

        def percentile(part: float) -> float | None:
            if not ordered:
                return None
            return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e6

        print(
            json.dumps(
                {
                    "cpu_us": self.cpu / self.operations * 1e6,
                    "per_second": self.operations / self.wall,
                    "p50_us": percentile(0.5),
                    "p99_us": percentile(0.99),
                    "p999_us": percentile(0.999),
                    "operations": self.operations,
                    **more,
                }
            ),
            flush=True,
        )
