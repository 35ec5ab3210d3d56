"""What users' code gave, checked before anything of it is kept: transcoders, keys, numbers.

A transcoder may be anybody's, and so may subclasses of str, bytes and int with their own methods.
What is registered and sent is therefore of the built-in types themselves; what cannot be is refused
where it is given, and harms nobody else's operation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from couchloop.arguments.exact import exact_bytes, exact_integer
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    EmptyKeyError,
    ErrorContext,
    InvalidCasError,
    InvalidKeyError,
    KeyTooLongError,
    TooBigError,
    ValueFormatError,
)
from couchloop.transcoder import Transcoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from couchloop.hot.request import Carrier

MAX_VALUE: Final = 20 * 1024 * 1024
"""Longest value in bytes; an inflated value may not exceed it either."""

_MAX_CAS: Final = 0xFFFFFFFFFFFFFFFF

_INSTEAD: Final = {
    "encode_key": "a key may be bytes, too",
    "encode_value": "FMT_BYTES takes bytes as they are",
    "decode_value": "no_format=True gives the value's bytes, as FMT_BYTES would",
}
"""What can be done where a transcoder cannot."""
_VALUE_METHODS: Final = ("encode_value", "decode_value")
_METHODS: Final = ("encode_key", *_VALUE_METHODS)


def transcoder_of(given: Any) -> Transcoder:
    """Return the transcoder that *given* means to SDK 2.5: none, an instance, or a class of one.

    Raises ArgumentError if it is none.
    """
    if given is None or given is False:
        return Transcoder()
    return _checked(given, _METHODS)


class Passthrough:
    """A transcoder that gives values as bytes, and does all else as the one behind it does.

    Args:
        behind: that one.
    """

    def __init__(self, behind: Transcoder) -> None:
        self.behind = behind

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    def decode_value(self, value: Any, flags: int) -> bytes:  # noqa: ARG002 - whatever it is
        """Return the bytes."""
        return bytes(value)


def value_transcoder_of(given: Any, key: Any = None) -> Transcoder:
    """Return the transcoder of one call, an instance or a class of one; it need know no keys.

    *key* is of the document, for the error. Raises ArgumentError if it is none.
    """
    try:
        return _checked(given, _VALUE_METHODS)
    except ArgumentError as error:
        error.key = key
        raise


def _checked(given: Any, methods: Sequence[str]) -> Transcoder:
    if isinstance(given, type):
        try:
            given = given()
        except Exception as error:
            raise ArgumentError(
                f"a transcoder's class is called without arguments, and {given.__name__} raised "
                f"{type(error).__name__}: give an instance",
                inner_cause=error,
            ) from error
    missing = [name for name in methods if not callable(getattr(given, name, None))]
    if missing:
        raise ArgumentError(
            f"a transcoder has the methods {', '.join(methods)}: {type(given).__name__} lacks "
            f"{', '.join(missing)}"
        )
    return given  # type: ignore[no-any-return]


def about(error: CouchbaseError, operation: str, key: Any) -> CouchbaseError:
    """Make *error* say which operation on which key it is about, unless it does."""
    if error.key is None:
        error.key = key
    context = error.context or ErrorContext()
    error.context = replace(
        context,
        operation=context.operation or operation,
        key=key if context.key is None else context.key,
    )
    return error


def not_encoded(
    error: Exception, what: str, operation: str, key: Any, origin: Carrier | None = None
) -> NoReturn:
    """Raise what it means that a transcoder's method *what* has raised *error*.

    That is *error* itself if it is a ValueFormatError, else one with it as the cause: what an
    operation of the transcoder's own has raised must not seem to be about this document.
    *origin* is where the value came from.
    """
    try:
        if not isinstance(error, ValueFormatError):
            text = f"the transcoder's {what} raised {type(error).__name__}: {_INSTEAD[what]}"
            error = ValueFormatError(text, inner_cause=error)
        about(error, operation, key)
        if origin is not None and error.context is not None:
            error.context.bucket = origin.bucket
            error.context.node = str(origin.address)
        raise error
    finally:
        # This frame is part of its traceback, and it must not point to itself.
        del error


def encode_key(transcoder: Transcoder, key: str | bytes, operation: str) -> bytes:
    """Return a key's bytes, checked as those of an operation are.

    Raises what `not_encoded` does, InvalidKeyError for what is no bytes.
    """
    try:
        raw = transcoder.encode_key(key)
    except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
        not_encoded(error, "encode_key", operation, key)
    return raw if type(raw) is bytes else exact_key(raw, operation, key)


def exact_key(raw: object, operation: str, key: Any) -> bytes:
    """Return as bytes what a transcoder made of *key*; raise InvalidKeyError if it is none."""
    try:
        return exact_bytes(raw)
    except Exception as error:
        text = f"the transcoder's encode_key gives bytes, and gave {type(raw).__name__}"
        raise about(InvalidKeyError(text), operation, key) from error


def not_a_value(made: object, error: Exception, operation: str, key: Any) -> CouchbaseError:
    """Return what to raise where a transcoder's encode_value has given *made*."""
    text = "the transcoder's encode_value gives bytes and flags (an integer of 32 bits)"
    if issubclass(type(made), tuple):
        # A subclass may do anything when it is asked for its items.
        items = tuple.__iter__(cast("tuple[Any, ...]", made))
        kinds = ", ".join(type(each).__name__ for each in items)
        text += f", and gave ({kinds})"
    else:
        text += f", and gave {type(made).__name__}"
    return about(ValueFormatError(text, inner_cause=error), operation, key)


def too_big(operation: str, key: Any) -> TooBigError:
    """Return what to raise for a value above 20 MiB."""
    error = TooBigError(
        f"the value takes more than {MAX_VALUE} bytes (20 MiB), the most that the server takes: "
        "nothing was sent; store it in parts"
    )
    about(error, operation, key)
    return error


def bad_key(key: Any, raw: bytes, defaults: Any) -> ArgumentError:
    """Return what is wrong with a key whose bytes are none, or too many for *defaults*."""
    most = defaults.max_key
    if not raw:
        return EmptyKeyError(f"the key is empty: give 1 to {most} bytes", key=key)
    of_these = "" if defaults.collection is None else " in a named collection"
    return KeyTooLongError(
        f"the key takes more than {most} bytes, which are the most{of_these} (UTF-8)",
        key=key,
        objextra=len(raw),
    )


def exact_cas(cas: object, key: Any) -> int:
    """Return a CAS as a number; raise InvalidCasError for what is none."""
    number = 0 if cas is None or cas is False else exact_integer(cas)
    if number is None or not 0 <= number <= _MAX_CAS:
        raise InvalidCasError("CAS must be an integer from 0 to 2**64-1", key=key, objextra=cas)
    return number
