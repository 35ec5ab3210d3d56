"""What is made later is the real thing."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from couchloop import later


def test_modules() -> None:
    """One is imported when something of it is asked for; what it has not is an AttributeError."""
    module = later.Module("colorsys")
    sys.modules.pop("colorsys", None)
    assert "colorsys" not in sys.modules
    assert module.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert module.rgb_to_hsv is sys.modules["colorsys"].rgb_to_hsv
    with pytest.raises(AttributeError):
        module.no_such_thing()


@pytest.mark.parametrize(("text", "given"), [(r"([a-z])\d", "A1"), (rb"([a-z])\d", b"A1")])
def test_patterns(text: Any, given: Any) -> None:
    """One does what a compiled one does, the same each time."""
    made, real = later.pattern(text, re.IGNORECASE), re.compile(text, re.IGNORECASE)
    for _ in range(2):
        found, expected = made.fullmatch(given), real.fullmatch(given)
        assert found is not None
        assert expected is not None
        assert found.groups() == expected.groups()
        assert made.findall(given) == real.findall(given)
        assert made.pattern == real.pattern
    with pytest.raises(AttributeError):
        made.nothing()  # type: ignore[attr-defined]


def test_a_pattern_that_is_none() -> None:
    """It is told where it is used."""
    wrong = later.pattern("(")
    with pytest.raises(re.error):
        wrong.match("")
