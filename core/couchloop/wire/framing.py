"""Framing extras, between a frame's header and its extras (kv_engine docs/BinaryProtocol.md)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from couchloop.exceptions import ProtocolError

_HEADER: Final = Struct(">BBHBBHIIQ")
_PLACE: Final = 5
"""Where the datatype stands in a header."""
_ESCAPE: Final = 15
_DURATION_ID: Final = 0
_DURATION_EXPONENT: Final = 1.74


JSON_VALUE: Final = b"\x01"
"""In the place of framing extras: there are none, and the value is said to be JSON.

That is asked for where framing extras are, for hardly any request needs it.
"""


def encode_framing(items: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode framing extras from (id, payload) pairs, with escapes for ids and lengths over 14.

    Raises ValueError for an id or a length that no escape can hold, or when all of them
    together exceed the header's field (255 bytes).
    """
    encoded = bytearray()
    for identifier, payload in items:
        escapes = bytearray()
        nibbles = 0
        for number, shift in ((identifier, 4), (len(payload), 0)):
            if not 0 <= number <= _ESCAPE + 255:
                raise ValueError(f"framing id or length out of range: {number}")
            if number >= _ESCAPE:
                escapes.append(number - _ESCAPE)
            nibbles |= min(number, _ESCAPE) << shift
        encoded.append(nibbles)
        encoded += escapes
        encoded += payload
    if len(encoded) > 0xFF:
        raise ValueError(f"framing extras of {len(encoded)} bytes exceed 255")
    return bytes(encoded)


def decode_framing(framing: bytes) -> list[tuple[int, bytes]]:
    """Split framing extras into (id, payload) pairs.

    Raises ProtocolError if an escape or a payload is cut off.
    """
    items: list[tuple[int, bytes]] = []
    position, end = 0, len(framing)
    while position < end:
        nibbles = framing[position]
        position += 1
        numbers = [nibbles >> 4, nibbles & 0x0F]
        for index, number in enumerate(numbers):
            if number == _ESCAPE:
                if position >= end:
                    raise ProtocolError("framing extras end within an escape")
                numbers[index] += framing[position]
                position += 1
        identifier, length = numbers
        if position + length > end:
            raise ProtocolError("framing extras end within an item")
        items.append((identifier, framing[position : position + length]))
        position += length
    return items


def server_duration(framing: bytes) -> float | None:
    """Microseconds that the server spent on a response, if its framing extras tell.

    Raises ProtocolError if the framing extras are malformed.
    """
    for identifier, payload in decode_framing(framing):
        if identifier == _DURATION_ID and len(payload) == 2:  # a u16
            return float(int.from_bytes(payload) ** _DURATION_EXPONENT / 2)
    return None


def encode_server_duration(microseconds: float) -> bytes:
    """Encode how long the server took as framing extras (saturating at about 120 s)."""
    encoded = min(0xFFFF, round((microseconds * 2) ** (1 / _DURATION_EXPONENT)))
    return encode_framing([(_DURATION_ID, encoded.to_bytes(2))])


def framed(header: bytes, framing: bytes) -> bytes:
    """Return the alternative header in place of *header*, and *framing* behind it.

    With JSON_VALUE it is the same header but for the datatype.
    """
    if framing is JSON_VALUE:
        return b"%b\x01%b" % (header[:_PLACE], header[_PLACE + 1 :])
    _, opcode, key, extras, datatype, vbucket, body, opaque, cas = _HEADER.unpack(header)
    lengths = len(framing) << 8 | key
    body += len(framing)
    return (
        _HEADER.pack(0x08, opcode, lengths, extras, datatype, vbucket, body, opaque, cas) + framing
    )
