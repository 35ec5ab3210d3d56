"""Raw Snappy blocks, where the extra `couchloop[snappy]` (cramjam) is installed."""

from __future__ import annotations

from typing import Final

from couchloop.exceptions import FeatureNotAvailableError, ProtocolError

try:
    from cramjam import DecompressionError, snappy
except ImportError:  # the extra is not installed
    _AVAILABLE = False
else:
    _AVAILABLE = True

_MAX_LENGTH_BYTES: Final = 5


def available() -> bool:
    """Whether values can be compressed and inflated here."""
    return _AVAILABLE


def check_installed() -> None:
    """Raise FeatureNotAvailableError unless values can be compressed here, which force asks for."""
    if not _AVAILABLE:
        raise FeatureNotAvailableError(
            "compression=force needs the package cramjam: pip install 'couchloop[snappy]'"
        )


def compress(data: bytes) -> bytes:
    """Compress to a raw block (no framing format)."""
    return bytes(snappy.compress_raw(data))


def decompress(data: bytes, limit: int) -> bytes:
    """Inflate a raw block.

    Args:
        data: the whole block.
        limit: longest result in bytes; the length that the block declares is checked against it
            before any memory is taken.

    Raises ProtocolError if the block is corrupt or declares more than *limit* bytes, or nothing can
    be inflated here, so that the peer was never told that it may compress.
    """
    if not _AVAILABLE:
        raise ProtocolError("the peer sent a Snappy block, which nobody asked for")
    length = declared_length(data)
    if length > limit:
        raise ProtocolError(
            f"Snappy block inflates to more than the limit of {limit} bytes", objextra=length
        )
    try:
        inflated = bytes(snappy.decompress_raw(data))
    except DecompressionError as error:
        raise ProtocolError("corrupt Snappy block", objextra=str(error)) from None
    if len(inflated) != length:
        raise ProtocolError("Snappy block does not inflate to the length it declares")
    return inflated


def declared_length(data: bytes) -> int:
    """Return the length in bytes that a block says it inflates to.

    Raises ProtocolError if the block does not begin with a length.
    """
    length = 0
    for index, byte in enumerate(data[:_MAX_LENGTH_BYTES]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return length
    raise ProtocolError("Snappy block does not begin with its length")
