"""Elements, and what is escaped in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from couchloop.status.markup import Markup, element, empty, joined
from tests.core.status.support import Read


@given(st.text(), st.text())
def test_escaped(content: str, value: str) -> None:
    """Whatever a text is, it stays a text: no element, no attribute comes of it."""
    made = element("p", content, data_label=value)
    assert made.startswith("<p data-label=")
    inner = made.removeprefix('<p data-label="').removesuffix("</p>")
    assert not set("<'") & set(inner)
    assert inner.count(">") == 1
    assert inner.count('"') == 1
    assert Read(made).names == {"p"}


def test_markup_stays() -> None:
    """What is Markup already is not escaped again; numbers are texts."""
    inner = element("code", "<b>&")
    assert inner == "<code>&lt;b&gt;&amp;</code>"
    assert element("p", inner, 5) == "<p><code>&lt;b&gt;&amp;</code>5</p>"
    assert joined("<", inner) == f"&lt;{inner}"
    assert isinstance(joined(), Markup)


def test_attributes() -> None:
    """Names may be words of Python; those without a value are left out."""
    assert element("p", class_="a", aria_hidden="true", id=None) == (
        '<p class="a" aria-hidden="true"></p>'
    )
    assert empty("meta", charset="utf-8") == '<meta charset="utf-8">'
