"""What users gave, as values of the built-in types alone: a subclass may lie in its methods."""

from __future__ import annotations

from typing import Any

from couchloop.exceptions import InvalidSettingError


def exact_bytes(data: object) -> bytes:
    """Return *data*, which a transcoder made, as bytes that nobody else can change.

    Raises TypeError if it is not bytes: a memoryview of wider items counts these, not bytes.
    """
    if isinstance(data, bytes | bytearray):
        return memoryview(data).tobytes()
    if isinstance(data, memoryview) and data.itemsize == 1:
        return data.tobytes()
    raise TypeError


def exact_integer(number: object) -> int | None:
    """Return *number* as an int; None: it is none. True and False are not: they are slips."""
    if type(number) is int:
        return number
    if isinstance(number, int) and not isinstance(number, bool):
        # A subclass may lie in each of its methods, but not in this one; PyPy's int.__index__ asks
        # those of the subclass.
        return int.__add__(number, 0)
    return None


def exact_text(text: object) -> str | None:
    """Return *text* as a str; None: it is none, or UTF-8 cannot say it (it has lone surrogates)."""
    if not isinstance(text, str):
        return None
    exact = str.__str__(text)
    try:
        exact.encode()
    except UnicodeEncodeError:
        return None
    return exact


def bare_text(given: Any) -> Any:
    """Return a text as a str, whatever it holds; anything else as it is, for who checks it."""
    return str.__str__(given) if isinstance(given, str) else given


def is_true(given: object, what: str, key: Any = None) -> bool:
    """Return *given* as a bool; *what* is what it says, *key* the document's, for the error.

    Raises InvalidSettingError (a TypeError) unless it is a bool, or a number as SDK 2.5 takes it:
    the text "false" would count as True.
    """
    if given is True or given is False:
        return given
    number = exact_integer(given)
    if number is None:
        raise InvalidSettingError(
            f"{what} is True or False, not {type(given).__name__}", key=key, objextra=given
        )
    return number != 0


def is_quiet(quiet: object, key: Any = None) -> bool:
    """Return *quiet* as a bool; raise InvalidSettingError (a TypeError) as `is_true` does."""
    return is_true(quiet, "quiet", key)
