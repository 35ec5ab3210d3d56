"""What is looked up in one partition: which documents match, how well, and where.

A query becomes a tree of these. Scores are tf-idf: the square root of how often, times how seldom
the term is in all documents, divided by the root of the field's length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from couchloop.embedded.search.analysis import Analyzer
from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.index import Analysis, Entry, Location, Posting, Shard

MOST_CLAUSES: Final = 1024
"""Terms that a prefix, a wildcard or a regular expression may stand for."""

Found = tuple[str, str, Location]
"""Field, term, and where it is."""


class Match(NamedTuple):
    """How a document matches."""

    score: float
    partial: bool = False
    """Whether not all alternatives were met."""
    found: tuple[Found, ...] = ()


Matches = dict[int, Match]
"""By the number of a document."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where is searched, and what for."""

    shard: Shard
    analysis: Analysis
    locations: bool = False
    """Whether it matters where terms are."""
    budget: Budget = field(default_factory=Budget)

    def analyzer(self, name: str) -> Analyzer:
        """Return an analyzer. Raises SearchError."""
        return self.analysis.analyzer(name)

    def field(self, name: str | None) -> str:
        """Return in which field is searched: the default one, where none is named."""
        return name or self.analysis.mapping.default_field


class Searcher(Protocol):
    """A node of the tree."""

    @property
    def weight(self) -> float:
        """What it counts for among others."""

    def scale(self, norm: float) -> None:
        """Weigh it against others."""

    def matches(self) -> Matches:
        """Return the documents that match."""


def normalize(searchers: Sequence[Searcher]) -> None:
    """Weigh searchers against one another."""
    total = sum(each.weight for each in searchers)
    norm = 1 / math.sqrt(total) if total > 0 and math.isfinite(total) else 0.0
    for each in searchers:
        each.scale(norm)


class Nothing:
    """Finds nothing."""

    weight = 0.0

    def scale(self, norm: float) -> None:
        """Weigh nothing."""

    def matches(self) -> Matches:
        """Return nothing."""
        return {}


class Constant:
    """Finds documents that match all alike."""

    def __init__(self, context: Context, numbers: Collection[int], boost: float) -> None:
        self._context = context
        self._numbers = numbers
        self._boost = boost
        self._factor = 1.0

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        return self._boost * self._boost

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        self._factor = self._boost * norm

    def matches(self) -> Matches:
        """Return the documents."""
        self._context.budget.spend(len(self._numbers))
        match = Match(self._factor)
        return dict.fromkeys(self._numbers, match)


class Term:
    """Finds a term of a field."""

    def __init__(self, context: Context, field: str, term: str, boost: float) -> None:
        self._context = context
        self._field = field
        self.term = term
        self._boost = boost
        self._documents = context.shard.documents(field, term)
        total = len(context.shard.entries)
        self._rarity = 1 + math.log(total / (len(self._documents) + 1)) if total else 0.0
        self._factor = 1.0

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        weight = self._boost * self._rarity
        return weight * weight

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        self._factor = self._boost * self._rarity * norm

    def matches(self) -> Matches:
        """Return the documents that have the term."""
        self._context.budget.spend(len(self._documents))
        entries = self._context.shard.entries
        return {
            number: Match(self._score(entries[number], posting), False, self._found(posting))
            for number, posting in self._documents.items()
        }

    def _score(self, entry: Entry, posting: Posting) -> float:
        often = math.sqrt(posting.frequency / entry.lengths[self._field])
        return often * self._rarity * self._factor

    def _found(self, posting: Posting) -> tuple[Found, ...]:
        if not self._context.locations:
            return ()
        return tuple((each.field, self.term, each) for each in posting.locations)


class Disjunction:
    """Finds what some of its parts find; the more, the better.

    Args:
        parts: of it.
        least: how many of them have to match.
    """

    def __init__(self, parts: Sequence[Searcher], least: int = 0) -> None:
        self._parts = parts
        self._least = max(1, least)
        normalize(parts)

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        return sum(each.weight for each in self._parts)

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        for each in self._parts:
            each.scale(norm)

    def matches(self) -> Matches:
        """Return the documents."""
        gathered: dict[int, list[Match]] = {}
        for part in self._parts:
            for number, match in part.matches().items():
                gathered.setdefault(number, []).append(match)
        total = len(self._parts)
        return {
            number: Match(
                sum(each.score for each in found) * len(found) / total,
                len(found) < total,
                _together(found),
            )
            for number, found in gathered.items()
            if len(found) >= self._least
        }


class Conjunction:
    """Finds what all of its parts find."""

    def __init__(self, parts: Sequence[Searcher]) -> None:
        self._parts = parts
        normalize(parts)

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        return sum(each.weight for each in self._parts)

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        for each in self._parts:
            each.scale(norm)

    def matches(self) -> Matches:
        """Return the documents."""
        found = sorted((part.matches() for part in self._parts), key=len)
        if not found:
            return {}
        first, *others = found
        result = {}
        for number, match in first.items():
            if all(number in other for other in others):
                every = [match, *(other[number] for other in others)]
                score = sum(each.score for each in every)
                result[number] = Match(score, match.partial, _together(every))
        return result


class Boolean:
    """Finds what must be found, likes what should be, leaves out what must not be.

    Args:
        must: what a document has to match; None: nothing.
        should: what it may match; None: nothing.
        must_not: what it may not.
        required: whether it has to match *should* too.
    """

    def __init__(
        self,
        must: Searcher | None,
        should: Searcher | None,
        must_not: Searcher | None,
        *,
        required: bool,
    ) -> None:
        self._must, self._should, self._must_not = must, should, must_not
        self._required = required or must is None
        self._wanted = [each for each in (must, should) if each is not None]
        normalize(self._wanted)

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        return sum(each.weight for each in self._wanted)

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        for each in self._wanted:
            each.scale(norm)

    def matches(self) -> Matches:
        """Return the documents."""
        excluded = {} if self._must_not is None else self._must_not.matches()
        liked = {} if self._should is None else self._should.matches()
        found = liked if self._must is None else self._must.matches()
        result = {}
        for number, match in found.items():
            if number in excluded:
                continue
            also = liked.get(number) if self._must is not None else None
            if also is not None:
                score = match.score + also.score
                result[number] = Match(score, match.partial, _together([match, also]))
            elif self._should is None or not self._required or self._must is None:
                result[number] = match
        return result


class Filtered:
    """Finds what another finds, as far as a document is as it should be."""

    def __init__(self, inner: Searcher, accepts: Callable[[Entry], bool], shard: Shard) -> None:
        self._inner = inner
        self._accepts = accepts
        self._entries = shard.entries

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        return self._inner.weight

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        self._inner.scale(norm)

    def matches(self) -> Matches:
        """Return the documents."""
        return {
            number: match
            for number, match in self._inner.matches().items()
            if self._accepts(self._entries[number])
        }


def _together(matches: Sequence[Match]) -> tuple[Found, ...]:
    if not any(each.found for each in matches):
        return ()
    return tuple(found for each in matches for found in each.found)


def any_of(parts: Sequence[Searcher], least: int = 0) -> Searcher:
    """Return what finds any of some."""
    if not parts:
        return Nothing()
    return parts[0] if len(parts) == 1 and least <= 1 else Disjunction(parts, least)


def limit_clauses(field: str, count: int) -> None:
    """Raise SearchError if there are too many alternatives."""
    if count > MOST_CLAUSES:
        raise SearchError(
            f"TooManyClauses over field: `{field}` [{count} > maxClauseCount, which is set to "
            f"{MOST_CLAUSES}]"
        )


def any_term(
    context: Context, field: str, terms: Sequence[str], boost: float, *, limited: bool = True
) -> Searcher:
    """Return what finds any of some terms. Raises SearchError if they are too many."""
    if limited:
        limit_clauses(field, len(terms))
    return any_of([Term(context, field, term, boost) for term in terms])
