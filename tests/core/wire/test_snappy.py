"""The seam over the compression library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ProtocolError
from couchloop.wire import snappy
from tests.extras import needs_snappy


@needs_snappy
@given(st.binary(max_size=2000))
def test_what_is_compressed_inflates_to_itself(data: bytes) -> None:
    """Any bytes survive, and the declared length is theirs."""
    block = snappy.compress(data)
    assert snappy.declared_length(block) == len(data)
    assert snappy.decompress(block, len(data)) == data


@given(st.binary(max_size=200))
def test_arbitrary_blocks_inflate_or_are_refused(block: bytes) -> None:
    """Corrupt input is a ProtocolError, never another exception, never more than the limit."""
    try:
        inflated = snappy.decompress(block, 4096)
    except ProtocolError:
        return
    assert len(inflated) <= 4096


@needs_snappy
def test_a_huge_declared_length_is_refused_before_memory_is_taken() -> None:
    """Six bytes cannot make a process take 4 GiB."""
    with pytest.raises(ProtocolError, match="limit of 1000"):
        snappy.decompress(b"\xff\xff\xff\xff\x0f\x00", 1000)


@needs_snappy
def test_a_limit_is_exact() -> None:
    """A block of the limit's length passes, one byte more does not."""
    assert snappy.decompress(snappy.compress(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(ProtocolError):
        snappy.decompress(snappy.compress(b"x" * 101), 100)
