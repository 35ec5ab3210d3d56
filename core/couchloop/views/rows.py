"""Rows of views, and what makes them (SDK 2.5: `couchbase.views.iterator`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple

from couchloop.hot.result import V


class ViewRow(NamedTuple, Generic[V]):
    """A row of a view."""

    key: Any
    """What the view has emitted first; of a reduced view that of the group, None if all is one."""
    value: V
    """What it has emitted second, or what that was reduced to."""
    docid: str | None
    """The document's key; None: the view is reduced."""
    doc: Any
    """The result of fetching the document, if it was asked for."""

    @property
    def id(self) -> str | None:
        """The same as `docid` (SDK 4)."""
        return self.docid

    @property
    def document(self) -> Any:
        """The same as `doc` (SDK 4)."""
        return self.doc


class SpatialRow(NamedTuple):
    """A row of a spatial view."""

    key: Any
    """The range of the row in each dimension."""
    value: Any
    """What the view has emitted second."""
    geometry: Any
    """The geometry, if the view has emitted one."""
    docid: str | None
    """The document's key."""
    doc: Any
    """The result of fetching the document, if it was asked for."""

    @property
    def id(self) -> str | None:
        """The same as `docid` (SDK 4)."""
        return self.docid


class RowProcessor:
    """What makes rows of what a server says (SDK 2.5).

    Args:
        rowclass: is called with key, value, docid and doc, of a spatial view with key, value,
            geometry, docid and doc; what it gives is the row. None: ViewRow or SpatialRow.
    """

    def __init__(self, rowclass: Callable[..., Any] | None = None) -> None:
        self.rowclass = rowclass


class SpatialRowProcessor(RowProcessor):
    """Likewise of a spatial view's.

    Args:
        rowclass: see `RowProcessor`.
    """

    def __init__(self, rowclass: Callable[..., Any] | None = SpatialRow) -> None:
        super().__init__(rowclass)
