"""What is known of an analytics query beside its rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from couchloop.analytics.results import AnalyticsMetaData, AnalyticsMetrics, OfAnalytics


class Result(OfAnalytics):
    """A result whose answer was read."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self._meta = meta

    @property
    def meta(self) -> dict[str, Any]:
        return self._meta


def test_metadata() -> None:
    """Objects by the names of SDK 4."""
    said = Result(
        {
            "requestID": "r",
            "metrics": {"elapsedTime": "1.5ms", "processedObjects": 26, "resultCount": 2},
            "warnings": [{"code": 1, "msg": "careful"}],
            "status": "success",
        }
    ).metadata()
    assert isinstance(said, AnalyticsMetaData)
    assert (said.request_id(), said.status()) == ("r", "success")
    metrics = said.metrics()
    assert isinstance(metrics, AnalyticsMetrics)
    assert (metrics.processed_objects(), metrics.result_count()) == (26, 2)
    assert metrics.elapsed_time() == timedelta(milliseconds=1.5)
    assert repr(said.warnings()) == "[<AnalyticsWarning 1: careful>]"


def test_nothing() -> None:
    """What the service does not tell is none."""
    said = Result({"metrics": 5, "warnings": 5}).metadata()
    assert (said.metrics(), said.warnings()) == (None, [])
    assert AnalyticsMetrics({}).processed_objects() == 0
