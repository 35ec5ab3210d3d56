"""Documents as values of a type that the user names: msgspec decodes and encodes them.

A type is whatever msgspec takes: a `msgspec.Struct`, a dataclass, a TypedDict, an attrs class, or
`list[…]` and the like of these. Nothing is made of a value that the type does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, is_typeddict

from couchloop.exceptions import (
    FeatureNotAvailableError,
    InvalidSettingError,
    ValueFormatError,
)
from couchloop.later import Module
from couchloop.safety.printable import printable

if TYPE_CHECKING:
    import msgspec
else:
    msgspec = Module("msgspec", globals()) if find_spec("msgspec") else None

__all__ = [
    "TYPES",
    "check_installed",
    "convert",
    "decoder_of",
    "encode_record",
    "is_about_type",
    "is_decoded",
    "is_record",
    "misfit",
    "plain",
]

_INSTALL: Final = "pip install 'couchloop[fast]'"

TYPES: Final = 256
"""Types whose decoders are kept; of more the one goes that was not used for the longest time."""

_MARKS: Final = ("__struct_fields__", "__dataclass_fields__", "__attrs_attrs__")
"""What classes have whose instances msgspec writes and `json` does not."""

# Patterns as text: they are compiled where the first document does not fit.
_AT: Final = r"(?s)(.*) - at (?:`key` in )?`(\$[^`]*)`"
"""How msgspec says what does not fit, and where."""
_KNOWN: Final = (
    r"Expected `[^`]+`(?:, got `[^`]+`)?(?: (?:of length )?(?:[<>]=?|that's a multiple of)? ?[\d.]+"
    r"| matching regex '.*')?|Invalid [A-Za-z0-9]+(?: [a-z0-9]+)*|[A-Z][a-z]+(?: is)? out of range"
)
"""What it says of types, and not of values."""
_MISSING: Final = r"Object missing required field `([^`]+)`"
_UNKNOWN: Final = "Object contains unknown field"


def check_installed(what: str) -> None:
    """Raise FeatureNotAvailableError unless msgspec is there, which is needed for *what*."""
    if msgspec is None:
        raise FeatureNotAvailableError(
            f"msgspec is needed {what}, and is not installed: {_INSTALL}"
        )


def is_record(kind: type) -> bool:
    """Whether *kind* is a class with fields: a Struct, a dataclass, an attrs class."""
    return any(hasattr(kind, mark) for mark in _MARKS)


def is_decoded(kind: Any) -> bool:
    """Whether a value of the type *kind* is made of JSON rather than of what JSON says."""
    return not isinstance(kind, type) or is_record(kind) or is_typeddict(kind)


def encode_record(value: object) -> bytes:
    """Return the JSON of a Struct, a dataclass or an instance of an attrs class.

    NaN and Infinity are null in it. Raises what msgspec raises.
    """
    check_installed(f"to encode a {printable(type(value).__name__)}")
    return msgspec.json.encode(value)


def plain(value: object) -> Any:
    """Return what JSON can say in place of *value*, which `json` cannot write.

    Raises TypeError unless it has fields, and what msgspec raises.
    """
    if not is_record(type(value)):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    check_installed(f"to encode a {printable(type(value).__name__)}")
    return msgspec.to_builtins(value, str_keys=True)


def decoder_of(kind: Any) -> Callable[[Any], Any]:
    """Return what makes a value of the type *kind* of JSON: it raises what msgspec raises.

    Raises InvalidSettingError (an ArgumentError and a TypeError) for what is no type, or one that
    cannot be read from JSON; FeatureNotAvailableError without msgspec.
    """
    check_installed("to decode into a type")
    try:
        return _decoder_of(kind)
    except InvalidSettingError:
        raise
    except TypeError:
        # What cannot be hashed is made anew each time.
        return _decoder_of.__wrapped__(kind)


@lru_cache(TYPES)
def _decoder_of(kind: Any) -> Callable[[Any], Any]:
    try:
        made = msgspec.json.Decoder(kind)
        is_foreign = isinstance(msgspec.inspect.type_info(kind), msgspec.inspect.CustomType)
    except Exception as error:
        # A name that is not defined, a type that JSON cannot tell from another, and much else.
        text = f"no value of the type {_name(kind)} can be read from JSON"
        raise InvalidSettingError(text, inner_cause=error, objextra=kind) from error
    if is_foreign and kind is not object:
        text = (
            f"no value of the type {_name(kind)} can be read from JSON: give a msgspec.Struct, a "
            "dataclass, a TypedDict, or a type that is made of such"
        )
        raise InvalidSettingError(text, objextra=kind)
    return made.decode


def convert(value: Any, kind: Any, part: str = "") -> Any:
    """Return *value*, which was read from JSON, as a value of the type *kind*.

    *part*: the member that it is of a row; empty: it is a whole document. Raises ValueFormatError
    if it does not fit, and what `decoder_of` raises.
    """
    decoder_of(kind)
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except Exception as error:  # noqa: BLE001 - a type may have code of the user's
        raise misfit(error, kind, part) from None


def is_about_type(error: Exception) -> bool:
    """Whether a decoder raised *error* for its type, or in its code, and not for JSON as such."""
    # What msgspec says of JSON as such is no ValueError in version 0.20.
    return isinstance(error, msgspec.ValidationError) or not isinstance(
        error, ValueError | RecursionError | msgspec.DecodeError
    )


def misfit(error: Exception, kind: Any, part: str = "") -> ValueFormatError:
    """Return what it means that msgspec has raised *error* for a value that is to be a *kind*.

    *part*: see `convert`. It names the field and the types, and never the value. Nor is *error* its
    cause: it may have the value in its text.
    """
    # That of the user's own code may have no text.
    said = str(error) if isinstance(error, msgspec.ValidationError) else ""
    found = re.fullmatch(_AT, said)
    path = "$"
    if found is not None:
        said, path = found[1], found[2]
    reason = "its value is none of those that the type takes"
    missing = re.fullmatch(_MISSING, said)
    if isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    elif error.__cause__ is not None or not isinstance(error, msgspec.ValidationError):
        reason = f"code of the type raised {type(error.__cause__ or error).__name__}"
    elif missing is not None:
        path, reason = f"{path}.{missing[1]}", "it is missing"
    elif said.startswith(_UNKNOWN):
        reason = "it has a field that the type does not know"
    elif re.fullmatch(_KNOWN, said):
        reason = said[0].lower() + said[1:].replace("`", "")
    path = printable(f"$.{part}{path[1:]}" if part else path)
    # Which element of an array it is differs between equal failures.
    field = re.sub(r"\[\d+\]", "[…]", path).removeprefix("$").removeprefix(".")
    where = f"the field {field}" if field else "the document"
    made = ValueFormatError(f"{where} does not fit {_name(kind)}: {printable(reason)}")
    made.path = path
    return made


def _name(kind: Any) -> str:
    """Return a type as a program names it."""
    if isinstance(kind, type) and type(kind).__name__ != "GenericAlias":
        return printable(kind.__name__)
    try:
        return printable(repr(kind))
    except Exception:  # noqa: BLE001 - an error must not become another
        return f"<{type(kind).__name__}>"
