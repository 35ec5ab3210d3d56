"""What is known of a search beside its hits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from couchloop.fulltext.results import OfSearches, SearchMetaData

SAID = {
    "status": {"total": 4, "failed": 1, "successful": 3, "errors": {"p1": "late"}},
    "total_hits": 7,
    "max_score": 2.5,
    "took": 1_500_000,
    "facets": {"f": {"field": "x", "terms": []}},
}


class Result(OfSearches):
    """A result whose answer was read."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta = meta


def test_sdk_2_5() -> None:
    """Attributes by the names of SDK 2.5."""
    result = Result(SAID)
    assert (result.total_hits, result.took, result.max_score) == (7, 1_500_000, 2.5)
    assert result.facets == SAID["facets"]


def test_sdk_4() -> None:
    """Objects by the names of SDK 4."""
    said = Result(SAID).metadata()
    assert said.errors() == {"p1": "late"}
    metrics = said.metrics()
    assert metrics.success_partition_count() == 3
    assert metrics.error_partition_count() == 1
    assert metrics.total_partition_count() == 4
    assert metrics.took() == timedelta(milliseconds=1.5)
    assert (metrics.total_rows(), metrics.max_score()) == (7, 2.5)
    assert repr(said) == (
        "<SearchMetaData <SearchMetrics 7 documents in 0:00:00.001500, 1 of 4 parts failed>>"
    )


@pytest.mark.parametrize("odd", [None, "x", [], True, {"errors": 5}])
def test_odd(odd: Any) -> None:
    """What is missing, or of another form, is 0 or empty."""
    meta = {name: odd for name in SAID if name != "facets"} | {"facets": None}
    for said in (meta, {}):
        result = Result(said)
        assert (result.total_hits, result.took, result.max_score, result.facets) == (0, 0, 0, {})
        found = SearchMetaData(said)
        assert found.errors() == {}
        assert found.metrics().took() == timedelta()
        assert found.metrics().total_partition_count() == 0
