"""A query of a view: which rows of its index are given, reduced by groups or as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

from couchloop.embedded.views.collation import SortKey
from couchloop.embedded.views.functions import as_json
from couchloop.embedded.views.index import Row
from couchloop.embedded.views.parameters import EXACT, MISSING, Parameters, key_of
from couchloop.embedded.views.protocols import ReduceFunction, ViewFailedError


class Group(NamedTuple):
    """One row of a view that is reduced."""

    key: Any
    value: Any


def selected(rows: Sequence[Row], asked: Parameters) -> Iterable[Row]:
    """Return the rows of a query that reduces nothing. Raises ParameterError."""
    return _cut(_in_order(rows, asked), asked)


def reduced(rows: Sequence[Row], asked: Parameters, reduce: ReduceFunction) -> Iterable[Group]:
    """Return the rows of a query that reduces. Raises ParameterError, ViewFailedError."""
    found = _in_order(rows, asked)
    groups = (
        _group(list(members), asked.level, reduce)
        for _, members in groupby(found, lambda row: json.dumps(_group_key(row.key, asked.level)))
    )
    # No group after the last one that is wanted is reduced.
    return _cut(groups, asked)


def _cut(found: Iterable[Any], asked: Parameters) -> Iterator[Any]:
    end = None if asked.limit is None else asked.skip + asked.limit
    return islice(found, asked.skip, end)


def _group(rows: Sequence[Row], level: int, reduce: ReduceFunction) -> Group:
    return Group(_group_key(rows[0].key, level), _reduced(rows, reduce))


def _group_key(key: Any, level: int) -> Any:
    if level == EXACT:
        return key
    if level == 0:
        return None
    return key[:level] if isinstance(key, list) else key


def _in_order(rows: Sequence[Row], asked: Parameters) -> Sequence[Row]:
    if asked.keys is None:
        return _in_direction(_in_range(rows, asked), asked)
    by_key: dict[SortKey, list[Row]] = {}
    for row in _in_direction(rows, asked):
        by_key.setdefault(row.sort, []).append(row)
    return [row for key in asked.keys for row in by_key.get(key_of(key), ())]


def _in_direction(rows: Sequence[Row], asked: Parameters) -> Sequence[Row]:
    return rows[::-1] if asked.descending else rows


def _in_range(rows: Sequence[Row], asked: Parameters) -> Sequence[Row]:
    if asked.start_key is not MISSING:
        start = key_of(asked.start_key)
        rows = [row for row in rows if _is_from(row, start, asked)]
    if asked.end_key is not MISSING:
        end = key_of(asked.end_key)
        rows = [row for row in rows if _is_until(row, end, asked)]
    return rows


def _is_from(row: Row, start: tuple[Any, ...], asked: Parameters) -> bool:
    if row.sort != start:
        return (row.sort < start) is asked.descending
    return asked.start_id is None or _is_between(asked.start_id, row.id, asked)


def _is_until(row: Row, end: tuple[Any, ...], asked: Parameters) -> bool:
    if row.sort != end:
        return (end < row.sort) is asked.descending
    if asked.end_id is None:
        return asked.inclusive_end
    is_last = row.id == asked.end_id
    return asked.inclusive_end if is_last else _is_between(row.id, asked.end_id, asked)


def _is_between(first: str, second: str, asked: Parameters) -> bool:
    """Whether one document's key comes before another's, or is the same."""
    one, other = first.encode(), second.encode()
    return one >= other if asked.descending else one <= other


def _reduced(rows: Sequence[Row], reduce: ReduceFunction) -> Any:
    """Reduce the rows of one group as nodes do: each its own, and one of them what these gave."""
    by_node: dict[int, list[Row]] = {}
    for row in rows:
        by_node.setdefault(row.node_id, []).append(row)
    try:
        partial = [
            reduce([row.key for row in some], [row.value for row in some], False)
            for some in by_node.values()
        ]
        value = partial[0] if len(partial) == 1 else reduce(None, partial, True)
        return as_json(value)
    except (ArithmeticError, ValueError) as error:
        # Numbers that are too large to be added, or to be written.
        raise ViewFailedError(str(error)) from None
