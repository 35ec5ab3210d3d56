"""Collection ids in front of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ProtocolError
from couchloop.wire.keys import decode_leb128, encode_leb128


@given(st.integers(0, 0xFFFFFFFF), st.binary(max_size=8), st.binary(max_size=8))
def test_round_trip(number: int, before: bytes, behind: bytes) -> None:
    """What was encoded is decoded where it stands, and no byte of the key is taken with it."""
    encoded = encode_leb128(number)
    assert len(encoded) <= 5
    end = len(before) + len(encoded)
    assert decode_leb128(before + encoded + behind, len(before)) == (number, end)


@given(st.binary(max_size=8))
def test_any_bytes(data: bytes) -> None:
    """Arbitrary bytes are a number in its one and only form, or a ProtocolError."""
    try:
        number, end = decode_leb128(data)
    except ProtocolError:
        return
    assert encode_leb128(number) == data[:end]


@given(st.integers(0, 0xFFFFFFFF))
def test_cut_off(number: int) -> None:
    """A number that does not end is none."""
    encoded = encode_leb128(number)
    for length in range(len(encoded)):
        with pytest.raises(ProtocolError, match="does not end"):
            decode_leb128(encoded[:length])


@pytest.mark.parametrize("number", [-1, 1 << 32])
def test_out_of_range(number: int) -> None:
    """Numbers have 32 bits."""
    with pytest.raises(ValueError, match="32-bit"):
        encode_leb128(number)
