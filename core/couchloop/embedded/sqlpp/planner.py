"""Plans queries: names are resolved and mistakes found before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from couchloop.embedded.sqlpp.block import BlockPlanner, PlannedBlock
from couchloop.embedded.sqlpp.compiler import RESULT, Compiler, Evaluate, Row
from couchloop.embedded.sqlpp.environment import PAUSE, Environment
from couchloop.embedded.sqlpp.errors import FunctionError, QueryError
from couchloop.embedded.sqlpp.ordering import Sorter, plan_limit, plan_order
from couchloop.embedded.sqlpp.scopes import Scope, ScopedSubquery, qualify
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.statements import Block, Let, Select, SetOperation, SortTerm
from couchloop.embedded.sqlpp.syntax import Node, Subquery
from couchloop.embedded.sqlpp.values import MISSING, Value, group_key

_MOST_ROWS: Final = 100_000
"""Of a query that uses its own rows: one without an end must not fill the memory."""

_BEGUN: Final = 8
"""Steps that it takes to begin a query."""

Result: TypeAlias = tuple[Value, Row]
"""A result, and the row that it was made of."""
_Binding: TypeAlias = Callable[[Row], Generator[Value, None, Value]]
"""Given a row, it evaluates something, and yields a `PAUSE` wherever the statement can wait."""


@dataclass(slots=True)
class PlannedSelect:
    """A query that can run."""

    signature: Any
    names: tuple[str, ...]
    """Of the items of its projection."""
    rows: Callable[[Row], Iterator[Value]] = field(repr=False)
    """Given the row around, it gives the results."""


@dataclass(slots=True)
class _Body:
    """A block or a set operation."""

    signature: Any
    names: tuple[str, ...]
    results: Callable[[Row], Iterator[Result]]
    sorter: Sorter | None = None


class Planner:
    """Plans the queries of one statement.

    Args:
        session: who runs it, and where.
        environment: what it runs in.
    """

    def __init__(self, session: Session, environment: Environment) -> None:
        self.session = session
        self.environment = environment
        self.compiler = Compiler(environment, self.subquery)
        self.blocks = BlockPlanner(session, environment, self.compiler, self.select)

    def subquery(self, node: ScopedSubquery) -> Evaluate:
        """Return the function of a subquery: the array of its rows."""
        assert isinstance(node.select, Select)
        planned, weigh = self.select(node.select, Scope(node.scope)), self.environment.weigh
        spend = self.environment.spend

        def evaluate(row: Row) -> Value:
            spend(_BEGUN)
            # Where an expression is evaluated, a statement cannot wait.
            found = (value for value in planned.rows(row) if value is not PAUSE)
            return weigh([None if value is MISSING else value for value in found])

        return evaluate

    def select(self, select: Select, scope: Scope) -> PlannedSelect:
        """Return the plan of a query; *scope* has the names around it. Raises QueryError."""
        scope, bind = self._bindings(select, scope)
        body = self._body(select.body, scope, select.order)
        limit = plan_limit(select.limit, "LIMIT", scope, self.compiler)
        offset = plan_limit(select.offset, "OFFSET", scope, self.compiler)
        environment = self.environment

        def rows(outer: Row) -> Iterator[Value]:
            outer = yield from bind(outer)
            skipped = 0 if offset is None else offset(outer)
            wanted = None if limit is None else limit(outer)
            found = body.results(outer)
            if wanted == 0 and body.sorter is None:
                return
            if body.sorter is not None:
                ordered = yield from body.sorter.sort(found, outer)
                environment.sorted += len(ordered)
                found = iter(ordered)
                if wanted == 0:
                    return
            end = None if wanted is None else skipped + wanted
            index = 0
            for value, _ in found:
                if value is PAUSE:
                    yield value
                    continue
                if index >= skipped:
                    yield value
                elif environment.due:
                    yield PAUSE
                index += 1
                if index == end:
                    return

        return PlannedSelect(body.signature, body.names, rows)

    # --- WITH -----------------------------------------------------------------------------------

    def _bindings(
        self, select: Select, scope: Scope
    ) -> tuple[Scope, Callable[[Row], Generator[Value, None, Row]]]:
        """Return the scope with the names of WITH, and what evaluates them, with `PAUSE`s."""
        evaluated: list[tuple[str, _Binding]] = []
        inner = Scope(scope) if select.bindings else scope
        for binding in select.bindings:
            if binding.name in inner.names:
                line, column = binding.place
                text = f"Duplicate WITH clause alias '{binding.name}' "
                text += f"(near line {line}, column {column})"
                raise QueryError(4020, text, line=line, column=column)
            evaluate = self._recursion(binding, inner) if select.recursive else None
            if evaluate is None:
                evaluate = self._binding(qualify(binding.expression, inner))
            evaluated.append((binding.name, evaluate))
            inner = inner.with_names((binding.name,))

        def bind(row: Row) -> Generator[Value, None, Row]:
            if not evaluated:
                return row
            row = dict(row)
            try:
                for name, evaluate in evaluated:
                    row[name] = yield from evaluate(row)
            except FunctionError as error:
                raise error.at("WITH") from None
            return row

        return inner, bind

    def _binding(self, node: Node) -> _Binding:
        """Return what evaluates an expression of WITH; a query can wait between its rows."""
        environment = self.environment
        if not isinstance(node, ScopedSubquery):
            evaluate = self.compiler.compile(node)

            def at_once(row: Row) -> Generator[Value, None, Value]:
                yield from ()
                return evaluate(row)

            return at_once
        assert isinstance(node.select, Select)
        planned = self.select(node.select, Scope(node.scope))

        def in_turns(row: Row) -> Generator[Value, None, Value]:
            environment.spend(_BEGUN)
            found: list[Value] = []
            for value in planned.rows(row):
                if value is not PAUSE:
                    found.append(None if value is MISSING else value)
                if environment.due:
                    yield PAUSE
            return environment.weigh(found)

        return in_turns

    def _recursion(self, binding: Let, scope: Scope) -> _Binding | None:
        """Return what evaluates a query that uses its own rows; None: it does not.

        Such a one is a union: its right side goes on from the rows that were found last.
        """
        select = binding.expression.select if isinstance(binding.expression, Subquery) else None
        if not isinstance(select, Select) or not isinstance(select.body, SetOperation):
            return None
        union, name = select.body, binding.name
        if union.operator != "union" or select.order or select.limit or select.offset:
            return None
        first = self._body(union.left, scope, ())
        following = self._body(union.right, scope.with_names((name,)), ())
        every, environment = union.every, self.environment

        def evaluate(row: Row) -> Generator[Value, None, Value]:
            found: list[Value] = []
            seen: set[Hashable] = set()
            rest, added = first.results(row), list[Value]()
            while True:
                for value, _ in rest:
                    if environment.due:
                        yield PAUSE
                    if value is PAUSE:
                        continue
                    environment.tick()
                    key = group_key(environment.weigh(value))
                    if every or key not in seen:
                        seen.add(key)
                        added.append(None if value is MISSING else value)
                if not added:
                    return found
                environment.spend(_BEGUN)
                found += added
                if len(found) > _MOST_ROWS:
                    text = f"Recursive WITH {name} gives more than {_MOST_ROWS} rows"
                    raise QueryError(5370, text, running=True)
                rest, added = following.results({**row, name: added}), []

        return evaluate

    # --- bodies ---------------------------------------------------------------------------------

    def _body(self, node: Node, scope: Scope, order: tuple[SortTerm, ...]) -> _Body:
        if isinstance(node, Block):
            planned: PlannedBlock = self.blocks.plan(node, scope, order)
            projection = planned.projection
            return _Body(projection.signature, projection.names, planned.results, planned.sorter)
        if isinstance(node, Select):
            inner = self.select(node, scope)
            body = _Body(
                inner.signature,
                inner.names,
                lambda outer: (
                    (PAUSE, PAUSE) if value is PAUSE else (value, outer)
                    for value in inner.rows(outer)
                ),
            )
        else:
            assert isinstance(node, SetOperation)
            body = self._combined(node, scope)
        if order:
            body = self._ordered_by_results(body, scope, order)
        return body

    def _combined(self, node: SetOperation, scope: Scope) -> _Body:
        left, right = self._body(node.left, scope, ()), self._body(node.right, scope, ())
        signature = left.signature
        if isinstance(signature, dict) and isinstance(right.signature, dict):
            signature = {**signature, **right.signature}
        combine = {"union": _union, "intersect": _intersection, "except": _difference}
        operate, every, environment = combine[node.operator], node.every, self.environment

        def values(results: Iterator[Result]) -> Iterator[Value]:
            for value, _ in results:
                yield value if value is PAUSE else environment.weigh(value)
                if environment.due:
                    yield PAUSE

        def results(outer: Row) -> Iterator[Result]:
            lefts, rights = values(left.results(outer)), values(right.results(outer))
            return (
                (PAUSE, PAUSE) if value is PAUSE else (value, outer)
                for value in operate(lefts, rights, every)
            )

        names = (*left.names, *(name for name in right.names if name not in left.names))
        return _Body(signature, names, results)

    def _ordered_by_results(self, body: _Body, scope: Scope, order: tuple[SortTerm, ...]) -> _Body:
        """Return a body that is sorted by what its results hold."""
        sorted_scope = replace(Scope(scope), results=frozenset(body.names))
        _, sorter = plan_order(order, sorted_scope, self.compiler, None)
        is_raw = not isinstance(body.signature, dict)

        def results(outer: Row) -> Iterator[Result]:
            for value, _ in body.results(outer):
                if value is PAUSE:
                    yield PAUSE, PAUSE
                    continue
                row = dict(outer)
                for name in body.names:
                    member = value.get(name, MISSING) if isinstance(value, dict) else MISSING
                    row[RESULT, name] = value if is_raw else member
                yield value, row

        return _Body(body.signature, body.names, results, sorter)


def _union(left: Iterator[Value], right: Iterator[Value], every: bool) -> Iterator[Value]:
    seen: set[Hashable] = set()
    for values in (left, right):
        for value in values:
            if value is PAUSE:
                yield value
                continue
            key = group_key(value)
            if every or key not in seen:
                seen.add(key)
                yield value


def _counted(values: Iterator[Value], counts: Counter[Hashable]) -> Iterator[Value]:
    """Count values; yield the `PAUSE`s among them."""
    for value in values:
        if value is PAUSE:
            yield value
        else:
            counts[group_key(value)] += 1


def _intersection(left: Iterator[Value], right: Iterator[Value], every: bool) -> Iterator[Value]:
    there = Counter[Hashable]()
    yield from _counted(right, there)
    for value in left:
        if value is PAUSE:
            yield value
            continue
        key = group_key(value)
        if there[key] > 0:
            there[key] = there[key] - 1 if every else 0
            yield value


def _difference(left: Iterator[Value], right: Iterator[Value], every: bool) -> Iterator[Value]:
    taken = Counter[Hashable]()
    yield from _counted(right, taken)
    for value in left:
        if value is PAUSE:
            yield value
            continue
        key = group_key(value)
        if taken[key] <= 0:
            if not every:
                taken[key] = 1
            yield value
        elif every:
            taken[key] -= 1
