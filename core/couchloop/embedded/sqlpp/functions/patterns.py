"""Functions of regular expressions, which are those of RE2; see `regexp`."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.sqlpp.functions.function import Spend
from couchloop.embedded.sqlpp.functions.regexp import compile_regexp
from couchloop.embedded.sqlpp.functions.table import Table, bounded, utf8

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add


def _contains(spend: Spend, text: str, pattern: str) -> bool:
    return compile_regexp(pattern).search(text, spend) is not None


def _like(spend: Spend, text: str, pattern: str) -> bool:
    # A pattern that is wrong by itself is refused, whatever it is inside of the anchors.
    compile_regexp(pattern)
    # The anchors are not around a group: `a|b` is `^a` or `b$`.
    return compile_regexp(f"^{pattern}$").search(text, spend) is not None


def _position(spend: Spend, text: str, pattern: str) -> int:
    found = compile_regexp(pattern).search(text, spend)
    return -1 if found is None else len(utf8(text[: found[0]]))


def _replace(spend: Spend, text: str, pattern: str, new: str, count: int = -1) -> str:
    parts: list[str] = []
    place = 0
    left = count
    size = len(text)
    for start, end in compile_regexp(pattern).matches(text, spend):
        if left == 0:
            break
        left -= 1
        size += len(new)
        bounded("REGEXP_REPLACE()", size)
        parts.extend((text[place:start], new))
        place = end
    return "".join((*parts, text[place:]))


def _matches(spend: Spend, text: str, pattern: str) -> list[str] | None:
    found = [text[start:end] for start, end in compile_regexp(pattern).matches(text, spend)]
    return found or None


def _split(spend: Spend, text: str, pattern: str) -> list[str]:
    if not text:
        compile_regexp(pattern)
        return [""] if pattern else []
    parts = []
    place = start = 0
    for start, end in compile_regexp(pattern).matches(text, spend):
        # What is empty at the very beginning divides nothing.
        if end:
            parts.append(text[place:start])
        place = end
    return [*parts, text[place:]] if start != len(text) else parts


_add(
    "REGEXP_CONTAINS REGEX_CONTAINS CONTAINS_REGEXP CONTAINS_REGEX",
    "ss",
    "boolean",
    _contains,
    told=True,
)
_add("REGEXP_LIKE REGEX_LIKE", "ss", "boolean", _like, told=True)
_add(
    "REGEXP_POSITION REGEXP_POS REGEXP_POSITION0 REGEXP_POS0 "
    "REGEX_POSITION REGEX_POS REGEX_POSITION0 REGEX_POS0",
    "ss",
    "number",
    _position,
    told=True,
)
_add(
    "REGEXP_POSITION1 REGEXP_POS1 REGEX_POSITION1 REGEX_POS1",
    "ss",
    "number",
    lambda spend, text, pattern: _position(spend, text, pattern) + 1,
    told=True,
)
_add("REGEXP_REPLACE REGEX_REPLACE", "sss?i", "string", _replace, told=True)
_add("REGEXP_MATCHES", "ss", "array", _matches, told=True)
_add("REGEXP_SPLIT", "ss", "array", _split, told=True)
