"""Times that users give to Buckets, pools and services: finite.

`trial --reactor=NAME` runs this on each reactor.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import maybeDeferred

from couchloop.exceptions import InvalidTimeoutError
from tests.txcouchbase.test_reactors import SocketTests as _SocketTests
from txcouchbase.pool import BucketPool
from txcouchbase.service import BucketService

ENDLESS: list[Any] = [float("inf"), float("nan"), 1e9, "1", True]


class TimeTests(_SocketTests):
    """What is no time."""

    async def test_refused(self) -> None:
        """It is refused, wherever it is given, and the Bucket stays open."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.connect()
            for timeout in ENDLESS:
                for call in (
                    lambda: bucket.close(timeout),  # noqa: B023 - called here
                    lambda: bucket.upsert("k", 1, timeout=timeout),  # noqa: B023
                    lambda: bucket.get_multi(["k"], timeout=timeout),  # noqa: B023
                    lambda: bucket.ping(timeout=timeout),  # noqa: B023
                    lambda: bucket.wait_until_ready(timeout),  # noqa: B023
                    lambda: setattr(bucket, "timeout", timeout),  # noqa: B023
                    lambda: BucketService(self.cluster, "default", close_timeout=timeout),  # noqa: B023
                ):
                    with pytest.raises(InvalidTimeoutError):
                        await maybeDeferred(call)
            assert (await bucket.upsert("k", 1)).success

    async def test_pool(self) -> None:
        """A pool is not closed by halves."""
        pool = BucketPool(self.cluster, "default", 2)
        with pytest.raises(InvalidTimeoutError):
            pool.close(float("inf"))
        await pool.close()
