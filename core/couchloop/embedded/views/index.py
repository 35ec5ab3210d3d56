"""The rows that a view has made of the documents, kept in the order of their keys."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from couchloop.embedded.storage.document import Document, is_json
from couchloop.embedded.views.collation import SortKey, sort_key
from couchloop.embedded.views.protocols import Emitted, MapFunction, Source
from couchloop.wire.constants import Datatype

_LONGEST_KEY: Final = 4096
"""Bytes of a key's JSON: a document that emits a longer one has no rows, as on a server."""


class Stored(NamedTuple):
    """A document of a bucket, and where it is."""

    vbucket: int
    node_id: int
    key: str
    document: Document


class Row(NamedTuple):
    """One row of a view."""

    sort: SortKey
    """What its key is compared by."""
    id: str
    """The document's key."""
    key: Any
    value: Any
    vbucket: int
    node_id: int


class _Mapped(NamedTuple):
    """A document as it was mapped; what it is told by is compared when it is looked at again."""

    document: Document
    cas: int
    expiry: int
    node_id: int
    rows: list[Row]

    def holds_for(self, stored: Stored) -> bool:
        there = stored.document
        return (
            self.document is there
            and self.cas == there.cas
            and self.expiry == there.expiry
            and self.node_id == stored.node_id
        )


class Index:
    """The rows of one view: each document is mapped once, until it changes.

    Args:
        function: the view's.
    """

    def __init__(self, function: MapFunction) -> None:
        self.function = function
        self.rows: list[Row] = []
        """In the order of their keys, then of the documents' keys."""
        self.failures: dict[str, str] = {}
        """Why documents have no rows, by their keys."""
        self._mapped: dict[str, _Mapped] = {}

    def update(self, documents: Iterable[Stored]) -> bool:
        """Follow to what *documents* are now; return whether they have changed.

        Raises ViewFailedError.
        """
        there = {each.key: each for each in documents}
        gone = [key for key in self._mapped if key not in there]
        changed = [
            each
            for each in there.values()
            if (known := self._mapped.get(each.key)) is None or not known.holds_for(each)
        ]
        if not gone and not changed:
            return False
        found = self.function([_source(each) for each in changed])
        for key in gone:
            del self._mapped[key]
            self.failures.pop(key, None)
        for stored, emitted in zip(changed, found, strict=True):
            self.failures.pop(stored.key, None)
            self._keep(stored, emitted)
        rows = [row for each in self._mapped.values() for row in each.rows]
        self.rows = sorted(rows, key=lambda row: (row.sort, row.id.encode()))
        return True

    def _keep(self, stored: Stored, emitted: Emitted | str) -> None:
        rows: list[Row] = []
        if not isinstance(emitted, str):
            try:
                rows = [_row(stored, key, value) for key, value in emitted]
            except (ValueError, RecursionError) as error:
                emitted = str(error)
        if isinstance(emitted, str):
            self.failures[stored.key] = emitted
        document = stored.document
        self._mapped[stored.key] = _Mapped(
            document, document.cas, document.expiry, stored.node_id, rows
        )


def _row(stored: Stored, key: Any, value: Any) -> Row:
    size = len(json.dumps(key, ensure_ascii=False, separators=(",", ":")))
    if size >= _LONGEST_KEY:
        raise ValueError(f"too long key emitted: {size} bytes")
    return Row(sort_key(key), stored.key, key, value, stored.vbucket, stored.node_id)


def _source(stored: Stored) -> Source:
    document = stored.document
    body = document.body()
    is_text = bool(document.datatype & Datatype.JSON) or is_json(body)
    text = body.decode() if is_text else json.dumps(b64encode(body).decode())
    rev = f"{document.cas:016x}{document.expiry:08x}{document.flags:08x}"
    meta: dict[str, Any] = {
        "id": stored.key,
        "rev": f"{document.rev_seqno}-{rev}",
        "seq": str(document.seqno),
        "vb": str(stored.vbucket),
        "expiration": document.expiry,
        "flags": document.flags,
        "type": "json" if is_text else "base64",
    }
    return Source(text, meta)


def rows_of(rows: Sequence[Row], vbucket: int | None) -> Sequence[Row]:
    """Return the rows of one vbucket; None: all."""
    return rows if vbucket is None else [row for row in rows if row.vbucket == vbucket]
