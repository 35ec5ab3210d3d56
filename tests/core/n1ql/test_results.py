"""What is known of a query beside its rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from couchloop.n1ql import QueryMetaData
from couchloop.n1ql.results import OfQueries, duration

META: dict[str, Any] = {
    "requestID": "r",
    "clientContextID": "c",
    "signature": {"*": "*"},
    "status": "success",
    "warnings": [{"code": 1100, "msg": "careful"}, "odd"],
    "metrics": {
        "elapsedTime": "1.5ms",
        "executionTime": "1m2.5s",
        "resultCount": 2,
        "resultSize": 30,
        "mutationCount": 1,
        "sortCount": 4,
        "errorCount": 0,
        "warningCount": 2,
    },
    "profile": {"phaseTimes": {}},
}


def test_metadata() -> None:
    """It has methods, by the names of SDK 4."""
    meta = QueryMetaData(META)
    assert (meta.request_id(), meta.client_context_id(), meta.status()) == ("r", "c", "success")
    assert (meta.signature(), meta.profile(), meta.errors()) == ({"*": "*"}, {"phaseTimes": {}}, [])
    first, second = meta.warnings()
    assert (first.code(), first.message()) == (1100, "careful")
    assert (second.code(), second.message()) == (0, "odd")
    assert repr(first) == "<QueryWarning 1100: careful>"
    assert repr(meta) == "<QueryMetaData 'r': success>"
    metrics = meta.metrics()
    assert metrics is not None
    assert metrics.elapsed_time() == timedelta(milliseconds=1.5)
    assert metrics.execution_time() == timedelta(seconds=62.5)
    counts = (metrics.result_count(), metrics.result_size(), metrics.mutation_count())
    assert counts == (2, 30, 1)
    assert (metrics.sort_count(), metrics.error_count(), metrics.warning_count()) == (4, 0, 2)


@pytest.mark.parametrize("said", [{}, {"metrics": 1, "warnings": 2, "errors": 3, "status": None}])
def test_what_is_missing(said: dict[str, Any]) -> None:
    """What the service does not say, or says in another form, is nothing."""
    meta = QueryMetaData(said)
    assert (meta.metrics(), meta.warnings(), meta.errors(), meta.profile()) == (None, [], [], None)
    assert meta.request_id() == ""
    odd = QueryMetaData({"metrics": {"elapsedTime": "soon", "resultCount": "many"}}).metrics()
    assert odd is not None
    assert (odd.elapsed_time(), odd.result_count()) == (timedelta(), 0)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("837.425µs", 0.000837425),
        ("134.7944us", 0.0001347944),
        ("1h", 3600),
        ("1m2.5s", 62.5),
        ("5ns", 5e-9),
    ],
)
def test_durations(said: str, seconds: float) -> None:
    """Times are those of Go; a timedelta has microseconds."""
    assert duration(said) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "said", [None, 1, "", "1", "soon", "1x", "-1s", "1s ", "9" * 20 + "h", "9" * 999 + "s"]
)
def test_no_durations(said: object) -> None:
    """Anything else is none."""
    assert duration(said) is None


def test_names_of_both() -> None:
    """What stands beside the rows is an object, too."""

    class Request(OfQueries):
        meta = META

    request = Request()
    assert request.metadata().request_id() == "r"
    assert [each.code() for each in request.warnings] == [1100, 0]
