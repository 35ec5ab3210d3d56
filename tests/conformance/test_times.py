"""Times that users give to Buckets: finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from couchloop.exceptions import InvalidTimeoutError
from tests.conformance.loops import Loop, cluster_of, opened


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e9, "1", True])
def test_no_time(loop: Loop, timeout: Any) -> None:
    """What is no time is refused, wherever it is given, and the Bucket stays open."""
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        calls: list[Callable[[], Any]] = [
            lambda: bucket.close(timeout),
            lambda: bucket.upsert("k", 1, timeout=timeout),
            lambda: bucket.get_multi(["k"], timeout=timeout),
            lambda: bucket.ping(timeout=timeout),
            lambda: bucket.wait_until_ready(timeout),
            lambda: setattr(bucket, "timeout", timeout),
        ]
        for call in calls:
            with pytest.raises(InvalidTimeoutError):
                loop.wait(call())
        assert loop.wait(bucket.upsert("k", 1)).success
