"""Functions of strings. Where a name does not say MB_, lengths are bytes of UTF-8."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote_plus

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import (
    LONGEST,
    Table,
    bounded,
    bounded_array,
    from_utf8,
    utf8,
)
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import MISSING, Value, is_number

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add

_BLANKS: Final = " \t\n\f\r"
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def upper(text: str) -> str:
    """Return it in capitals, each character by itself, so no text grows."""
    if text.isascii():
        return text.upper()
    return "".join(_one(each.upper(), each) for each in text)


def lower(text: str) -> str:
    """Return it in small letters, each character by itself."""
    if text.isascii():
        return text.lower()
    return "".join("i" if each == "İ" else _one(each.lower(), each) for each in text)


def _one(mapped: str, character: str) -> str:
    return mapped if len(mapped) == 1 else character


def _title(text: str) -> str:
    parts = []
    inside = False
    for each in lower(text):
        parts.append(each if inside else _one(each.title(), each))
        inside = each.isalnum() or each == "_"
    return "".join(parts)


def _length(value: Value) -> Any:
    if type(value) is str:
        return len(utf8(value))
    if type(value) is bool:
        return 1
    if is_number(value):
        return len(encode(value).strip('"'))
    return len(value) if isinstance(value, list | dict) else None


def _poly_length(value: Value) -> Any:
    return None if type(value) is bool or is_number(value) else _length(value)


def _mb_len(value: Value) -> Any:
    return len(value) if type(value) is str else _length(value)


def _trimmed(strip: Any) -> Any:
    return lambda text, characters=_BLANKS: strip(text, characters) if characters else text


def _split(text: str, separator: str | None = None) -> list[str]:
    if separator == "":
        return list(text)
    return text.split(separator)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    found = text.count(old) if count < 0 else min(text.count(old), count)
    bounded("REPLACE()", len(text) + found * len(utf8(new)))
    return text.replace(old, new, count if count >= 0 else -1)


def _repeat(text: str, count: int) -> str | None:
    if count < 0:
        return None
    if count > (1 << 31) - 1:
        bounded_array("REPEAT", count)
    bounded("repeat()", len(utf8(text)) * count)
    return text * count


def _suffixes(text: str) -> list[str]:
    # Their lengths add up.
    bounded("SUFFIXES()", len(text) * (len(text) + 1) // 2)
    return [text[start:] for start in range(len(text))]


def _concat(*texts: str) -> str:
    bounded("CONCAT()", sum(map(len, texts)))
    return "".join(texts)


def _concat2(arguments: Any, context: Context) -> Value:  # noqa: ARG001 - every function has it
    if any(each is MISSING for each in arguments):
        return MISSING
    separator, *rest = arguments
    if type(separator) is not str:
        return None
    parts: list[Value] = []
    for each in rest:
        parts.extend(each if type(each) is list else [each])
    if not all(type(part) is str for part in parts):
        return None
    bounded("CONCAT2()", sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


# --- padding ------------------------------------------------------------------------------------


def _pad(text: str, count: int, pad: str, *, right: bool, characters: bool) -> str | None:
    if count < 0 or not pad:
        return None
    bounded("LPAD()", min(count, LONGEST + 1))
    if characters:
        missing = count - len(text)
        return text[:count] if missing <= 0 else _joined(text, _filled(pad, missing), right=right)
    data = utf8(text)
    missing = count - len(data)
    if missing <= 0:
        return from_utf8(data[:count])
    return from_utf8(_joined(data, _filled(utf8(pad), missing), right=right))


def _filled(pad: Any, count: int) -> Any:
    return (pad * (count // len(pad) + 1))[:count]


def _joined(text: Any, pad: Any, *, right: bool) -> Any:
    return text + pad if right else pad + text


def _padder(*, right: bool, characters: bool) -> Any:
    return lambda text, count, pad=" ": _pad(text, count, pad, right=right, characters=characters)


# --- parts --------------------------------------------------------------------------------------


def _part(text: Any, start: int, count: int | None, first: int) -> Any:
    """Return the part of a text or of its bytes, None where it would lie outside."""
    # The very first position is 0 even where positions are counted from 1.
    start = len(text) + start if start < 0 else max(start - first, 0)
    if not 0 <= start < len(text) or (count is not None and count < 0):
        return None
    return text[start:] if count is None else text[start : start + count]


def _bytes_part(text: str, start: int, count: int | None, first: int) -> str | None:
    part = _part(utf8(text), start, count, first)
    return None if part is None else from_utf8(part)


def _parter(part: Any, first: int) -> Any:
    return lambda text, start, count=None: part(text, start, count, first)


def _position(text: str, part: str) -> int:
    return utf8(text).find(utf8(part))


# --- URLs --------------------------------------------------------------------------------------


def _url_encode(text: str) -> str:
    return quote_plus(utf8(text), safe="~")


def _url_decode(text: str) -> str | None:
    data = bytearray()
    index = 0
    while index < len(text):
        character = text[index]
        if character == "%":
            digits = text[index + 1 : index + 3]
            if len(digits) != 2 or not _HEX.issuperset(digits):
                return None
            data.append(int(digits, 16))
            index += 3
            continue
        data += b" " if character == "+" else utf8(character)
        index += 1
    return from_utf8(bytes(data))


_add("UPPER", "s", "string", upper)
_add("LOWER", "s", "string", lower)
_add("INITCAP TITLE", "s", "string", _title)
_add("LENGTH", "s", "number", lambda text: len(utf8(text)))
_add("MB_LENGTH", "s", "number", len)
_add("LEN", "v", "number", _length)
_add("MB_LEN", "v", "number", _mb_len)
_add("POLY_LENGTH", "v", "number", _poly_length)
_add("TRIM", "s?s", "string", _trimmed(str.strip))
_add("LTRIM", "s?s", "string", _trimmed(str.lstrip))
_add("RTRIM", "s?s", "string", _trimmed(str.rstrip))
_add("SPLIT", "s?s", "array", _split)
_add("REPLACE", "sss?i", "string", _replace)
_add("REPEAT", "si", "string", _repeat)
_add("REVERSE", "s", "string", lambda text: text[::-1])
_add("SUFFIXES", "s", "array", _suffixes)
_add("CONCAT", "ss+", "string", _concat)
FUNCTIONS.add_plain("CONCAT2 ARRAY_TO_STRING", 2, None, "string", _concat2)
_add("CONTAINS", "ss", "boolean", lambda text, part: part in text)
_add("LPAD", "si?s", "string", _padder(right=False, characters=False))
_add("RPAD", "si?s", "string", _padder(right=True, characters=False))
_add("MB_LPAD", "si?s", "string", _padder(right=False, characters=True))
_add("MB_RPAD", "si?s", "string", _padder(right=True, characters=True))
_add("SUBSTR SUBSTR0", "si?i", "string", _parter(_bytes_part, 0))
_add("SUBSTR1", "si?i", "string", _parter(_bytes_part, 1))
_add("MB_SUBSTR MB_SUBSTR0", "si?i", "string", _parter(_part, 0))
_add("MB_SUBSTR1", "si?i", "string", _parter(_part, 1))
_add("POSITION POS POSITION0 POS0", "ss", "number", _position)
_add("POSITION1 POS1", "ss", "number", lambda text, part: _position(text, part) + 1)
_add("MB_POSITION MB_POS MB_POSITION0 MB_POS0", "ss", "number", str.find)
_add("MB_POSITION1 MB_POS1", "ss", "number", lambda text, part: text.find(part) + 1)
_add("URLENCODE", "s", "string", _url_encode)
_add("URLDECODE", "s", "string", _url_decode)
