"""Percent-encoded text."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.settings.percent import decode, is_text


@given(st.text())
def test_round_trip(text: str) -> None:
    """What was encoded is decoded, if it can be encoded at all."""
    try:
        encoded = quote(text, safe="")
    except UnicodeEncodeError:
        assert not is_text(text)
        return
    assert decode(encoded) == text


@given(st.text("%+0123456789abcdefABCDEFgé", max_size=20))
def test_any_text(text: str) -> None:
    """Whatever is written, it is text or nothing; what has no % means itself, a + too."""
    decoded = decode(text)
    assert decoded is None or decoded.encode().decode() == decoded
    if "%" not in text:
        assert decoded == text


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "%ff", "%c3%28"])
def test_refused(text: str) -> None:
    """Half an escape, and what is no UTF-8, means nothing."""
    assert decode(text) is None


@pytest.mark.parametrize("text", ["\0", "a\nb", "\x7f", "\x9f", "\ud800"])
def test_no_text(text: str) -> None:
    """Control characters and half characters are no text."""
    assert not is_text(text)
    assert is_text("päth/with spaces")
