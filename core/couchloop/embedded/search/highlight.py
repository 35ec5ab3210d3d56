"""Fragments of texts, with what was found in them marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.index import Location

SIZE: Final = 200
"""Signs of a fragment, about."""
_CUT: Final = "\u2026"


@dataclass(frozen=True, slots=True)
class Style:
    """How what was found is marked."""

    before: str
    after: str
    escapes: bool
    """Whether signs that mean something in HTML are written otherwise."""

    def plain(self, text: str) -> str:
        """Return text that is not marked."""
        return (
            escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
            if (self.escapes)
            else text
        )

    def marked(self, text: str) -> str:
        """Return text that is marked."""
        return f"{self.before}{self.plain(text)}{self.after}"


_STYLES: Final = {
    "html": Style("<mark>", "</mark>", escapes=True),
    "ansi": Style("\x1b[43m", "\x1b[0m", escapes=False),
}


def find_style(name: str) -> Style:
    """Return a style. Raises SearchError if there is none of that name."""
    style = _STYLES.get(name)
    if style is None:
        raise SearchError(f"no highlighter with name or type '{name}' registered")
    return style


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a text; all in characters."""

    start: int
    end: int
    spans: Sequence[tuple[int, int]]


def best_fragment(
    values: Sequence[tuple[str, tuple[int, ...]]], found: dict[str, list[Location]], style: Style
) -> list[str]:
    """Return the fragment that has most of what was found, or the beginning if nothing was.

    Args:
        values: texts of a field, and where in arrays they are.
        found: where in the field terms are, by term.
        style: how they are marked.
    """
    best: tuple[int, str] | None = None
    for text, places in values:
        spans = _spans(text, places, found)
        for piece in _pieces(text, sorted(spans)):
            terms = {spans[span] for span in piece.spans}
            if best is None or len(terms) > best[0]:
                best = len(terms), _written(text, piece, style)
    return [] if best is None else [best[1]]


def _spans(
    text: str, places: tuple[int, ...], found: dict[str, list[Location]]
) -> dict[tuple[int, int], str]:
    """Return which terms are where in a text, in characters."""
    raw = text.encode("utf-8", "surrogatepass")
    spans = {}
    for term, locations in found.items():
        for each in locations:
            if each.places == places and each.end <= len(raw):
                start = len(raw[: each.start].decode("utf-8", "ignore"))
                size = len(raw[each.start : each.end].decode("utf-8", "ignore"))
                spans[start, start + size] = term
    return spans


def _pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[_Piece]:
    """Return for each span the part of a text that begins with it, or as far before as fits."""
    if not spans:
        return [_Piece(0, min(SIZE, len(text)), ())]
    pieces = []
    least = 0
    for index, (first, last) in enumerate(spans):
        end = min(len(text), first + SIZE)
        start = max(least, first - (SIZE - (end - first)))
        inside = [span for span in spans[index:] if span[1] <= end]
        # What was found is better in the middle.
        behind = end - (inside[-1][1] if inside else end)
        shift = min(behind, max(0, start - least)) // 2
        start, end = start - shift, end - shift
        pieces.append(_Piece(start, end, [span for span in inside if span[0] >= start]))
        least = last
    return pieces


def _written(text: str, piece: _Piece, style: Style) -> str:
    written = [_CUT if piece.start else ""]
    at = piece.start
    for start, end in piece.spans:
        if start < at:
            continue
        written += [style.plain(text[at:start]), style.marked(text[start:end])]
        at = end
    written += [style.plain(text[at : piece.end]), _CUT if piece.end < len(text) else ""]
    return "".join(written)
