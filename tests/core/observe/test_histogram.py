"""Percentiles of durations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from couchloop.observe.histogram import Histogram


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_histogram(durations: list[int], percent: float) -> None:
    """A percentile is at least the true one, by no more than 1/64, and merging changes nothing."""
    histogram, first, second = Histogram(), Histogram(), Histogram()
    for number, duration in enumerate(durations):
        histogram.add(duration)
        (first if number % 2 else second).add(duration)
    first.merge(second)
    rank = max(1, -(-len(durations) * int(percent) // 100))
    true = sorted(durations)[rank - 1]
    assert true <= histogram.percentile(percent) <= true + true / 64
    assert first.summary() == histogram.summary()
    assert histogram.percentile(100.0) == max(durations)
