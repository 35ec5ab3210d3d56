"""Queries that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from couchloop.embedded.search.errors import RequestError
from couchloop.embedded.search.queries import MatchAllQuery, Query
from couchloop.embedded.search.searchers import (
    Boolean,
    Conjunction,
    Context,
    Disjunction,
    Nothing,
    Searcher,
    any_of,
    limit_clauses,
)


@dataclass(frozen=True, slots=True)
class _Compound:
    """What queries made of others have in common."""

    parts: Sequence[Query] = ()
    from_string: bool = False
    """Whether it was written as a query string: parts that can find nothing do not count."""

    def check(self) -> None:
        """Raise RequestError if a part cannot be looked up anywhere."""
        for part in self.parts:
            part.check()

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the fields that are asked, with the type that they should have."""
        return [each for part in self.parts for each in part.fields()]

    def _searchers(self, context: Context) -> list[Searcher]:
        found = [part.searcher(context) for part in self.parts]
        if self.from_string:
            found = [each for each in found if not isinstance(each, Nothing)]
        return found


@dataclass(frozen=True, slots=True)
class ConjunctionQuery(_Compound):
    """All of some."""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        parts = self._searchers(context)
        return Conjunction(parts) if len(parts) > 1 else any_of(parts)


@dataclass(frozen=True, slots=True)
class DisjunctionQuery(_Compound):
    """Any of some."""

    least: float = 0.0
    """How many have to match."""

    def check(self) -> None:
        """Raise RequestError if more have to match than there are."""
        if self.least > len(self.parts):
            raise RequestError(
                "disjunction query has fewer than the minimum number of clauses to satisfy"
            )
        _Compound.check(self)

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        parts = self._searchers(context)
        limit_clauses("", len(parts))
        if self.from_string and len(parts) == 1:
            return Disjunction(parts)
        return any_of(parts, int(self.least))


@dataclass(frozen=True, slots=True)
class BooleanQuery:
    """What must, should and must not match; None: nothing."""

    must: Query | None = None
    should: DisjunctionQuery | None = None
    must_not: Query | None = None

    def _parts(self) -> list[Query]:
        return [each for each in (self.must, self.should, self.must_not) if each is not None]

    def check(self) -> None:
        """Raise RequestError if nothing is asked, or a part cannot be looked up anywhere."""
        if not self._parts():
            raise RequestError(
                "boolean query must contain at least one must or should or not must clause"
            )
        for part in self._parts():
            part.check()

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the fields that are asked, with the type that they should have."""
        return [each for part in self._parts() for each in part.fields()]

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        must, should, must_not = (
            None if each is None else each.searcher(context)
            for each in (self.must, self.should, self.must_not)
        )
        if isinstance(must_not, Nothing):
            must_not = None
        if isinstance(should, Nothing) and must is not None and not self._needs_should:
            should = None
        if must is None and should is None:
            if must_not is None:
                # Nor does the service find all where what must not match can match nothing.
                return Nothing()
            must = MatchAllQuery().searcher(context)
        if must is not None and should is None and must_not is None:
            return must
        if must is None and must_not is None and should is not None:
            return should
        return Boolean(must, should, must_not, required=self._needs_should)

    @property
    def _needs_should(self) -> bool:
        return self.should is not None and self.should.least >= 1
