"""Values as texts: JSON as the service writes it, and JSON that comes in."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Final

from couchloop.embedded.sqlpp.values import MISSING, Binary, Ordered, Stored, Value, number

_DEEPEST: Final = 250
"""Arrays and objects within one another: what is deeper could exhaust the interpreter's stack."""


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class NotJsonError(ValueError):
    """A text is no JSON, or nested too deeply."""


def number_text(value: float) -> str:
    """Return a number as the service writes it: no exponent, NaN and infinities in quotes."""
    if type(value) is int:
        return str(value)
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"+Infinity"' if value > 0 else '"-Infinity"'
    if value == 0:
        return "0"
    text = format(Decimal(repr(float(value))), "f")
    return text.removesuffix(".0")


def encode(value: Value, *, pretty: bool = False) -> str:
    """Return the JSON of a value, as rows have it.

    Args:
        value: any; MISSING is written as null.
        pretty: with line breaks, as the request member of that name wants.
    """
    parts: list[str] = []
    _write(value, parts, "\n    " if pretty else "")
    return "".join(parts)


def _write(value: Value, parts: list[str], line: str) -> None:
    kind = type(value)
    if kind is str:
        parts.append(encode_basestring(value))
    elif kind is int or kind is float:
        parts.append(number_text(value))
    elif value is None or value is MISSING:
        parts.append("null")
    elif kind is bool:
        parts.append("true" if value else "false")
    elif kind is list:
        _write_array(value, parts, line)
    elif kind is Binary:
        parts.append(f'"<binary ({len(value.data)} b)>"')
    else:
        _write_object(value, parts, line)


def _write_array(value: list[Value], parts: list[str], line: str) -> None:
    if not value:
        parts.append("[]")
        return
    inner = line and line + "    "
    parts.append("[")
    for index, each in enumerate(value):
        if index:
            parts.append(",")
        parts.append(inner)
        _write(each, parts, inner)
    parts.extend((line, "]"))


def _write_object(value: dict[str, Value], parts: list[str], line: str) -> None:
    if not line and isinstance(value, Stored):
        parts.append(value.text)
        return
    names = [name for name in value if value[name] is not MISSING]
    if not names:
        parts.append("{}")
        return
    if not isinstance(value, Ordered):
        names.sort()
    inner = line and line + "    "
    parts.append("{")
    for index, name in enumerate(names):
        if index:
            parts.append(",")
        parts.extend((inner, encode_basestring(name), ": " if line else ":"))
        _write(value[name], parts, inner)
    parts.extend((line, "}"))


def decode(text: str | bytes) -> Value:
    """Return JSON as a value. Raises NotJsonError."""
    return _decode(text, _DECODER)


def decode_stored(data: bytes) -> Value:
    """Return a document as a value that is written as it was stored. Raises NotJsonError."""
    document = _decode(data, _STORED_DECODER)
    if isinstance(document, Ordered):
        return Stored(document, data.decode().strip())
    return document


def _decode(text: str | bytes, decoder: json.JSONDecoder) -> Value:
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = decoder.decode(text)
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    if text.count("[") + text.count("{") > _DEEPEST and _is_deep(value):
        raise NotJsonError("nested too deeply")
    return _mended(value) if "\\u" in text else value


def mended(text: str) -> str:
    """Return a text that UTF-8 can hold: half of a pair becomes the replacement character."""
    return _SURROGATE.sub("\ufffd", text)


def _mended(value: Value) -> Value:
    """Return a value whose texts are all mended."""
    if type(value) is str:
        return mended(value)
    if type(value) is list:
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return type(value)({mended(name): _mended(each) for name, each in value.items()})
    return value


def _is_deep(value: Value) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, list | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return False
    return True


def _parse_float(text: str) -> int | float:
    return number(float(text))


def _parse_int(text: str) -> int | float:
    # Python refuses to make an int of thousands of digits.
    return number(int(text)) if len(text) < 100 else number(float(text))


def _refuse(text: str) -> Any:
    raise NotJsonError(f"{text} is not JSON")


def _decoder(kind: type[dict[str, Any]]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=kind,
        parse_float=_parse_float,
        parse_int=_parse_int,
        parse_constant=_refuse,
    )


_DECODER: Final = _decoder(dict)
_STORED_DECODER: Final = _decoder(Ordered)
