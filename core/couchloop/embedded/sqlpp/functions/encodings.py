"""Functions of JSON texts, base64 and digests."""

from __future__ import annotations

import binascii
import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import Call, Table, utf8
from couchloop.embedded.sqlpp.texts import NotJsonError, decode, encode
from couchloop.embedded.sqlpp.values import MISSING, Binary, Value

FUNCTIONS: Final = Table()
_plain = FUNCTIONS.add_plain

_DIGESTS: Final = {
    "md4": "md4",
    "md5": "md5",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "sha512/256": "sha512_256",
}


def json_text(value: Value) -> str:
    """Return the JSON of a value with the names of all objects sorted."""
    return encode(_unordered(value))


def _unordered(value: Value) -> Value:
    """Return a value without the order of members that documents and rows have."""
    if isinstance(value, dict):
        return {name: _unordered(each) for name, each in value.items()}
    return [_unordered(each) for each in value] if type(value) is list else value


def _any_but_missing(call: Callable[[Value], Value]) -> Call:
    def called(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
        return MISSING if arguments[0] is MISSING else call(arguments[0])

    return called


def _json_encode(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return json_text(arguments[0])


def _json_decode(text: str) -> Value:
    try:
        return decode(text)
    except NotJsonError:
        return None


def _encoded_size(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return len(utf8(json_text(arguments[0])))


def _base64(value: Value) -> Value:
    data = value.data if type(value) is Binary else utf8(json_text(value))
    return b64encode(data).decode()


def _from_base64(text: str) -> Value:
    try:
        # Go takes line breaks inside, and nothing else that is not of the alphabet.
        data = b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        return decode(data)
    except NotJsonError:
        return Binary(data)


def _hash(value: Value, algorithm: Value = "sha256") -> str | None:
    name = algorithm.get("algorithm", "sha256") if isinstance(algorithm, dict) else algorithm
    if type(name) is not str:
        return None
    data = utf8(value) if type(value) is str else utf8(json_text(value))
    if name.lower() == "crc32":
        return f"{zlib.crc32(data):08x}"
    known = _DIGESTS.get(name.lower())
    return None if known is None else _digest(known, data)


def _digest(name: str, data: bytes) -> str | None:
    try:
        made: Any = hashlib.new(name, data, usedforsecurity=False)
    except ValueError:
        # MD4 is missing from many libraries.
        return None
    return str(made.hexdigest())


_plain("JSON_ENCODE ENCODE_JSON", 1, 1, "string", _json_encode)
FUNCTIONS.add("JSON_DECODE DECODE_JSON", "s", "json", _json_decode)
_plain("ENCODED_SIZE", 1, 1, "number", _encoded_size)
_plain("BASE64 BASE64_ENCODE ENCODE_BASE64", 1, 1, "string", _any_but_missing(_base64))
FUNCTIONS.add("BASE64_DECODE DECODE_BASE64", "s", "string", _from_base64)
FUNCTIONS.add("HASHBYTES", "v?v", "string", _hash)
