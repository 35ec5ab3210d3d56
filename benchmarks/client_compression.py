"""For which sizes and kinds of documents Snappy pays: its CPU, and the bytes that it saves."""

from __future__ import annotations

import json
import os
import sys
import time
from random import Random
from typing import Final

from benchmarks.measure import Meter, document_of

SIZES: Final = (128, 256, 512, 1024, 4096, 65_536)
KINDS: Final = ("order lines", "half of it random", "random")
_SECONDS: Final = 0.05
"""Of each measurement."""


def sample(kind: str, size: int) -> bytes:
    """Return JSON of so many bytes: text of orders, or random letters, or both in lines."""
    orders = document_of(size)
    if kind == "order lines":
        return orders
    random = Random(size)
    letters = "".join(random.choices("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh-_", k=size))
    mixed = orders.decode() if kind == "half of it random" else ""
    parts = [
        letters[at : at + 32] + mixed[at + 32 : at + 64].replace('"', "'")
        if mixed
        else letters[at : at + 64]
        for at in range(0, size, 64)
    ]
    return json.dumps("".join(parts)[: size - 2]).encode()


def main() -> None:
    """Measure, and print figures as one JSON line."""
    from couchloop.wire import snappy

    Meter()  # It pins this process.
    figures: dict[str, float] = {}
    for kind in KINDS:
        for size in SIZES:
            data = sample(kind, size)
            best = float("inf")
            end = time.perf_counter() + _SECONDS
            while time.perf_counter() < end:
                began = time.thread_time()
                for _ in range(20):
                    made = snappy.compress(data)
                best = min(best, (time.thread_time() - began) / 20)
            figures[f"{kind}/{size}/ratio"] = len(made) / len(data)
            figures[f"{kind}/{size}/cpu_us"] = best * 1e6
    print(json.dumps(figures), flush=True)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
