"""What is known of a view query beside its rows, by the names of SDK 2.5 and SDK 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couchloop.views.params import QueryBase
from couchloop.views.rows import RowProcessor


class ViewMetaData:
    """What the service says beside the rows.

    Args:
        said: what it says, by its own names.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def total_rows(self) -> int | None:
        """Return how many rows the view has; None: it is reduced."""
        found = self._said.get("total_rows")
        return found if isinstance(found, int) else None

    def debug_info(self) -> Any:
        """Return how the answer came about; None: that was not asked for."""
        return self._said.get("debug_info")

    def errors(self) -> list[Any]:
        """Return what has failed, as the service has it."""
        found = self._said.get("errors")
        return found if isinstance(found, list) else []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.total_rows()} rows>"


class OfViews:
    """What the results of a view query have beside rows, on either loop."""

    _stream: Any
    """A ViewStream."""
    meta: Any
    done: int

    @property
    def design(self) -> str:
        """The design document's name, with `dev_` if it is one for development."""
        design: str = self._stream.design
        return design

    @property
    def view(self) -> str:
        """The view's name."""
        view: str = self._stream.view
        return view

    @property
    def query(self) -> QueryBase:
        """What is asked."""
        query: QueryBase = self._stream.query
        return query

    @property
    def row_processor(self) -> RowProcessor:
        """What makes the rows."""
        return RowProcessor(self._stream.make)

    @property
    def include_docs(self) -> bool:
        """Whether rows have documents."""
        return bool(self._stream.has_documents)

    @property
    def indexed_rows(self) -> int:
        """How many rows the view has, whatever is asked of them; 0: it is reduced."""
        said: Mapping[str, Any] = self._stream.meta
        if "total_rows" not in said:
            # It stands before the rows, but nobody has promised that.
            said = self.meta
        return ViewMetaData(said).total_rows() or 0

    @property
    def rows_returned(self) -> int:
        """How many rows were taken."""
        return self.done

    def metadata(self) -> ViewMetaData:
        """Return what the service says beside the rows, as an object (SDK 4)."""
        return ViewMetaData(self.meta)
