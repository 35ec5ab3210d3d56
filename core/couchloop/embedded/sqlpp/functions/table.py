"""A topic's functions, and what they have in common: arguments checked, results bounded.

The rule of nearly all functions: MISSING if any argument is MISSING, else NULL if any is NULL or of
a wrong type. What a function wants is said by a letter for each argument:

    s string    n number     i number without fraction, given as an int
    b boolean   a array      o object
    v anything but NULL      x anything, NULL too

Those after `?` may be left out; `+` at the end: the last one may be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from couchloop.embedded.sqlpp.errors import FunctionError
from couchloop.embedded.sqlpp.functions.function import Context, Function
from couchloop.embedded.sqlpp.values import (
    MISSING,
    Value,
    integral,
    is_number,
    number,
    rank,
)

Call = Callable[[Sequence[Value], Context], Value]

LONGEST: Final = 20 << 20
"""Bytes that the text or array of one function may have; the service's own limit."""

_FURTHEST: Final = (1 << 31) - 1
_ELEMENT: Final = 8
"""Bytes that the service takes an element of an array for."""

_ACCEPTS: Final[dict[str, Callable[[Value], bool]]] = {
    "s": lambda value: type(value) is str,
    "n": is_number,
    "i": lambda value: integral(value) is not None,
    "b": lambda value: type(value) is bool,
    "a": lambda value: type(value) is list,
    "o": lambda value: isinstance(value, dict),
    "v": lambda value: value is not None,
    "x": lambda value: True,  # noqa: ARG005 - each takes the value
}


class Table(dict[str, Function]):
    """Functions by name, as they are added."""

    def add(
        self,
        names: str,
        arguments: str,
        returns: str,
        call: Callable[..., Value],
        *,
        told: bool = False,
    ) -> None:
        """Add a function that follows the rule.

        Args:
            names: of it, and its other names, with blanks between.
            arguments: what it wants, as above.
            returns: the type that signatures name.
            call: it, given the arguments.
            told: whether it is given `Context.spend` before them.
        """
        repeated = arguments.endswith("+")
        needed, _, optional = arguments.removesuffix("+").partition("?")
        letters = needed + optional
        maximum = None if repeated else len(letters)
        checked = _checked(letters, call, told=told)
        self.add_plain(names, len(needed), maximum, returns, checked)

    def add_plain(
        self, names: str, minimum: int, maximum: int | None, returns: str, call: Call
    ) -> None:
        """Add a function that looks at its arguments itself."""
        for name in names.split():
            self[name] = Function(name, minimum, maximum, call, returns)


def _checked(letters: str, call: Callable[..., Value], *, told: bool) -> Call:
    accepts = [_ACCEPTS[letter] for letter in letters]
    whole = [letter == "i" for letter in letters]
    last = len(letters) - 1

    def checked(arguments: Sequence[Value], context: Context) -> Value:
        if MISSING in map(_only_missing, arguments):
            return MISSING
        given: list[Any] = [context.spend] if told else []
        for index, argument in enumerate(arguments):
            place = min(index, last)
            if not accepts[place](argument):
                return None
            given.append(integral(argument) if whole[place] else argument)
        return normal(call(*given))

    return checked


def _only_missing(value: Value) -> Value:
    # Comparing objects with MISSING would compare their members.
    return MISSING if value is MISSING else None


def normal(value: Value) -> Value:
    """Return a result with numbers in their normal form; of arrays, only what makes it whole."""
    return number(value) if is_number(value) else value


def bounded(name: str, size: int) -> None:
    """Raise FunctionError if a text of that many bytes is more than the service makes."""
    if size > LONGEST:
        raise _refusal(5037, "size", f"Size of {name} result exceeds limit ({size} > {LONGEST}).")


def bounded_array(name: str, count: float) -> None:
    """Raise FunctionError if an array of that many elements is more than the service makes."""
    if count > _FURTHEST or math.isnan(count):
        raise _refusal(5035, "range", f"Out of range evaluating {name}().")
    bounded(f"{name}()", int(count) * _ELEMENT)


def _refusal(code: int, kind: str, text: str) -> FunctionError:
    reason = {
        "_level": "exception",
        "caller": "functions:1",
        "code": code,
        "key": f"execution.{kind}_error",
        "message": text,
    }
    return FunctionError("", reason=reason)


def utf8(text: str) -> bytes:
    """Return a text as UTF-8; half of a surrogate pair, which JSON may hold, is no error."""
    return text.encode("utf-8", "surrogatepass")


def from_utf8(data: bytes) -> str:
    """Return bytes as a text, U+FFFD for each byte that is part of no character."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _mended(data)


def _mended(data: bytes) -> str:
    parts = []
    while data:
        try:
            parts.append(data.decode())
            break
        except UnicodeDecodeError as error:
            parts.extend((data[: error.start].decode(), "\ufffd" * (error.end - error.start)))
            data = data[error.end :]
    return "".join(parts)


def option(options: Mapping[str, Value] | None, name: str, kind: type) -> Any:
    """Return a member of an options object if it is of that type, else None."""
    value = None if options is None else options.get(name)
    return value if type(value) is kind else None


def valued(value: Value) -> bool:
    """Whether a value is neither MISSING nor NULL."""
    return rank(value) > 1
