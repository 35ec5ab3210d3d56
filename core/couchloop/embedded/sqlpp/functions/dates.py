"""Functions of dates: texts, or milliseconds since 1970. The local zone is UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from couchloop.embedded.sqlpp.functions.date_formats import (
    Dated,
    example_of,
    format_date,
    parse_date,
    parse_dated,
)
from couchloop.embedded.sqlpp.functions.date_layouts import DAYS, write, zone_by_name
from couchloop.embedded.sqlpp.functions.date_parts import add, difference, part_of, truncate
from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.moments import (
    UTC_ZONE,
    Moment,
    Zone,
    from_milliseconds,
    from_seconds,
)
from couchloop.embedded.sqlpp.functions.table import Call, Table, bounded_array
from couchloop.embedded.sqlpp.values import MISSING, Value

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add
_plain = FUNCTIONS.add_plain


# --- now ----------------------------------------------------------------------------------------


def _statement_time(context: Context) -> float:
    return context.now


def _clock_time(context: Context) -> float:
    return context.clock()


def _told_millis(time: Callable[[Context], float]) -> Call:
    return lambda arguments, context: from_seconds(time(context)).milliseconds()  # noqa: ARG005


def _told(time: Callable[[Context], float], *, zone: bool = False) -> Call:
    """Return a function that tells the time: a zone's, if that is the first argument."""

    def told(arguments: Sequence[Value], context: Context) -> Value:
        if any(each is MISSING for each in arguments):
            return MISSING
        if not all(type(each) is str for each in arguments):
            return None
        rest = list(arguments)
        place = zone_by_name(rest.pop(0)) if zone else UTC_ZONE
        if place is None:
            return None
        return format_date(from_seconds(time(context), place), rest[0] if rest else "")

    return told


# --- from milliseconds, to milliseconds ---------------------------------------------------------


def _millis_to_str(milliseconds: float, form: str = "") -> str | None:
    moment = from_milliseconds(milliseconds)
    return None if moment is None else format_date(moment, form)


def _millis_to_zone(milliseconds: float, zone: str, form: str = "") -> str | None:
    moment = _in_zone(milliseconds, zone)
    return None if moment is None else format_date(moment, form)


def _in_zone(milliseconds: float, name: str | None) -> Moment | None:
    zone = UTC_ZONE if name is None else zone_by_name(name)
    return None if zone is None else from_milliseconds(milliseconds, zone)


def _str_to_millis(text: str, form: str = "") -> int | None:
    moment = parse_date(text, form)
    return None if moment is None else moment.milliseconds()


# --- texts in other zones and forms -------------------------------------------------------------


def _str_to_utc(text: str, form: str | None = None, output: str | None = None) -> str | None:
    if output is None:
        output = example_of(text) if form is None else form
    return _moved(text, UTC_ZONE, form or "", output)


def _str_to_zone(
    text: str, zone: str, form: str | None = None, output: str | None = None
) -> str | None:
    place = zone_by_name(zone)
    if place is None:
        return None
    if form is None:
        form = example_of(text)
    return _moved(text, place, form, form if output is None else output)


def _moved(text: str, zone: Zone, form: str, output: str) -> str | None:
    moment = parse_date(text, form)
    return None if moment is None else format_date(moment.in_zone(zone), output)


def _format(text: str, form: str, output: str | None = None) -> str | None:
    moment = parse_date(text, "" if output is None else form)
    return None if moment is None else format_date(moment, form if output is None else output)


# --- parts --------------------------------------------------------------------------------------


def _part_str(text: str, part: str) -> int | None:
    moment = parse_date(text)
    return None if moment is None else part_of(moment, part)


def _part_millis(milliseconds: float, part: str, zone: str | None = None) -> int | None:
    moment = _in_zone(milliseconds, zone)
    return None if moment is None else part_of(moment, part)


def _weekday_str(text: str) -> str | None:
    moment = parse_date(text)
    return None if moment is None else DAYS[moment.weekday]


def _weekday_millis(milliseconds: float, zone: str | None = None) -> str | None:
    moment = _in_zone(milliseconds, zone)
    return None if moment is None else DAYS[moment.weekday]


def _add_str(text: str, count: int, part: str) -> str | None:
    dated = parse_dated(text)
    if dated is None:
        return None
    moment = add(dated.moment, count, part)
    return None if moment is None else write(moment, dated.layout)


def _add_millis(milliseconds: float, count: int, part: str) -> int | None:
    moment = from_milliseconds(milliseconds)
    moved = None if moment is None else add(moment, count, part)
    return None if moved is None else moved.milliseconds()


def _diff_str(one: str, other: str, part: str) -> int | None:
    left, right = parse_date(one), parse_date(other)
    return None if left is None or right is None else difference(left, right, part)


def _diff_millis(one: float, other: float, part: str) -> int | None:
    left, right = from_milliseconds(one), from_milliseconds(other)
    return None if left is None or right is None else difference(left, right, part)


def _absolute(call: Callable[..., int | None]) -> Callable[..., int | None]:
    def positive(*arguments: Value) -> int | None:
        found = call(*arguments)
        return None if found is None else abs(found)

    return positive


def _trunc_str(text: str, part: str, form: str | None = None) -> str | None:
    if form is None:
        form = example_of(text)
    moment = parse_date(text, form)
    return None if moment is None else format_date(truncate(moment, part), form)


def _trunc_millis(milliseconds: float, part: str) -> int | None:
    moment = from_milliseconds(milliseconds)
    return None if moment is None else truncate(moment, part).milliseconds()


# --- ranges -------------------------------------------------------------------------------------


def _range_str(start: str, end: str, part: str, step: int = 1) -> list[Value] | None:
    first, last = parse_dated(start), parse_dated(end)
    if first is None or last is None:
        return None
    return [
        write(moment, first.layout)
        for moment in _range("DATE_RANGE_STR", first, last.moment, part, step)
    ]


def _range_millis(start: float, end: float, part: str, step: int = 1) -> list[Value] | None:
    first, last = from_milliseconds(start), from_milliseconds(end)
    if first is None or last is None:
        return None
    moments = _range("DATE_RANGE_MILLIS", Dated(first, ""), last, part, step)
    return [moment.milliseconds() for moment in moments]


def _range(name: str, start: Dated, end: Moment, part: str, step: int) -> list[Moment]:
    """Return dates from one to another, which is not among them."""
    first = start.moment
    if step == 0:
        return [first]
    ahead = end.nanoseconds - first.nanoseconds
    if not ahead or (ahead > 0) != (step > 0):
        return []
    bounded_array(name, abs(difference(first, end, part)) // abs(step))
    result: list[Moment] = []
    moment: Moment | None = first
    while moment is not None and (moment.milliseconds() < end.milliseconds()) == (step > 0):
        if moment.milliseconds() == end.milliseconds():
            break
        result.append(moment)
        if part.lower() == "calendar_month":
            # Each from the start, so that the last of a month stays the last.
            moment = add(first, step * len(result), part)
        else:
            moment = add(moment, step, part)
        if moment is not None and moment == result[-1]:
            break
    return result


_plain("NOW_MILLIS", 0, 0, "number", _told_millis(_statement_time))
_plain("CLOCK_MILLIS", 0, 0, "number", _told_millis(_clock_time))
_plain("NOW_STR NOW_LOCAL NOW_UTC", 0, 1, "string", _told(_statement_time))
_plain("NOW_TZ", 1, 2, "string", _told(_statement_time, zone=True))
_plain("CLOCK_STR CLOCK_LOCAL CLOCK_UTC", 0, 1, "string", _told(_clock_time))
_plain("CLOCK_TZ", 1, 2, "string", _told(_clock_time, zone=True))
_add("MILLIS STR_TO_MILLIS", "s?s", "number", _str_to_millis)
_add("MILLIS_TO_STR MILLIS_TO_LOCAL MILLIS_TO_UTC", "n?s", "string", _millis_to_str)
_add("MILLIS_TO_TZ MILLIS_TO_ZONE_NAME", "ns?s", "string", _millis_to_zone)
_add("STR_TO_UTC", "s?ss", "string", _str_to_utc)
_add("STR_TO_TZ STR_TO_ZONE_NAME", "ss?ss", "string", _str_to_zone)
_add("DATE_FORMAT_STR", "ss?s", "string", _format)
_add("DATE_PART_STR", "ss", "number", _part_str)
_add("DATE_PART_MILLIS", "ns?s", "number", _part_millis)
_add("WEEKDAY_STR", "s", "string", _weekday_str)
_add("WEEKDAY_MILLIS", "n?s", "string", _weekday_millis)
_add("DATE_ADD_STR", "sis", "string", _add_str)
_add("DATE_ADD_MILLIS", "nis", "number", _add_millis)
_add("DATE_DIFF_STR", "sss", "number", _diff_str)
_add("DATE_DIFF_MILLIS", "nns", "number", _diff_millis)
_add("DATE_DIFF_ABS_STR", "sss", "number", _absolute(_diff_str))
_add("DATE_DIFF_ABS_MILLIS", "nns", "number", _absolute(_diff_millis))
_add("DATE_TRUNC_STR", "ss?s", "string", _trunc_str)
_add("DATE_TRUNC_MILLIS", "ns", "number", _trunc_millis)
_add("DATE_RANGE_STR", "sss?i", "array", _range_str)
_add("DATE_RANGE_MILLIS", "nns?i", "array", _range_millis)
