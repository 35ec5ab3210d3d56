"""Frames: the 24-byte header and what follows it (kv_engine docs/BinaryProtocol.md)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from couchloop.exceptions import ProtocolError
from couchloop.wire.constants import Magic

HEADER: Final = Struct(">BBHBBHIIQ")
"""magic, opcode, key length, extras length, datatype, vbucket or status, body, opaque, CAS."""

MAX_BODY: Final = 30 * 1024 * 1024
"""Longest body, in bytes, that is read: a real server closes the connection on a longer one."""

_HEADER_SIZE: Final = HEADER.size
_SMALL: Final = 4096
"""Pieces of fewer bytes are gathered."""

_HINTS: Final = {
    0x15: "the peer speaks TLS",
    0x16: "the peer speaks TLS",
    0x48: "the peer speaks HTTP",
}


class Frame(NamedTuple):
    """One frame of any kind, its collection prefix (if any) still in the key."""

    magic: int
    opcode: int
    datatype: int
    status: int
    """Status of a response; vbucket of a request."""
    opaque: int
    cas: int
    framing: bytes
    extras: bytes
    key: bytes
    value: bytes

    @property
    def vbucket(self) -> int:
        """The vbucket of a request: it stands where a response has its status."""
        return self.status

    def encode(self) -> bytes:
        """Return the frame's bytes."""
        return _encode(*self)


Fields = tuple[int, int, int, int, int, int, bytes, bytes, bytes, bytes]
"""What a Frame is made of, in its order; a Frame is one, too."""

RequestFrame: Final = frozenset({Magic.REQUEST, Magic.ALT_REQUEST, Magic.SERVER_RESPONSE})
"""Magics that a server reads."""

ResponseFrame: Final = frozenset({Magic.RESPONSE, Magic.ALT_RESPONSE, Magic.SERVER_REQUEST})
"""Magics that a client reads."""

_WITH_FRAMING: Final = frozenset({0x08, 0x18})
_new_frame = tuple.__new__


def _encode(
    magic: int,
    opcode: int,
    datatype: int,
    status: int,
    opaque: int,
    cas: int,
    framing: bytes,
    extras: bytes,
    key: bytes,
    value: bytes,
) -> bytes:
    lengths = len(key)
    if framing:
        lengths |= len(framing) << 8
    body = len(framing) + len(extras) + len(key) + len(value)
    header = HEADER.pack(magic, opcode, lengths, len(extras), datatype, status, body, opaque, cas)
    return b"".join((header, framing, extras, key, value))


def encode_request(
    opcode: int,
    *,
    key: bytes = b"",
    extras: bytes = b"",
    value: bytes = b"",
    vbucket: int = 0,
    opaque: int = 0,
    cas: int = 0,
    datatype: int = 0,
    framing: bytes = b"",
) -> bytes:
    """Encode a client's request; *framing* selects the alternative header (0x08)."""
    magic = Magic.ALT_REQUEST if framing else Magic.REQUEST
    return _encode(magic, opcode, datatype, vbucket, opaque, cas, framing, extras, key, value)


def encode_response(
    opcode: int,
    status: int = 0,
    *,
    key: bytes = b"",
    extras: bytes = b"",
    value: bytes = b"",
    opaque: int = 0,
    cas: int = 0,
    datatype: int = 0,
    framing: bytes = b"",
) -> bytes:
    """Encode a server's response; *framing* selects the alternative header (0x18)."""
    magic = Magic.ALT_RESPONSE if framing else Magic.RESPONSE
    return _encode(magic, opcode, datatype, status, opaque, cas, framing, extras, key, value)


class FrameDecoder:
    """Bytes in any fragmentation to frames.

    Args:
        accept: the first bytes that are legal here: `RequestFrame` for a server,
            `ResponseFrame` for a client.
        max_body: longest body in bytes; a longer one is refused when its header arrives.
    """

    __slots__ = ("_accept", "_chunks", "_max_body", "_needed", "_size", "error")

    def __init__(self, accept: frozenset[Magic] = ResponseFrame, max_body: int = MAX_BODY) -> None:
        self._accept: frozenset[int] = accept
        self._max_body = max_body
        # Chunks of an unfinished frame are joined once it is whole: joining them as they come
        # would make the cost of a large document quadratic. Small ones are gathered, for an object
        # of its own takes many times what a byte or two do.
        self._chunks: list[bytes | bytearray] = []
        self._size = 0
        self._needed = 1
        self.error: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not yet whole."""
        return self._size

    @property
    def is_fresh(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._chunks and self.error is None

    def gather(self, data: bytes) -> bytes:
        """Return *data* behind what was kept, if that may complete a frame; else keep it.

        Nothing is kept then; what is returned is to be decoded. Raises ProtocolError after a fault.
        """
        if self.error is not None:
            raise self.error
        chunks = self._chunks
        if chunks:
            self._size += len(data)
            if self._size < self._needed:
                self._keep(data)
                return b""
            chunks.append(data)
            data = b"".join(chunks)
            chunks.clear()
            self._size = 0
        return data

    def put_back(self, data: bytes) -> None:
        """Keep what `gather` has returned and nobody could decode: the next bytes follow it."""
        self._chunks.append(data)
        self._size = len(data)
        self._needed = 1

    def receive(self, data: bytes) -> list[Frame]:
        """Receive bytes; return the frames that they complete.

        Frames before a fault are given; the fault then stands in `error`. Raises
        ProtocolError if nothing precedes the fault, and on every call after it.
        """
        data = self.gather(data)
        if not data:
            return []
        frames: list[Frame] = []
        position, end = 0, len(data)
        unpack, accept, max_body = HEADER.unpack_from, self._accept, self._max_body
        append, new = frames.append, _new_frame
        needed = _HEADER_SIZE
        while end - position >= _HEADER_SIZE:
            magic, opcode, lengths, extras_length, datatype, status, body, opaque, cas = unpack(
                data, position
            )
            framing_length = 0
            if magic in _WITH_FRAMING:
                framing_length, lengths = lengths >> 8, lengths & 0xFF
            if (
                magic not in accept
                or body > max_body
                or framing_length + extras_length + lengths > body
            ):
                break
            needed = _HEADER_SIZE + body
            if end - position < needed:
                break
            start = position + _HEADER_SIZE
            position += needed
            needed = _HEADER_SIZE
            # Most frames have neither framing extras nor a key: what is empty is not sliced.
            framing = extras = key = b""
            if framing_length:
                framing = data[start : start + framing_length]
                start += framing_length
            if extras_length:
                extras = data[start : start + extras_length]
                start += extras_length
            if lengths:
                key = data[start : start + lengths]
                start += lengths
            value = data[start:position]
            append(
                new(
                    Frame,
                    (magic, opcode, datatype, status, opaque, cas, framing, extras, key, value),
                )
            )
        self._size = end - position
        self._needed = needed
        if position < end:
            rest = data[position:] if position else data
            self._chunks.append(rest)
            # Only an unfinished frame comes here, so its header is looked at once per call.
            self.error = self._fault(rest)
            if self.error is not None:
                self._chunks.clear()
                self._size = 0
                if not frames:
                    raise self.error
        return frames

    def _keep(self, data: bytes) -> None:
        """Keep a piece of an unfinished frame."""
        chunks = self._chunks
        if len(data) >= _SMALL:
            chunks.append(data)
        elif isinstance(chunks[-1], bytearray):
            chunks[-1] += data
        else:
            chunks.append(bytearray(data))

    def _fault(self, data: bytes) -> ProtocolError | None:
        """Return what is wrong with a frame that begins with *data*, which may be a part of it."""
        magic = data[0]
        if magic not in self._accept:
            hint = _HINTS.get(magic)
            reason = f"illegal first byte 0x{magic:02x}" + (f": {hint}" if hint else "")
            return ProtocolError(reason)
        if len(data) < _HEADER_SIZE:
            return None
        _, _, lengths, extras_length, _, _, body, _, _ = HEADER.unpack_from(data)
        if magic in _WITH_FRAMING:
            lengths = (lengths >> 8) + (lengths & 0xFF)
        if body > self._max_body:
            return ProtocolError(
                f"the body of a frame exceeds the limit of {self._max_body} bytes", objextra=body
            )
        if lengths + extras_length > body:
            what = "key and extras of a frame are longer than its body"
            return ProtocolError(what, objextra=body)
        return None
