"""Texts behind masks: MASK()."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from couchloop.embedded.sqlpp.functions.function import Spend
from couchloop.embedded.sqlpp.functions.regexp import compile_regexp
from couchloop.embedded.sqlpp.functions.table import LONGEST, Table, bounded, option
from couchloop.embedded.sqlpp.values import Value, integral

FUNCTIONS: Final = Table()

_DEFAULT: Final = "********"


class _Start(NamedTuple):
    """Where a mask begins."""

    skipped: int
    """Characters that are shown before it."""
    right: bool
    """Whether all is counted from the right."""


def _mask(spend: Spend, text: str, options: Mapping[str, Value] | None = None) -> str:
    """Return a text behind a mask.

    A hole in the mask lets a character of the text be seen; what is injected stands between two of
    them. Other characters of the mask hide one each. What is longer than the mask is left out,
    unless the length is to be that of the source.
    """
    mask = option(options, "mask", str) or _DEFAULT
    hole = option(options, "hole", str)
    inject = option(options, "inject", str) or ""
    whole = (option(options, "length", str) or "").lower() == "source"
    start = _start(spend, text, None if options is None else options.get("anchor"))
    if start is None or start.skipped > len(text):
        return text
    length = len(mask) + start.skipped
    if whole:
        length = len(text) + sum(each in inject for each in mask)
    bounded("MASK()", length)
    source = text[::-1] if start.right else text
    shown = list(source[: start.skipped])
    rest = iter(source[start.skipped :])
    for each in mask[::-1] if start.right else mask:
        if each in (" " if hole is None else hole):
            shown.append(next(rest, each))
            continue
        shown.append(each)
        if each not in inject:
            next(rest, None)
    if whole:
        shown.extend(rest)
    result = "".join(shown[:length])
    return result[::-1] if start.right else result


def _start(spend: Spend, text: str, anchor: Value) -> _Start | None:
    if type(anchor) is str:
        if anchor.lower() in {"start", "end"}:
            return _Start(0, anchor.lower() == "end")
        found = compile_regexp(anchor).search(text, spend)
        return None if found is None else _Start(found[0], right=False)
    place = integral(anchor)
    if place is None:
        return _Start(0, right=False)
    return _Start(min(abs(place), LONGEST), place < 0)


FUNCTIONS.add("MASK", "s?o", "string", _mask, told=True)
