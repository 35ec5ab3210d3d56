"""Functions over windows: what is computed for a row from the rows around it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.compiler import WINDOW, Compiler, Evaluate, Grouped, Row
from couchloop.embedded.sqlpp.environment import PAUSE
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.grouping import ended
from couchloop.embedded.sqlpp.ordering import PlannedTerm, Sorter, plan_terms
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.sources import located
from couchloop.embedded.sqlpp.statements import Bound, Frame, Window, WindowCall
from couchloop.embedded.sqlpp.syntax import Node, walk
from couchloop.embedded.sqlpp.values import (
    MISSING,
    Value,
    collate,
    group_key,
    integral,
    is_number,
    number,
    truth,
)


def window_calls(nodes: Iterable[Node | None]) -> list[WindowCall]:
    """Return the functions over windows in expressions, each once."""
    found: dict[str, WindowCall] = {}
    for node in nodes:
        for each in () if node is None else walk(node):
            if isinstance(each, WindowCall):
                found.setdefault(reprint(each), each)
    return list(found.values())


def refuse_windows(node: Node | None, clause: str) -> None:
    """Raise QueryError (4000) if there is a function over a window where none may be."""
    for call in window_calls((node,)):
        line, column = call.place
        text = f"Window Aggregates not allowed in {clause} (near line {line}, column {column})."
        raise QueryError(4000, text, line=line, column=column)


def with_named(calls: list[WindowCall], named: Mapping[str, Node]) -> dict[str, WindowCall]:
    """Return the calls by their texts, with the windows that they name. Raises QueryError."""
    windows = {name: each for name, each in named.items() if isinstance(each, Window)}
    return {
        reprint(call): replace(call, window=_resolved(call.window, windows, len(windows)))
        for call in calls
    }


def _resolved(window: Window, windows: dict[str, Window], left: int) -> Window:
    if window.base is None:
        return window
    base = windows.get(window.base)
    if base is None or left <= 0:
        line, column = window.place
        text = f"Window {window.base} not in the scope (near line {line}, column {column})."
        raise QueryError(4000, text, line=line, column=column)
    base = _resolved(base, windows, left - 1)
    return replace(
        window,
        base=None,
        partition=base.partition or window.partition,
        order=window.order or base.order,
        frame=window.frame or base.frame,
    )


@dataclass(slots=True)
class _Rows:
    """The rows of a partition, in order."""

    rows: list[Row]
    peers: list[tuple[int, int]]
    """For each row the first and the last that the order has equal to it."""
    keys: list[Value]
    """What the first term of the order has for each."""


class WindowStage:
    """Computes functions over windows.

    Args:
        calls: by their texts, with names resolved.
        compiler: makes functions.
        grouped: what may be used.
    """

    def __init__(
        self, calls: dict[str, WindowCall], compiler: Compiler, grouped: Grouped | None
    ) -> None:
        self._environment = compiler.environment
        self._planned = [(text, _Planned(call, compiler, grouped)) for text, call in calls.items()]

    def rows(self, rows: Iterator[Row], outer: Row) -> Iterator[Row]:
        """Return the rows with the values of all calls."""
        found = []
        environment = self._environment
        for row in rows:
            if row is not PAUSE:
                environment.keep()
                found.append(dict(row))
            if environment.due:
                yield PAUSE
        for text, planned in self._planned:
            for partition in planned.partitions(found, outer):
                if partition is PAUSE:
                    yield PAUSE
                    continue
                values = planned.values(partition)
                for row, value in zip(partition.rows, values, strict=True):
                    row[WINDOW, text] = value
                    if environment.due:
                        yield PAUSE
        yield from found


class _Planned:
    """A call that can be computed."""

    def __init__(self, call: WindowCall, compiler: Compiler, grouped: Grouped | None) -> None:
        def made(node: Node) -> Evaluate:
            return located("window", compiler.compile(node, grouped))

        self._call = call
        self._name = call.name.upper()
        self._arguments = [made(each) for each in call.arguments]
        self._condition = None if call.condition is None else made(call.condition)
        self._partition = [made(each) for each in call.window.partition]
        self._terms: list[PlannedTerm] = plan_terms(call.window.order, compiler, grouped)
        self._frame = call.window.frame
        bounds = () if self._frame is None else (self._frame.start, self._frame.end)
        self._offsets = [None if each.offset is None else made(each.offset) for each in bounds]
        self._environment = compiler.environment
        self._tick = compiler.environment.tick

    def partitions(self, rows: list[Row], outer: Row) -> Iterator[Any]:
        """Return the rows of each partition, in order; some may be a `PAUSE`."""
        found: dict[Hashable, list[Row]] = {}
        for row in rows:
            key = tuple(group_key(evaluate(row)) for evaluate in self._partition)
            found.setdefault(key, []).append(row)
        sorter = Sorter(self._terms, self._environment)
        for members in found.values():
            pairs = yield from sorter.sort(((row, row) for row in members), outer)
            ordered = [row for row, _ in pairs]
            keys = [[term.evaluate(row) for term in self._terms] for row in ordered]
            first = [key[0] if key else None for key in keys]
            yield _Rows(ordered, _peers(keys), first)

    def values(self, partition: _Rows) -> Iterable[Value]:
        """Return the value for each row of a partition, each as it is asked for."""
        ranking = _RANKING.get(self._name)
        if ranking is not None:
            self._environment.spend(_looked_at(self._name, len(partition.rows)))
            return (ranking(partition, index) for index in range(len(partition.rows)))
        if self._name == "NTILE":
            return self._tiles(partition)
        if self._name in {"LAG", "LEAD"}:
            return (self._neighbour(partition, index) for index in range(len(partition.rows)))
        if self._name in AGGREGATES:
            return self._aggregates(partition)
        return (self._framed(partition, index) for index in range(len(partition.rows)))

    def _tiles(self, partition: _Rows) -> list[Value]:
        count = len(partition.rows)
        wanted = integral(self._arguments[0](partition.rows[0]))
        if wanted is None or wanted < 1:
            return [None] * count
        size, larger = divmod(count, wanted)
        edge = larger * (size + 1)
        return [
            index // (size + 1) + 1 if index < edge else larger + (index - edge) // size + 1
            for index in range(count)
        ]

    def _neighbour(self, partition: _Rows, index: int) -> Value:
        row = partition.rows[index]
        offset: int | None = 1
        if len(self._arguments) > 1:
            offset = integral(self._arguments[1](row))
        if offset is None or offset < 0:
            return None
        step = -1 if self._name == "LAG" else 1
        place = index
        while offset:
            self._tick()
            place += step
            if not 0 <= place < len(partition.rows):
                return self._arguments[2](row) if len(self._arguments) > 2 else None
            if self._call.ignores_nulls and _is_unknown(self._arguments[0](partition.rows[place])):
                continue
            offset -= 1
        return self._arguments[0](partition.rows[place])

    # --- frames ---------------------------------------------------------------------------------

    def _framed(self, partition: _Rows, index: int) -> Value:
        """Return the value of a function of the frame's values."""
        places = self._places(partition, index)
        self._environment.spend(1 + len(places))
        values = [self._arguments[0](partition.rows[place]) for place in places]
        if self._name == "RATIO_TO_REPORT":
            return _ratio(self._arguments[0](partition.rows[index]), values)
        if self._call.ignores_nulls:
            values = [value for value in values if not _is_unknown(value)]
        if self._call.from_last or self._name == "LAST_VALUE":
            values.reverse()
        wanted: int | None = 1
        if self._name == "NTH_VALUE":
            wanted = integral(self._arguments[1](partition.rows[index]))
        if wanted is None or not 1 <= wanted <= len(values):
            return None
        return values[wanted - 1]

    def _aggregates(self, partition: _Rows) -> Iterator[Value]:
        aggregate = AGGREGATES[self._name]
        values = [self._added(row) for row in partition.rows]
        state, seen, taken = aggregate.start(), set[Hashable](), 0
        for index in range(len(partition.rows)):
            places = self._places(partition, index)
            if not isinstance(places, range) or places.start or len(places) < taken:
                state, seen, taken = aggregate.start(), set(), 0
                fresh: Iterable[int] = places
            else:
                fresh = places[taken:]
                taken = len(places)
            for place in fresh:
                self._tick()
                if values[place] is not _LEFT_OUT:
                    self._add(aggregate.add, state, values[place], seen)
            yield ended(self._name, state, self._environment)
            if not isinstance(places, range) or places.start:
                state, seen, taken = aggregate.start(), set(), 0

    def _added(self, row: Row) -> Value:
        if self._condition is not None and not truth(self._condition(row)):
            return _LEFT_OUT
        return True if self._call.star else self._arguments[0](row)

    def _add(
        self, add: Callable[[Any, Value], None], state: Any, value: Value, seen: set[Hashable]
    ) -> None:
        if self._call.distinct:
            key = group_key(value)
            if key in seen:
                return
            seen.add(key)
        add(state, value)

    def _places(self, partition: _Rows, index: int) -> range | list[int]:
        """Return the rows of a row's frame."""
        count = len(partition.rows)
        frame = self._frame
        if frame is None:
            return range(partition.peers[index][1] + 1) if self._terms else range(count)
        start, _ = self._bound(partition, index, frame, frame.start, self._offsets[0])
        _, end = self._bound(partition, index, frame, frame.end, self._offsets[1])
        places = range(max(0, start), max(0, start, min(count, end + 1)))
        if frame.exclude != "no others" or frame.unit == "range":
            self._environment.spend(count // _PLACES)
        return (
            places if frame.exclude == "no others" else _excluding(partition, index, frame, places)
        )

    def _bound(
        self, partition: _Rows, index: int, frame: Frame, bound: Bound, offset: Evaluate | None
    ) -> tuple[int, int]:
        """Return the first and the last row that a bound means."""
        count = len(partition.rows)
        if bound.kind == "current":
            return (index, index) if frame.unit == "rows" else partition.peers[index]
        if offset is None:
            return (0, 0) if bound.kind == "preceding" else (count - 1, count - 1)
        amount = offset(partition.rows[index])
        whole = integral(amount)
        if not is_number(amount) or amount < 0 or (whole is None and frame.unit != "range"):
            text = "Window frame clause evaluation error: the offset must be a number, not below 0"
            raise QueryError(5360, text, running=True)
        sign = -1 if bound.kind == "preceding" else 1
        if frame.unit == "rows":
            assert whole is not None
            return index + sign * whole, index + sign * whole
        if frame.unit == "groups":
            assert whole is not None
            return _group_at(partition, index, sign * whole)
        return self._range(partition, index, sign * amount)

    def _range(self, partition: _Rows, index: int, distance: float) -> tuple[int, int]:
        """Return the first row not before a distance from a row's key, and the last not behind."""
        key = partition.keys[index]
        if not is_number(key):
            return partition.peers[index]
        descending = self._terms[0].descending is True
        edge = key - distance if descending else key + distance
        inside = [
            place
            for place, each in enumerate(partition.keys)
            if is_number(each) and (each <= edge if descending else each >= edge)
        ]
        up_to = [
            place
            for place, each in enumerate(partition.keys)
            if is_number(each) and (each >= edge if descending else each <= edge)
        ]
        count = len(partition.rows)
        return (inside[0] if inside else count), (up_to[-1] if up_to else -1)


_PLACES: Final = 8
"""Rows of a partition that are looked at in the time of a step."""

_LEFT_OUT: Final = object()


def _excluding(partition: _Rows, index: int, frame: Frame, places: range) -> list[int]:
    first, last = partition.peers[index]
    group = set(range(first, last + 1))
    gone = {
        "current row": {index},
        "group": group,
        "ties": group - {index},
    }[frame.exclude]
    return [place for place in places if place not in gone]


def _peers(keys: list[list[Value]]) -> list[tuple[int, int]]:
    """Return the first and the last row that are equal to each in their order."""
    found: list[tuple[int, int]] = []
    start = 0
    for index in range(1, len(keys) + 1):
        if index == len(keys) or any(
            collate(one, other) for one, other in zip(keys[start], keys[index], strict=True)
        ):
            found += [(start, index - 1)] * (index - start)
            start = index
    return found


def _group_at(partition: _Rows, index: int, steps: int) -> tuple[int, int]:
    """Return the rows of the group of equal ones so many groups away."""
    first, last = partition.peers[index]
    for _ in range(abs(steps)):
        place = first - 1 if steps < 0 else last + 1
        if not 0 <= place < len(partition.rows):
            return (place, place)
        first, last = partition.peers[place]
    return first, last


def _is_unknown(value: Value) -> bool:
    return value is None or value is MISSING


def _ratio(value: Value, values: list[Value]) -> Value:
    total = sum(each for each in values if is_number(each))
    return number(value / total) if is_number(value) and total else None


def _rank(partition: _Rows, index: int) -> int:
    return partition.peers[index][0] + 1


def _looked_at(name: str, count: int) -> int:
    """Return the steps that a rank takes for all rows of a partition."""
    return count + (count * count // _PLACES if name == "DENSE_RANK" else 0)


def _dense_rank(partition: _Rows, index: int) -> int:
    return len({first for first, _ in partition.peers[: index + 1]})


def _percent_rank(partition: _Rows, index: int) -> Value:
    others = len(partition.rows) - 1
    return number((_rank(partition, index) - 1) / others) if others else 0


def _cumulative(partition: _Rows, index: int) -> Value:
    return number((partition.peers[index][1] + 1) / len(partition.rows))


_RANKING: Final[dict[str, Callable[[_Rows, int], Value]]] = {
    "ROW_NUMBER": lambda _, index: index + 1,
    "RANK": _rank,
    "DENSE_RANK": _dense_rank,
    "PERCENT_RANK": _percent_rank,
    "CUME_DIST": _cumulative,
}
