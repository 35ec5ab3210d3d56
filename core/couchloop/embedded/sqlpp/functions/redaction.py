"""Values made unrecognizable: REDACT()."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from couchloop.embedded.sqlpp.functions.date_formats import parse_date
from couchloop.embedded.sqlpp.functions.function import Context, Spend
from couchloop.embedded.sqlpp.functions.object_paths import matcher
from couchloop.embedded.sqlpp.functions.table import Table, option
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import MISSING, Binary, Value, is_number, number

FUNCTIONS: Final = Table()

_LONGEST_DATE: Final = 30


@dataclass(frozen=True)
class _Rule:
    """What becomes of a value."""

    values: bool = False
    """Whether it is made unrecognizable."""
    names: bool = False
    """Whether the names of its members are."""
    strict: bool = False
    """Whether dates, truth and punctuation are not to be recognized either."""
    fixed: bool = False
    """Whether its length is not."""
    omit: bool = False
    mask: str = "x"


@dataclass(frozen=True)
class _Filter:
    """What options say, and of which members."""

    wanted: Callable[[str], bool]
    always: bool
    """Whether it is said of all."""
    exclude: bool
    names: bool | None
    strict: bool | None
    rule: _Rule

    def applied(self, name: str, around: _Rule) -> _Rule | None:
        """Return what becomes of a member; None: nothing is said of it."""
        names = around.names if self.names is None else self.names
        strict = around.strict if self.strict is None else self.strict
        if self.always or self.wanted(name):
            return replace(
                self.rule,
                values=not self.exclude,
                names=names and not self.exclude,
                strict=strict,
            )
        if self.exclude:
            return replace(self.rule, values=True, names=names, strict=strict, omit=False)
        return None


def _filter(spend: Spend, options: Mapping[str, Value]) -> _Filter:
    mask = option(options, "mask", str)
    rule = _Rule(
        fixed=bool(option(options, "fixedlength", bool)),
        omit=bool(option(options, "omit", bool)),
        mask="x" if mask is None else mask,
    )
    return _Filter(
        matcher(spend, options),
        not option(options, "pattern", str),
        bool(option(options, "exclude", bool)),
        option(options, "name", bool),
        option(options, "strict", bool),
        rule,
    )


def _redact(arguments: Sequence[Value], context: Context) -> Value:
    if any(each is MISSING for each in arguments):
        return MISSING
    value, *given = arguments
    if value is None or type(value) is Binary or not all(isinstance(each, dict) for each in given):
        return None
    # Without options all of a text is left out.
    filters = [_filter(context.spend, each) for each in given or ({"mask": ""},)]
    if isinstance(value, dict | list):
        return _redacted(value, filters, "", _Rule())
    rule = _rule("", filters, _Rule())
    return value if rule.omit else _redacted(value, filters, "", rule)


def _rule(name: str, filters: list[_Filter], around: _Rule) -> _Rule:
    for each in filters:
        found = each.applied(name, around)
        if found is not None:
            return found
    return replace(around, omit=False)


def _redacted(value: Value, filters: list[_Filter], base: str, rule: _Rule) -> Value:
    if type(value) is list:
        inner = _rule("", filters, rule)
        if inner.omit:
            return [None] * len(value)
        return [_redacted(each, filters, base, inner) for each in value]
    if isinstance(value, dict):
        members: dict[str, Any] = {}
        for at, name in enumerate(sorted(value)):
            inner = _rule(name, filters, rule)
            if inner.omit:
                continue
            shown = name
            if inner.names:
                shown = f"{base}_f{at:04d}" if base else f"f{at:04d}"
            members[shown] = _redacted(value[name], filters, shown, inner)
        return members
    if not rule.values:
        return value
    if type(value) is str:
        return _text(value, rule)
    if type(value) is bool:
        return False if rule.strict or rule.fixed else value
    return _number(value, rule) if is_number(value) else value


def _text(text: str, rule: _Rule) -> str:
    mask, fixed = rule.mask, rule.fixed
    if not rule.strict and len(text) <= _LONGEST_DATE and parse_date(text) is not None:
        mask, fixed = "1", False
    if fixed:
        return mask
    if not mask:
        return "" if rule.strict else "".join(filter(_is_kept, text))
    return "".join(
        each if not rule.strict and _is_kept(each) else mask[at % len(mask)]
        for at, each in enumerate(text)
    )


def _is_kept(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] in "PS"


def _number(value: float, rule: _Rule) -> int | float:
    if rule.fixed:
        return 0
    text = re.sub("[0-9]", "1", encode(value))
    return value if '"' in text else number(float(text) if "." in text else int(text))


FUNCTIONS.add_plain("REDACT", 1, None, "argument", _redact)
