"""HTML that is put together of elements: whatever is not markup of ours is escaped."""

from __future__ import annotations

from html import escape


class Markup(str):
    """HTML that is shown as it is; made here alone."""

    __slots__ = ()


def element(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element: its content is escaped, but for what is Markup.

    Args:
        name: of the element.
        content: texts, numbers and other elements.
        attributes: their values are escaped; `_` in a name stands for `-`, one at its end for
            nothing. Those that are None are left out.
    """
    shown = "".join(
        f' {attribute.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for attribute, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>{joined(*content)}</{name}>")


def empty(name: str, **attributes: object) -> Markup:
    """Return an element that has no content, and no end: `meta`."""
    return Markup(element(name, **attributes).removesuffix(f"</{name}>"))


def joined(*content: object) -> Markup:
    """Return these one after the other, escaped but for what is Markup."""
    return Markup(
        "".join(each if isinstance(each, Markup) else escape(str(each)) for each in content)
    )
