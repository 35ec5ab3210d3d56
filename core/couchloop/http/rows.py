"""The rows of a service's answer, found while it streams: bytes in, rows out.

Query, analytics, views and search answer with one JSON object. One of its members is the list of
rows; the others say how it went, and stand before the rows, after them, or both. `RowScanner` gives
each row's bytes as soon as they are there, in whatever pieces they come, and keeps the other
members. What it holds is one row that has not ended, whatever the size of the answer. Many that are
found together can be read together (`read`), which costs less than to find and read each.

Rows are cut out by their texts and brackets. Whether what is in one is JSON is for whoever decodes
it: one that is no JSON is given all the same, and does not decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from couchloop.exceptions import (
    AnswerError,
    BrokenAnswerError,
    IncompleteAnswerError,
    ValueFormatError,
    own_copy,
    without_frames,
)
from couchloop.formats import Buffer
from couchloop.http.json_value import BLANKS, JsonValue, skip_blanks
from couchloop.http.whole_rows import Read, WholeRows, whole_answer
from couchloop.transcoder import decode_json

QUERY_ROWS: Final = "results"
"""Name of the member that has the rows, in answers of the query and the analytics service."""
VIEW_ROWS: Final = "rows"
"""As `QUERY_ROWS`, of views."""
SEARCH_ROWS: Final = "hits"
"""As `QUERY_ROWS`, of the search service."""

LONGEST_ROW: Final = 64 * 1024 * 1024
"""Bytes of a row, unless said otherwise: three of the largest documents (20 MiB) joined."""
LONGEST_REST: Final = 16 * 1024 * 1024
"""Bytes of all other members together, unless said otherwise; profiles have the most."""
DEEPEST: Final = 500
"""Objects and lists in each other, unless said otherwise: what `json` can read."""

_LONGEST_PIECE: Final = 1024 * 1024
"""Bytes that are looked at together: more are looked at one part after the other."""

_SMALL: Final = 4 * 1024
"""Bytes of the largest answer that is looked at as a whole, if it comes so."""

_FEWER: Final = "ask for less in one row, as fewer fields or shorter lists"
_LESS: Final = "ask for less beside the rows, as no profile, or fewer facets"

_plain_name: Final = re.compile(
    BLANKS + rb'"([ !#-\[\]-~]*+)"' + BLANKS + rb":" + BLANKS + rb"(?!\Z)"
).match
"""Match the name of a member and the colon behind it, where something follows in the same piece."""

_COMMA: Final = ord(",")
_COLON: Final = ord(":")
_QUOTE: Final = ord('"')
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_OPEN_LIST: Final = ord("[")
_CLOSE_LIST: Final = ord("]")

_Step = Callable[["RowScanner", bytes, int], int]
"""Takes from a piece, from an index on, what comes next in the answer; returns where to go on."""


class RowScanner:
    """Finds the rows of one answer.

    Args:
        member: name of the member that has the rows: `QUERY_ROWS`, `VIEW_ROWS` or `SEARCH_ROWS`.
        longest_row: bytes that a row may have.
        longest_rest: bytes that all other members may have together.
        deepest: how many objects and lists may be in each other, in a row or in another member.
        read: reads a list of rows; None: the bytes of each are given.
    """

    def __init__(
        self,
        member: str,
        *,
        longest_row: int = LONGEST_ROW,
        longest_rest: int = LONGEST_REST,
        deepest: int = DEEPEST,
        read: Read | None = None,
    ) -> None:
        self.rows = 0
        """How many rows have been given."""
        self.has_rows = False
        """Whether there is a list of rows; refused requests have none, and `null` is none."""
        self.members: dict[str, Any] = {}
        """The other members, by name, as far as they are there: those before the rows are there
        with the first row, all of them when the answer is complete."""
        self.fault: AnswerError | None = None
        """What is wrong with the answer; `feed` and `close` raise it, rows before it come first."""
        self._member = member
        self._longest_row = longest_row
        self._longest_rest = longest_rest
        self._rest_size = 0
        self._piece = min(longest_row, _LONGEST_PIECE)
        self._deepest = deepest
        self._read = read
        self._value: JsonValue
        self._whole: WholeRows
        self._found: list[Any] = []
        """Rows of the pieces that are being looked at."""
        self._name = ""
        """Of the member that is being read."""
        self._has_member = False
        """Whether the rows' member has been met."""
        self._offset = 0
        """Bytes before the piece that is being looked at."""
        self._row_end = 0
        """Index in the piece of what follows the last row; 0: none has a byte of it."""
        self._is_whole_tried = False
        """Whether the piece has been looked at for many rows at once."""
        self._step: _Step = RowScanner._start

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended as it must; white space may follow."""
        return self._step == RowScanner._after_end and self.fault is None

    @property
    def is_among_rows(self) -> bool:
        """Whether the list of rows has begun and has not ended."""
        return self.has_rows and self._step in {
            RowScanner._first_row,
            RowScanner._next_row,
            RowScanner._in_row,
            RowScanner._after_row,
        }

    def feed(self, data: Buffer) -> list[Any]:
        """Take a piece of the answer; return the bytes of the rows that are complete with it.

        With a `read` some are what that has made of them: values of JSON, which has no bytes. They
        can be kept, and taken one by one, while no further piece is fed. Raises
        BrokenAnswerError, or AnswerTooLargeError, for what is no such answer; if there are rows
        before it they are returned, and the error is raised by the next call, and is `fault`
        until then.
        """
        piece = bytes(data)
        if self.fault is None and not self._take_whole(piece):
            try:
                for begin in range(0, len(piece), self._piece):
                    self._scan(piece[begin : begin + self._piece])
            except AnswerError as fault:
                fault.rows = self.rows + len(self._found)
                self.fault = fault
                # Its frames hold this object.
                without_frames(fault)
        found, self._found = self._found, []
        self.rows += len(found)
        if self.fault is not None and not found:
            raise own_copy(self.fault)
        return found

    def close(self) -> dict[str, Any]:
        """Say that no more comes; return the other members.

        Raises IncompleteAnswerError if the answer is not complete, and what `feed` would raise.
        """
        if self.fault is None and self._step != RowScanner._after_end:
            self.fault = IncompleteAnswerError(
                self._how_it_ended(), rows=self.rows, offset=self._offset
            )
        if self.fault is not None:
            raise own_copy(self.fault)
        return self.members

    def _how_it_ended(self) -> str:
        if self._step == RowScanner._start:
            return "the answer is empty"
        cure = "ask again, if the request may be repeated"
        if not self._has_member:
            return f"the answer was cut off before its rows: {cure}"
        if not self.is_among_rows:
            return f"the answer was cut off after its rows; whether it succeeded is unknown: {cure}"
        return f"the answer was cut off among its rows; those given so far are whole: {cure}"

    def _take_whole(self, data: bytes) -> bool:
        """Take an answer that is small and comes in one piece; return whether it is such a one."""
        if (
            self._step is not RowScanner._start
            or data[-3:].rstrip()[-1:] != b"}"
            or len(data) > min(_SMALL, self._longest_row, self._longest_rest)
        ):
            return False
        answer = whole_answer(data, self._member, self._deepest, self._read)
        if answer is None:
            return False
        try:
            members = {name: self._decoded(text) for name, text in answer.others.items()}
        except BrokenAnswerError:
            # How far it can be read is told by the long way.
            return False
        self.members.update(members)
        self._has_member = answer.has_member
        if answer.rows is not None:
            self.has_rows = True
            self._found = answer.rows
        self._offset += len(data)
        self._step = RowScanner._after_end
        return True

    def _scan(self, data: bytes) -> None:
        self._row_end = 0
        self._is_whole_tried = False
        at, size = 0, len(data)
        try:
            while at < size:
                at = self._step(self, data, at)
        except AnswerError as fault:
            fault.offset = self._offset + at
            raise
        self._offset += size

    def _start(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] != _OPEN:
                raise BrokenAnswerError(
                    "the answer is no JSON object: did a proxy answer in place of the service?"
                )
            self._value = JsonValue(self._deepest)
            self._whole = WholeRows(self._deepest, self._read)
            self._step = RowScanner._first_member
            at += 1
        return at

    # Members ------------------------------------------------------------------------------------

    def _first_member(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] == _CLOSE:
                self._step = RowScanner._after_end
                return at + 1
            self._step = RowScanner._next_member
        return at

    def _next_member(self, data: bytes, at: int) -> int:
        if found := _plain_name(data, at):
            self._named(found[1].decode(), found.end(1) - found.start(1) + 2)
            self._step = RowScanner._begin_member
            return found.end()
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] != _QUOTE:
                raise BrokenAnswerError("the answer is no JSON: the name of a member is missing")
            self._begin_part(data[at])
            self._step = RowScanner._in_name
        return at

    def _begin_part(self, first: int) -> None:
        left = self._longest_rest - self._rest_size
        self._value.begin(first, left, "what stands beside the rows", _LESS)

    def _in_name(self, data: bytes, at: int) -> int:
        at = self._value.advance(data, at)
        if self._value.complete:
            text = self._value.take()
            self._named(self._decoded(text), len(text))
            self._step = RowScanner._colon
        return at

    def _named(self, name: str, size: int) -> None:
        """Begin the member *name*, which has *size* bytes."""
        self._name = name
        self._rest_size += size
        if name in self.members or (self._has_member and name == self._member):
            raise BrokenAnswerError("the answer has a member twice")

    @staticmethod
    def _decoded(text: bytes) -> Any:
        """Return what a part of the answer means."""
        try:
            # `json` would take it for UTF-16.
            if b"\0" in text:
                raise BrokenAnswerError("the answer is no JSON: it has NUL bytes")
            return decode_json(text)
        except ValueFormatError as why:
            raise BrokenAnswerError("the answer is no JSON beside its rows") from why

    def _colon(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] != _COLON:
                raise BrokenAnswerError("the answer is no JSON: a colon is missing")
            self._step = RowScanner._begin_member
            at += 1
        return at

    def _begin_member(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at == len(data):
            return at
        first = data[at]
        if self._name == self._member:
            self._has_member = True
            if first == _OPEN_LIST:
                self.has_rows = True
                self._step = RowScanner._first_row
                return at + 1
        found = self._whole.match_member(data, at)
        if found and found.end() - at <= self._longest_rest - self._rest_size:
            self._set_member(found[0])
            return found.end()
        self._begin_part(first)
        self._step = RowScanner._in_member
        return at

    def _in_member(self, data: bytes, at: int) -> int:
        at = self._value.advance(data, at)
        if self._value.complete:
            self._set_member(self._value.take())
        return at

    def _set_member(self, text: bytes) -> None:
        """Keep the value of the member that has begun."""
        self._rest_size += len(text)
        value = self._decoded(text)
        if self._name != self._member:
            self.members[self._name] = value
        elif value is not None:
            raise BrokenAnswerError(f"the member {self._member!r} of the answer is no list")
        self._step = RowScanner._after_member

    def _after_member(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] == _COMMA:
                self._step = RowScanner._next_member
            elif data[at] == _CLOSE:
                self._step = RowScanner._after_end
            else:
                raise BrokenAnswerError("the answer is no JSON: a comma or its end is missing")
            at += 1
        return at

    def _after_end(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            raise BrokenAnswerError("something follows the end of the answer")
        return at

    # Rows ---------------------------------------------------------------------------------------

    def _first_row(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] == _CLOSE_LIST:
                self._step = RowScanner._after_member
                return at + 1
            self._step = RowScanner._next_row
        return at

    def _next_row(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at == len(data):
            return at
        if not self._is_whole_tried:
            if self._row_end:
                self._whole.learn(data, self._row_end, at)
                self._is_whole_tried = True
            found = self._whole.take(data, at)
            if found is not None:
                self._is_whole_tried = True
                self._found += found.rows
                if found.is_after_row:
                    self._row_end = found.end
                    self._step = RowScanner._after_row
                    return found.end
                at = found.end
        self._value.begin(data[at], self._longest_row, "a row of the answer", _FEWER)
        self._step = RowScanner._in_row
        return at

    def _in_row(self, data: bytes, at: int) -> int:
        at = self._value.advance(data, at)
        if self._value.complete:
            self._found.append(self._value.take())
            self._row_end = at
            self._step = RowScanner._after_row
        return at

    def _after_row(self, data: bytes, at: int) -> int:
        at = skip_blanks(data, at)
        if at < len(data):
            if data[at] == _COMMA:
                self._step = RowScanner._next_row
            elif data[at] == _CLOSE_LIST:
                self._step = RowScanner._after_member
            else:
                raise BrokenAnswerError("the answer is no JSON: a comma between rows is missing")
            at += 1
        return at
