"""In which order hits come: SDK 2.5's sorts. By themselves the best come first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.fulltext.members import (
    Location,
    Member,
    Needed,
    Part,
    flag,
    listed,
    name,
    one_of,
    place,
    text,
)


class Sort(Part):
    """What all sorts are.

    Args:
        by: what is compared.
        desc: whether the greatest comes first.
        descending: the same.
    """

    __slots__ = ()

    desc = Member("desc", flag, "Whether the greatest comes first.")
    descending = Member("desc", flag, "The same.")

    def __init__(
        self, by: str, *, desc: bool | None = None, descending: bool | None = None
    ) -> None:
        super().__init__()
        self._members["by"] = by
        self._assign(desc=desc, descending=descending)

    def as_encodable(self) -> Any:
        """Return it as JSON can say it."""
        return self.encodable


class SortString(Sort):
    """By fields, one after the other: `"-rating"` has the greatest first, `"_score"`, `"_id"`.

    Args:
        fields: those.
    """

    __slots__ = ("_fields",)

    def __init__(self, *fields: str) -> None:
        Part.__init__(self)
        self._fields = [name(each, "a field") for each in fields]

    def as_encodable(self) -> Any:
        """Return it as JSON can say it."""
        return list(self._fields)

    def __eq__(self, other: object) -> bool:
        """Whether it is by the same fields."""
        return isinstance(other, SortString) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]  # as of all parts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._fields!r}>"


class SortScore(Sort):
    """By the score. Without `desc` the worst come first.

    Args:
        desc: whether the best come first.
        descending: the same.
    """

    __slots__ = ()

    def __init__(self, *, desc: bool | None = None, descending: bool | None = None) -> None:
        super().__init__("score", desc=desc, descending=descending)


class SortID(Sort):
    """By the documents' keys.

    Args:
        desc: see `Sort`.
        descending: the same.
    """

    __slots__ = ()

    def __init__(self, *, desc: bool | None = None, descending: bool | None = None) -> None:
        super().__init__("id", desc=desc, descending=descending)


class SortField(Sort):
    """By a field.

    Args:
        field: that one.
        type: what it has: `auto`, `string`, `number` or `date`.
        mode: which of several values counts: `default`, `min` or `max`.
        missing: where documents without the field stand: `first` or `last`.
        desc: see `Sort`.
        descending: the same.
    """

    __slots__ = ()

    field = Needed("field", name, "The field.")
    type = Member("type", one_of("auto", "string", "number", "date"), "What it has.")
    mode = Member("mode", one_of("default", "min", "max"), "Which of several values counts.")
    missing = Member("missing", one_of("first", "last"), "Where documents without it stand.")

    def __init__(
        self,
        field: str,
        *,
        type: str | None = None,  # noqa: A002 - SDK 2.5's name
        mode: str | None = None,
        missing: str | None = None,
        desc: bool | None = None,
        descending: bool | None = None,
    ) -> None:
        super().__init__("field", desc=desc, descending=descending)
        self.field = field
        self._assign(type=type, mode=mode, missing=missing)


class SortGeoDistance(Sort):
    """By the distance from a place.

    Args:
        location: that place.
        field: which has the documents' places.
        unit: of the distance that a hit's `sort` has: `m`, `km`, `mi`, …
        desc: see `Sort`.
        descending: the same.
    """

    __slots__ = ()

    location = Needed("location", place, "The place.")
    field = Needed("field", name, "Which has the documents' places.")
    unit = Member("unit", text, "Of the distance.")

    def __init__(
        self,
        location: Location,
        field: str,
        *,
        unit: str | None = None,
        desc: bool | None = None,
        descending: bool | None = None,
    ) -> None:
        super().__init__("geo_distance", desc=desc, descending=descending)
        self.location = location
        self.field = field
        self._assign(unit=unit)


class SortRaw(Sort):
    """A sort as the service has it: it is sent as it is.

    Args:
        raw: an object, a text, or a list of these.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Any) -> None:
        Part.__init__(self)
        if not isinstance(raw, Mapping | list | tuple | str):
            kind = type(raw).__name__
            raise InvalidSettingError(f"a SortRaw has a mapping or a list, not {kind}")
        self._raw = raw

    def as_encodable(self) -> Any:
        """Return it as JSON can say it."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        """Whether it is the same."""
        return isinstance(other, SortRaw) and bool(self._raw == other._raw)

    __hash__ = None  # type: ignore[assignment]  # as of all parts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._raw!r}>"


def sort_keys(value: object) -> list[Any]:
    """Return what is sent for a sort, or for fields and sorts one after the other.

    Raises ArgumentError for what is neither, InvalidSettingError for one text alone.
    """
    keys: list[Any] = []
    for each in [value] if isinstance(value, Sort) else listed(value, "sort"):
        if isinstance(each, str):
            keys.append(str.__str__(each))
        elif isinstance(each, Sort):
            made = each.as_encodable()
            keys += made if isinstance(made, list | tuple) else [made]
        elif isinstance(each, Mapping):
            keys.append(dict(each))
        else:
            kind = type(each).__name__
            raise ArgumentError(f"a sort is a Sort, or a field's name, not {kind}", objextra=each)
    return keys
