"""What is counted beside the hits of a search: SDK 2.5's facets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from couchloop.exceptions import InvalidSearchError, InvalidSettingError
from couchloop.fulltext.members import Member, Needed, Part, count, name, number, text

TERMS: int = 10
"""Terms that are given where a `TermFacet` says nothing; the service would give none."""


class Facet(Part):
    """What all facets are.

    Args:
        field: whose values are counted.
        limit: how many of them are given, those that there are most of. None or 0: it is not
            said; all ranges of a facet that has some are given then, or `TERMS` terms.
    """

    __slots__ = ()

    field = Needed("field", name, "Whose values are counted.")
    limit = Member("size", count, "How many of them are given.")

    def __init__(self, field: str, limit: int | None = None) -> None:
        super().__init__()
        self.field = field
        self.limit = limit or None

    @property
    def sent(self) -> dict[str, Any]:
        """Return what is sent: like `encodable`, and says how many are given."""
        return {"size": self._size, **self.encodable}

    @property
    def _size(self) -> int:
        return TERMS


class TermFacet(Facet):
    """Counts the most frequent terms of a field."""

    __slots__ = ()


class _RangeFacet(Facet):
    """What facets of ranges are."""

    __slots__ = ()

    _RANGES: ClassVar[str]

    def __init__(self, field: str, limit: int | None = None) -> None:
        super().__init__(field, limit)
        self._members[self._RANGES] = []

    @property
    def _size(self) -> int:
        return max(1, len(self._ranges))

    @property
    def _ranges(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._members[self._RANGES]
        return found

    def _add(self, name_: str, bounds: Mapping[str, Any]) -> None:
        label = text(name_, "the name of a range")
        given = {bound: value for bound, value in bounds.items() if value is not None}
        if not given:
            raise InvalidSettingError(f"a range has {', '.join(bounds)}, or both")
        if any(label == each["name"] for each in self._ranges):
            raise InvalidSearchError("each range of a facet has a name of its own", objextra=label)
        self._ranges.append({"name": label, **given})

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {**super().encodable, self._RANGES: [dict(each) for each in self._ranges]}

    def validate(self) -> None:
        """Raise InvalidSearchError (a ValueError) if it has no range."""
        if not self._ranges:
            kind = type(self).__name__
            raise InvalidSearchError(f"a {kind} has at least one range: see add_range")


class DateFacet(_RangeFacet):
    """Counts the dates of a field in ranges: see `add_range`."""

    __slots__ = ()

    _RANGES = "date_ranges"

    def add_range(
        self,
        name: str,
        start: str | None = None,
        end: str | None = None,
        *,
        datetime_parser: str | None = None,
    ) -> Self:
        """Add a range, whose name the answer has; return this facet.

        Args:
            name: of the range.
            start: its first moment, as `DateRangeQuery` has it.
            end: the first moment that is no longer in it.
            datetime_parser: reads the two; None: the index' own.

        Raises InvalidSettingError (a TypeError) without a bound, InvalidSearchError for a name
        that another range has.
        """
        bounds = {"start": _moment(start, "start"), "end": _moment(end, "end")}
        self._add(name, bounds)
        if datetime_parser is not None:
            self._ranges[-1]["datetime_parser"] = text(datetime_parser, "datetime_parser")
        return self

    @property
    def date_ranges(self) -> list[dict[str, Any]]:
        """Return the ranges."""
        return self._ranges


class NumericFacet(_RangeFacet):
    """Counts the numbers of a field in ranges: see `add_range`."""

    __slots__ = ()

    _RANGES = "numeric_ranges"

    def add_range(
        self,
        name: str,
        min: float | None = None,  # noqa: A002 - SDK 2.5's name
        max: float | None = None,  # noqa: A002 - likewise
    ) -> Self:
        """Add a range, whose name the answer has; return this facet.

        Args:
            name: of the range.
            min: the least number in it.
            max: the least number above it.

        Raises InvalidSettingError (a TypeError) without a bound, InvalidSearchError for a name
        that another range has.
        """
        self._add(name, {"min": _bound(min, "min"), "max": _bound(max, "max")})
        return self

    @property
    def numeric_ranges(self) -> list[dict[str, Any]]:
        """Return the ranges."""
        return self._ranges


def _moment(value: object, what: str) -> str | None:
    return None if value is None else text(value, what)


def _bound(value: object, what: str) -> float | None:
    return None if value is None else number(value, what)


class FacetDict(dict[str, Facet]):
    """Facets by the names that the answer has for them; what is none is refused at once.

    Args:
        given: facets by name.
    """

    def __init__(self, given: Mapping[str, Facet] | None = None, **named: Facet) -> None:
        super().__init__()
        self.update(given or {}, **named)

    def __setitem__(self, key: str, value: Facet) -> None:
        if not isinstance(value, Facet):
            kind = type(value).__name__
            raise InvalidSearchError(f"a facet is a Facet, not {kind}", objextra=value)
        value.validate()
        super().__setitem__(text(key, "the name of a facet"), value)

    def update(self, *args: Any, **kwargs: Facet) -> None:
        """Add facets by name. Raises InvalidSearchError (a ValueError) for what is none."""
        try:
            found: Any = dict(*args, **kwargs)
        except (TypeError, ValueError):
            raise InvalidSettingError("facets are a dict of facets by name") from None
        for key in found:
            self[key] = found[key]

    def setdefault(self, key: str, default: Any = None) -> Facet:
        """Return the facet of that name; if there is none, add *default*."""
        if key not in self:
            self[key] = default
        return self[key]
