"""Documents as lines of JSON, as `couchloop export` writes and `couchloop import` reads them.

A line is an object: `id`, the key; `value`, the document, if it is JSON; else `base64` and `flags`,
its bytes and the common flags that say what they are; `expiry`, if it has one, in seconds since
1970.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final, NamedTuple

from couchloop.exceptions import ValueFormatError
from couchloop.formats import format_of
from couchloop.transcoder import FMT_JSON, Transcoder

LONGEST: Final = 64 * 1024 * 1024
"""Characters of a line: three times what a document may have."""


class LineError(ValueError):
    """A line says no document; the text tells why."""


class Stored(NamedTuple):
    """A document as it is stored."""

    data: bytes
    flags: int


class Document(NamedTuple):
    """A document of a line."""

    key: str
    stored: Stored
    expiry: int
    """Seconds since 1970; 0: it does not expire."""


class AsStored(Transcoder):
    """A transcoder that takes and gives documents as they are stored."""

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002, ARG002
        """Return what is stored."""
        assert isinstance(value, Stored)
        return value

    def decode_value(self, value: Any, flags: int) -> Stored:
        """Return what is stored."""
        return Stored(bytes(value), flags)


_JSON: Final = Transcoder()
_DECODER: Final = json.JSONDecoder()


def json_text(stored: Stored) -> str | None:
    """Return a document's JSON as it is stored, in one line; None: it is none."""
    if format_of(stored.flags) != FMT_JSON:
        return None
    try:
        text = stored.data.decode()
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    # Within strings JSON has no line breaks.
    return text.replace("\r", " ").replace("\n", " ").strip()


def _no_constant(name: str) -> None:
    raise ValueError(name)


def write(key: str, stored: Stored, expiry: int) -> str:
    """Return the line of a document, with its end."""
    members = {"id": key}
    beside = f', "expiry": {expiry}' if expiry else ""
    text = json_text(stored)
    if text is None:
        data = base64.b64encode(stored.data).decode()
        beside = f', "base64": "{data}", "flags": {stored.flags}{beside}'
    else:
        beside = f', "value": {text}{beside}'
    return f"{json.dumps(members, ensure_ascii=False)[:-1]}{beside}}}\n"


def read(line: str, member: str | None = None) -> Document:
    """Return the document of a line.

    Args:
        line: it.
        member: the line is a document of its own, whose key stands in its member of that name;
            None: it is one of `write`.

    Raises LineError.
    """
    if len(line) > LONGEST:
        raise LineError(f"it has more than {LONGEST >> 20} million characters")
    fractions = _Fractions()
    try:
        line.encode()
        found = json.loads(line, parse_constant=_no_constant, parse_float=fractions)
    except UnicodeEncodeError:
        # Where bytes were none, characters stand that JSON would write as escapes.
        raise LineError("it is no text in UTF-8") from None
    except (ValueError, RecursionError):
        raise LineError("it is no JSON: each line is an object of its own") from None
    if not isinstance(found, dict):
        raise LineError("it is no JSON object")
    name = member or "id"
    key = found.get(name)
    if not isinstance(key, str) or not key:
        raise LineError(f"its member {name!r} is missing, or no text: it is the document's key")
    if member is not None:
        return Document(key, _stored(found, line if fractions.are_there else None), 0)
    expiry = found.get("expiry", 0)
    if not isinstance(expiry, int) or isinstance(expiry, bool) or not 0 <= expiry < 1 << 32:
        raise LineError("its member 'expiry' is no number of seconds since 1970")
    if "value" in found and "base64" in found:
        raise LineError("it has 'value' and 'base64': one of them is the document")
    if "value" in found:
        text = _text_of(line, "value") if fractions.are_there else None
        return Document(key, _stored(found["value"], text), expiry)
    return Document(key, _bytes_of(found), expiry)


class _Fractions:
    """Reads numbers with a fraction or an exponent, and knows whether there were any.

    Python may not write them as they were: 1.10, or what no double holds.
    """

    def __init__(self) -> None:
        self.are_there = False

    def __call__(self, text: str) -> float:
        self.are_there = True
        return float(text)


def _text_of(line: str, wanted: str) -> str:
    """Return how the last member of that name is written in an object that is known to be one."""
    text, at = "", _behind_space(line, line.index("{") + 1)
    while line[at] != "}":
        name, at = _DECODER.raw_decode(line, at)
        begin = _behind_space(line, line.index(":", at) + 1)
        _, end = _DECODER.raw_decode(line, begin)
        if name == wanted:
            text = line[begin:end]
        at = _behind_space(line, end)
        if line[at] == ",":
            at = _behind_space(line, at + 1)
    return text


def _behind_space(line: str, at: int) -> int:
    while line[at] in " \t\r\n":
        at += 1
    return at


def _stored(value: object, text: str | None) -> Stored:
    """Return a value as it is stored: as *text* writes it, if that is given."""
    if text is not None:
        return Stored(text.strip().encode(), _JSON.encode_value(None, FMT_JSON)[1])
    try:
        return Stored(*_JSON.encode_value(value, FMT_JSON))
    except ValueFormatError:
        # An integer of thousands of digits: what reads it may have no limit that what writes has.
        raise LineError("its value cannot be stored as JSON") from None


def _bytes_of(found: dict[str, Any]) -> Stored:
    flags = found.get("flags")
    if not isinstance(flags, int) or isinstance(flags, bool) or not 0 <= flags < 1 << 32:
        raise LineError("it has neither a 'value', nor 'base64' and 'flags'")
    try:
        return Stored(base64.b64decode(found.get("base64", ""), validate=True), flags)
    except (TypeError, ValueError, binascii.Error):
        raise LineError("its member 'base64' is none") from None
