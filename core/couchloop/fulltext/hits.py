"""What a search gives: hits, with the places of what was found in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from couchloop.exceptions import BrokenAnswerError, CouchbaseError, ValueFormatError
from couchloop.records import record
from couchloop.transcoder import decode_json
from couchloop.typed import convert

if TYPE_CHECKING:
    from typing import Generic

    from typing_extensions import TypeVar as WithDefault

    F = WithDefault("F", default=dict[str, Any])

    class _Hit(dict[str, Any], Generic[F]):
        __slots__ = ()

else:
    F = TypeVar("F")
    _Hit = dict


@record(frozen=True, slots=True)
class SearchRowLocation:
    """Where a term stands in a field of a document."""

    field: str
    term: str
    position: int
    """Which term of the field it is, from 1 on."""
    start: int
    """Bytes of the field before it."""
    end: int
    """Bytes of the field before what follows it."""
    array_positions: list[int] | None = None
    """Where in lists, one in the other, the field stands; None: in no list."""


class SearchRowLocations:
    """The places of all terms that a document was found by, if the search has asked for them.

    Args:
        told: as the service has it: `{field: {term: [place, …]}}`.
    """

    __slots__ = ("_told",)

    def __init__(self, told: object = None) -> None:
        self._told: dict[str, Any] = told if isinstance(told, dict) else {}

    def get_all(self) -> list[SearchRowLocation]:
        """Return all places."""
        return [place for field in self._told for place in self._of(field)]

    def get(self, field: str, term: str) -> list[SearchRowLocation]:
        """Return the places of a term in a field."""
        return [place for place in self._of(field) if place.term == term]

    def fields(self) -> list[str]:
        """Return the fields that have any."""
        return list(self._told)

    def terms(self) -> set[str]:
        """Return the terms of all fields."""
        return {term for field in self._told for term in self.terms_for(field)}

    def terms_for(self, field: str) -> list[str]:
        """Return the terms of a field."""
        terms = self._told.get(field)
        return list(terms) if isinstance(terms, dict) else []

    def _of(self, field: str) -> Iterator[SearchRowLocation]:
        terms = self._told.get(field)
        for term, places in (terms if isinstance(terms, dict) else {}).items():
            for place in places if isinstance(places, list) else ():
                if isinstance(place, dict):
                    yield SearchRowLocation(
                        field,
                        term,
                        place.get("pos", 0),
                        place.get("start", 0),
                        place.get("end", 0),
                        place.get("array_positions"),
                    )

    def __bool__(self) -> bool:
        return bool(self._told)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._told!r})"


class SearchRow(_Hit[F]):
    """A hit: its members by name, as in SDK 2.5, and as attributes, as in SDK 4.

    Its `fields` are a dict, or what *type* of the search has made of them.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """Return the document's key."""
        found: str = self.get("id", "")
        return found

    @property
    def index(self) -> str:
        """Return the part of the index that has it."""
        found: str = self.get("index", "")
        return found

    @property
    def score(self) -> float:
        """Return how well it fits: greater is better, and nothing else is promised."""
        found: float = self.get("score", 0.0)
        return found

    @property
    def fields(self) -> F:
        """Return the fields of the document that the search has asked for."""
        found: Any = self.get("fields")
        return {} if found is None else found  # type: ignore[no-any-return]  # as the search said

    @property
    def sort(self) -> list[str]:
        """Return where it stands in the order: for `search_after` and `search_before`."""
        return self.get("sort") or []

    @property
    def locations(self) -> SearchRowLocations:
        """Return where terms stand, if the search has asked for that."""
        return SearchRowLocations(self.get("locations"))

    @property
    def fragments(self) -> dict[str, list[str]]:
        """Return pieces of fields, with what was found marked, if the search has asked for them."""
        return self.get("fragments") or {}

    @property
    def explanation(self) -> dict[str, Any]:
        """Return how the score came about, if the search has asked for that."""
        return self.get("explanation") or {}

    @property
    def partial_match(self) -> bool:
        """Whether only some of a query's parts have found it."""
        return self.get("partial_match") is True


def read_hit(data: bytes, kind: Any = None) -> SearchRow[Any]:
    """Return a hit, with its fields as a value of the type *kind*, if that is not None.

    Raises BrokenAnswerError for what is none, ValueFormatError for fields that do not fit.
    """
    try:
        found = decode_json(data)
    except CouchbaseError as error:
        raise BrokenAnswerError("a hit of the answer is no JSON") from error
    if not isinstance(found, dict):
        raise BrokenAnswerError("a hit of the answer is no JSON object")
    hit = SearchRow[Any](found)
    if kind is not None:
        try:
            hit["fields"] = convert(hit.fields, kind, "fields")
        except ValueFormatError as error:
            error.key = hit.id or None
            raise
    return hit
