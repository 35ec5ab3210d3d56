"""The text of a page as the site shows it: the same words, with proofs behind a fold.

In the repository a page is read as it is written. There the names of tests stand beside what they
show, and links lead to files of the repository. On the site nobody can follow those links, and the
names stop who reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

PROOF_COLUMNS: Final = {"test", "tests", "shown by"}
"""Heads of the last column of a table, where it names tests."""

OUTSIDE: Final = {"../CHANGELOG.md": "changelog.md", "../README.md": "index.md"}
"""Files above the pages that the site has as pages."""

_FENCE: Final = re.compile(r"^ *(`{3,}|:{3,}|~{3,})")
_HEADING: Final = re.compile(r"^#{1,6} ")
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_PAGE_AS_TEXT: Final = re.compile(r"`[\w/-]+\.md`")
_TEST: Final = r"`[^`]*(?:test_|Tests?\b|Test[A-Z]|tests/)[^`]*`"
_BETWEEN: Final = (
    r"(?:[\s,;]|and\b|in\b|of\b|there\b|both\b|on both loops\b|over\s+sockets\b"
    r"|with and without TLS\b)*"
)
_PROOF: Final = re.compile(rf"\s*\(({_BETWEEN}{_TEST}(?:{_BETWEEN}{_TEST})*{_BETWEEN})\)")
_SENTENCE: Final = re.compile(
    r"(?:\A|(?<=\A\n)|(?<=\n\n)|(?<=\.\s))"
    r"((?:The (?:[\w ]*tests|others)\b|Each promise names the test\b)"
    rf"(?:[^`.]|`[^`]*`)*?{_TEST}(?:[^`.]|`[^`]*`)*\.)(?=\s|\Z)"
)
"""Where the tests are."""
_CELLS: Final = re.compile(r"(?<!\\)\|")


def for_readers(text: str) -> str:
    """Return a page of Markdown as the site shows it."""
    lines: list[str] = []
    proofs: list[str] = []
    for is_code, part in _parts(text):
        if is_code:
            # No script draws it here.
            lines.append(re.sub(r"\A( *```)mermaid\b", r"\1text", part))
            continue
        for block in _blocks(part):
            if _HEADING.match(block):
                lines += _fold(proofs)
                proofs = []
            shown, hidden = _read_table(block) if block.startswith("|") else _read_prose(block)
            lines.append(shown)
            if block.startswith("|"):
                lines += _fold(hidden)
            else:
                proofs += hidden
    return "\n".join([*lines, *_fold(proofs)])


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the text between fences, and what is fenced, each with whether it is that."""
    part: list[str] = []
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if fence:
            part.append(line)
            if found and line.strip() == fence:
                yield True, "\n".join(part)
                part, fence = [], ""
        elif found:
            if part:
                yield False, "\n".join(part)
            part, fence = [line], found[1]
        else:
            part.append(line)
    if part:
        yield bool(fence), "\n".join(part)


def _blocks(text: str) -> Iterator[str]:
    """Yield headings, tables, and what is between them, as lines."""
    block: list[str] = []
    kind = ""
    for line in text.split("\n"):
        now = "|" if line.startswith("|") else "#" if _HEADING.match(line) else ""
        if block and (now != kind or now == "#"):
            yield "\n".join(block)
            block = []
        block.append(line)
        kind = now
    yield "\n".join(block)


def _read_table(text: str) -> tuple[str, list[str]]:
    """Return a table without its column of tests, and for each of its rows which those are."""
    rows = [
        [cell.strip() for cell in _CELLS.split(line.strip()[1:-1])] for line in text.split("\n")
    ]
    hidden = []
    if rows[0][-1].lower() in PROOF_COLUMNS and len(rows[0]) > 1:
        proofs = [row.pop() if len(row) == len(rows[0]) else "" for row in reversed(rows)]
        proofs.reverse()
        hidden = [
            f"{_linked(row[0])}: {_linked(proof)}" if row[0] else _linked(proof)
            for row, proof in zip(rows[2:], proofs[2:], strict=True)
            if proof
        ]
    shown = []
    for row in rows:
        cells, more = zip(*(_read_prose(cell) for cell in row), strict=True)
        shown.append(f"| {' | '.join(cells)} |")
        hidden += [proof for each in more for proof in each]
    return "\n".join(shown), hidden


def _read_prose(text: str) -> tuple[str, list[str]]:
    """Return the text without what only names tests, and that: parentheses, sentences."""
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(" ".join(match[1].split()))
        return ""

    return _SENTENCE.sub(hide, _PROOF.sub(hide, _linked(text))), hidden


def _linked(text: str) -> str:
    """Return the text with links that the site can follow; a page has its title as their text."""

    def replaced(match: re.Match[str]) -> str:
        mark, shown, target = match.groups()
        path, hash_, anchor = target.partition("#")
        path = OUTSIDE.get(path, path)
        if path.startswith("../"):
            return str(shown)
        shown = "" if _PAGE_AS_TEXT.fullmatch(shown) else shown
        return f"{mark}[{shown}]({path}{hash_}{anchor})"

    return _LINK.sub(replaced, text)


def _fold(proofs: list[str]) -> list[str]:
    """Return the lines of what opens when a reader asks for the tests."""
    if not proofs:
        return []
    items = [f"- {proof}" for proof in proofs]
    return ["", ":::{dropdown} Tests", ":class-container: tests", "", *items, ":::", ""]
