"""What can be searched for: SDK 2.5's queries, and GeoPolygonQuery of SDK 4.

A query is a value that may be changed until it is sent: its attributes are the members of its JSON,
and None takes one away. What cannot be right is refused when it is set; what is missing, when it is
sent (`validate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from couchloop.exceptions import InvalidSearchError, InvalidSettingError, NoChildrenError
from couchloop.fulltext.members import (
    Location,
    Member,
    Needed,
    Part,
    WireLocation,
    count,
    flag,
    listed,
    name,
    names,
    number,
    one_of,
    place,
    text,
)

Flag = bool
"""What `bool` is where an attribute has that name."""


class MatchOperator(Enum):
    """Whether all terms of a text must be found, or one of them."""

    OR = "or"
    AND = "and"


def _fuzziness(value: object, what: str) -> int | str:
    if value == "auto":
        return "auto"
    return count(value, what)


def _distance(value: object, what: str) -> str:
    if isinstance(value, str):
        return name(value, what)
    # The service takes a text alone, and metres where it has no unit.
    return str(number(value, what))


def _terms(value: object, what: str) -> list[str | list[str]]:
    return [
        text(each, what) if isinstance(each, str) else names(each, what)
        for each in listed(value, what)
    ]


def _points(value: object, what: str) -> list[WireLocation]:
    return [place(each, what) for each in listed(value, what)]


class SearchQuery(Part):
    """What all queries are."""

    __slots__ = ()

    boost = Member("boost", number, "How much more it counts than those beside it; 1 by itself.")


Query = SearchQuery
"""What SDK 2.5 calls it."""


class RawQuery(SearchQuery):
    """A query as the service has it: it is sent as it is.

    Args:
        obj: the query, a mapping that JSON can say.
    """

    __slots__ = ()

    def __init__(self, obj: Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(obj, Mapping):
            kind = type(obj).__name__
            raise InvalidSettingError(f"a RawQuery has a mapping, not {kind}", objextra=obj)
        self._members = dict(obj)


class _FieldQuery(SearchQuery):
    """A query that is of one field, or of the index' default field."""

    __slots__ = ()

    field = Member("field", name, "The field that is searched.")


class QueryStringQuery(SearchQuery):
    """A query in the service's language for people: `name:inn +city:lisbon -"sea view"`.

    Args:
        query: the text.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    query = Needed("query", text, "The text.")

    def __init__(self, query: str, *, boost: float | None = None) -> None:
        super().__init__()
        self.query = query
        self._assign(boost=boost)


class MatchQuery(_FieldQuery):
    """Documents with the terms of a text, which is analysed as the field is.

    Args:
        match: the text.
        prefix_length: how many first letters fuzziness leaves alone.
        fuzziness: how many letters of a term may differ, 2 at most.
        field: see the attribute.
        analyzer: analyses the text; None: the field's own.
        match_operator: whether one term is enough (OR), or all are needed (AND).
        operator: the same.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    match = Needed("match", text, "The text.")
    prefix_length = Member("prefix_length", count, "How many first letters must be the same.")
    fuzziness = Member("fuzziness", _fuzziness, "How many letters of a term may differ.")
    analyzer = Member("analyzer", name, "Analyses the text.")
    operator = Member("operator", one_of("or", "and"), "Whether all terms are needed: `and`, `or`.")

    def __init__(
        self,
        match: str,
        *,
        prefix_length: int | None = None,
        fuzziness: int | str | None = None,
        field: str | None = None,
        analyzer: str | None = None,
        match_operator: MatchOperator | str | None = None,
        operator: MatchOperator | str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.match = match
        self._assign(
            prefix_length=prefix_length,
            fuzziness=fuzziness,
            field=field,
            analyzer=analyzer,
            operator=operator,
            boost=boost,
        )
        if match_operator is not None:
            if operator is not None:
                raise InvalidSearchError("match_operator and operator are the same: give one")
            self.match_operator = match_operator

    @property
    def match_operator(self) -> MatchOperator | None:
        """Whether all terms are needed, as SDK 4 has it."""
        operator = self.operator
        return None if operator is None else MatchOperator(operator)

    @match_operator.setter
    def match_operator(self, value: MatchOperator | str | None) -> None:
        self.operator = value


class MatchPhraseQuery(_FieldQuery):
    """Documents with the terms of a text, one after the other; the text is analysed.

    Args:
        match_phrase: the text.
        field: see the attribute.
        analyzer: analyses the text; None: the field's own.
        fuzziness: how many letters of a term may differ.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    match_phrase = Needed("match_phrase", text, "The text.")
    analyzer = Member("analyzer", name, "Analyses the text.")
    fuzziness = Member("fuzziness", _fuzziness, "How many letters of a term may differ.")

    def __init__(
        self,
        match_phrase: str,
        *,
        field: str | None = None,
        analyzer: str | None = None,
        fuzziness: int | str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.match_phrase = match_phrase
        self._assign(field=field, analyzer=analyzer, fuzziness=fuzziness, boost=boost)


class TermQuery(_FieldQuery):
    """Documents with a term as it is indexed: it is not analysed.

    Args:
        term: that one.
        fuzziness: how many letters may differ, 2 at most; 0: none.
        prefix_length: how many first letters fuzziness leaves alone.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    term = Needed("term", text, "The term.")
    fuzziness = Member("fuzziness", count, "How many letters may differ.")
    prefix_length = Member("prefix_length", count, "How many first letters must be the same.")

    def __init__(
        self,
        term: str,
        *,
        fuzziness: int | None = None,
        prefix_length: int | None = None,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.term = term
        self._assign(fuzziness=fuzziness, prefix_length=prefix_length, field=field, boost=boost)

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        found = super().encodable
        if found.get("fuzziness") == 0:
            # The service refuses a fuzzy query without fuzziness.
            del found["fuzziness"]
            found.pop("prefix_length", None)
        return found


class PhraseQuery(_FieldQuery):
    """Documents with terms as they are indexed, one after the other.

    Args:
        terms: each a term, or a list of those that may stand there.
        field: see the attribute; without one nothing is found.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    terms = Needed("terms", _terms, "The terms.")

    def __init__(
        self, *terms: str | Sequence[str], field: str | None = None, boost: float | None = None
    ) -> None:
        super().__init__()
        self.terms = terms
        self._assign(field=field, boost=boost)

    def validate(self) -> None:
        """Raise NoChildrenError if there is no term."""
        if not self.terms:
            raise NoChildrenError("a PhraseQuery has at least one term")


class PrefixQuery(_FieldQuery):
    """Documents with a term that begins so; it is not analysed.

    Args:
        prefix: with what the term begins.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    prefix = Needed("prefix", text, "With what the term begins.")

    def __init__(
        self, prefix: str, *, field: str | None = None, boost: float | None = None
    ) -> None:
        super().__init__()
        self.prefix = prefix
        self._assign(field=field, boost=boost)


class WildcardQuery(_FieldQuery):
    """Documents with a term of a pattern: `*` is any text, `?` any letter; it is not analysed.

    Args:
        wildcard: the pattern, of the whole term.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    wildcard = Needed("wildcard", text, "The pattern.")

    def __init__(
        self, wildcard: str, *, field: str | None = None, boost: float | None = None
    ) -> None:
        super().__init__()
        self.wildcard = wildcard
        self._assign(field=field, boost=boost)


class RegexQuery(_FieldQuery):
    """Documents with a term of a regular expression (of Go); it is not analysed.

    Args:
        regexp: the expression, of the whole term; `$` is refused.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    regexp = Needed("regexp", text, "The expression.")
    regex = Needed("regexp", text, "The same.")

    def __init__(
        self, regexp: str, *, field: str | None = None, boost: float | None = None
    ) -> None:
        super().__init__()
        self.regexp = regexp
        self._assign(field=field, boost=boost)


RegexpQuery = RegexQuery


class DocIdQuery(SearchQuery):
    """Documents by their keys: most useful beside other queries.

    Args:
        ids: the keys.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    ids = Needed("ids", names, "The keys.")

    def __init__(self, ids: Iterable[str], *, boost: float | None = None) -> None:
        super().__init__()
        self.ids = ids
        self._assign(boost=boost)

    def validate(self) -> None:
        """Raise NoChildrenError if there is no key."""
        if not self.ids:
            raise NoChildrenError("a DocIdQuery has at least one key")


class BooleanFieldQuery(_FieldQuery):
    """Documents whose field is true, or false.

    Args:
        bool: which of the two.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    bool = Needed("bool", flag, "What the field is.")

    def __init__(
        self,
        bool: Flag,  # noqa: A002 - SDK 2.5's name
        *,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.bool = bool
        self._assign(field=field, boost=boost)


class MatchAllQuery(SearchQuery):
    """All documents of the index.

    Args:
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    def __init__(self, *, boost: float | None = None) -> None:
        super().__init__()
        self._members["match_all"] = None
        self._assign(boost=boost)


class MatchNoneQuery(SearchQuery):
    """No document.

    Args:
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    def __init__(self, *, boost: float | None = None) -> None:
        super().__init__()
        self._members["match_none"] = None
        self._assign(boost=boost)


# Places -------------------------------------------------------------------------------------------


class GeoDistanceQuery(_FieldQuery):
    """Documents near a place.

    Args:
        distance: how far at most: `"10km"`, `"2mi"`; a number, or one without unit, is in metres.
        location: the place.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    distance = Needed("distance", _distance, "How far at most.")
    location = Needed("location", place, "The place.")

    def __init__(
        self,
        distance: str | float,
        location: Location,
        *,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.distance = distance
        self.location = location
        self._assign(field=field, boost=boost)


class GeoBoundingBoxQuery(_FieldQuery):
    """Documents in a rectangle of the map.

    Args:
        top_left: its corner in the north west.
        bottom_right: its corner in the south east.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    top_left = Needed("top_left", place, "The corner in the north west.")
    bottom_right = Needed("bottom_right", place, "The corner in the south east.")

    def __init__(
        self,
        top_left: Location,
        bottom_right: Location,
        *,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.top_left = top_left
        self.bottom_right = bottom_right
        self._assign(field=field, boost=boost)


class GeoPolygonQuery(_FieldQuery):
    """Documents in a polygon of the map.

    Args:
        polygon_points: its corners, three at least; the last is joined to the first.
        field: see the attribute.
        boost: see `SearchQuery`.
    """

    __slots__ = ()

    polygon_points = Needed("polygon_points", _points, "The corners.")

    def __init__(
        self,
        polygon_points: Iterable[Location],
        *,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self.polygon_points = polygon_points
        self._assign(field=field, boost=boost)

    def validate(self) -> None:
        """Raise InvalidSearchError if there are fewer than three corners."""
        if len(self.polygon_points) < 3:
            raise InvalidSearchError("a polygon has at least three points")
