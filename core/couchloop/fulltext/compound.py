"""Queries made of queries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from couchloop.exceptions import InvalidSearchError, InvalidSettingError, NoChildrenError
from couchloop.fulltext.members import Member, positive
from couchloop.fulltext.queries import SearchQuery

Queries = SearchQuery | Iterable[SearchQuery]
"""One query, or several."""


def _encoded(queries: object) -> list[dict[str, Any]]:
    """Return queries as JSON can say them. Raises InvalidSettingError (a TypeError)."""
    return [_query(each).encodable for each in _iterated(queries)]


def _iterated(queries: object) -> list[object]:
    if isinstance(queries, Iterable) and not isinstance(queries, str | bytes):
        return list(queries)
    kind = type(queries).__name__
    raise InvalidSettingError(f"queries are an iterable of queries, not {kind}", objextra=queries)


def _query(given: object) -> SearchQuery:
    if isinstance(given, SearchQuery):
        return given
    kind = type(given).__name__
    raise InvalidSettingError(f"a query is of couchloop.fulltext, not {kind}", objextra=given)


class ConjunctionQuery(SearchQuery):
    """Documents that all queries find.

    Args:
        queries: those.
        boost: see `SearchQuery`.

    Attributes:
        conjuncts: the queries, a list that may be changed.

    """

    __slots__ = ("conjuncts",)

    def __init__(self, *queries: SearchQuery, boost: float | None = None) -> None:
        super().__init__()
        self.conjuncts: list[SearchQuery] = list(queries)
        self._assign(boost=boost)

    def validate(self) -> None:
        """Raise NoChildrenError if there is no query."""
        if not self.conjuncts:
            raise NoChildrenError("a ConjunctionQuery has at least one query")

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {**super().encodable, "conjuncts": _encoded(self.conjuncts)}

    def __eq__(self, other: object) -> bool:
        """Whether it is such a query, of the same queries."""
        same = super().__eq__(other)
        return same if same is not True else self.conjuncts == getattr(other, "conjuncts", None)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._members!r} of {self.conjuncts!r}>"


class DisjunctionQuery(SearchQuery):
    """Documents that some of the queries find.

    Args:
        queries: those.
        min: how many of them must find it. None: it is not said, and where it stands beside
            queries that must find it (`BooleanQuery.should`), none of these need to.
        boost: see `SearchQuery`.

    Attributes:
        disjuncts: the queries, a list that may be changed.

    """

    __slots__ = ("disjuncts",)

    min = Member("min", positive, "How many of the queries must find a document.")

    def __init__(
        self,
        *queries: SearchQuery,
        min: int | None = 1,  # noqa: A002 - SDK 2.5's name
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.disjuncts: list[SearchQuery] = list(queries)
        self._assign(min=min, boost=boost)

    def validate(self) -> None:
        """Raise NoChildrenError if there are fewer queries than must find a document, or none."""
        if len(self.disjuncts) < (self.min or 1):
            raise NoChildrenError(
                "a DisjunctionQuery has at least one query, and no fewer than min says"
            )

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {**super().encodable, "disjuncts": _encoded(self.disjuncts)}

    def __eq__(self, other: object) -> bool:
        """Whether it is such a query, of the same queries."""
        same = super().__eq__(other)
        return same if same is not True else self.disjuncts == getattr(other, "disjuncts", None)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._members!r} of {self.disjuncts!r}>"


class BooleanQuery(SearchQuery):
    """Documents that some queries must find, some should, and some must not.

    Args:
        must: queries that all must find it.
        should: queries of which as many must find it as their `min` says: one, unless a
            `DisjunctionQuery` says otherwise.
        must_not: queries of which none may find it.
        boost: see `SearchQuery`.

    Each is a query, or several; they become a `ConjunctionQuery` (must) or a `DisjunctionQuery`.
    """

    __slots__ = ("_must", "_must_not", "_should")

    def __init__(
        self,
        must: Queries | None = None,
        should: Queries | None = None,
        must_not: Queries | None = None,
        *,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.must = must
        self.should = should
        self.must_not = must_not
        self._assign(boost=boost)

    @property
    def must(self) -> ConjunctionQuery | None:
        """The queries that all must find a document."""
        return self._must

    @must.setter
    def must(self, value: Queries | None) -> None:
        if value is not None and not isinstance(value, ConjunctionQuery):
            value = ConjunctionQuery(*_several(value))
        self._must = value

    @property
    def should(self) -> DisjunctionQuery | None:
        """The queries of which some must find a document: see `DisjunctionQuery.min`."""
        return self._should

    @should.setter
    def should(self, value: Queries | None) -> None:
        self._should = _disjunction(value)

    @property
    def must_not(self) -> DisjunctionQuery | None:
        """The queries of which none may find a document."""
        return self._must_not

    @must_not.setter
    def must_not(self, value: Queries | None) -> None:
        self._must_not = _disjunction(value)

    @property
    def _parts(self) -> dict[str, SearchQuery]:
        given = {"must": self.must, "should": self.should, "must_not": self.must_not}
        return {name: query for name, query in given.items() if query is not None}

    def validate(self) -> None:
        """Raise InvalidSearchError (a ValueError) if there is no query."""
        if not self._parts:
            raise InvalidSearchError("a BooleanQuery has must, should, must_not, or several")

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        parts = {name: query.encodable for name, query in self._parts.items()}
        return {**super().encodable, **parts}

    def __eq__(self, other: object) -> bool:
        """Whether it is such a query, of the same queries."""
        same = super().__eq__(other)
        return same if same is not True else self._parts == getattr(other, "_parts", None)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._members!r} of {self._parts!r}>"


def _several(value: object) -> list[SearchQuery]:
    """Return one query or several as a list. Raises InvalidSettingError (a TypeError)."""
    if isinstance(value, SearchQuery):
        return [value]
    return [_query(each) for each in _iterated(value)]


def _disjunction(value: object) -> DisjunctionQuery | None:
    if value is None or isinstance(value, DisjunctionQuery):
        return value
    return DisjunctionQuery(*_several(value))
