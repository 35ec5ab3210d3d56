"""Values to bytes and flags, and back (RFC 0020, and the formats of SDK 2.5).

JSON means what the standard library's `json` means, whatever is installed: msgspec decodes and
orjson encodes when they are there (`couchloop[fast]`), and only where the outcome is the same.
NaN and Infinity are not JSON and are refused on the way out.
"""

from __future__ import annotations

import json
import marshal
import pickle
import warnings
from collections.abc import Callable
from typing import Any, Final

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import InvalidKeyError, InvalidSettingError, ValueFormatError
from couchloop.safety.printable import general, printable

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

_COMMON_MASK: Final = 0xFF000000
_LEGACY_MASK: Final = 0x00000007
_PRIVATE: Final = 0x01000000
_LEGACY: Final = {0: FMT_JSON, 1: FMT_PICKLE, 2: FMT_BYTES, 4: FMT_UTF8}
"""Flags of clients older than RFC 0020, whose upper byte is 0."""

_NAMES: Final = {
    FMT_JSON: "FMT_JSON",
    FMT_PICKLE: "FMT_PICKLE",
    FMT_BYTES: "FMT_BYTES",
    FMT_UTF8: "FMT_UTF8",
    FMT_AUTO: "FMT_AUTO",
}

_AS_BYTES: Final = "no_format=True gives its bytes; FMT_BYTES is the format for such values"

FORMATS: Final = tuple(_NAMES.values())
"""Names of the formats."""

Buffer = bytes | bytearray | memoryview

Value = Any
"""What a document's bytes mean: JSON's types, text, bytes, or an unpickled object."""

_encode_compact: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False
).encode
_encode_ascii: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _plain_encode(value: object) -> bytes:
    try:
        text = _encode_compact(value)
        try:
            return text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no bytes for
            return _encode_ascii(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueFormatError(
            f"The value cannot be written as JSON: {_reason(error)}; bytes are FMT_BYTES, text can "
            "be FMT_UTF8, and other objects want a transcoder of your own",
            inner_cause=error,
        ) from error
    except Exception as error:
        # Of a subclass of dict, say, whose methods are the user's.
        raise ValueFormatError(
            f"The value cannot be written as JSON: {type(error).__name__}", inner_cause=error
        ) from error


def _plain_decode(data: Buffer) -> Value:
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise ValueFormatError(
            f"The value is flagged as JSON, but is not valid JSON: {_reason(error)}; {_AS_BYTES}",
            inner_cause=error,
        ) from error


def _reason(error: Exception) -> str:
    """Return what is wrong without where: that differs from one document to the next."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, UnicodeError):
        return f"it is not UTF-8 ({getattr(error, 'reason', 'a character has no form in it')})"
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    return printable(general(str(error)))


encode_json: Callable[[object], bytes] = _plain_encode
"""Write a value as compact JSON in UTF-8; raises `ValueFormatError` for what JSON cannot say."""

try:
    import orjson
except ImportError:
    pass
else:

    def _fast_encode(value: Value) -> bytes:
        try:
            # orjson writes enums, UUIDs and dates, which `json` refuses. marshal is the fastest
            # walk that tells: it takes the built-in types themselves, no subclasses, no others.
            types = marshal.dumps(value)
            data = orjson.dumps(value)
        except (TypeError, ValueError, RecursionError):
            return _plain_encode(value)
        # orjson writes NaN and Infinity as null; in marshal's form their last byte is 0x7f or 0xff.
        if b"null" in data and (b"\x7f" in types or b"\xff" in types):
            return _plain_encode(value)
        return data

    encode_json = _fast_encode

# What decodes first. msgspec fails on some documents that `json` reads (lone surrogates, 1e400, a
# byte order mark), never the other way; so whatever it fails on is read again.
_try_decode: Callable[[Buffer], Value] = _plain_decode
try:
    import msgspec
except ImportError:
    pass
else:
    _try_decode = msgspec.json.Decoder().decode


def decode_json(data: Buffer) -> Value:
    """Read JSON; raises `ValueFormatError` for bytes that are not JSON."""
    try:
        return _try_decode(data)
    except (ValueError, RecursionError):
        return _plain_decode(data)


class Transcoder:
    """Turns keys and values into bytes and back.

    Args:
        allow_pickle: Read and write `FMT_PICKLE`. Whoever can write to the bucket can then run code
            in this program, so it is off unless asked for.

    """

    def __init__(self, *, allow_pickle: bool = False) -> None:
        self.allow_pickle = allow_pickle

    def __eq__(self, other: object) -> bool:
        # Opening a bucket twice with Transcoder(allow_pickle=True) is opening it the same way.
        if not isinstance(other, Transcoder):
            return NotImplemented
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(allow_pickle={self.allow_pickle})"

    def encode_key(self, key: str | bytes) -> bytes:
        """Return the key's bytes: text as UTF-8. Raises `InvalidKeyError` for what is no key."""
        try:
            if type(key) is str:
                return key.encode()
            if isinstance(key, str):
                # Not the method of a subclass: a key's bytes are those that others see.
                return str.encode(key)
        except UnicodeEncodeError as error:
            raise InvalidKeyError(
                f"The key is not valid Unicode text: {error.reason}", key=key, inner_cause=error
            ) from error
        if isinstance(key, bytes):
            return key
        raise InvalidKeyError(f"A key is str or bytes, not {type(key).__name__}")

    def decode_key(self, key: bytes) -> str:
        """Return the key as text. Raises `ValueFormatError` if its bytes are not UTF-8."""
        try:
            return str(key, "utf-8")
        except UnicodeDecodeError as error:
            raise ValueFormatError(
                "The key's bytes are not UTF-8: give it as bytes, not as text",
                key=key,
                inner_cause=error,
            ) from error

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
        """Return the value's bytes and the flags that say how to read them.

        Raises:
            ValueFormatError: This format cannot hold the value, or is not allowed.

        """
        if format == FMT_JSON:
            return encode_json(value), FMT_JSON
        if format == FMT_UTF8:
            return self._encode_utf8(value), FMT_UTF8
        if format == FMT_BYTES:
            if isinstance(value, bytes | bytearray | memoryview):
                return bytes(value), FMT_BYTES
            raise ValueFormatError(
                f"FMT_BYTES takes bytes, not {type(value).__name__}: for text use FMT_UTF8, for "
                "all else FMT_JSON"
            )
        if format == FMT_PICKLE:
            return self._encode_pickle(value), FMT_PICKLE
        if format == FMT_AUTO:
            return self._encode_auto(value)
        raise ValueFormatError(
            f"Unknown format; the formats are {', '.join(FORMATS)}", objextra=format
        )

    def decode_value(self, value: Buffer, flags: int) -> Value:
        """Return the value that these bytes and flags mean.

        Flags that nobody defined give bytes and a `UserWarning`, as in SDK 2.5.

        Raises:
            ValueFormatError: The bytes are not what the flags say, or are a pickle and pickles are
                not allowed.

        """
        common = flags & _COMMON_MASK
        if common == FMT_JSON:
            try:  # decode_json, without its call
                return _try_decode(value)
            except (ValueError, RecursionError):
                return _plain_decode(value)
        if common == FMT_BYTES & _COMMON_MASK:
            return bytes(value)
        if common == FMT_UTF8 & _COMMON_MASK:
            return self._decode_utf8(value)
        legacy = _LEGACY.get(flags & _LEGACY_MASK)
        if common == 0 and legacy not in {None, FMT_PICKLE}:
            return self.decode_value(value, legacy)
        # Other SDKs have private formats too: ours is the one with the legacy bit.
        if common in {0, _PRIVATE} and legacy == FMT_PICKLE:
            return self._decode_pickle(value)
        warnings.warn(f"Flags {flags:#x} mean no known format: giving bytes", stacklevel=2)
        return bytes(value)

    @staticmethod
    def _encode_utf8(value: object) -> bytes:
        if not isinstance(value, str):
            raise ValueFormatError(
                f"FMT_UTF8 takes str, not {type(value).__name__}: for bytes use FMT_BYTES, for all "
                "else FMT_JSON"
            )
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise ValueFormatError(
                f"The text has no form in UTF-8 ({error.reason}): FMT_JSON can write it",
                inner_cause=error,
            ) from error

    @staticmethod
    def _decode_utf8(value: Buffer) -> str:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError as error:
            raise ValueFormatError(
                f"The value is flagged as text, but is no UTF-8 ({error.reason}); {_AS_BYTES}",
                inner_cause=error,
            ) from error

    def _encode_auto(self, value: object) -> tuple[bytes, int]:
        if isinstance(value, str):
            return self._encode_utf8(value), FMT_UTF8
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value), FMT_BYTES
        try:
            return encode_json(value), FMT_JSON
        except ValueFormatError:
            if not self.allow_pickle:
                raise
        return self._encode_pickle(value), FMT_PICKLE

    def _encode_pickle(self, value: object) -> bytes:
        if not self.allow_pickle:
            raise ValueFormatError(
                "FMT_PICKLE is not allowed: use FMT_JSON, or open the bucket with "
                "transcoder=Transcoder(allow_pickle=True)"
            )
        try:
            return pickle.dumps(value)
        except Exception as error:
            raise ValueFormatError(
                f"The value cannot be pickled ({type(error).__name__}): use another format than "
                "FMT_PICKLE, as FMT_JSON or FMT_BYTES",
                inner_cause=error,
            ) from error

    def _decode_pickle(self, value: Buffer) -> Value:
        if not self.allow_pickle:
            raise ValueFormatError(
                "The value is a pickle, which can run code when it is read; if you trust everyone "
                "who can write to the bucket, open it with transcoder=Transcoder(allow_pickle=True)"
            )
        try:
            return pickle.loads(value)  # noqa: S301 - allowed by the user
        except Exception as error:
            raise ValueFormatError(
                f"The value is flagged as a pickle, but is none ({type(error).__name__}); "
                f"{_AS_BYTES}",
                inner_cause=error,
            ) from error


TranscoderPP = Transcoder
"""The name of SDK 2.5."""


def check_format(format: object) -> int:  # noqa: A002 - 2.5's name
    """Return *format*; raise InvalidSettingError (a TypeError) unless it is a number.

    One that no format has may be a transcoder's own, as in SDK 2.5.
    """
    number = exact_integer(format)
    if number is None:
        raise InvalidSettingError(
            f"a format is one of {', '.join(FORMATS)}, not {type(format).__name__}",
            objextra=format,
        )
    return number
