"""Functions that ask for the type of a value, or make it one of another type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import Call, Table, valued
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import (
    MISSING,
    Binary,
    Value,
    is_number,
    number,
    truth,
    type_name,
)

FUNCTIONS: Final = Table()
_plain = FUNCTIONS.add_plain

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}\Z")
_WORDS: Final = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}


def _known(call: Callable[[Value], Value]) -> Call:
    """Return a function of a value that leaves MISSING and NULL as they are."""

    def asked(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
        (value,) = arguments
        return call(value) if valued(value) else value

    return asked


def _is_type(*names: str) -> Call:
    return _known(lambda value: type_name(value) in names)


def _type(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return type_name(arguments[0])


def _to_array(value: Value) -> Value:
    if type(value) is Binary:
        return None
    return value if type(value) is list else [value]


def _to_atom(value: Value) -> Value:
    while isinstance(value, list | dict):
        if len(value) != 1:
            return None
        (value,) = value.values() if isinstance(value, dict) else value
    return value


def _to_number(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    value = arguments[0]
    if not valued(value) or is_number(value):
        return value
    if type(value) is bool:
        return int(value)
    if type(value) is not str:
        return None
    if len(arguments) == 1:
        return parsed_number(value)
    separators = arguments[1]
    return parsed_number(_without(value, separators)) if type(separators) is str else None


def _without(text: str, separators: str) -> str:
    """Return a number's text without blanks and separators; a comma alone is its point."""
    kept = [each for each in text if not each.isspace() and each not in separators]
    if kept.count(",") == 1 and "." not in kept:
        kept[kept.index(",")] = "."
    return "".join(kept)


def parsed_number(text: str) -> int | float | None:
    """Return the number that a text is, by the rules of Go's decimal numbers, else None."""
    if _INTEGER.match(text):
        return number(int(text))
    if not _NUMBER.match(text):
        sign = -1 if text.startswith("-") else 1
        word = _WORDS.get(text.removeprefix("-" if sign < 0 else "+").lower())
        return None if word is None else sign * word
    value = float(text)
    # Go says of such a text that it is out of range.
    return None if math.isinf(value) else number(value)


def _to_string(value: Value) -> Value:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if not is_number(value):
        return None
    text = encode(value)
    # Quotation marks are for JSON, which has no such numbers, and so are the words.
    return {'"+Infinity"': "+Inf", '"-Infinity"': "-Inf", '"NaN"': "NaN"}.get(text, text)


def _to_object(value: Value) -> Value:
    return value if isinstance(value, dict) else {}


def _both(word: str, *rest: str) -> str:
    """Return the names that a check has: IS_ARRAY, ISARRAY and the like."""
    return " ".join(f"IS_{each} IS{each}" for each in (word, *rest))


def _told(call: Callable[[Value], Value]) -> Call:
    return lambda arguments, context: call(arguments[0])  # noqa: ARG005


def _is_null(value: Value) -> Value:
    return MISSING if value is MISSING else value is None


def _is_not_null(value: Value) -> Value:
    return MISSING if value is MISSING else value is not None


_plain(_both("ARRAY"), 1, 1, "boolean", _is_type("array"))
_plain(_both("ATOM"), 1, 1, "boolean", _is_type("boolean", "number", "string"))
_plain(_both("BINARY", "BIN"), 1, 1, "boolean", _is_type("binary"))
_plain(_both("BOOLEAN", "BOOL"), 1, 1, "boolean", _is_type("boolean"))
_plain(_both("NUMBER", "NUM"), 1, 1, "boolean", _is_type("number"))
_plain(_both("OBJECT", "OBJ"), 1, 1, "boolean", _is_type("object"))
_plain(_both("STRING", "STR"), 1, 1, "boolean", _is_type("string"))
_plain("TYPE TYPENAME TYPE_NAME", 1, 1, "string", _type)
_plain("TO_ARRAY TOARRAY", 1, 1, "array", _known(_to_array))
_plain("TO_ATOM TOATOM", 1, 1, "json", _known(_to_atom))
_plain("TO_BOOLEAN TOBOOLEAN TO_BOOL TOBOOL", 1, 1, "boolean", _known(truth))
_plain("TO_NUMBER TONUMBER TO_NUM TONUM", 1, 2, "number", _to_number)
_plain("TO_OBJECT TOOBJECT TO_OBJ TOOBJ", 1, 1, "object", _known(_to_object))
_plain("TO_STRING TOSTRING TO_STR TOSTR", 1, 1, "string", _known(_to_string))
_plain("IS_NULL ISNULL", 1, 1, "boolean", _told(_is_null))
_plain("IS_NOT_NULL ISNOTNULL", 1, 1, "boolean", _told(_is_not_null))
_plain("IS_MISSING ISMISSING", 1, 1, "boolean", _told(lambda value: value is MISSING))
_plain("IS_NOT_MISSING ISNOTMISSING", 1, 1, "boolean", _told(lambda value: value is not MISSING))
_plain(
    "IS_VALUED ISVALUED IS_KNOWN ISKNOWN IS_NOT_UNKNOWN ISNOTUNKNOWN",
    1,
    1,
    "boolean",
    _told(valued),
)
_plain(
    "IS_NOT_VALUED ISNOTVALUED IS_NOT_KNOWN ISNOTKNOWN IS_UNKNOWN ISUNKNOWN",
    1,
    1,
    "boolean",
    _told(lambda value: not valued(value)),
)
