"""Rows of views: their names in SDK 2.5 and in SDK 4."""

from __future__ import annotations

from couchloop.views import RowProcessor, SpatialRow, ViewRow


def test_names() -> None:
    """A row has its parts by the names of both, and in the order of SDK 2.5."""
    row = ViewRow("key", "value", "docid", "doc")
    assert tuple(row) == ("key", "value", "docid", "doc")
    assert (row.id, row.document) == ("docid", "doc")
    spatial = SpatialRow([[0, 1]], 1, {"type": "Point"}, "docid", None)
    assert (spatial.geometry, spatial.id) == ({"type": "Point"}, "docid")
    assert RowProcessor().rowclass is None
    assert RowProcessor(tuple).rowclass is tuple
