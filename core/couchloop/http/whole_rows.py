"""Many rows at once, where a piece of an answer holds many: what makes scanning cheap.

A service writes the same bytes between all its rows, so where the last row of a piece ends can be
guessed. The guess is proved: what stands before it must be values and commas, and a value in JSON
ends where it ends, so these are the rows. msgspec proves it where it is there (`couchloop[fast]`),
a regular expression where it is not, or where msgspec does not like what `json` reads. What neither
takes is left to `JsonValue`, which takes rows of any shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from couchloop import transcoder
from couchloop.formats import Buffer
from couchloop.http.json_value import BLANKS, GAP, SCALAR, TEXT
from couchloop.http.repeats import ANY, MAYBE

_DEEPEST: Final = 8
"""Objects and lists in each other, for the regular expression; it grows with each level."""
_first_name: Final = re.compile(rb'\{"[^"\\]{0,40}":').match
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_SHALLOW: Final = 16
"""Objects and lists in each other that are found out about quickly."""
_NEWLINE: Final = b"\n"
_CLOSING: Final = b'}]"'

split: Callable[[bytes], Iterable[Buffer]] | None = None
"""Return the values in a JSON list, as buffers of their bytes; raise JSON_ERRORS if it is none."""
transcoder.load()
try:
    import msgspec
except ImportError:
    pass
else:
    split = msgspec.json.Decoder(list[msgspec.Raw]).decode


_by_name: Callable[[bytes], Mapping[str, Buffer]]
"""Return the members of a JSON object, as `split` does; of two of the same name one."""
if split is not None:
    _by_name = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


Read = Callable[[bytes], list[Any]]
"""Return what the values of a JSON list mean; raise JSON_ERRORS if it cannot tell."""

try_decode_list: Read | None = None
"""Reads what `couchloop.transcoder.try_decode_json` reads; None: there is no such thing."""
if split is not None:
    try_decode_list = msgspec.json.Decoder(list).decode


class WholeAnswer(NamedTuple):
    """What `whole_answer` has found."""

    rows: list[Any] | None
    """Bytes, or what was read of them. None: there is no list of them."""
    has_member: bool
    """Whether there is the member that has them, if only as `null`."""
    others: dict[str, bytes]
    """The other members."""


def whole_answer(
    data: bytes, member: str, deepest: int, read: Read | None = None
) -> WholeAnswer | None:
    """Return what an answer has that is whole, where msgspec can tell; None: that is not known.

    Args:
        data: all of it.
        member: name of the one that has the rows.
        deepest: how many objects and lists may be in each other.
        read: reads the rows, if they are to be given so.
    """
    if split is None or data.count(b"{") + data.count(b"[") > deepest:
        return None
    try:
        others = {name: bytes(value) for name, value in _by_name(data).items()}
        listed = others.get(member)
        rows: list[Any] | None = None
        if listed is not None and listed != b"null":
            rows = list(map(bytes, split(listed))) if read is None else read(listed)
    except transcoder.JSON_ERRORS:
        return None
    # A member that is there twice is a fault. With an escape, a name has many forms.
    rest = data.replace(listed, b"", 1) if listed else data
    if b"\\" in rest or any(rest.count(b'"%b"' % name.encode()) != 1 for name in others):
        return None
    others.pop(member, None)
    return WholeAnswer(rows, listed is not None, others)


class Found(NamedTuple):
    """What `WholeRows.take` has found."""

    rows: list[Any]
    """Bytes, or what was read of them."""
    end: int
    """Index of what follows them."""
    is_after_row: bool
    """Whether a comma must follow, or the end of the rows; a row otherwise."""


class WholeRows:
    """Finds rows that are complete in a piece.

    Args:
        deepest: how many objects and lists may be in each other.

    Attributes:
        read: reads rows that are found, if they are to be given so, and it can.

    """

    def __init__(self, deepest: int, read: Read | None = None) -> None:
        self.read = read if deepest >= _SHALLOW else None
        self._deepest = deepest
        value, member, row = _patterns(min(deepest, _DEEPEST))
        self.match_member: Callable[[bytes, int], re.Match[bytes] | None] = member.match
        """Match the value of a member, of any kind but deep, where what follows it is there too."""
        self._is_value = value.fullmatch
        self._cut = row.findall
        self._between: list[bytes] = []
        """What stands between two rows, with the last byte of one and the first of the other."""
        self._closing = 0
        """How many bytes of it belong to the first."""

    def learn(self, data: bytes, end: int, start: int) -> None:
        """Learn from *data* what stands between rows: one ends at *end*, the next is at *start*."""
        self._closing = int(data[end - 1] in _CLOSING)
        between = data[end - self._closing : start + 1]
        self._between = [between]
        # No row has a line break in a text. Where they have no lines of their own, rows may contain
        # the same bytes; but most begin with the same name.
        if _NEWLINE not in between and (name := _first_name(data, start)):
            self._between.insert(0, between[:-1] + name[0])

    def take(self, data: bytes, at: int) -> Found | None:
        """Return what rows *data* has, of which one begins at *at*; None: that is not known."""
        for between in self._between:
            end = data.rfind(between, at)
            if end >= at:
                break
        else:
            return None
        end += self._closing
        if split is not None:
            listed = b"[%b]" % data[at:end]
            if self.read is not None and _is_shallow(listed):
                try:
                    return Found(self.read(listed), end, is_after_row=True)
                except transcoder.JSON_ERRORS:
                    # There may be one that only `json` can read.
                    pass
            try:
                rows = list(map(bytes, split(listed)))
            except transcoder.JSON_ERRORS:
                pass
            else:
                is_found = rows and self._are_flat(rows)
                return Found(rows, end, is_after_row=True) if is_found else None
        return self._match(data, at, end)

    def _are_flat(self, rows: list[bytes]) -> bool:
        """Whether no row is nested too deeply, as far as can be told without following each."""
        # One that is has as many brackets that open, and as many that close.
        if max(map(len, rows)) <= 2 * self._deepest:
            return True
        return all(
            len(row) <= 2 * self._deepest
            or row.count(b"{") + row.count(b"[") <= self._deepest
            or self._is_value(row) is not None
            for row in rows
        )

    def _match(self, data: bytes, at: int, end: int) -> Found | None:
        rows = self._cut(data, at, end)
        if not rows or not data.endswith(rows[-1], at, end):
            return None
        if self._is_value(rows[-1]) is not None:
            return Found(rows, end, is_after_row=True)
        # What is no row, or none that has ended, has been taken as it is, up to the end.
        return Found(rows, end - len(rows.pop()), is_after_row=False)


def _is_shallow(data: bytes) -> bool:
    """Whether *data* is not nested deeply, as far as its brackets alone tell; texts may have some.

    What is taken for shallow and is not, for its texts are made so, `read` bounds by itself.
    """
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(_SHALLOW):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return True
    return False


@lru_cache
def _patterns(deepest: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """Return the patterns of a value, of a member's value, and of a row, or else all that is left.

    Args:
        deepest: how many objects and lists may be in each other.
    """
    texts = GAP + rb"(?:" + TEXT + GAP + rb")" + ANY
    brackets = rb"[{\[]" + texts + rb"[}\]]"
    for _ in range(deepest - 1):
        brackets = rb"[{\[]" + texts + rb"(?:" + brackets + texts + rb")" + ANY + rb"[}\]]"
    value = rb"(?:" + brackets + rb"|" + TEXT + rb"|" + SCALAR + rb")"
    member = value + rb"(?=" + BLANKS + rb"[,}])"
    row = rb"(" + value + rb"(?=" + BLANKS + rb"(?:,|\Z))|.++)"
    row += rb"(?:" + BLANKS + rb"," + BLANKS + rb")" + MAYBE
    return (
        re.compile(value, re.DOTALL),
        re.compile(member, re.DOTALL),
        re.compile(row, re.DOTALL),
    )
