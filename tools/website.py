"""What Sphinx is told of the pages and docstrings as they are (docs/conf.py lists it)."""

from __future__ import annotations

import re
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from couchloop.client.identity import OneOfEach
from tools.website_text import for_readers

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT: Final = Path(__file__).resolve().parent.parent

_SPAN: Final = re.compile(r"(`+)(.+?)\1(?!`)(?=(\w)?)", re.DOTALL)
_ARGUMENT: Final = re.compile(r"\s+(\*{1,2}\w+):")
_MARKUP: Final = re.compile(r"[*|]|_(?!\w)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect what follows: Sphinx calls it."""
    app.connect("source-read", _read_page)
    # Before napoleon, which understands "Args:".
    app.connect("autodoc-process-docstring", _read_docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read_page(_app: Sphinx, name: str, content: list[str]) -> None:
    if name == "changelog":
        text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        # From there the pages are in a folder.
        content[0] = text.replace("](docs/", "](")
    content[0] = for_readers(content[0])


def _read_docstring(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    lines[:] = restructured("\n".join(lines)).split("\n")


def _signature(
    app: Sphinx, what: str, _name: str, found: Any, _options: object, shown: str, returned: str
) -> tuple[str, str | None]:
    """Return a class's signature: its constructor's, where a `__new__` of ours says less.

    Sphinx asks `__new__` first, and that of a Bucket passes on whatever it is given. What has no
    constructor, nor is made by users (a protocol), has no signature.
    """
    from sphinx.ext.autodoc.preserve_defaults import update_defvalue  # noqa: PLC0415 - Sphinx calls
    from sphinx.util.inspect import signature, stringify_signature  # noqa: PLC0415 - likewise

    if what != "class" or not isinstance(found, type):
        return shown, returned
    if getattr(found, "_is_protocol", False):
        return "", None
    if not issubclass(found, OneOfEach):
        return shown, returned
    if found.__init__ is object.__init__:
        return "", None
    init = unwrap(found.__init__)
    # Defaults are shown as the source has them.
    update_defvalue(app, init, True)
    constructor = signature(init, bound_method=True)
    return stringify_signature(constructor, show_return_annotation=False), None


def restructured(text: str) -> str:
    """Return a docstring in which nothing but its backticks and sections is markup.

    A star, a bar, an underscore at the end of a name are what they are; what backticks enclose is
    code, also where a letter follows.
    """
    parts, end = [], 0
    for span in _SPAN.finditer(text):
        parts.append(_plain(text[end : span.start()]))
        parts.append(_code(span[2]))
        # An escaped blank is none, and ends the markup.
        parts.append("\\ " if span[3] else "")
        end = span.end()
    parts.append(_plain(text[end:]))
    return "".join(parts)


def _code(text: str) -> str:
    if "`" in text:
        # With a blank at either end, where that is a backtick.
        escaped = text.strip().replace("\\", "\\\\").replace("`", "\\`")
        return f":literal:`{escaped}`"
    return f"``{text}``"


def _plain(text: str) -> str:
    """Return text without markup; the name of an argument before its colon stays as it is."""
    lines = []
    for line in text.split("\n"):
        argument = _ARGUMENT.match(line)
        begin = argument.end() if argument else 0
        lines.append(line[:begin] + _MARKUP.sub(r"\\\g<0>", line[begin:]))
    return "\n".join(lines)
