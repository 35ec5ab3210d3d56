"""Functions of tokens: the words of a value, wherever in it they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from couchloop.embedded.patterns.engine import quoted
from couchloop.embedded.sqlpp.functions.array_sets import distinct
from couchloop.embedded.sqlpp.functions.function import Context, Spend
from couchloop.embedded.sqlpp.functions.regexp import Regexp, compile_regexp
from couchloop.embedded.sqlpp.functions.strings import lower, upper
from couchloop.embedded.sqlpp.functions.table import Call, Table, option
from couchloop.embedded.sqlpp.values import MISSING, Binary, Value, equal

FUNCTIONS: Final = Table()
_plain = FUNCTIONS.add_plain

_BRACKETS: Final = frozenset("()[]{}")


def _words(text: str, options: dict[str, Value]) -> Iterator[str]:
    case = option(options, "case", str)
    change = {"lower": lower, "upper": upper}.get((case or "").lower(), str)
    if option(options, "split", bool) is False:
        yield change(text if option(options, "trim", bool) is False else text.strip())
        return
    yield from map(change, _divided(text, lambda each: not _is_special(each)))
    if option(options, "specials", bool):
        for word in _divided(text, lambda each: not (each.isspace() or each in _BRACKETS)):
            end = len(word)
            while end and _is_special(word[end - 1]):
                end -= 1
            if end:
                yield change(word[:end])


def _is_special(character: str) -> bool:
    return not (character.isalpha() or character.isnumeric())


def _divided(text: str, belongs: Callable[[str], bool]) -> Iterator[str]:
    start = None
    for at, each in enumerate(text):
        if belongs(each):
            start = at if start is None else start
        elif start is not None:
            yield text[start:at]
            start = None
    if start is not None:
        yield text[start:]


def tokens(value: Value, options: dict[str, Value]) -> Iterator[Value]:
    """Return the tokens of a value, in which there may be doubles.

    Args:
        value: any but MISSING.
        options: `names`, `case`, `specials`, `split`, `trim`.
    """
    rest = [value]
    while rest:
        each = rest.pop()
        if type(each) is str:
            yield from _words(each, options)
        elif type(each) is list:
            rest.extend(reversed(each))
        elif isinstance(each, dict):
            named = option(options, "names", bool) is not False
            for name in sorted(each, reverse=True):
                rest.append(each[name])
                if named:
                    rest.append(name)
        elif each is not MISSING and type(each) is not Binary:
            yield each


def _tokens(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    if any(each is MISSING for each in arguments):
        return MISSING
    options = arguments[1] if len(arguments) > 1 else {}
    return distinct(tokens(arguments[0], options)) if isinstance(options, dict) else None


def _asked(call: Callable[[Spend, Value, Value, dict[str, Value]], bool], *, text: bool) -> Call:
    """Return a question about the tokens of a value: by a token, or by a text that is a pattern."""

    def asked(arguments: Sequence[Value], context: Context) -> Value:
        if any(each is MISSING for each in arguments):
            return MISSING
        value, wanted, *rest = arguments
        options = rest[0] if rest else {}
        if value is None or wanted is None or not isinstance(options, dict):
            return None
        if text and type(wanted) is not str:
            return None
        return call(context.spend, value, wanted, options)

    return asked


def _has(spend: Spend, value: Value, wanted: Value, options: dict[str, Value]) -> bool:
    for each in tokens(value, options):
        spend(1)
        if equal(each, wanted) is True:
            return True
    return False


def _has_match(spend: Spend, regexp: Regexp, value: Value, options: dict[str, Value]) -> bool:
    return any(
        type(each) is str and regexp.search(each, spend) is not None
        for each in tokens(value, options)
    )


def _has_regexp(spend: Spend, value: Value, pattern: str, options: dict[str, Value]) -> bool:
    compile_regexp(pattern)
    return _has_match(spend, compile_regexp(f"^{pattern}$"), value, options)


def _has_like(spend: Spend, value: Value, pattern: str, options: dict[str, Value]) -> bool:
    return _has_match(spend, compile_regexp(_like(pattern)), value, options)


def _like(pattern: str) -> str:
    """Return the regular expression that a pattern of LIKE is."""
    parts = []
    escaped = False
    for each in pattern:
        if not escaped and each == "\\":
            escaped = True
            continue
        wild = {"%": ".*", "_": "."}.get(each) if not escaped else None
        parts.append(wild or quoted(each))
        escaped = False
    return f"(?s)^{''.join(parts)}$"


_plain("TOKENS", 1, 2, "array", _tokens)
_plain("CONTAINS_TOKEN HAS_TOKEN", 2, 3, "boolean", _asked(_has, text=False))
_plain("CONTAINS_TOKEN_LIKE", 2, 3, "boolean", _asked(_has_like, text=True))
_plain(
    "CONTAINS_TOKEN_REGEXP CONTAINS_TOKEN_REGEX", 2, 3, "boolean", _asked(_has_regexp, text=True)
)
