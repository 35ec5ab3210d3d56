"""How much of a configuration is read at all: from nodes, over HTTP, and from files.

Whoever sends one decides what it costs to read: two megabytes of `[[],[],…` take a hundred as
objects. So its text is looked at before it becomes any.
"""

from __future__ import annotations

import json
from typing import Any, Final

from couchloop.exceptions import ProtocolError
from couchloop.safety.printable import general, sound

MAX_CONFIG: Final = 2_000_000
"""Longest configuration, in bytes of JSON; that of a hundred nodes has a tenth of a megabyte."""
MAX_NESTING: Final = 32
"""Objects and lists within each other; real ones have six."""
_MOST_PARTS: Final = 100_000
"""Objects and lists in all: one for each of 65,536 vbuckets, and some for each node."""
_MOST_TEXTS: Final = 150_000
"""Names and texts: a hundred for each node."""

_BRACKETS: Final = b"[]{}"
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")


def read_json(text: bytes) -> Any:
    """Return what the JSON *text* means.

    Raises ValueError if it is too long, has too many parts, is nested too deeply, or is no JSON.
    """
    if len(text) > MAX_CONFIG:
        raise ValueError(f"it has more than {MAX_CONFIG} bytes")
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > 2 * _MOST_TEXTS:
        raise ValueError(f"it has more than {_MOST_TEXTS} texts")
    # What stands between two of them.
    brackets = b"".join(plain.split(b'"')[::2]).translate(_ALIKE, _OTHERS)
    if len(brackets) > 2 * _MOST_PARTS:
        raise ValueError(f"it has more than {_MOST_PARTS} objects and lists")
    depth = 0
    while brackets:
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            # What is not closed is no JSON, but may be nested as deeply as it likes.
            depth += len(brackets)
            break
        brackets = inner
        depth += 1
        if depth > MAX_NESTING:
            break
    if depth > MAX_NESTING:
        raise ValueError(f"it is nested more than {MAX_NESTING} times")
    try:
        # Not what else JSON may be encoded in: brackets would look otherwise there.
        return json.loads(text.decode())
    except ValueError as error:
        # Under its own name, which ends here: a frame that kept it would make a circle.
        error = sound(error)
        raise ValueError(f"it is no JSON: {general(str(error))}") from error


def too_long() -> ProtocolError:
    """Return the error for a configuration that is too long."""
    return ProtocolError(f"a configuration of more than {MAX_CONFIG} bytes")
