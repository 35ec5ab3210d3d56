"""Framing extras."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ProtocolError
from couchloop.wire.framing import (
    decode_framing,
    encode_framing,
    encode_server_duration,
    server_duration,
)

ITEMS = st.lists(st.tuples(st.integers(0, 270), st.binary(max_size=60)), max_size=3)


@given(ITEMS)
def test_round_trip(items: list[tuple[int, bytes]]) -> None:
    """What was encoded is decoded, with escapes for what does not fit four bits."""
    assert decode_framing(encode_framing(items)) == items


@given(st.binary(max_size=255))
def test_any_bytes(data: bytes) -> None:
    """Arbitrary bytes are items that fill them, or a ProtocolError, and their duration likewise."""
    try:
        items = decode_framing(data)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            server_duration(data)
        return
    assert encode_framing(items) == data
    duration = server_duration(data)
    assert duration is None or duration >= 0


@given(st.floats(0, 200e6))
def test_duration(microseconds: float) -> None:
    """It is told to a few per cent, up to two minutes."""
    told = server_duration(encode_server_duration(microseconds))
    assert told is not None
    if microseconds < 119e6:
        assert abs(told - microseconds) <= 1 + microseconds / 20
    else:
        assert told > 110e6


@pytest.mark.parametrize(
    "items",
    [[(271, b"")], [(-1, b"")], [(0, bytes(271))], [(0, bytes(200)), (1, bytes(60))]],
)
def test_too_large(items: list[tuple[int, bytes]]) -> None:
    """What no escape, or no header, can hold is refused."""
    with pytest.raises(ValueError, match=r"out of range|exceed 255"):
        encode_framing(items)
