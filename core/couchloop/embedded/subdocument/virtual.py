"""Virtual extended attributes ($document, $vbucket, $XTOC) and macros."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from couchloop.embedded.storage.document import Document
from couchloop.wire.constants import Datatype

_MACRO: Final = re.compile(
    rb'"\$\{(Mutation\.(?:CAS|seqno|value_crc32c)|\$document(?:\.\w+)?)\}"\Z'
)
# A private character: no client can have put it there, since it stands unescaped between quotes.
_MARK: Final = "\ue000\ue001"
_DATATYPES: Final = (
    ("json", Datatype.JSON),
    ("snappy", Datatype.SNAPPY),
    ("xattr", Datatype.XATTR),
)
_CASTAGNOLI: Final = 0x82F63B78


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _members(document: Document, vbucket_uuid: int, *, checksum: bool = True) -> dict[str, object]:
    return {
        "CAS": f"0x{document.cas:016x}",
        "datatype": [name for name, bit in _DATATYPES if document.stored_datatype & bit] or ["raw"],
        "deleted": document.deleted,
        "exptime": document.expiry,
        "flags": document.flags,
        "last_modified": str(int(document.modified)),
        "revid": str(document.rev_seqno),
        "seqno": f"0x{document.seqno:016x}",
        "value_bytes": len(document.value),
        # As many steps as bytes: not without need.
        "value_crc32c": f"0x{crc32c(document.body()):08x}" if checksum else "",
        "vbucket_uuid": f"0x{vbucket_uuid:016x}",
    }


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def document(of: Document, vbucket_uuid: int, *, checksum: bool = True) -> str:
    """Return the text of `$document`; the checksum may be left empty where nobody looks at it."""
    return _dump(_members(of, vbucket_uuid, checksum=checksum))


def vbucket(wall: float) -> str:
    """Return the text of `$vbucket`."""
    return _dump({"HLC": {"mode": "real", "now": str(int(wall))}})


def table_of_contents(names: Iterable[str]) -> str:
    """Return the text of `$XTOC`."""
    return json.dumps(sorted(names), separators=(",", ":"), ensure_ascii=False)


def macro(value: bytes) -> str | None:
    """Return the name of the macro that a value is, None if it is none."""
    match = _MACRO.match(value)
    return match[1].decode() if match else None


def document_member(of: Document, vbucket_uuid: int, name: str) -> str | None:
    """Expand `$document` or a member of it, as the document was before the write."""
    _, _, member = name.partition(".")
    members = _members(of, vbucket_uuid, checksum=not member)
    if not member:
        return _dump(members)
    # By itself a real server does not give the checksum, and gives the time as a number.
    del members["value_crc32c"]
    members["last_modified"] = int(of.modified)
    return _dump(members[member]) if member in members else None


def placeholder(name: str) -> str:
    """Return what stands for a macro until the write has its CAS and seqno."""
    return f'"{_MARK}{name}"'


def resolve(text: str, cas: int, seqno: int, body: bytes) -> str:
    """Replace what `placeholder` gave."""
    if _MARK not in text:
        return text
    for name, number in (
        # The CAS alone has its bytes in the other order.
        ("Mutation.CAS", cas.to_bytes(8, "little").hex()),
        ("Mutation.seqno", f"{seqno:016x}"),
        ("Mutation.value_crc32c", f"{crc32c(body):08x}"),
    ):
        text = text.replace(placeholder(name), f'"0x{number}"')
    return text
