"""In which order hits come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from couchloop.embedded.search import geo, numbers
from couchloop.embedded.search.decoding import as_object
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.geo import ORIGIN, UNITS, Point, parse_float, parse_point
from couchloop.embedded.search.index import Entry, shown_term

_HIGH: Final = "\U0010ffff" * 3
_LOW: Final = "\x00"
"""What stands for a missing value, where it comes last or first."""
SCORE: Final = "_score"
_TYPES: Final = ("auto", "string", "number", "date")
_MODES: Final = ("default", "min", "max")
_MISSING: Final = ("last", "first")


class Order(Protocol):
    """One of the values that hits are ordered by."""

    @property
    def descends(self) -> bool:
        """Whether the greatest comes first."""

    def value(self, entry: Entry, score: float) -> float | str:
        """Return what a hit is ordered by."""

    def shown(self, value: float | str) -> str:
        """Return a value as clients see it."""

    def given(self, text: str) -> float | str:
        """Return a value that a client hands back."""


@dataclass(frozen=True, slots=True)
class _Textual:
    """What orders by text have in common."""

    descends: bool = False

    def shown(self, value: float | str) -> str:
        """Return a value as clients see it."""
        return shown_term(str(value))

    def given(self, text: str) -> float | str:
        """Return a value that a client hands back."""
        return text


@dataclass(frozen=True, slots=True)
class ByScore:
    """How well a hit matches."""

    descends: bool = False

    def value(self, entry: Entry, score: float) -> float | str:  # noqa: ARG002 - every order has it
        """Return what a hit is ordered by."""
        return score

    def shown(self, value: float | str) -> str:  # noqa: ARG002 - every order has it
        """Return a value as clients see it."""
        return SCORE

    def given(self, text: str) -> float | str:
        """Return a value that a client hands back: what is no number counts as 0."""
        try:
            return parse_float(text)
        except SearchError:
            return 0.0


@dataclass(frozen=True, slots=True)
class ById(_Textual):
    """The document's id."""

    def value(self, entry: Entry, score: float) -> float | str:  # noqa: ARG002 - every order has it
        """Return what a hit is ordered by."""
        return entry.key


@dataclass(frozen=True, slots=True)
class ByField(_Textual):
    """A field's terms."""

    field: str = ""
    kind: str = "auto"
    mode: str = "default"
    missing: str = "last"

    def value(self, entry: Entry, score: float) -> float | str:  # noqa: ARG002 - every order has it
        """Return what a hit is ordered by."""
        terms = entry.values(self.field)
        if self.kind in {"number", "date"}:
            terms = [term for term in terms if numbers.decode(term) is not None]
        elif self.kind == "auto":
            exact = [term for term in terms if numbers.decode(term) is not None]
            # Of numbers, and of places, there are terms of less precision too.
            terms = exact or terms
        if terms:
            return terms[-1] if self.mode == "max" else terms[0]
        return _HIGH if (self.missing == "last") != self.descends else _LOW


@dataclass(frozen=True, slots=True)
class ByDistance(_Textual):
    """How far a place is."""

    field: str = ""
    location: Point = ORIGIN
    metres: float = 1.0
    """Of the unit."""

    def value(self, entry: Entry, score: float) -> float | str:  # noqa: ARG002 - every order has it
        """Return what a hit is ordered by."""
        points = entry.points.get(self.field)
        if not points:
            return numbers.encode(numbers.MOST)
        far = geo.distance(self.location, points[0]) / self.metres
        return numbers.encode(numbers.float_to_int(far))


def parse_sort(given: Sequence[Any]) -> list[Order]:
    """Return the orders that JSON stands for. Raises RequestError."""
    return [_by_name(each) if isinstance(each, str) else _by_object(each) for each in given]


def _by_name(text: str) -> Order:
    descends = text.startswith("-")
    name = text[1:] if text.startswith(("-", "+")) else text
    if name == SCORE:
        return ByScore(descends)
    return ById(descends) if name == "_id" else ByField(descends, field=name)


def _by_object(value: object) -> Order:
    given = as_object(value)
    by, descends = given.get("by"), given.get("desc") is True
    if not isinstance(by, str):
        raise RequestError("search sort must specify by")
    match by:
        case "id":
            return ById(descends)
        case "score":
            return ByScore(descends)
        case "field":
            return _by_field(given, descends=descends)
        case "geo_distance":
            return _by_distance(given, descends=descends)
    raise RequestError(f"unknown search sort by: {by}")


def _by_field(given: dict[str, Any], *, descends: bool) -> Order:
    field = given.get("field")
    if not isinstance(field, str):
        raise RequestError("search sort mode field must specify field")
    known = {"type": _TYPES, "mode": _MODES, "missing": _MISSING}
    chosen = {}
    for name, words in known.items():
        word = given.get(name)
        if isinstance(word, str) and word not in words:
            what = "missing" if name == "missing" else name
            raise RequestError(f"unknown sort field {what}: {word}")
        chosen[name] = word if isinstance(word, str) else words[0]
    return ByField(descends, field, chosen["type"], chosen["mode"], chosen["missing"])


def _by_distance(given: dict[str, Any], *, descends: bool) -> Order:
    field = given.get("field")
    if not isinstance(field, str):
        raise RequestError("search sort mode geo_distance must specify field")
    location = parse_point(given.get("location"))
    if location is None:
        raise RequestError("unable to parse geo_distance location")
    unit = given.get("unit")
    if isinstance(unit, str) and unit not in UNITS:
        raise RequestError(f"unknown distance unit: {unit}")
    metres = UNITS[unit] if isinstance(unit, str) else 1.0
    return ByDistance(descends, field, location, metres)
