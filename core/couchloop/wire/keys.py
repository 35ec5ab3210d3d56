"""Collection ids in front of keys: unsigned LEB128, shortest form only, at most five bytes."""

from __future__ import annotations

from typing import Final

from couchloop.exceptions import ProtocolError

_MAX_BYTES: Final = 5

UNNUMBERED: Final = b"\x80" * 5
"""The prefix of a key in a collection whose number is not known, or is to be looked at first.

It is no number itself, and never sent: a connection asks its owner first.
"""


def encode_leb128(number: int) -> bytes:
    """Encode an unsigned 32-bit *number*.

    Raises ValueError if it is negative or does not fit 32 bits.
    """
    if not 0 <= number <= 0xFFFFFFFF:
        raise ValueError(f"not an unsigned 32-bit number: {number}")
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_leb128(data: bytes, start: int = 0) -> tuple[int, int]:
    """Decode a number that begins at *start*; return it and the offset of what follows.

    Raises ProtocolError if it does not end, is longer than it need be, or exceeds 32 bits.
    """
    number = 0
    for index in range(_MAX_BYTES):
        if start + index >= len(data):
            break
        byte = data[start + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if index and not byte:
                raise ProtocolError("collection id is not in its shortest form")
            if number > 0xFFFFFFFF:
                raise ProtocolError("collection id exceeds 32 bits")
            return number, start + index + 1
    raise ProtocolError("collection id does not end")
