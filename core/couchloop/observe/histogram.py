"""Latencies, counted: a histogram whose buckets are narrow and few."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 100.0)
_FINE_BITS: Final = 6
"""A histogram's buckets are at most 1/64 of their value wide."""


class Histogram:
    """How many durations fell where, to 1/64 of their length."""

    __slots__ = ("_buckets", "count", "longest")

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0
        """In microseconds."""
        self._buckets: dict[int, int] = {}

    def add(self, microseconds: int) -> None:
        """Count one duration."""
        self.count += 1
        self.longest = max(self.longest, microseconds)
        shift = max(0, microseconds.bit_length() - _FINE_BITS - 1)
        # The longest duration that falls into the same bucket stands for it.
        top = (((microseconds >> shift) + 1) << shift) - 1
        self._buckets[top] = self._buckets.get(top, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count what *other* has counted."""
        self.count += other.count
        self.longest = max(self.longest, other.longest)
        for top, count in other._buckets.items():
            self._buckets[top] = self._buckets.get(top, 0) + count

    def percentile(self, percent: float) -> int:
        """Return the duration in microseconds that so many per cent do not exceed; 0 if empty."""
        wanted = max(1, ceil(self.count * percent / 100))
        seen = 0
        for top in sorted(self._buckets):
            seen += self._buckets[top]
            if seen >= wanted:
                return min(top, self.longest)
        return 0

    def summary(self) -> dict[str, Any]:
        """Return the RFC's fields."""
        percentiles = {str(percent): self.percentile(percent) for percent in _PERCENTILES}
        return {"total_count": self.count, "percentiles_us": percentiles}
