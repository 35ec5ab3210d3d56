"""ANY, EVERY, ARRAY, FIRST and OBJECT: what goes over the elements of collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from couchloop.embedded.sqlpp.syntax import Binding, Comprehension, Quantified
from couchloop.embedded.sqlpp.values import MISSING, Missing, Value, plain, truth

Row: TypeAlias = dict[Any, Value]
Evaluate: TypeAlias = Callable[[Row], Value]
Item: TypeAlias = tuple[Value, Value]
"""Position or name, and the element."""


def items(binding: Binding, source: Value) -> list[Item] | Missing | None:
    """Return what a variable goes over; MISSING or NULL where there is nothing such."""
    if source is MISSING:
        return Missing.MISSING
    if binding.within:
        return list(_descendants(source)) if isinstance(source, list | dict) else None
    if type(source) is list:
        # Recorded: a variable is never MISSING.
        return [(index, None if each is MISSING else each) for index, each in enumerate(source)]
    if isinstance(source, dict) and binding.position is not None:
        return [(name, source[name]) for name in sorted(source)]
    return None


def _descendants(source: Value) -> Iterator[Item]:
    """Return names (or positions) in the direct parent with values, parents first."""
    rest = [_direct(source)]
    while rest:
        item = next(rest[-1], None)
        if item is None:
            rest.pop()
            continue
        yield item
        if isinstance(item[1], list | dict):
            rest.append(_direct(item[1]))


def _direct(source: Value) -> Iterator[Item]:
    if isinstance(source, dict):
        return iter([(name, source[name]) for name in sorted(source)])
    return iter(list(enumerate(source)))


def rows(
    bindings: Sequence[Binding],
    sources: Sequence[Evaluate],
    row: Row,
    tick: Callable[[], None],
) -> Iterator[Row] | Missing | None:
    """Return the rows with the variables set: all go on together, up to the shortest end."""
    collections: list[list[Item]] = []
    nothing = False
    for binding, source in zip(bindings, sources, strict=True):
        found = items(binding, source(row))
        if found is MISSING:
            return MISSING
        if found is None:
            nothing = True
        elif isinstance(found, list):
            collections.append(found)
    return None if nothing else _zipped(bindings, collections, row, tick)


def _zipped(
    bindings: Sequence[Binding],
    collections: Sequence[list[Item]],
    row: Row,
    tick: Callable[[], None],
) -> Iterator[Row]:
    for together in zip(*collections, strict=False):
        tick()
        inner = dict(row)
        for binding, (position, value) in zip(bindings, together, strict=True):
            if binding.position is not None:
                inner[binding.position] = position
            inner[binding.variable] = value
        yield inner


def quantified(
    node: Quantified, sources: Sequence[Evaluate], condition: Evaluate, tick: Callable[[], None]
) -> Evaluate:
    """Return the function of ANY, EVERY, or both."""
    bindings, kind = node.bindings, node.kind

    def evaluate(row: Row) -> Value:
        inner = rows(bindings, sources, row, tick)
        if inner is MISSING or inner is None:
            return inner
        if kind == "any":
            return any(truth(condition(each)) for each in inner)
        there_are = False
        for each in inner:
            there_are = True
            if not truth(condition(each)):
                return False
        return there_are or kind == "every"

    return evaluate


def comprehension(
    node: Comprehension,
    sources: Sequence[Evaluate],
    name: Evaluate | None,
    value: Evaluate,
    condition: Evaluate | None,
    tick: Callable[[], None],
) -> Evaluate:
    """Return the function of ARRAY, FIRST or OBJECT."""
    bindings = node.bindings

    def chosen(row: Row) -> Iterator[Row] | Missing | None:
        inner = rows(bindings, sources, row, tick)
        if inner is MISSING or inner is None or condition is None:
            return inner
        return (each for each in inner if truth(condition(each)))

    def array(row: Row) -> Value:
        inner = chosen(row)
        if inner is MISSING or inner is None:
            return inner
        values = map(value, inner)
        # Recorded: what is taken out of a stored array is written with its names sorted.
        return [plain(each) for each in values if each is not MISSING]

    def first(row: Row) -> Value:
        inner = chosen(row)
        if inner is MISSING or inner is None:
            return inner
        return next(map(value, inner), MISSING)

    def made(row: Row) -> Value:
        inner = chosen(row)
        if inner is MISSING or inner is None:
            return inner
        assert name is not None
        members: dict[str, Value] = {}
        for each in inner:
            member = name(each)
            if type(member) is not str:
                return MISSING if member is MISSING else None
            found = value(each)
            if found is not MISSING:
                members[member] = found
        return members

    return {"array": array, "first": first, "object": made}[node.kind]
