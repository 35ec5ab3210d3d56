"""Formats, and the flags that say so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidSettingError
from couchloop.formats import (
    FMT_BYTES,
    FMT_JSON,
    FMT_PICKLE,
    FMT_UTF8,
    FORMATS,
    check_format,
    format_of,
    name_of,
)

WRITTEN = {FMT_JSON, FMT_PICKLE, FMT_BYTES, FMT_UTF8}


@given(st.integers(0, 0xFFFFFFFF))
def test_flags(flags: int) -> None:
    """Any flags are of one format or none; the lower bits count only where the upper byte is 0."""
    found = format_of(flags)
    assert found is None or found in WRITTEN
    assert name_of(found) in {*FORMATS, "of no known format"}
    if flags >> 24:
        assert format_of(flags & 0xFF000000) == found


@pytest.mark.parametrize("format", sorted(WRITTEN))
def test_own_flags(format: int) -> None:  # noqa: A002 - 2.5's name
    """What is written is read by its upper byte, or by the three bits of older clients."""
    assert format_of(format) == format_of(format & 7) == format
    assert name_of(format) in FORMATS


@pytest.mark.parametrize("wrong", ["FMT_JSON", None, 2.0, True, b""])
def test_no_format(wrong: Any) -> None:
    """A format is a number, whichever: it may be a transcoder's own."""
    with pytest.raises(InvalidSettingError, match=f"not {type(wrong).__name__}$"):
        check_format(wrong)
    assert check_format(0x7F000001) == 0x7F000001
