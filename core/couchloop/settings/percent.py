"""Percent-encoded text, and what no text of a connection string may hold."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from couchloop.later import pattern

CONTROL: Final = pattern(r"[\x00-\x1f\x7f-\x9f]")
_BAD_PERCENT: Final = pattern(r"%(?![0-9A-Fa-f]{2})")


def is_text(text: str) -> bool:
    """Whether *text* is valid Unicode without a control character."""
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return not CONTROL.search(text)


def decode(text: str) -> str | None:
    """Return *text* percent-decoded (a + stays a +); None: it is no UTF-8."""
    if _BAD_PERCENT.search(text):
        return None
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return None
