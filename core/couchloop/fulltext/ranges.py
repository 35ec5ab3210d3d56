"""Queries for ranges: of numbers, dates and terms."""

from __future__ import annotations

from typing import ClassVar

from couchloop.exceptions import InvalidSettingError
from couchloop.fulltext.members import Member, flag, number, text
from couchloop.fulltext.queries import _FieldQuery


class _RangeQuery(_FieldQuery):
    """What all of them are."""

    __slots__ = ()

    _BOUNDS: ClassVar[tuple[str, str]]

    def validate(self) -> None:
        """Raise InvalidSettingError (a TypeError) if there is no bound."""
        lower, upper = self._BOUNDS
        if lower not in self._members and upper not in self._members:
            kind = type(self).__name__
            raise InvalidSettingError(f"a {kind} has {lower}, {upper}, or both")


class NumericRangeQuery(_RangeQuery):
    """Documents with a number in a range; give `min`, `max`, or both.

    Args:
        min: the least.
        max: the greatest.
        min_inclusive: whether `min` itself is in the range; by itself it is.
        max_inclusive: whether `max` itself is in the range; by itself it is not.
        inclusive_min: as `min_inclusive`; SDK 4's name.
        inclusive_max: as `max_inclusive`; SDK 4's name.
        field: see the attribute.
        boost: see `SearchQuery`.

    Raises InvalidSettingError (a TypeError) without a bound.
    """

    __slots__ = ()

    min = Member("min", number, "The least.")
    max = Member("max", number, "The greatest.")
    min_inclusive = Member("inclusive_min", flag, "Whether `min` itself is in the range.")
    max_inclusive = Member("inclusive_max", flag, "Whether `max` itself is in the range.")
    inclusive_min = Member("inclusive_min", flag, "The same as `min_inclusive`.")
    inclusive_max = Member("inclusive_max", flag, "The same as `max_inclusive`.")
    _BOUNDS = "min", "max"

    def __init__(
        self,
        min: float | None = None,  # noqa: A002 - SDK 2.5's name
        max: float | None = None,  # noqa: A002 - likewise
        *,
        min_inclusive: bool | None = None,
        max_inclusive: bool | None = None,
        inclusive_min: bool | None = None,
        inclusive_max: bool | None = None,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self._assign(
            min=min,
            max=max,
            min_inclusive=min_inclusive,
            max_inclusive=max_inclusive,
            inclusive_min=inclusive_min,
            inclusive_max=inclusive_max,
            field=field,
            boost=boost,
        )
        self.validate()


class DateRangeQuery(_RangeQuery):
    """Documents with a date in a range; give `start`, `end`, or both.

    Args:
        start: the first moment, as the parser reads it: `2014-12-25`, `2014-12-25T12:00:00Z`.
        end: the last moment.
        start_inclusive: whether `start` itself is in the range; by itself it is.
        end_inclusive: whether `end` itself is in the range; by itself it is not.
        inclusive_start: as `start_inclusive`; SDK 4's name.
        inclusive_end: as `end_inclusive`; SDK 4's name.
        datetime_parser: reads the moments; None: the index' own.
        field: see the attribute.
        boost: see `SearchQuery`.

    Raises InvalidSettingError (a TypeError) without a bound.
    """

    __slots__ = ()

    start = Member("start", text, "The first moment.")
    end = Member("end", text, "The last moment.")
    start_inclusive = Member("inclusive_start", flag, "Whether `start` itself is in the range.")
    end_inclusive = Member("inclusive_end", flag, "Whether `end` itself is in the range.")
    inclusive_start = Member("inclusive_start", flag, "The same as `start_inclusive`.")
    inclusive_end = Member("inclusive_end", flag, "The same as `end_inclusive`.")
    datetime_parser = Member("datetime_parser", text, "Reads the moments.")
    _BOUNDS = "start", "end"

    def __init__(
        self,
        start: str | None = None,
        end: str | None = None,
        *,
        start_inclusive: bool | None = None,
        end_inclusive: bool | None = None,
        inclusive_start: bool | None = None,
        inclusive_end: bool | None = None,
        datetime_parser: str | None = None,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self._assign(
            start=start,
            end=end,
            start_inclusive=start_inclusive,
            end_inclusive=end_inclusive,
            inclusive_start=inclusive_start,
            inclusive_end=inclusive_end,
            datetime_parser=datetime_parser,
            field=field,
            boost=boost,
        )
        self.validate()


class TermRangeQuery(_RangeQuery):
    """Documents with a term between two, in the order of their bytes.

    SDK 2.5 sent `start` and `end`, in which the service sees dates; they are sent as `min` and
    `max`.

    Args:
        start: the first term.
        end: the last term.
        min: as `start`; SDK 4's name.
        max: as `end`; SDK 4's name.
        start_inclusive: whether `start` itself is in the range; by itself it is.
        end_inclusive: whether `end` itself is in the range; by itself it is not.
        inclusive_min: as `start_inclusive`; SDK 4's name.
        inclusive_max: as `end_inclusive`; SDK 4's name.
        field: see the attribute.
        boost: see `SearchQuery`.

    Raises InvalidSettingError (a TypeError) without a bound.
    """

    __slots__ = ()

    start = Member("min", text, "The first term.")
    end = Member("max", text, "The last term.")
    min = Member("min", text, "The same as `start`.")
    max = Member("max", text, "The same as `end`.")
    start_inclusive = Member("inclusive_min", flag, "Whether `start` itself is in the range.")
    end_inclusive = Member("inclusive_max", flag, "Whether `end` itself is in the range.")
    inclusive_min = Member("inclusive_min", flag, "The same as `start_inclusive`.")
    inclusive_max = Member("inclusive_max", flag, "The same as `end_inclusive`.")
    _BOUNDS = "min", "max"

    def __init__(
        self,
        start: str | None = None,
        end: str | None = None,
        *,
        min: str | None = None,  # noqa: A002 - SDK 4's name
        max: str | None = None,  # noqa: A002 - likewise
        start_inclusive: bool | None = None,
        end_inclusive: bool | None = None,
        inclusive_min: bool | None = None,
        inclusive_max: bool | None = None,
        field: str | None = None,
        boost: float | None = None,
    ) -> None:
        super().__init__()
        self._assign(
            start=start,
            end=end,
            min=min,
            max=max,
            start_inclusive=start_inclusive,
            end_inclusive=end_inclusive,
            inclusive_min=inclusive_min,
            inclusive_max=inclusive_max,
            field=field,
            boost=boost,
        )
        self.validate()
