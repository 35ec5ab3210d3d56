"""Searches for vectors: what lies nearest to one (7.6, RFC 52)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, Self

from couchloop.exceptions import InvalidSearchError, InvalidSettingError
from couchloop.fulltext.members import Member, Part, listed, name, number, positive
from couchloop.fulltext.queries import SearchQuery

CANDIDATES: Final = 3
"""How many are looked for where nothing is said."""
_FLOAT: Final = 4
"""Bytes of a number in base64."""


class VectorQueryCombination(Enum):
    """Whether a document must be near all vectors, or to one of them."""

    AND = "and"
    OR = "or"


def _vector(value: object) -> tuple[str, list[float | int] | str]:
    """Return a vector with the name of the member that has it.

    Raises InvalidSettingError, InvalidSearchError.
    """
    if isinstance(value, str):
        return "vector_base64", _base64(str.__str__(value))
    found = [number(each, "each number of a vector") for each in listed(value, "a vector")]
    if not found:
        raise InvalidSearchError("a vector has at least one number")
    return "vector", found


def _base64(value: str) -> str:
    try:
        size = len(base64.b64decode(value, validate=True))
    except ValueError as error:
        raise InvalidSearchError("a vector that is a text is base64", inner_cause=error) from error
    if not size or size % _FLOAT:
        raise InvalidSearchError(
            "a vector in base64 is of float32 numbers, little-endian: of 4 bytes each"
        )
    return value


class VectorQuery(Part):
    """Documents whose vector lies nearest to one.

    Args:
        field_name: the field with the documents' vectors.
        vector: that one: numbers, or base64 of float32 numbers (little-endian, 7.6.2 and later).
        num_candidates: how many documents are looked for; None: `CANDIDATES`.
        boost: how much more it counts than what is beside it; 1 by itself.
        prefilter: a query that these documents must match, too (7.6.4 and later).

    Raises InvalidSearchError (a ValueError), InvalidSettingError (a TypeError).
    """

    __slots__ = ("_prefilter",)

    num_candidates = Member("k", positive, "How many documents are looked for.")
    boost = Member("boost", number, "How much more it counts.")

    def __init__(
        self,
        field_name: str,
        vector: Sequence[float] | str,
        num_candidates: int | None = None,
        boost: float | None = None,
        prefilter: SearchQuery | None = None,
    ) -> None:
        super().__init__()
        self._members["field"] = name(field_name, "field_name")
        member, found = _vector(vector)
        self._members[member] = found
        self._assign(num_candidates=num_candidates, boost=boost)
        self.prefilter = prefilter

    @classmethod
    def create(
        cls,
        field_name: str,
        vector: Sequence[float] | str,
        num_candidates: int | None = None,
        boost: float | None = None,
        prefilter: SearchQuery | None = None,
    ) -> Self:
        """Return one, as the constructor does: SDK 4's way."""
        return cls(field_name, vector, num_candidates, boost, prefilter)

    @property
    def field_name(self) -> str:
        """Return the field with the documents' vectors."""
        found: str = self._members["field"]
        return found

    @property
    def vector(self) -> list[float] | None:
        """Return the vector; None: it is in base64."""
        found: list[float] | None = self._members.get("vector")
        return found

    @property
    def vector_base64(self) -> str | None:
        """Return the vector in base64; None: it is of numbers."""
        found: str | None = self._members.get("vector_base64")
        return found

    @property
    def prefilter(self) -> SearchQuery | None:
        """The query that documents must match, too."""
        return self._prefilter

    @prefilter.setter
    def prefilter(self, value: SearchQuery | None) -> None:
        if value is not None and not isinstance(value, SearchQuery):
            kind = type(value).__name__
            raise InvalidSettingError(f"prefilter is a SearchQuery, not {kind}", objextra=value)
        self._prefilter = value

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        made = {"k": CANDIDATES, **super().encodable}
        if self._prefilter is not None:
            made["filter"] = self._prefilter.encodable
        return made

    def __eq__(self, other: object) -> bool:
        """Whether it is the same."""
        same = super().__eq__(other)
        return same if same is not True else self._prefilter == getattr(other, "_prefilter", None)

    __hash__ = None  # as of all parts


class VectorSearchOptions:
    """How several vectors are combined.

    Args:
        vector_query_combination: None: a document that is near one of them is found.
    """

    __slots__ = ("vector_query_combination",)

    def __init__(
        self, vector_query_combination: VectorQueryCombination | str | None = None
    ) -> None:
        if vector_query_combination is not None:
            try:
                vector_query_combination = VectorQueryCombination(vector_query_combination)
            except (ValueError, RecursionError):
                text = "vector_query_combination is VectorQueryCombination.AND or .OR"
                raise InvalidSearchError(text, objextra=vector_query_combination) from None
        self.vector_query_combination: VectorQueryCombination | None = vector_query_combination

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vector_query_combination})"


class VectorSearch:
    """A search for one vector or several.

    Args:
        queries: those.
        options: how they are combined.

    Raises InvalidSearchError (a ValueError) without a query, InvalidSettingError (a TypeError).
    """

    __slots__ = ("options", "queries")

    def __init__(
        self, queries: Sequence[VectorQuery], options: VectorSearchOptions | None = None
    ) -> None:
        found = listed(queries, "queries")
        if not found:
            raise InvalidSearchError("a VectorSearch has at least one VectorQuery")
        self.queries: list[VectorQuery] = []
        for each in found:
            if not isinstance(each, VectorQuery):
                kind = type(each).__name__
                raise InvalidSettingError(f"queries are VectorQuery, not {kind}", objextra=each)
            self.queries.append(each)
        if options is not None and not isinstance(options, VectorSearchOptions):
            kind = type(options).__name__
            raise InvalidSettingError(f"options are VectorSearchOptions, not {kind}")
        self.options = options

    @classmethod
    def from_vector_query(cls, query: VectorQuery) -> Self:
        """Return the search for one vector."""
        return cls([query])

    @property
    def members(self) -> dict[str, Any]:
        """Return the members of a request's JSON."""
        made: dict[str, Any] = {"knn": [each.encodable for each in self.queries]}
        options = self.options
        if options is not None and options.vector_query_combination is not None:
            made["knn_operator"] = options.vector_query_combination.value
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.queries!r}>"


class SearchRequest:
    """What is searched for: a query, vectors, or both (SDK 4).

    Args:
        query: a query, or a search for vectors.

    Raises InvalidSettingError (a TypeError) for anything else.
    """

    __slots__ = ("_search_query", "_vector_search")

    def __init__(self, query: SearchQuery | VectorSearch) -> None:
        self._search_query: SearchQuery | None = None
        self._vector_search: VectorSearch | None = None
        if isinstance(query, VectorSearch):
            self._vector_search = query
        elif isinstance(query, SearchQuery):
            self._search_query = query
        else:
            kind = type(query).__name__
            text = f"a SearchRequest is for a SearchQuery or a VectorSearch, not {kind}"
            raise InvalidSettingError(text, objextra=query)

    @classmethod
    def create(cls, query: SearchQuery | VectorSearch) -> Self:
        """Return one, as the constructor does."""
        return cls(query)

    @property
    def search_query(self) -> SearchQuery | None:
        """Return the query, if there is one."""
        return self._search_query

    @property
    def vector_search(self) -> VectorSearch | None:
        """Return the search for vectors, if there is one."""
        return self._vector_search

    def with_search_query(self, query: SearchQuery) -> Self:
        """Add a query; return this request. Raises InvalidSearchError if there is one already."""
        if not isinstance(query, SearchQuery):
            kind = type(query).__name__
            raise InvalidSettingError(f"a query is a SearchQuery, not {kind}", objextra=query)
        if self._search_query is not None:
            raise InvalidSearchError("the request has a SearchQuery already")
        self._search_query = query
        return self

    def with_vector_search(self, vector_search: VectorSearch) -> Self:
        """Add vectors; return this request. Raises InvalidSearchError if it has some already."""
        if not isinstance(vector_search, VectorSearch):
            kind = type(vector_search).__name__
            text = f"vector_search is a VectorSearch, not {kind}"
            raise InvalidSettingError(text, objextra=vector_search)
        if self._vector_search is not None:
            raise InvalidSearchError("the request has a VectorSearch already")
        self._vector_search = vector_search
        return self

    def __repr__(self) -> str:
        parts = (self._search_query, self._vector_search)
        shown = ", ".join(repr(part) for part in parts if part is not None)
        return f"<{type(self).__name__} for {shown}>"
