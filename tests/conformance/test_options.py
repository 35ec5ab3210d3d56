"""Options over sockets; `tests/core/settings/test_effects.py` has them all."""

from __future__ import annotations

import pytest

from tests.conformance.loops import Loop, opened_at
from tests.extras import needs_snappy

LONG = "a" * 10_000


def test_without_effect(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options without effect are accepted; the log names each once, whatever opens with it."""
    monkeypatch.setattr("couchloop.client.notices._said", set())
    options = "error_thresh_count=5&select_bucket=0&operation_timeout=3"
    with loop.log() as lines, loop.serving() as served:
        for _ in range(2):
            with opened_at(loop, f"{served.connection_string}/default?{options}") as bucket:
                assert bucket.timeout == 3.0
                assert loop.wait(bucket.upsert("key", 1)).success
        # The second opening's line comes after all others.
        loop.until(lambda: len([line for line in lines if "data nodes" in line]) == 2)
    assert sorted(line.partition(":")[0] for line in lines if "no effect" in line) == [
        "the option error_thresh_count has no effect",
        "the option select_bucket has no effect",
    ]


@pytest.mark.parametrize(
    ("options", "shrinks"),
    [
        pytest.param("compression=on", True, marks=needs_snappy),
        pytest.param("compression=force", True, marks=needs_snappy),
        ("compression=inflate_only", False),
        ("enable_compression=false", False),
        ("compression_min_size=20000", False),
        ("compression_min_ratio=0.001", False),
    ],
)
def test_compression(loop: Loop, options: str, shrinks: bool) -> None:
    """What is stored arrives compressed, or not; it is read as it was."""
    with loop.serving() as served:
        with opened_at(loop, f"{served.connection_string}/default?{options}") as bucket:
            assert loop.wait(bucket.upsert("key", LONG)).success
            assert (served.cluster.buckets["default"].used() < len(LONG) / 2) is shrinks
            assert loop.wait(bucket.get("key")).value == LONG
        with opened_at(loop, f"{served.connection_string}/default?compression=off") as bucket:
            assert loop.wait(bucket.get("key")).value == LONG
