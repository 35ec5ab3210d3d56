"""What is known of an analytics query beside its rows, by the names of SDK 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couchloop.n1ql.results import OfQueries, QueryMetaData, QueryMetrics, QueryWarning


class AnalyticsWarning(QueryWarning):
    """What a query warns of."""


class AnalyticsMetrics(QueryMetrics):
    """What the service has measured. What it does not tell is 0."""

    def processed_objects(self) -> int:
        """Return how many objects were looked at."""
        return self._count("processedObjects")


class AnalyticsMetaData(QueryMetaData):
    """What the service says beside the rows."""

    def metrics(self) -> AnalyticsMetrics | None:
        """Return what was measured; None: the service does not tell."""
        found = self._said.get("metrics")
        return AnalyticsMetrics(found) if isinstance(found, Mapping) else None

    def warnings(self) -> list[QueryWarning]:
        """Return what it warns of."""
        found = self._said.get("warnings")
        return [AnalyticsWarning(each) for each in found] if isinstance(found, list) else []


class OfAnalytics(OfQueries):
    """What the results of an analytics query have beside rows, on either loop."""

    _stream: Any
    """An AnalyticsStream."""

    @property
    def is_ready(self) -> bool:
        """Whether the service gives the rows: of a deferred query, whether it has them."""
        return bool(self._stream.is_ready)

    def metadata(self) -> AnalyticsMetaData:
        """Return what the service says beside the rows, as an object (SDK 4)."""
        return AnalyticsMetaData(self.meta)
