"""Connection strings as they may be shown: *** in place of what is secret, mistyped or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from couchloop.exceptions import InvalidOptionError
from couchloop.later import pattern
from couchloop.settings.options import OPTION_NAMES, SECRET_NAMES, SECRET_WORD, find_option
from couchloop.settings.percent import decode
from couchloop.settings.seeds import PORT_TYPES

_MASK: Final = "***"
_QUERY: Final = pattern(r"\?|#|%23|[;&/](?=[^/?]*pass[^,/?]*=)", re.IGNORECASE)
"""Where options begin, or were meant to."""
_OPTIONS: Final = pattern(r"[&;?#]")
_WITHIN: Final = pattern(rf"(?:{SECRET_WORD.pattern})\w*\s*(?:[=:]|%3[AD])", re.IGNORECASE)
"""Another option in the value of one, spelt so that it is a part of the value."""
_NAME_ENDS: Final = pattern(r"[:,\s]|%(?:3A|2C|20)", re.IGNORECASE)
"""What no option has in its name."""
_BLANK: Final = pattern(r"\s")
_PIECE: Final = pattern(r"[^,;&/\s]+")
"""A host, or what was meant to be something else."""
_COLON: Final = pattern(r":|%3A", re.IGNORECASE)
_EQUALS: Final = pattern(r"=|%3D", re.IGNORECASE)
_RAW_COLON: Final = pattern(":")
_RAW_EQUALS: Final = pattern("=")
_SHOWN_ADDRESS: Final = pattern(
    r"@?(?:\[[0-9A-Fa-f.:]*(?:%[\w.~%-]+)?\]?|[0-9A-Fa-f.]*(?::[0-9A-Fa-f.]*){2,}(?:%[\w.~%-]+)?)"
)
_SHOWN_PORT: Final = pattern("[0-9]{0,5}")
_SHOWN_TYPES: Final = frozenset({"", "mccompat", *PORT_TYPES})


def masked(text: str) -> str:
    """Return a connection string, or what was meant to be one, with *** for its secrets."""
    return Masked(text).text


class Masked:
    """A connection string without its secrets, and where its positions went."""

    def __init__(self, text: str) -> None:
        self._spans = list(_secret_spans(text))
        self.text = text
        for start, end in reversed(self._spans):
            self.text = f"{self.text[:start]}{_MASK}{self.text[end:]}"

    def position(self, original: int, *, is_end: bool = False) -> int:
        """Return where a position went; within a secret: to the begin or the end of its mask."""
        moved = original
        for start, end in self._spans:
            if original >= end:
                moved += len(_MASK) - (end - start)
            elif original > start:
                moved += (len(_MASK) if is_end else 0) - (original - start)
        return moved


def _secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Return begin and end of each part of *text* that is, or may be, secret."""
    scheme, separator, _ = text.partition("://")
    begin = len(scheme + separator) if separator and not {"/", "?"} & set(scheme) else 0
    # Not our grammar, but written by hand often enough: scheme://user:password@host, where the
    # password may hold a ? itself. An @ after a = belongs to an option.
    query = text.find("?", begin)
    equals = text.find("=", query) if query >= 0 else -1
    rest = text[begin : equals if equals >= 0 else len(text)].replace("%40", "@  ")
    at = rest.rfind("@")
    if at >= 0 and (_COLON.search(rest[:at]) or "/" not in rest[:at]):
        yield begin, begin + at
        begin += at
    # Options after a # or a ; are mistyped, and none the less secret for that.
    start = _QUERY.search(text, begin)
    credential = _credential(text[begin : len(text) if start is None else start.start()])
    if credential is not None:
        # Nobody knows where it ends.
        yield begin + credential, len(text)
        return
    if start is None:
        return
    yield from _secret_options(text, start.end())


def _secret_options(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Return the secret parts of the options from *position* on."""
    secret = False
    for segment in _OPTIONS.split(text[position:]):
        name, sign, value = segment.partition("=")
        decoded = decode(name) or name
        is_known = decoded in OPTION_NAMES
        word = None if is_known else SECRET_WORD.search(name)
        parted = None if is_known else _NAME_ENDS.search(name)
        if sign:
            secret = decoded in SECRET_NAMES or not (is_known or not SECRET_WORD.search(decoded))
        hidden = None
        if sign and not name and SECRET_WORD.search(segment):
            hidden = 0
        elif parted is not None or (word is not None and word.end() < len(name)):
            # The = is missing: passwordSECRET, or user:SECRET.
            hidden = min(found.end() for found in (word, parted) if found is not None)
        elif secret and segment:
            # A piece without a = after a password may be the password's own, with its & unescaped.
            hidden = len(name) + 1 if sign else 0
        else:
            shown = _shown_value(decoded, value)
            hidden = len(name) + 1 + shown if shown < len(value) else None
        if hidden is not None:
            yield position + hidden, position + len(segment)
        position += len(segment) + 1


def _shown_value(name: str, value: str) -> int:
    """Return how many characters of an option's value may be shown."""
    within = _WITHIN.search(value)
    end = len(value) if within is None else within.end()
    option = find_option(name) if name in OPTION_NAMES else None
    if option is not None:
        try:
            option.parse(decode(value) or value, name)
        except InvalidOptionError:
            end = min(end, option.shown_part(value))
    return end


def _credential(text: str) -> int | None:
    """Return where in hosts and bucket something begins that may be secret; None: nowhere.

    What is after a colon is shown only if it is a port, what is after a = if it is its type.
    """
    word = SECRET_WORD.search(text)
    if word is not None and _BLANK.search(text):
        return word.end()
    for piece in _PIECE.finditer(text):
        # In the name of a bucket a %3A is what `encode` makes of a colon.
        colon = _RAW_COLON if "/" in text[: piece.start()] else _COLON
        equals = _RAW_EQUALS if colon is _RAW_COLON else _EQUALS
        address = _SHOWN_ADDRESS.match(piece[0])
        begin = 0 if address is None else address.end()
        sign = colon.search(piece[0], begin)
        if sign is not None:
            port = _SHOWN_PORT.match(piece[0], sign.end())
            assert port is not None  # it may be empty
            if port.end() < len(piece[0]) and not equals.match(piece[0], port.end()):
                return piece.start() + sign.end()
            begin = port.end()
        elif address is not None and "[" not in address[0] and begin < len(piece[0]):
            return piece.start() + begin
        kind = equals.search(piece[0], begin)
        if kind is not None and piece[0][kind.end() :].lower() not in _SHOWN_TYPES:
            return piece.start() + kind.end()
    return None
