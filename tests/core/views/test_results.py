"""What is known of a view query beside its rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from couchloop.views import Query
from couchloop.views.results import OfViews, ViewMetaData


class Results(OfViews):
    """Results whose answer was read so far."""

    def __init__(self, early: dict[str, Any], late: dict[str, Any]) -> None:
        self._stream: Any = SimpleNamespace(
            design="d", view="v", query=Query(limit=1), has_documents=True, meta=early
        )
        self.meta = late
        self.done = 4


def test_names() -> None:
    """What is asked, and how many rows there are, by the names of SDK 2.5."""
    found = Results({"total_rows": 9}, {})
    assert (found.design, found.view, found.query, found.include_docs) == (
        "d",
        "v",
        Query(limit=1),
        True,
    )
    assert (found.indexed_rows, found.rows_returned) == (9, 4)
    late = Results({}, {"total_rows": 8})
    assert late.indexed_rows == 8
    assert Results({}, {}).indexed_rows == 0


def test_metadata() -> None:
    """What a service says is given by the names of SDK 4; what is odd is as if it was not there."""
    found = ViewMetaData({"total_rows": 5, "debug_info": {"local": {}}, "errors": [1]})
    assert (found.total_rows(), found.debug_info(), found.errors()) == (5, {"local": {}}, [1])
    assert repr(found) == "<ViewMetaData 5 rows>"
    odd = Results({"total_rows": "x"}, {"total_rows": "x", "errors": 5}).metadata()
    assert (odd.total_rows(), odd.debug_info(), odd.errors()) == (None, None, [])
    assert Results({"total_rows": None}, {}).indexed_rows == 0
