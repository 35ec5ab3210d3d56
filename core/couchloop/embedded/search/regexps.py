"""Regular expressions over terms: RE2's, without what has no width, or is lazy.

A term is matched whole; what that takes is taken off what the search may do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from couchloop.embedded.patterns.engine import Regexp, quoted
from couchloop.embedded.patterns.syntax import (
    BOUNDARY,
    NO_BOUNDARY,
    Assertion,
    Chain,
    Choice,
    Node,
    PatternError,
    Repeat,
)
from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.errors import SearchError

_PER_STEP: Final = 8
"""Steps of the engine that take as long as one of a search."""


def _check(node: Node) -> None:
    """Raise PatternError for what terms cannot be matched with, as the service does."""
    match node:
        case Assertion():
            if node.flag in {BOUNDARY, NO_BOUNDARY}:
                raise PatternError("word boundaries are not allowed")
            raise PatternError("zero width assertions not allowed")
        case Repeat():
            if not node.greedy:
                raise PatternError("lazy quantifiers are not allowed")
            _check(node.part)
        case Chain() | Choice():
            for part in node.parts:
                _check(part)


class Pattern:
    """An expression that terms are compared with, whole.

    Raises SearchError if it is none.
    """

    def __init__(self, text: str) -> None:
        try:
            self._compiled = Regexp(text, _check, whole=True)
        except PatternError as error:
            raise SearchError(str(error)) from None

    def matches(self, term: str, budget: Budget) -> bool:
        """Whether the whole term is as the expression says. Raises SearchError."""
        if any("\ud800" <= each <= "\udfff" for each in term):
            # The bytes of an address, which are no text.
            return False
        try:
            found = self._compiled.search(term, lambda steps: budget.spend(steps // _PER_STEP))
        except PatternError as error:
            raise SearchError(str(error)) from None
        return found is not None


@lru_cache(maxsize=16)
def compile_pattern(text: str) -> Pattern:
    """Return an expression, compiled. Raises SearchError."""
    return Pattern(text)


def wildcard(text: str) -> Pattern:
    """Return the expression of a text in which `*` and `?` stand for any signs."""
    special = {"*": ".*", "?": "."}
    return compile_pattern("".join(special.get(each) or quoted(each) for each in text))
