"""Functions over windows: frames by rows, by distance, by groups; what is left out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.embedded.sqlpp.service import Service

_CASES: Final = [
    json.loads(line)
    for line in (Path(__file__).parent / "windows.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: str(case["statement"][:60]))
def test_a_window(case: dict[str, Any]) -> None:
    """Each statement with its rows, or its error."""
    service = Service("k")
    if "error" in case:
        assert list(service.error(case["statement"])) == case["error"]
    else:
        assert service.rows(case["statement"]) == case["rows"]


def test_a_running_total_of_many_rows() -> None:
    """What begins at the first row is added up once."""
    statement = "SELECT RAW SUM(x) OVER (ORDER BY x) FROM ARRAY_RANGE(0, 20000) AS x ORDER BY x"
    rows = Service("k").rows(statement)
    assert (rows[0], rows[-1]) == (0, sum(range(20000)))
