"""Queries about terms: what each looks up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from couchloop.embedded.search.errors import RequestError
from couchloop.embedded.search.fuzzy import near_terms
from couchloop.embedded.search.phrases import Phrase
from couchloop.embedded.search.regexps import Pattern, compile_pattern, wildcard
from couchloop.embedded.search.searchers import (
    Conjunction,
    Constant,
    Context,
    Nothing,
    Searcher,
    Term,
    any_of,
    any_term,
    limit_clauses,
)

_SIGNS: Final = 4
"""Signs that an expression reads in the time of a step."""


class Query(Protocol):
    """Something that can be looked up."""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""

    def check(self) -> None:
        """Raise RequestError if it cannot be looked up anywhere."""

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the fields that are asked, with the type that they should have."""


@dataclass(frozen=True, slots=True)
class Simple:
    """What queries of one field have in common."""

    field: str = ""
    boost: float = 1.0

    def check(self) -> None:
        """Find nothing wrong."""

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, a text."""
        return [(self.field, "text")] if self.field else []


@dataclass(frozen=True, slots=True)
class MatchQuery(Simple):
    """Any, or all, of the terms of a text."""

    text: str = ""
    analyzer: str = ""
    prefix_length: int = 0
    fuzziness: int = 0
    every: bool = False
    """Whether all terms have to be there."""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        name = self.analyzer or context.analysis.mapping.analyzer_of(field)
        parts = [
            self._part(context, field, token.term) for token in context.analyzer(name)(self.text)
        ]
        if self.every:
            return Conjunction(parts) if len(parts) > 1 else any_of(parts)
        limit_clauses("", len(parts))
        return any_of(parts)

    def _part(self, context: Context, field: str, term: str) -> Searcher:
        if not self.fuzziness:
            return Term(context, field, term, self.boost)
        near = near_terms(context, field, term, self.fuzziness, self.prefix_length)
        return any_term(context, field, near, self.boost)


@dataclass(frozen=True, slots=True)
class MatchPhraseQuery(Simple):
    """The terms of a text, one behind another."""

    text: str = ""
    analyzer: str = ""
    fuzziness: int = 0

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        name = self.analyzer or context.analysis.mapping.analyzer_of(field)
        tokens = context.analyzer(name)(self.text)
        if not tokens:
            return Nothing()
        first = tokens[0].position
        slots: list[list[str]] = [[] for _ in range(tokens[-1].position - first + 1)]
        for token in tokens:
            slots[token.position - first].append(token.term)
        return Phrase(context, field, slots, self.fuzziness, self.boost)


@dataclass(frozen=True, slots=True)
class PhraseQuery(Simple):
    """Terms, one behind another, or several for each place."""

    terms: Sequence[Sequence[str]] = ()
    fuzziness: int = 0

    def check(self) -> None:
        """Raise RequestError if there is no term."""
        if not self.terms:
            raise RequestError("phrase query must contain at least one term")

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        # Unlike all others it does not fall back to the default field.
        if not self.field or not any(self.terms):
            return Nothing()
        return Phrase(context, self.field, self.terms, self.fuzziness, self.boost)


@dataclass(frozen=True, slots=True)
class TermQuery(Simple):
    """One term, as it is indexed."""

    term: str = ""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition."""
        return Term(context, context.field(self.field), self.term, self.boost)


@dataclass(frozen=True, slots=True)
class FuzzyQuery(Simple):
    """Terms that are nearly one."""

    term: str = ""
    prefix_length: int = 0
    fuzziness: int = 1

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        near = near_terms(context, field, self.term, self.fuzziness, self.prefix_length)
        return any_term(context, field, near, self.boost)


@dataclass(frozen=True, slots=True)
class PrefixQuery(Simple):
    """Terms that begin so."""

    prefix: str = ""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        terms: list[str] = []
        for term in context.shard.beginning(field, self.prefix):
            terms.append(term)
            # One too many is enough to know.
            if len(terms) > 1024:
                break
        return any_term(context, field, terms, self.boost)


@dataclass(frozen=True, slots=True)
class RegexpQuery(Simple):
    """Terms that an expression describes."""

    regexp: str = ""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        pattern = compile_pattern(self.regexp.removeprefix("^"))
        return _matching(context, context.field(self.field), pattern, self.boost)


@dataclass(frozen=True, slots=True)
class WildcardQuery(Simple):
    """Terms in which some signs may be any."""

    wildcard: str = ""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        pattern = wildcard(self.wildcard)
        return _matching(context, context.field(self.field), pattern, self.boost)


def _matching(context: Context, field: str, pattern: Pattern, boost: float) -> Searcher:
    terms = []
    for term in context.shard.terms(field):
        context.budget.spend(1 + len(term) // _SIGNS)
        if pattern.matches(term, context.budget):
            terms.append(term)
    return any_term(context, field, terms, boost)


@dataclass(frozen=True, slots=True)
class BooleanFieldQuery(Simple):
    """Fields that are true, or false."""

    wanted: bool = False

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition."""
        term = "T" if self.wanted else "F"
        return Term(context, context.field(self.field), term, self.boost)

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, a boolean."""
        return [(self.field, "boolean")] if self.field else []


@dataclass(frozen=True, slots=True)
class MatchAllQuery(Simple):
    """All documents."""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition."""
        return Constant(context, context.shard.entries, self.boost)


@dataclass(frozen=True, slots=True)
class MatchNoneQuery(Simple):
    """No document."""

    def searcher(self, context: Context) -> Searcher:  # noqa: ARG002 - every query has it
        """Return what finds nothing."""
        return Nothing()


@dataclass(frozen=True, slots=True)
class DocIdQuery(Simple):
    """Documents of these ids."""

    ids: Sequence[str] = ()

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition."""
        wanted = set(self.ids)
        context.budget.spend(len(context.shard.entries))
        found = [number for number, each in context.shard.entries.items() if each.key in wanted]
        return Constant(context, found, self.boost)
