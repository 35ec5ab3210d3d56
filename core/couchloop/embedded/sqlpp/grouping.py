"""GROUP BY and aggregates: rows in, a row for each group out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.compiler import (
    AGGREGATE,
    GROUP_KEY,
    META,
    Compiler,
    Evaluate,
    Grouped,
    Row,
)
from couchloop.embedded.sqlpp.environment import PAUSE, Environment
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.ordering import sorting
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.sources import located
from couchloop.embedded.sqlpp.statements import Grouping
from couchloop.embedded.sqlpp.syntax import Call, Node, walk
from couchloop.embedded.sqlpp.values import MISSING, Value, group_key, plain, truth


@dataclass(slots=True)
class _Aggregate:
    """An aggregate of a query."""

    text: str
    name: str
    argument: Evaluate | None
    """None: `*`."""
    condition: Evaluate | None
    distinct: bool


@dataclass(slots=True)
class GroupKeys:
    """The keys of a GROUP BY, with names resolved."""

    expressions: tuple[Node, ...]
    aliases: tuple[str | None, ...]
    group_as: str | None


def aggregates_in(*nodes: Node | None) -> list[Call]:
    """Return the aggregates in expressions, each once. Raises QueryError if one is in another."""
    found: dict[str, Call] = {}
    for node in nodes:
        if node is None:
            continue
        for each in walk(node):
            if isinstance(each, Call) and each.name.upper() in AGGREGATES:
                _refuse_nested(each)
                found.setdefault(reprint(each), each)
    return list(found.values())


def _refuse_nested(call: Call) -> None:
    inner = [*call.arguments, *([] if call.condition is None else [call.condition])]
    for part in inner:
        for each in walk(part):
            if isinstance(each, Call) and each.name.upper() in AGGREGATES:
                line, column = call.place
                text = f"Nested aggregates are not allowed (near line {line}, column {column})."
                raise QueryError(4000, text, line=line, column=column)


def refuse_aggregates(node: Node | None, clause: str, *, placed: bool = False) -> None:
    """Raise QueryError (4000) if there is an aggregate where none may be."""
    if node is None:
        return
    for each in walk(node):
        if isinstance(each, Call) and each.name.upper() in AGGREGATES:
            line, column = each.place
            if not placed:
                raise QueryError(4000, f"Aggregates not allowed in {clause}.")
            text = f"Aggregates not allowed in {clause} (near line {line}, column {column})."
            raise QueryError(4000, text, line=line, column=column)


def qualify_keys(group: Grouping | None, scope: Scope) -> GroupKeys:
    """Return the keys of a GROUP BY. Raises QueryError."""
    if group is None:
        return GroupKeys((), (), None)
    expressions = []
    for term in group.terms:
        refuse_aggregates(term.expression, "GROUP BY")
        expressions.append(qualify(term.expression, scope))
    aliases = tuple(term.alias for term in group.terms)
    return GroupKeys(tuple(expressions), aliases, group.group_as)


class Grouper:
    """Makes a row of each group.

    Args:
        keys: what rows are grouped by.
        calls: the aggregates that the query needs.
        scope: of the rows.
        compiler: makes functions.
    """

    def __init__(
        self, keys: GroupKeys, calls: list[Call], scope: Scope, compiler: Compiler
    ) -> None:
        self._keys = keys
        self._texts = [reprint(each) for each in keys.expressions]
        self._evaluate = [located("GROUP BY", compiler.compile(each)) for each in keys.expressions]
        self._aggregates = [_aggregate(call, compiler) for call in calls]
        self._sources = scope.sources
        self._environment = compiler.environment

    def grouped(self, lets: dict[str, Node], names: Iterable[str]) -> Grouped:
        """Return what may be used afterwards.

        Args:
            lets: what LET names stand for.
            names: of LET; those that are keys can be used as they are.
        """
        hidden = {name for name in names if name not in lets}
        return Grouped(frozenset(self._texts), frozenset(self._sources) | hidden, lets)

    def rows(self, rows: Iterator[Row], outer: Row) -> Iterator[Row]:
        """Return a row for each group."""
        groups: dict[Hashable, _Group] = {}
        for row in rows:
            if self._environment.due:
                yield PAUSE
            if row is PAUSE:
                continue
            self._environment.tick()
            values = [self._environment.weigh(evaluate(row)) for evaluate in self._evaluate]
            key = tuple(map(group_key, values))
            group = groups.get(key)
            if group is None:
                self._environment.keep()
                group = groups[key] = _Group(row, values, self._aggregates)
            group.add(row, self._aggregates, self._environment)
            if self._keys.group_as is not None:
                group.members.append(
                    {
                        alias: row[alias]
                        for alias in self._sources
                        if row.get(alias, MISSING) is not MISSING
                    }
                )
        if not groups and not self._evaluate:
            groups[()] = _Group(outer, [], self._aggregates)
        for group in groups.values():
            yield self._row(group)

    def _row(self, group: _Group) -> Row:
        row = dict(group.first)
        for text, alias, value in zip(self._texts, self._keys.aliases, group.values, strict=True):
            row[GROUP_KEY, text] = plain(value)
            if alias is not None:
                row[alias] = row[GROUP_KEY, text]
        for aggregate, state in zip(self._aggregates, group.states, strict=True):
            row[AGGREGATE, aggregate.text] = ended(aggregate.name, state, self._environment)
        if self._keys.group_as is not None:
            row[self._keys.group_as] = self._environment.weigh(group.members)
            row[META, self._keys.group_as] = MISSING
        return row


class _Group:
    """The rows of one group, as far as the aggregates need them."""

    __slots__ = ("first", "members", "seen", "states", "values")

    def __init__(self, first: Row, values: list[Value], aggregates: list[_Aggregate]) -> None:
        self.first = first
        self.values = values
        self.states: list[Any] = [AGGREGATES[each.name].start() for each in aggregates]
        self.seen: list[set[Hashable]] = [set() for _ in aggregates]
        self.members: list[Value] = []

    def add(self, row: Row, aggregates: list[_Aggregate], environment: Environment) -> None:
        """Add a row."""
        for index, aggregate in enumerate(aggregates):
            if aggregate.condition is not None and not truth(aggregate.condition(row)):
                continue
            value = True
            if aggregate.argument is not None:
                value = environment.weigh(aggregate.argument(row))
            if aggregate.distinct:
                key = group_key(value)
                if key in self.seen[index]:
                    continue
                self.seen[index].add(key)
            state = AGGREGATES[aggregate.name].add(self.states[index], value)
            if state is not None:
                self.states[index] = state


def ended(name: str, state: Any, environment: Environment) -> Value:
    """Return what an aggregate makes of its values."""
    if type(state) is list:
        environment.spend(sorting(len(state)))
    return environment.weigh(AGGREGATES[name].end(state))


def _aggregate(call: Call, compiler: Compiler) -> _Aggregate:
    argument = None if call.star else located("aggregate", compiler.compile(call.arguments[0]))
    condition = None
    if call.condition is not None:
        condition = located("aggregate", compiler.compile(call.condition))
    return _Aggregate(reprint(call), call.name.upper(), argument, condition, call.distinct)


Keep = Callable[[Row], bool]


def keeping(condition: Evaluate, place: str) -> Keep:
    """Return what tells whether a row is kept."""
    evaluate = located(place, condition)
    return lambda row: truth(evaluate(row))
