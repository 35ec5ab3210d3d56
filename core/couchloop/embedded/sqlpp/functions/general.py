"""Functions of no topic: ids, versions, the end of a statement, what comes next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from couchloop.embedded.sqlpp.errors import FunctionError
from couchloop.embedded.sqlpp.functions.encodings import json_text
from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import Table
from couchloop.embedded.sqlpp.values import MISSING, Binary, Value, number

FUNCTIONS: Final = Table()
_plain = FUNCTIONS.add_plain

_GREATEST: Final = 1.7976931348623157e308
_HIGHEST: Final = (1 << 63) - 1


def _uuid(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    data = bytearray(context.randbytes(16))
    # Version 4, variant 1: what RFC 9562 asks of random ones.
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _version(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return context.version


def _min_version(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return "1.0.0"


def _node_name(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return context.node


def _current_users(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return [f"local:{context.user}"]


def _abort(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    (reason,) = arguments
    text = reason if type(reason) is str else json_text(reason)
    raise FunctionError(f"Abort: {text}. - cause: {text}", code=5011)


def _successor(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return _next(arguments[0])


def _next(value: Value) -> Value:
    """Return the value that follows in the order of all values, or one that is close to it."""
    if value is MISSING:
        return None
    if value is None:
        return False
    if type(value) is bool:
        return -_GREATEST if value else True
    if type(value) is int:
        return value + 1 if value < _HIGHEST else ""
    if type(value) is float:
        return _next_float(value)
    if type(value) is str:
        return f"{value} "
    if type(value) is list:
        return [*value, None]
    if type(value) is Binary:
        return Binary(value.data + b"\0")
    if not value:
        return {"": None}
    last = max(value)
    return {**value, last: _next(value[last])}


def _next_float(value: float) -> Value:
    if math.isnan(value):
        return -math.inf
    return "" if value >= _GREATEST else number(math.nextafter(value, _GREATEST))


_plain("UUID", 0, 0, "string", _uuid)
_plain("VERSION DS_VERSION", 0, 0, "string", _version)
_plain("NODE_NAME", 0, 0, "string", _node_name)
_plain("CURRENT_USERS", 0, 0, "array", _current_users)
_plain("MIN_VERSION", 0, 0, "string", _min_version)
_plain("ABORT", 1, 1, "json", _abort)
_plain("SUCCESSOR", 1, 1, "successor", _successor)
