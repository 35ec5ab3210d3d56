"""How a document's value was made bytes: formats, and the flags that say so (RFC 0020, SDK 2.5)."""

from __future__ import annotations

from typing import Any, Final

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import InvalidSettingError

__all__ = [
    "FMT_AUTO",
    "FMT_BYTES",
    "FMT_JSON",
    "FMT_PICKLE",
    "FMT_UTF8",
    "FORMATS",
    "check_format",
    "format_of",
    "name_of",
]

FMT_JSON: Final = 0x02000000
"""JSON."""
FMT_PICKLE: Final = 0x01000001
"""Python's pickle: readable only by Python, and only where it is allowed."""
FMT_BYTES: Final = 0x03000002
"""Bytes as they are."""
FMT_UTF8: Final = 0x04000004
"""Text, as UTF-8."""
FMT_AUTO: Final = -1
"""Text as `FMT_UTF8`, bytes as `FMT_BYTES`, all else as `FMT_JSON`. Never on the wire."""

COMMON_MASK: Final = 0xFF000000
LEGACY_MASK: Final = 0x00000007
PRIVATE: Final = 0x01000000
LEGACY: Final = {0: FMT_JSON, 1: FMT_PICKLE, 2: FMT_BYTES, 4: FMT_UTF8}
"""Flags of clients older than RFC 0020, whose upper byte is 0."""

NAMES: Final = {
    FMT_JSON: "FMT_JSON", FMT_PICKLE: "FMT_PICKLE", FMT_BYTES: "FMT_BYTES",
    FMT_UTF8: "FMT_UTF8", FMT_AUTO: "FMT_AUTO",
}  # fmt: skip

FORMATS: Final = tuple(NAMES.values())
"""Names of the formats."""

Buffer = bytes | bytearray | memoryview

Value = Any
"""What a document's bytes mean: JSON's types, text, bytes, or an unpickled object."""


def format_of(flags: int) -> int | None:
    """Return the format that *flags* mean; None: none that is known."""
    common = flags & COMMON_MASK
    if common == 0:
        return LEGACY.get(flags & LEGACY_MASK)
    return next((each for each in NAMES if each > 0 and each & COMMON_MASK == common), None)


def name_of(found: int | None) -> str:
    """Return the name of a format; None: none that is known."""
    return "of no known format" if found is None else NAMES[found]


def check_format(format: object) -> int:  # noqa: A002 - 2.5's name
    """Return *format*; raise InvalidSettingError (a TypeError) unless it is a number.

    One that no format has may be a transcoder's own, as in SDK 2.5.
    """
    number = exact_integer(format)
    if number is None:
        text = f"a format is one of {', '.join(FORMATS)}, not {type(format).__name__}"
        raise InvalidSettingError(text, objextra=format)
    return number
