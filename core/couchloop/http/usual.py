"""The usual answer of a service, read without h11: status 200, a length or chunks, nothing odd.

It is a subset of HTTP/1.1 (RFC 9112) that is checked strictly. Whatever is not in it is left to
h11, which alone says what is valid: nothing is refused here. What both read they read alike.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from couchloop.http.repeats import ANY, MANY

CHUNKED: Final = -1
"""The length of a body that comes in chunks."""
_STATUS: Final = b"HTTP/1.1 200 OK\r\n"
_END: Final = b"\r\n"
_LAST: Final = b"0\r\n\r\n"
"""The last chunk, and no header behind it."""
_LONGEST_HEAD: Final = 4096
_LONGEST_SIZE: Final = 10
"""Bytes of the size of a chunk, with the end of its line."""
_MOST_DIGITS: Final = 15
_WORDS: Final = rb"[!-~]++(?:[ ]++[!-~]++)" + ANY
_match_headers: Final = re.compile(
    rb"HTTP/1\.1 200 OK\r\n(?:[-A-Za-z0-9_]++:[ ]?" + _WORDS + rb"\r\n)" + MANY + rb"\r\n"
).match
_match_size: Final = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,7}+)\r\n").match
_UNUSUAL: Final = frozenset({"connection", "content-encoding", "trailer", "upgrade"})
"""Headers that say something about the connection, or the body, that is not looked at here."""


class UsualHead(NamedTuple):
    """The head of a usual answer."""

    headers: dict[str, str]
    """By names in lower case."""
    length: int
    """Bytes of the body, or CHUNKED."""
    text: bytes
    """All of it, with the empty line."""


def usual_head(data: bytes) -> UsualHead | None:
    """Return the head that *data* begins with; None: it is for h11, or is not whole."""
    found = _match_headers(data, 0, _LONGEST_HEAD)
    if found is None:
        return None
    text = found[0]
    headers: dict[str, str] = {}
    lines = text[len(_STATUS) : -2 * len(_END)].decode("ascii").split("\r\n")
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" ")
    if len(headers) != len(lines) or not _UNUSUAL.isdisjoint(headers):
        return None
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is None:
        # Without a length it ends with the connection.
        if length is None or not length.isdigit() or len(length) > _MOST_DIGITS:
            return None
        return UsualHead(headers, int(length), text)
    if coding != "chunked" or length is not None:
        return None
    return UsualHead(headers, CHUNKED, text)


class UsualBody:
    """The body of a usual answer, as it comes.

    Args:
        length: how many bytes it has, or CHUNKED.
    """

    __slots__ = ("_in_chunk", "_is_chunked", "_kept", "_left", "has_more", "is_complete")

    def __init__(self, length: int) -> None:
        self.is_complete = not length
        self.has_more = False
        """Whether something has come behind it."""
        self._is_chunked = length == CHUNKED
        self._left = max(length, 0)
        """Bytes of it, or of its chunk, that are still to come."""
        self._in_chunk = False
        """Whether a chunk has begun, and what ends it has not come."""
        self._kept = b""
        """Of what stands between chunks: it was not whole."""

    def receive_data(self, data: bytes, at: int, pieces: list[bytes]) -> tuple[bytes, bytes] | None:
        """Take *data* from *at* on, and add what it has of the body to *pieces*.

        Returns None, or what h11 is to be given: what has the same meaning as all before, and what
        follows that is not usual, of which nothing was taken.
        """
        if self.is_complete:
            self.has_more = self.has_more or at < len(data)
        elif self._is_chunked:
            if self._kept:
                data, at, self._kept = self._kept + data[at:], 0, b""
            return self._take_chunks(data, at, pieces)
        else:
            at = self._take(data, at, pieces)
            self.is_complete = not self._left
            self.has_more = at < len(data)
        return None

    def _take(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what is there of what is still to come; return the index behind it."""
        end = min(at + self._left, len(data))
        if at < end:
            pieces.append(data[at:end])
            self._left -= end - at
        return end

    def _take_chunks(self, data: bytes, at: int, pieces: list[bytes]) -> tuple[bytes, bytes] | None:
        size = len(data)
        while at < size:
            if self._in_chunk:
                at = self._take(data, at, pieces)
                if at == size:
                    return None
                if not data.startswith(_END, at):
                    if data[at:] != _END[:1]:
                        return AS_IN_CHUNK, data[at:]
                    self._kept = data[at:]
                    return None
                self._in_chunk = False
                at += len(_END)
                continue
            found = _match_size(data, at)
            if found is None:
                return self._end(data, at)
            self._left = int(found[1], 16)
            self._in_chunk = True
            at = found.end()
        return None

    def _end(self, data: bytes, at: int) -> tuple[bytes, bytes] | None:
        """Take what is no size of a chunk, or no whole one."""
        rest = data[at:]
        if rest.startswith(_LAST):
            self.is_complete = True
            self.has_more = len(rest) > len(_LAST)
            return None
        is_cut = len(rest) < _LONGEST_SIZE and b"\n" not in rest
        if not is_cut and not _LAST.startswith(rest):
            return AS_BETWEEN_CHUNKS, rest
        self._kept = rest
        return None


AS_BETWEEN_CHUNKS: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""Behind this an answer goes on as behind a usual head, and behind each chunk."""
AS_IN_CHUNK: Final = AS_BETWEEN_CHUNKS + b"1\r\nx"
"""Behind this an answer goes on as behind the last byte of a chunk."""
