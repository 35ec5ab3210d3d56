"""Aggregates over values, as the service answers them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.values import MISSING, Binary, Value


def _of(name: str, values: list[Value]) -> Value:
    aggregate = AGGREGATES[name]
    state = aggregate.start()
    for value in values:
        aggregate.add(state, value)
    return aggregate.end(state)


_MIXED = [1, 2, 3, 4, "a", None, MISSING, True, [1]]
_WHOLE = [2, 4, 4, 4, 5, 5, 7, 9]


@pytest.mark.parametrize(
    ("name", "values", "result"),
    [
        ("COUNT", _MIXED, 7),
        ("COUNTN", _MIXED, 4),
        ("SUM", _MIXED, 10),
        ("AVG", _MIXED, 2.5),
        ("MEAN", _WHOLE, 5),
        ("MEDIAN", _MIXED, 2.5),
        ("MEDIAN", [3, 1, 2], 2),
        ("STDDEV", _MIXED, 1.2909944487358056),
        ("STDDEV_POP", _MIXED, 1.118033988749895),
        ("VARIANCE", _MIXED, 1.6666666666666667),
        ("VAR_POP", _MIXED, 1.25),
        ("MIN", _MIXED, True),
        ("MAX", _MIXED, [1]),
        ("ARRAY_AGG", _MIXED, [None, True, 1, 2, 3, 4, "a", [1]]),
        ("ARRAY_AGG", [MISSING, Binary(b"x")], None),
        ("STDDEV", _WHOLE, 2.138089935299395),
        ("STDDEV_SAMP", _WHOLE, 2.138089935299395),
        ("VAR_SAMP", _WHOLE, 4.571428571428571),
        ("STDDEV", [10, 20, None, 5.5, "n/a"], 7.421814692737439),
        ("STDDEV", [5], 0),
        ("STDDEV_SAMP", [5], None),
        ("VARIANCE_SAMP", [5], None),
        ("VARIANCE_POP", [5], 0),
        ("SUM", [9223372036854775807, 1], 9223372036854775808.0),
        ("SUM", [0.1, 0.2, 0.3], 0.6000000000000001),
        ("AVG", [0.1, 0.2, 0.3], 0.20000000000000004),
        ("SUM", [0.5, 0.5], 1),
        ("MAX", [{"a": 1}, [1]], {"a": 1}),
    ],
)
def test_results(name: str, values: list[Value], result: Any) -> None:
    """Values that count are those that the aggregate is about."""
    found = _of(name, values)
    assert (found, type(found)) == (result, type(result))


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_nothing(name: str) -> None:
    """Of nothing, COUNT and COUNTN are 0 and all others NULL."""
    expected = 0 if name.startswith("COUNT") else None
    assert _of(name, []) == expected
    assert _of(name, [MISSING]) == expected


@pytest.mark.parametrize("name", sorted(AGGREGATES))
@given(st.lists(st.floats()))
def test_any_numbers(name: str, values: list[float]) -> None:
    """No numbers are too odd: the result is a number, NULL or an array."""
    result = _of(name, list(values))
    assert result is None or type(result) in {int, float, list}
    if name == "SUM" and any(map(math.isnan, values)):
        assert math.isnan(result)
