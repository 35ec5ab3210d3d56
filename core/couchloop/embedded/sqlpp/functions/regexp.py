"""Regular expressions of queries: RE2's, whose faults are a function's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from couchloop.embedded.patterns import engine
from couchloop.embedded.patterns.engine import Span, Spend
from couchloop.embedded.patterns.syntax import PatternError
from couchloop.embedded.sqlpp.errors import FunctionError


class Regexp:
    """A regular expression, compiled. Raises FunctionError."""

    def __init__(self, pattern: str) -> None:
        try:
            self._compiled = engine.Regexp(pattern)
        except PatternError as error:
            raise FunctionError(str(error)) from None

    def search(self, text: str, spend: Spend) -> Span | None:
        """Return where a text matches first: from, and to before. Raises FunctionError."""
        try:
            return self._compiled.search(text, spend)
        except PatternError as error:
            raise FunctionError(str(error)) from None

    def matches(self, text: str, spend: Spend) -> Iterator[Span]:
        """Return all matches, no empty one directly behind another. Raises FunctionError."""
        try:
            yield from self._compiled.matches(text, spend)
        except PatternError as error:
            raise FunctionError(str(error)) from None


@lru_cache(maxsize=16)
def compile_regexp(pattern: str) -> Regexp:
    """Return a regular expression, compiled. Raises FunctionError."""
    return Regexp(pattern)
