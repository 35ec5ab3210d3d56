"""An inverted index: for each field the terms, for each term the documents."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from couchloop.embedded.search import cells, geo, numbers
from couchloop.embedded.search.analysis import Analyzer, Token, find_analyzer, length
from couchloop.embedded.search.geo import Point
from couchloop.embedded.search.mapping import ALL, Field, IndexMapping
from couchloop.embedded.search.shapes import Shape
from couchloop.embedded.search.vectors import Vector

_NOTHING: Final[dict[int, Posting]] = {}


class Location(NamedTuple):
    """Where a term is."""

    field: str
    position: int
    start: int
    end: int
    places: tuple[int, ...]
    """Index in each array on the way."""


@dataclass(slots=True)
class Posting:
    """What of a document a term is."""

    frequency: int
    locations: list[Location]


class Source(NamedTuple):
    """A document as it is given to be indexed."""

    key: str
    document: Any
    scope: str = "_default"
    collection: str = "_default"


@dataclass(slots=True)
class Entry:
    """One document in the index."""

    key: str
    collection: str
    fields: list[Field]
    terms: dict[str, dict[str, Posting]]
    """By field."""
    lengths: dict[str, int]
    """How many terms a field has, by field."""
    points: dict[str, list[Point]]
    shapes: dict[str, list[Shape]]
    vectors: dict[str, list[tuple[Vector, str]]]
    """With the metrics by which they are compared."""
    _values: dict[str, list[str]] = field(default_factory=dict)

    def values(self, name: str) -> list[str]:
        """Return the different terms of a field, in order."""
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = sorted(self.terms.get(name, ()))
        return found


_Placed = Sequence[tuple[str, Location | None]]
"""Terms, and where they are, as far as that is kept."""


@dataclass(slots=True)
class _Building:
    """An entry while its fields are gathered."""

    terms: dict[str, dict[str, Posting]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, placed: _Placed) -> None:
        """Add the terms of one value to a field."""
        terms = self.terms.setdefault(name, {})
        for term, where in placed:
            posting = terms.get(term)
            if posting is None:
                terms[term] = Posting(1, [] if where is None else [where])
            else:
                posting.frequency += 1
                if where is not None:
                    posting.locations.append(where)
        self.lengths[name] = self.lengths.get(name, 0) + len(placed)


def _placed(tokens: Sequence[Token], one: Field) -> _Placed:
    if not one.options.vectors:
        return [(token.term, None) for token in tokens]
    name, places = one.name, one.places
    return [
        (token.term, Location(name, token.position, token.start, token.end, places))
        for token in tokens
    ]


@lru_cache(4096)
def _of_number(number: int) -> Sequence[Token]:
    return tuple(_simple(term, length(term)) for term in numbers.terms(number))


def _simple(term: str, size: int) -> Token:
    return Token(term, 1, 0, size)


def shown_term(term: str) -> str:
    """Return a term as JSON shows it: of an address not all bytes are text."""
    return term if term.isascii() else raw_term(term).decode("utf-8", "replace")


def raw_term(term: str) -> bytes:
    """Return the bytes of a term."""
    return term.encode("utf-8", "surrogateescape")


class Analysis:
    """Makes entries of documents.

    Args:
        mapping: of the index.
    """

    def __init__(self, mapping: IndexMapping) -> None:
        self.mapping = mapping
        self._analyzers: dict[str, Analyzer] = {}

    def analyzer(self, name: str) -> Analyzer:
        """Return an analyzer. Raises SearchError if there is none of that name."""
        found = self._analyzers.get(name)
        if found is None:
            found = self._analyzers[name] = find_analyzer(name, self.mapping.analyzers)
        return found

    def tokens(self, one: Field) -> Sequence[Token]:
        """Return the terms of a value. Raises SearchError."""
        match one.kind:
            case "text":
                return self.analyzer(one.options.analyzer)(one.value)
            case "number":
                return _of_number(numbers.float_to_int(one.value))
            case "datetime":
                return _of_number(one.value)
            case "boolean":
                terms = ["T" if one.value else "F"]
            case "geopoint":
                terms = [numbers.encode(geo.to_number(one.value)), *cells.terms(one.value)]
            case "IP":
                return [_simple(one.value, 16)]
            case _:
                terms = []
        return [_simple(term, length(term)) for term in terms]

    def fields(self, source: Source) -> list[Field]:
        """Return what of a document is indexed or stored."""
        return list(
            self.mapping.fields(source.key, source.document, source.scope, source.collection)
        )

    def entry(self, source: Source) -> Entry:
        """Return a document as it is indexed. Raises SearchError."""
        fields = self.fields(source)
        building = _Building()
        points: dict[str, list[Point]] = {}
        shapes: dict[str, list[Shape]] = {}
        vectors: dict[str, list[tuple[Vector, str]]] = {}
        for each in fields:
            if not each.options.indexed:
                continue
            if each.kind == "vector":
                vectors.setdefault(each.name, []).append((each.value, each.layout))
                continue
            placed = _placed(self.tokens(each), each)
            building.add(each.name, placed)
            names = [each.name]
            if each.options.in_all:
                building.add(ALL, placed)
                names.append(ALL)
            if each.kind == "geopoint":
                for name in names:
                    points.setdefault(name, []).append(each.value)
            elif each.kind == "geoshape":
                for name in names:
                    shapes.setdefault(name, []).append(each.value)
        return Entry(
            source.key,
            source.collection,
            fields,
            building.terms,
            building.lengths,
            points,
            shapes,
            vectors,
        )


class Shard:
    """One partition of an index: its documents, and in which of them a term is."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.failure: str | None = None
        """What it says instead of searching."""
        self.entries: dict[int, Entry] = {}
        self._postings: dict[str, dict[str, dict[int, Posting]]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._next = 0

    def add(self, entry: Entry) -> int:
        """Add a document; return its number."""
        number = self._next
        self._next += 1
        self.entries[number] = entry
        for name, terms in entry.terms.items():
            postings = self._postings.setdefault(name, {})
            for term, posting in terms.items():
                documents = postings.get(term)
                if documents is None:
                    documents = postings[term] = {}
                    self._sorted.pop(name, None)
                documents[number] = posting
        return number

    def remove(self, number: int) -> None:
        """Remove a document."""
        for name, terms in self.entries.pop(number).terms.items():
            postings = self._postings[name]
            for term in terms:
                documents = postings[term]
                del documents[number]
                if not documents:
                    del postings[term]
                    self._sorted.pop(name, None)

    def documents(self, name: str, term: str) -> Mapping[int, Posting]:
        """Return in which documents a term of a field is, and how."""
        return self._postings.get(name, {}).get(term, _NOTHING)

    def terms(self, name: str) -> list[str]:
        """Return all terms of a field, in order."""
        found = self._sorted.get(name)
        if found is None:
            found = self._sorted[name] = sorted(self._postings.get(name, ()))
        return found

    def between(self, name: str, least: str, most: str) -> Iterator[str]:
        """Yield the terms of a field from *least* to *most*, both included."""
        terms = self.terms(name)
        for index in range(bisect_left(terms, least), len(terms)):
            if terms[index] > most:
                return
            yield terms[index]

    def beginning(self, name: str, prefix: str) -> Iterator[str]:
        """Yield the terms of a field that begin with a text."""
        terms = self.terms(name)
        for index in range(bisect_left(terms, prefix), len(terms)):
            if not terms[index].startswith(prefix):
                return
            yield terms[index]
