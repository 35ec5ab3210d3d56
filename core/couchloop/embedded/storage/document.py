"""One document, and what becomes of it by itself: its datatype, its expiry, its tombstone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from couchloop.wire import snappy
from couchloop.wire.constants import Datatype

MAX_VALUE: Final = 20 * 1024 * 1024
"""Longest value in bytes, inflated."""

_RELATIVE_EXPIRY: Final = 30 * 24 * 3600


@dataclass(slots=True)
class Document:
    """One version of one document, or the tombstone of one.

    A write replaces the object; only the lock and the expiry change in place.
    """

    value: bytes
    """As stored: a Snappy block if the datatype says so."""
    datatype: int
    """JSON and Snappy bits of the value (the xattr bit follows from `xattrs`)."""
    flags: int = 0
    expiry: int = 0
    """Epoch seconds; 0: never. On a tombstone: when it was deleted."""
    cas: int = 0
    seqno: int = 0
    rev_seqno: int = 1
    xattrs: dict[str, str] = field(default_factory=dict)
    """JSON text by X-key."""
    deleted: bool = False
    locked_until: float = 0.0
    modified: float = 0.0

    @property
    def stored_datatype(self) -> int:
        """All datatype bits, as GET_META shows them."""
        return self.datatype | (Datatype.XATTR if self.xattrs else 0)

    def body(self) -> bytes:
        """Return the value inflated."""
        if self.datatype & Datatype.SNAPPY:
            return snappy.decompress(self.value, MAX_VALUE)
        return self.value

    def locked(self, now: float) -> bool:
        """Whether the lock still holds at *now* (monotonic seconds)."""
        return self.locked_until > now


def tombstone(document: Document, wall: float, *, timed: bool = True) -> Document:
    """Return what a deletion leaves: the flags and the system xattrs, and *timed*: when it was."""
    system = {name: value for name, value in document.xattrs.items() if name.startswith("_")}
    deleted_at = int(wall) if timed else 0
    return Document(b"", 0, document.flags, deleted_at, xattrs=system, deleted=True)


def absolute_expiry(expiry: int, wall: float, max_ttl: int = 0) -> int:
    """Return the epoch second at which a document expires, 0 for never.

    Up to 30 days are relative; an absolute time in the past becomes the present second;
    *max_ttl* (seconds, 0: none) is the collection's.
    """
    if expiry and expiry <= _RELATIVE_EXPIRY:
        expiry += int(wall)
    elif expiry:
        expiry = max(expiry, int(wall))
    if max_ttl and (not expiry or expiry > wall + max_ttl):
        expiry = int(wall) + max_ttl
    return expiry


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _number(_: str) -> int:
    return 0


_decoder: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_number, parse_float=_number
)
_FIRST_OF_JSON: Final = frozenset(b' \t\r\n{["-0123456789tfn')


def is_json(value: bytes) -> bool:
    """Whether a server takes *value* for JSON (any value, not only objects)."""
    if not value or value[0] not in _FIRST_OF_JSON:
        return False
    try:
        # Not by json.loads: it takes a byte order mark and guesses other encodings.
        text = value.decode()
        _, end = _decoder.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except (ValueError, RecursionError):
        return False
    return not text[end:].strip(" \t\r\n")
