"""Text from peers, made fit to be shown: the one function that everything passes on its way in.

A peer may write anything where a name or a reason is due: control characters that change a
terminal, line ends that forge a line of a log, a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecodeError
from typing import Final, TypeVar, cast

from couchloop.later import pattern

E = TypeVar("E", bound=Exception)

LONGEST: Final = 256
"""Characters of a peer's text that are kept, and of what an error shows: room for any legal key."""
_MARK: Final = "…"
_COUNTED: Final = pattern(
    r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b|\b0x[0-9A-Fa-f]+|[0-9]+"
)
"""UUIDs, addresses of objects, and numbers."""


def printable(text: str | bytes, limit: int = LONGEST) -> str:
    """Return *text* on one line, without a control character, and no longer than *limit*.

    Args:
        text: bytes are read as UTF-8; what is none becomes U+FFFD.
        limit: characters that are given at most; where more were, the last one is `…`.

    What no terminal shows (controls, directions of writing, lone surrogates, all blanks but the
    space) is written as Python escapes it. Given its own result it gives that again.
    """
    if isinstance(text, bytes):
        # A character has four bytes at most: the rest would not be shown anyway.
        text = text[: 4 * limit + 4].decode("utf-8", "replace")
    is_long = len(text) > limit
    if is_long:
        text = text[:limit]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else _escaped(each) for each in text)
        is_long = is_long or len(text) > limit
    return text[: limit - 1] + _MARK if is_long else text


def shown(value: object, limit: int = LONGEST) -> str:
    """Return a short repr; never raises, whatever the object's own methods do."""
    try:
        # What __repr__ gives may be of a subclass that lies as well.
        text = str.__str__(repr(value))
    except Exception:  # noqa: BLE001 - an error message must not become another error
        text = f"<{type(value).__name__}>"
    return printable(text, limit)


def in_quotes(name: object) -> str:
    """Return a name that somebody gave as the message of an error quotes it.

    Of what is no text that is its type: a repr may raise, show a secret, or differ each time.
    """
    if isinstance(name, str):
        return repr(printable(str.__str__(name)))
    return f"<{type(name).__name__}>"


def first_in_quotes(names: Iterable[object]) -> str:
    """Return the first of *names*, in order, so that equal mistakes have equal messages."""
    return min(map(in_quotes, names))


def words_of(error: BaseException) -> str:
    """Return what *error* says; of one that cannot say it, as users' own may, its class."""
    try:
        return str.__str__(str(error))
    except Exception:  # noqa: BLE001 - likewise
        return type(error).__name__


def general(text: str) -> str:
    """Return somebody else's *text* with # for its numbers: they are of one request, or one moment.

    What an error says must be the same for equal failures; the whole text goes with it elsewhere.
    """
    return _COUNTED.sub("#", text)


def sound(error: E) -> E:
    """Return an error of reading JSON as one whose text can be shown: itself, unless it quotes.

    PyPy 8.0 quotes the byte where it stopped, which may be a part of a character: a text that is
    none, whose use reads beyond its end or raises SystemError.
    """
    if not isinstance(error, JSONDecodeError):
        return error
    # Only encoding looks at the bytes alone.
    data = error.msg.encode("utf-8", "replace")
    text = data.decode("ascii", "replace")
    shown = "".join(each if " " <= each <= "~" else "?" for each in text)
    if shown.encode() == data:
        return error
    return cast("E", JSONDecodeError(shown, error.doc, error.pos))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
