"""Values to bytes and flags, and back (RFC 0020, and the formats of SDK 2.5).

JSON means what the standard library's `json` means, whatever is installed: msgspec decodes and
orjson encodes when they are there (`couchloop[fast]`), and only where the outcome is the same.
NaN and Infinity are not JSON and are refused on the way out.
"""

from __future__ import annotations

import json
import marshal
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from couchloop.arguments.exact import exact_bytes
from couchloop.exceptions import (
    CouchbaseError,
    InvalidKeyError,
    ValueFormatError,
)
from couchloop.formats import (
    COMMON_MASK,
    FMT_AUTO,
    FMT_BYTES,
    FMT_JSON,
    FMT_PICKLE,
    FMT_UTF8,
    FORMATS,
    LEGACY,
    LEGACY_MASK,
    NAMES,
    PRIVATE,
    Buffer,
    Value,
    format_of,
    name_of,
)
from couchloop.later import Module, import_now
from couchloop.safety.printable import general, printable, sound, words_of
from couchloop.typed import encode_record, is_record, plain

if TYPE_CHECKING:
    import pickle

    import msgspec
    import orjson
else:
    pickle = Module("pickle", globals())
    msgspec = Module("msgspec", globals()) if find_spec("msgspec") else None
    orjson = Module("orjson", globals()) if find_spec("orjson") else None

__all__ = [
    "FMT_AUTO", "FMT_BYTES", "FMT_JSON", "FMT_PICKLE", "FMT_UTF8", "JSONTranscoder",
    "LegacyTranscoder", "LegacyTranscoderPP", "OneWayTranscoder", "RawBinaryTranscoder",
    "RawJSONTranscoder", "RawStringTranscoder", "Transcoder", "TranscoderPP",
    "set_json_converters", "set_pickle_converters",
]  # fmt: skip

_AS_BYTES: Final = "no_format=True gives its bytes; FMT_BYTES is the format for such values"

_Encode = Callable[[object], str]


def _encoders(default: Callable[[object], object] | None) -> tuple[_Encode, _Encode]:
    """Return what writes characters as they are, and in ASCII; *default*: what `json` cannot."""
    make = partial(json.JSONEncoder, separators=(",", ":"), allow_nan=False, default=default)
    return make(ensure_ascii=False).encode, make().encode


_RECORDS_TOO: Final = _encoders(plain)
_NO_RECORDS: Final = _encoders(None)


def _plain_encode(value: object, encoders: tuple[_Encode, _Encode] = _RECORDS_TOO) -> bytes:
    compact, in_ascii = encoders
    try:
        text = compact(value)
        try:
            return text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no bytes for
            return in_ascii(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        said = f"The value cannot be written as JSON: {_reason(error)}; bytes are FMT_BYTES, text "
        said += "can be FMT_UTF8, and other objects want a transcoder of your own"
        raise ValueFormatError(said, inner_cause=error) from error
    except CouchbaseError:
        raise
    except Exception as error:
        # Of a subclass of dict, say, whose methods are the user's.
        text = f"The value cannot be written as JSON: {type(error).__name__}"
        raise ValueFormatError(text, inner_cause=error) from error


def _plain_decode(data: Buffer) -> Value:
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        # Under its own name, which ends here: a frame that kept it would make a circle.
        error = sound(error)
        said = f"The value is flagged as JSON, but is not valid JSON: {_reason(error)}"
        raise ValueFormatError(f"{said}; {_AS_BYTES}", inner_cause=error) from error


def _reason(error: Exception) -> str:
    """Return what is wrong without where: that differs from one document to the next."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, UnicodeError):
        return f"it is not UTF-8 ({getattr(error, 'reason', 'a character has no form in it')})"
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    return printable(general(words_of(error)))


JSON_ERRORS: tuple[type[Exception], ...] = (ValueError, RecursionError)
"""What reading and writing JSON raise: what msgspec does is no ValueError in version 0.20."""


def load() -> None:
    """Load msgspec and orjson, as opening a Bucket does: a tenth of what importing us took."""
    global JSON_ERRORS, try_decode_json  # noqa: PLW0603 - what reads is chosen once
    for module in filter(None, (orjson, msgspec)):
        with suppress(ImportError):
            import_now(module)
    if try_decode_json is _decode_first:
        try_decode_json = _plain_decode
        with suppress(ImportError):
            JSON_ERRORS = (ValueError, RecursionError, msgspec.MsgspecError)
            try_decode_json = msgspec.json.Decoder().decode


def _decode_first(data: Buffer) -> Value:
    load()
    return try_decode_json(data)


try_decode_json: Callable[[Buffer], Value] = _plain_decode if msgspec is None else _decode_first
"""Reads almost any JSON; whatever it fails on is for `decode_json` to read, or to refuse.
msgspec fails on lone surrogates, 1e400, a byte order mark, and never reads what `json` does not."""


def _record_encode(value: object) -> bytes:
    """Write what may be a Struct or a dataclass."""
    if is_record(type(value)):
        try:
            data = encode_record(value)
        except Exception:  # noqa: BLE001 - the other one says why
            return _plain_encode(value)
        if b"null" not in data:  # What is null there may be NaN here.
            return data
    return _plain_encode(value)


def _encode_no_record(value: Value) -> bytes:
    """Write JSON of the built-in types, and their subclasses, alone."""
    try:
        marshal.dumps(value)
    except (TypeError, ValueError):
        return _plain_encode(value, _NO_RECORDS)
    return encode_json(value)


def _fast_encode(value: Value) -> bytes:
    try:
        # orjson writes enums, UUIDs and dates, which `json` refuses. marshal is the fastest
        # walk that tells: it takes the built-in types themselves, no subclasses, no others.
        types = marshal.dumps(value)
        data = orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return _record_encode(value)
    except ImportError:  # It is there, but broken.
        return _plain_encode(value)
    # orjson writes NaN and Infinity as null; in marshal's form their last byte is 0x7f or 0xff.
    # `in` would make an exception first, of the bytes as a number: 2,000 instructions.
    if (types.find(0x7F) >= 0 or types.find(0xFF) >= 0) and data.find(b"null") >= 0:
        return _plain_encode(value)
    return data


encode_json: Callable[[object], bytes] = _plain_encode if orjson is None else _fast_encode
"""Write a value as compact JSON in UTF-8; raises `ValueFormatError` for what JSON cannot say.

Where there is a compiled twin it puts a quicker one before this (`couchloop.hot.operation`)."""


def decode_json(data: Buffer) -> Value:
    """Read JSON; raises `ValueFormatError` for bytes that are not JSON."""
    try:
        return try_decode_json(data)
    except JSON_ERRORS:
        return _plain_decode(data)


class Transcoder:
    """Turns keys and values into bytes and back.

    Args:
        allow_pickle: Read and write `FMT_PICKLE`. Whoever can write to the bucket can then run code
            in this program, so it is off unless asked for.
        json_encode: Writes JSON in place of ours: takes a value, gives text or bytes.
        json_decode: Reads JSON in place of ours: takes text, gives a value.

    What these two raise is a `ValueFormatError`. `set_json_converters` gives a pair to all
    transcoders that have none of their own.

    """

    allow_pickle: bool = False
    # Of the class: what `set_json_converters` and `set_pickle_converters` have set.
    json_encode: Callable[[Any], str | bytes] | None = None
    json_decode: Callable[[str], Any] | None = None
    pickle_encode: Callable[[Any], bytes] | None = None
    pickle_decode: Callable[[bytes], Any] | None = None

    def __init__(
        self,
        *,
        allow_pickle: bool = False,
        json_encode: Callable[[Any], str | bytes] | None = None,
        json_decode: Callable[[str], Any] | None = None,
    ) -> None:
        self.allow_pickle = allow_pickle
        if json_encode is not None:
            self.json_encode = json_encode
        if json_decode is not None:
            self.json_decode = json_decode

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
            said = f"The key is not valid Unicode text: {error.reason}"
            raise InvalidKeyError(said, key=key, inner_cause=error) from error
        if isinstance(key, bytes):
            return key
        raise InvalidKeyError(f"A key is str or bytes, not {type(key).__name__}")

    def decode_key(self, key: bytes) -> str:
        """Return the key as text. Raises `ValueFormatError` if its bytes are not UTF-8."""
        try:
            return str(key, "utf-8")
        except UnicodeDecodeError as error:
            text = "The key's bytes are not UTF-8: give it as bytes, not as text"
            raise ValueFormatError(text, key=key, inner_cause=error) from error

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
        """Return the value's bytes and the flags that say how to read them.

        Raises:
            ValueFormatError: This format cannot hold the value, or is not allowed.

        """
        if format == FMT_JSON:
            if self.json_encode is None:
                return encode_json(value), FMT_JSON
            return self._encode_json(value), FMT_JSON
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
        text = f"Unknown format; the formats are {', '.join(FORMATS)}"
        raise ValueFormatError(text, objextra=format)

    def decode_value(self, value: Buffer, flags: int) -> Value:
        """Return the value that these bytes and flags mean.

        Flags that nobody defined give bytes and a `UserWarning`, as in SDK 2.5.

        Raises:
            ValueFormatError: The bytes are not what the flags say, or are a pickle and pickles are
                not allowed.

        """
        common = flags & COMMON_MASK
        if common == FMT_JSON:
            if self.json_decode is not None:
                return self._decode_json(value)
            try:  # decode_json, without its call
                return try_decode_json(value)
            except JSON_ERRORS:
                return _plain_decode(value)
        if common == FMT_BYTES & COMMON_MASK:
            return bytes(value)
        if common == FMT_UTF8 & COMMON_MASK:
            return self._decode_utf8(value)
        legacy = LEGACY.get(flags & LEGACY_MASK)
        if common == 0 and legacy not in {None, FMT_PICKLE}:
            return self.decode_value(value, legacy)
        # Other SDKs have private formats too: ours is the one with the legacy bit.
        if common in {0, PRIVATE} and legacy == FMT_PICKLE:
            return self._decode_pickle(value)
        warnings.warn(f"Flags {flags:#x} mean no known format: giving bytes", stacklevel=2)
        return bytes(value)

    def _encode_json(self, value: object) -> bytes:
        """Write JSON, by the user's function if there is one."""
        encode = self.json_encode
        if encode is None:
            return encode_json(value)
        try:
            made = encode(value)
            return str.encode(made) if isinstance(made, str) else exact_bytes(made)
        except Exception as error:
            raise _by_user(
                error, "json_encode", "takes a value, and gives text or bytes"
            ) from error

    def _decode_json(self, value: Buffer) -> Value:
        """Read JSON, by the user's function if there is one."""
        if (decode := self.json_decode) is None:
            return decode_json(value)
        text = self._decode_utf8(value)
        try:
            return decode(text)
        except Exception as error:
            error = sound(error)
            why = f"takes text, and gives a value; {_AS_BYTES}"
            raise _by_user(error, "json_decode", why) from error

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
            text = f"The text has no form in UTF-8 ({error.reason}): FMT_JSON can write it"
            raise ValueFormatError(text, inner_cause=error) from error

    @staticmethod
    def _decode_utf8(value: Buffer) -> str:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError as error:
            text = f"The value is flagged as text, but is no UTF-8 ({error.reason}); {_AS_BYTES}"
            raise ValueFormatError(text, inner_cause=error) from error

    def _encode_auto(self, value: object) -> tuple[bytes, int]:
        if isinstance(value, str):
            return self._encode_utf8(value), FMT_UTF8
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value), FMT_BYTES
        if not self.allow_pickle:
            return self._encode_json(value), FMT_JSON
        # Whoever allows pickles gets objects back as what they were.
        encode = _encode_no_record if self.json_encode is None else self._encode_json
        try:
            return encode(value), FMT_JSON
        except ValueFormatError:
            return self._encode_pickle(value), FMT_PICKLE

    def _encode_pickle(self, value: object) -> bytes:
        if not self.allow_pickle:
            raise ValueFormatError(
                "FMT_PICKLE is not allowed: use FMT_JSON, or open the bucket with "
                "transcoder=Transcoder(allow_pickle=True)"
            )
        try:
            return exact_bytes((self.pickle_encode or pickle.dumps)(value))
        except Exception as error:
            said = f"The value cannot be pickled ({type(error).__name__}): use another format than "
            said += "FMT_PICKLE, as FMT_JSON or FMT_BYTES"
            raise ValueFormatError(said, inner_cause=error) from error

    def _decode_pickle(self, value: Buffer) -> Value:
        if not self.allow_pickle:
            raise ValueFormatError(
                "The value is a pickle, which can run code when it is read; if you trust everyone "
                "who can write to the bucket, open it with transcoder=Transcoder(allow_pickle=True)"
            )
        try:
            return (self.pickle_decode or pickle.loads)(bytes(value))
        except Exception as error:
            said = f"The value is flagged as a pickle, but is none ({type(error).__name__})"
            raise ValueFormatError(f"{said}; {_AS_BYTES}", inner_cause=error) from error


def _by_user(error: Exception, what: str, wanted: str) -> ValueFormatError:
    text = f"the transcoder's {what} raised {type(error).__name__}: it {wanted}"
    return ValueFormatError(text, inner_cause=error)


TranscoderPP = Transcoder
"""The name of SDK 2.5."""


class LegacyTranscoderPP(Transcoder):
    """Writes the flags of clients older than RFC 0020, which these can read (SDK 2.5)."""

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
        """See `Transcoder`; the flags have their lowest three bits alone."""
        encoded, flags = super().encode_value(value, format)
        return encoded, flags & LEGACY_MASK


class OneWayTranscoder(Transcoder):
    """Writes all values in one way, whatever format is asked for; base of those below.

    What is appended to a document is text or bytes nevertheless.
    """


class JSONTranscoder(OneWayTranscoder):
    """Every value is JSON, whatever the format that is asked for (SDK 3 and later)."""

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002, ARG002
        """Return JSON. Raises `ValueFormatError` for what is none, as bytes."""
        return self._encode_json(value), FMT_JSON

    def decode_value(self, value: Buffer, flags: int) -> Value:
        """Return what the JSON means. Raises `ValueFormatError` for another format."""
        _expect(flags, FMT_JSON, self)
        return self._decode_json(value)


class RawJSONTranscoder(OneWayTranscoder):
    """Every value is JSON that others write and read: text or bytes, which are not looked into."""

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002, ARG002
        """Return the text or the bytes. Raises `ValueFormatError` for all else."""
        if isinstance(value, str):
            return self._encode_utf8(value), FMT_JSON
        return _encode_bytes(value, self), FMT_JSON

    def decode_value(self, value: Buffer, flags: int) -> bytes:
        """Return the bytes. Raises `ValueFormatError` for another format."""
        _expect(flags, FMT_JSON, self)
        return bytes(value)


class RawStringTranscoder(OneWayTranscoder):
    """Every value is text (`FMT_UTF8`)."""

    def encode_value(self, value: object, format: int = FMT_UTF8) -> tuple[bytes, int]:  # noqa: A002, ARG002
        """Return the text as UTF-8. Raises `ValueFormatError` for all else."""
        return self._encode_utf8(value), FMT_UTF8

    def decode_value(self, value: Buffer, flags: int) -> str:
        """Return the text. Raises `ValueFormatError` for another format."""
        _expect(flags, FMT_UTF8, self)
        return self._decode_utf8(value)


class RawBinaryTranscoder(OneWayTranscoder):
    """Every value is bytes (`FMT_BYTES`)."""

    def encode_value(self, value: object, format: int = FMT_BYTES) -> tuple[bytes, int]:  # noqa: A002, ARG002
        """Return the bytes. Raises `ValueFormatError` for all else."""
        return _encode_bytes(value, self), FMT_BYTES

    def decode_value(self, value: Buffer, flags: int) -> bytes:
        """Return the bytes. Raises `ValueFormatError` for another format."""
        _expect(flags, FMT_BYTES, self)
        return bytes(value)


class LegacyTranscoder(OneWayTranscoder):
    """The value's type decides, as with `FMT_AUTO`; pickles are off unless asked for.

    What else SDK 3 and later call so reads whatever is flagged as JSON and is none as text.
    """

    def encode_value(self, value: object, format: int = FMT_AUTO) -> tuple[bytes, int]:  # noqa: A002, ARG002
        """Return text, bytes or JSON by the type of the value."""
        return self._encode_auto(value)

    def decode_value(self, value: Buffer, flags: int) -> Value:
        """Return the value; of what is flagged as JSON, and is none, the text."""
        try:
            return super().decode_value(value, flags)
        except ValueFormatError:
            if flags & COMMON_MASK != FMT_JSON:
                raise
            return self._decode_utf8(value)


def _expect(flags: int, wanted: int, transcoder: Transcoder) -> None:
    """Raise ValueFormatError unless *flags* mean the format *wanted*."""
    found = format_of(flags)
    if found != wanted:
        raise ValueFormatError(
            f"{type(transcoder).__name__} reads {NAMES[wanted]} only, and the value is "
            f"{name_of(found)}: another transcoder can be given for one call"
        )


def _encode_bytes(value: object, transcoder: Transcoder) -> bytes:
    try:
        return exact_bytes(value)
    except TypeError as error:
        kinds = "text or bytes" if isinstance(transcoder, RawJSONTranscoder) else "bytes"
        text = f"{type(transcoder).__name__} takes {kinds}, not {type(value).__name__}"
        raise ValueFormatError(text, inner_cause=error) from error


def set_json_converters(
    encode: Callable[[Any], str | bytes] | None, decode: Callable[[str], Any] | None
) -> tuple[Callable[[Any], str | bytes], Callable[[str], Any]]:
    """Have all transcoders write and read JSON by these functions (SDK 2.5); None: by ours.

    Return the two that were in use. A transcoder that was given functions of its own keeps them.
    """
    old = Transcoder.json_encode or encode_json, Transcoder.json_decode or _decode_text
    Transcoder.json_encode = _of_class(None if encode is encode_json else encode)
    Transcoder.json_decode = _of_class(None if decode is _decode_text else decode)
    return old


def set_pickle_converters(
    encode: Callable[[Any], bytes] | None, decode: Callable[[bytes], Any] | None
) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Have pickles written and read by these functions (SDK 2.5); None: by `pickle`'s.

    Return the two that were in use. They are used only where a transcoder allows pickles.
    """
    old = Transcoder.pickle_encode or pickle.dumps, Transcoder.pickle_decode or pickle.loads
    Transcoder.pickle_encode, Transcoder.pickle_decode = _of_class(encode), _of_class(decode)
    return old


def _decode_text(text: str) -> Value:
    return decode_json(text.encode())


def _of_class(function: Any) -> Any:
    """Make an attribute of a class of *function*: it is no method."""
    return None if function is None else staticmethod(function)
