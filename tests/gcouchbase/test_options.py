"""Options over sockets, on gevent; `tests/core/settings/test_effects.py` has them all."""

from __future__ import annotations

import pytest

from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import PASSWORD, until

LONG = "a" * 10_000


def opened(served: ServedCluster, options: str) -> Bucket:
    """Open the bucket."""
    text = f"{served.connection_string}/default?{options}"
    return Bucket(text, username="user", password=PASSWORD)


def test_without_effect(
    served: ServedCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Options without effect are accepted; the log names each once, whatever opens with it."""
    caplog.set_level("INFO", "gcouchbase")
    monkeypatch.setattr("couchloop.client.notices._said", set())
    for _ in range(2):
        with opened(served, "views_timeout=5&select_bucket=0&operation_timeout=3") as bucket:
            assert bucket.timeout == 3.0
            assert bucket.upsert("key", 1).success
    # What is logged is written by greenlets: the second opening's line comes after all others.
    until(lambda: len([line for line in caplog.messages if "data nodes" in line]) == 2)
    assert sorted(line.partition(":")[0] for line in caplog.messages if "no effect" in line) == [
        "the option select_bucket has no effect",
        "the option views_timeout has no effect",
    ]


@pytest.mark.parametrize(
    ("options", "shrinks"),
    [
        ("compression=on", True),
        ("compression=force", True),
        ("compression=inflate_only", False),
        ("enable_compression=false", False),
        ("compression_min_size=20000", False),
        ("compression_min_ratio=0.001", False),
    ],
)
def test_compression(served: ServedCluster, options: str, shrinks: bool) -> None:
    """What is stored arrives compressed, or not; it is read as it was."""
    with opened(served, options) as bucket:
        assert bucket.upsert("key", LONG).success
        assert (served.cluster.buckets["default"].used() < len(LONG) / 2) is shrinks
        assert bucket.get("key").value == LONG
    with opened(served, "compression=off") as bucket:
        assert bucket.get("key").value == LONG
