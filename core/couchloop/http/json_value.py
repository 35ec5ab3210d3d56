"""One JSON value (RFC 8259) that arrives in pieces: where it ends, whatever is in it.

Only what tells its end is looked at: texts, escapes, brackets. Whether all else in it is JSON is
told by who decodes it. Each byte is looked at once, however many pieces there are; the work is done
by regular expressions that stop at the next bracket that counts, never byte by byte.
"""

from __future__ import annotations

import re
from typing import Final

from couchloop.exceptions import AnswerTooLargeError, BrokenAnswerError
from couchloop.http.repeats import ANY, MAYBE

BLANKS: Final = rb"[ \t\n\r]*+"
_PLAIN_TEXT: Final = rb'[^"\\]*+(?:\\.[^"\\]*+)' + ANY
TEXT: Final = rb'"' + _PLAIN_TEXT + rb'"'
"""A text, to be compiled with `re.DOTALL`."""
GAP: Final = rb'[^"{}\[\]]*+'
"""What neither begins a text nor changes the depth."""
_FRACTION: Final = rb"(?:\.[0-9]++)" + MAYBE
_EXPONENT: Final = rb"(?:[eE][-+]?+[0-9]++)" + MAYBE
SCALAR: Final = rb"(?:-?(?:0|[1-9][0-9]*+)" + _FRACTION + _EXPONENT + rb"|true|false|null)"
"""A number or a literal."""

_past_blanks: Final = re.compile(BLANKS).match
_past_plain_text: Final = re.compile(_PLAIN_TEXT, re.DOTALL).match
_past_whole_texts: Final = re.compile(GAP + rb"(?:" + TEXT + GAP + rb")" + ANY, re.DOTALL).match
_past_word: Final = re.compile(rb"[-+.0-9A-Za-z]*+").match
_is_scalar: Final = re.compile(SCALAR).fullmatch

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_OPEN: Final = frozenset(b"{[")
_WORDS: Final = frozenset(b"-0123456789tfn")
"""First bytes of numbers and literals."""
_OF_A_WORD: Final = -1
"""The depth of a number or a literal."""


def skip_blanks(data: bytes, at: int) -> int:
    """Return the index of the first byte of *data* from *at* on that is no white space."""
    # Most of what is asked about has none.
    if at < len(data) and data[at] > 0x20:
        return at
    found = _past_blanks(data, at)
    assert found is not None
    return found.end()


class JsonValue:
    """One value at a time: `begin`, then `advance` until `complete`, then `take`.

    Args:
        deepest: how many objects and lists may be in each other.
    """

    __slots__ = (
        "_cure",
        "_deepest",
        "_depth",
        "_escaped",
        "_in_text",
        "_longest",
        "_pieces",
        "_size",
        "_what",
        "complete",
    )

    def __init__(self, deepest: int) -> None:
        self.complete = False
        """Whether the last byte of the value has been seen."""
        self._deepest = deepest
        self._depth = 0
        self._in_text = False
        self._escaped = False
        """Whether the last byte seen was a backslash that escapes the next one."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._longest = 0
        self._what = self._cure = ""

    def begin(self, first: int, longest: int, what: str, cure: str) -> None:
        """Expect a value whose first byte is *first*, at which `advance` will begin.

        Args:
            first: the byte.
            longest: bytes that the value may have.
            what: it is, in the text of an error.
            cure: what helps where it is longer, or nested more deeply.

        Raises BrokenAnswerError where no value begins with this byte.
        """
        if first != _QUOTE and first not in _OPEN and first not in _WORDS:
            raise BrokenAnswerError(f"the answer is no JSON: {what} is missing, or begins wrongly")
        self.complete = self._escaped = False
        self._in_text = first == _QUOTE
        self._depth = _OF_A_WORD if first in _WORDS else int(first in _OPEN)
        self._size = 0
        self._pieces.clear()
        self._longest, self._what, self._cure = longest, what, cure

    def advance(self, data: bytes, at: int) -> int:
        """Take from *data*, from *at* on, what belongs to the value; return where that ends.

        Raises AnswerTooLargeError for more than may be, BrokenAnswerError for a number or a literal
        that is none.
        """
        is_word = self._depth == _OF_A_WORD
        if is_word:
            end = self._past_word(data, at)
        else:
            # The first byte is known from `begin`.
            end = self._past_brackets(data, at if self._size else at + 1)
        self._size += end - at
        if self._size > self._longest:
            self._pieces.clear()
            raise AnswerTooLargeError(
                f"{self._what} has more than {self._longest} bytes: {self._cure}"
            )
        self._pieces.append(data[at:end])
        if self.complete and is_word and not _is_scalar(b"".join(self._pieces)):
            raise BrokenAnswerError(f"the answer is no JSON: {self._what} is no value")
        return end

    def take(self) -> bytes:
        """Return the value that is complete."""
        value = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return value

    def _past_word(self, data: bytes, at: int) -> int:
        """Return where a number or a literal ends; only what follows shows that it does."""
        found = _past_word(data, at)
        assert found is not None
        self.complete = found.end() < len(data)
        return found.end()

    def _past_brackets(self, data: bytes, at: int) -> int:
        """Return where an object, a list or a text ends, or *data* does."""
        size = len(data)
        while at < size:
            if self._in_text:
                at = self._past_text(data, at)
                if self._in_text:
                    break
            else:
                found = _past_whole_texts(data, at)
                assert found is not None
                at = found.end()
                if at == size:
                    break
                byte = data[at]
                at += 1
                if byte == _QUOTE:
                    # It does not end in this piece.
                    self._in_text = True
                    continue
                self._depth += 1 if byte in _OPEN else -1
                if self._depth > self._deepest:
                    raise AnswerTooLargeError(
                        f"{self._what} is nested more than {self._deepest} times: {self._cure}"
                    )
            if self._depth == 0:
                self.complete = True
                break
        return at

    def _past_text(self, data: bytes, at: int) -> int:
        """Return where a text ends that has begun, or *data* does."""
        if self._escaped:
            self._escaped = False
            at += 1
        found = _past_plain_text(data, at)
        assert found is not None
        at = found.end()
        if at == len(data):
            return at
        # A quote; or a backslash, as the last byte: with another one behind it, it is passed.
        self._escaped = data[at] == _BACKSLASH
        self._in_text = self._escaped
        return at + 1
