"""Facets: how many hits have which values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from couchloop.embedded.search import dates, numbers
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.index import Entry, shown_term


class Facet(Protocol):
    """One thing to count."""

    def count(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """Return what is found in hits, as clients see it."""


@dataclass(frozen=True, slots=True)
class _Common:
    field: str
    size: int

    def _answer(
        self, total: int, missing: int, shown: int, name: str, found: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        return {
            "field": self.field,
            "total": total,
            "missing": missing,
            "other": total - shown,
            name: found,
        }


@dataclass(frozen=True, slots=True)
class TermFacet(_Common):
    """The terms of a field."""

    prefix: str = ""

    def count(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """Return what is found in hits, as clients see it."""
        counts: Counter[str] = Counter()
        missing = 0
        for entry in entries:
            values = entry.values(self.field)
            missing += not values
            counts.update(value for value in values if value.startswith(self.prefix))
        first = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[: self.size]
        found = [{"term": shown_term(term), "count": count} for term, count in first]
        shown = sum(count for _, count in first)
        return self._answer(counts.total(), missing, shown, "terms", found if counts else None)


@dataclass(frozen=True, slots=True)
class Range:
    """A range of numbers, or of nanoseconds; None: it is open."""

    name: str
    least: float | None
    most: float | None
    shown: Mapping[str, Any]
    """Its bounds as clients see them."""

    def holds(self, value: float) -> bool:
        """Whether a value is within: the upper bound is not."""
        if self.least is not None and value < self.least:
            return False
        return self.most is None or value < self.most


@dataclass(frozen=True, slots=True)
class RangeFacet(_Common):
    """Ranges of numbers or dates."""

    ranges: Sequence[Range]
    member: str
    """Of the answer: `numeric_ranges` or `date_ranges`."""
    convert: Callable[[int], float]
    """Makes of the number that is indexed what the ranges are of."""

    def count(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """Return what is found in hits, as clients see it."""
        counts: Counter[str] = Counter()
        missing = 0
        for entry in entries:
            values = list(self._values(entry))
            missing += not values
            counts.update(
                each.name for value in values for each in self.ranges if each.holds(value)
            )
        by_name = {each.name: each for each in self.ranges}
        first = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[: self.size]
        found = [{"name": name, **by_name[name].shown, "count": count} for name, count in first]
        shown = sum(count for _, count in first)
        return self._answer(counts.total(), missing, shown, self.member, found if counts else None)

    def _values(self, entry: Entry) -> Iterable[float]:
        for term in entry.values(self.field):
            number = numbers.decode(term)
            if number is not None:
                yield self.convert(number)


def parse_facet(given: Mapping[str, Any]) -> Facet:
    """Return the facet that an object stands for. Raises RequestError."""
    field = _of(given, "field", str) or ""
    size = _of(given, "size", int) or 0
    if size < 0:
        raise RequestError(f"facet size must not be negative: {size}")
    numeric, timed = _of(given, "numeric_ranges", list), _of(given, "date_ranges", list)
    if numeric and timed:
        raise RequestError("facet can only contain numeric ranges or date ranges, not both")
    if numeric:
        ranges = _named([_numeric_range(each) for each in numeric], "numeric")
        return RangeFacet(field, size, ranges, "numeric_ranges", numbers.int_to_float)
    if timed:
        ranges = _named([_date_range(each) for each in timed], "date")
        return RangeFacet(field, size, ranges, "date_ranges", lambda number: number)
    return TermFacet(field, size, _of(given, "term_prefix", str) or "")


def _of(given: object, name: str, wanted: type) -> Any:
    """Return a member that is of a type or missing. Raises RequestError."""
    value = given.get(name) if isinstance(given, dict) else None
    if value is None or (isinstance(value, wanted) and not isinstance(value, bool)):
        return value
    raise RequestError(f"cbft.FacetRequest: {name}: unexpected value")


def _named(ranges: list[Range], kind: str) -> list[Range]:
    seen: set[str] = set()
    for each in ranges:
        if each.name in seen:
            raise RequestError(f"{kind} ranges contains duplicate name '{each.name}'")
        seen.add(each.name)
    return ranges


def _numeric_range(given: object) -> Range:
    name = _of(given, "name", str) or ""
    bounds: dict[str, float] = {}
    for which in ("min", "max"):
        value = _of(given, which, float | int)  # type: ignore[arg-type]
        if value is not None:
            bounds[which] = value
    if not bounds:
        raise RequestError(
            f"numeric range query must specify either min, max or both for range name '{name}'"
        )
    return Range(name, bounds.get("min"), bounds.get("max"), bounds)


def _date_range(given: object) -> Range:
    name = _of(given, "name", str) or ""
    parser = _of(given, "datetime_parser", str) or dates.DEFAULT_PARSER
    moments: dict[str, int] = {}
    for which in ("start", "end"):
        text = _of(given, which, str)
        if text:
            moments[which] = _moment(which, text, name, parser)
    if not moments:
        raise RequestError(
            f"date range query must specify either start, end or both for date range name '{name}'"
        )
    shown = {which: dates.write(moment, "Z") for which, moment in moments.items()}
    return Range(name, moments.get("start"), moments.get("end"), shown)


def _moment(which: str, text: str, name: str, parser: str) -> int:
    try:
        return dates.bound(text, parser)
    except SearchError as error:
        why = str(error).partition(", date time parser name")[0]
        raise RequestError(
            f"ParseDates err: error parsing {which} date '{text}' for date range name '{name}': "
            f"{why}, using date time parser named {parser}"
        ) from None
