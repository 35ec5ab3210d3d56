"""Plans one SELECT … FROM … WHERE … GROUP BY."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from couchloop.embedded.sqlpp.compiler import RESULT, Compiler, Evaluate, Grouped, Row
from couchloop.embedded.sqlpp.documents import Found, Keyspace
from couchloop.embedded.sqlpp.environment import PAUSE, Environment
from couchloop.embedded.sqlpp.errors import QueryError, unsupported
from couchloop.embedded.sqlpp.grouping import (
    Grouper,
    aggregates_in,
    keeping,
    qualify_keys,
    refuse_aggregates,
)
from couchloop.embedded.sqlpp.ordering import Sorter, plan_order
from couchloop.embedded.sqlpp.projection import (
    PlannedProjection,
    ResultItem,
    check_names,
    plan_projection,
    qualify_items,
)
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.scopes import Scope, duplicate_variable, qualify
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.sources import (
    Stage,
    alias_of,
    document_rows,
    expression_rows,
    fetch_by_keys,
    joined_rows,
    located,
    path_of,
    qualified_unnest,
    refuse_double,
    remembered,
    right_joined,
    subquery_rows,
    unnest_rows,
)
from couchloop.embedded.sqlpp.statements import (
    Block,
    Join,
    KeyspacePath,
    Let,
    Select,
    SortTerm,
    Source,
    Unnest,
)
from couchloop.embedded.sqlpp.syntax import Node, Subquery
from couchloop.embedded.sqlpp.values import MISSING, Value, group_key
from couchloop.embedded.sqlpp.windows import (
    WindowStage,
    refuse_windows,
    window_calls,
    with_named,
)

_MOST_STAGES: Final = 100
"""That rows go through: each takes some of the interpreter's stack."""

Rows: TypeAlias = Callable[[Row], Iterator[Row]]


@dataclass(slots=True)
class PlannedBlock:
    """A block that can run."""

    projection: PlannedProjection
    sorter: Sorter | None
    results: Callable[[Row], Iterator[tuple[Value, Row]]] = field(repr=False)
    """Given the row around, it gives results with the rows that they were made of."""


@dataclass(slots=True)
class _Draft:
    """What is known of a block while it is planned."""

    scope: Scope
    rows: Rows
    scans: list[tuple[Keyspace, str]] = field(default_factory=list)
    """Keyspaces that are gone over, with their aliases: an index has to serve."""
    grouped: Grouped | None = None


class BlockPlanner:
    """Plans blocks.

    Args:
        session: who runs the statement, and where.
        environment: what it runs in.
        compiler: makes functions.
        select: plans a query within a scope.
    """

    def __init__(
        self,
        session: Session,
        environment: Environment,
        compiler: Compiler,
        select: Callable[[Select, Scope], Any],
    ) -> None:
        self._session = session
        self._environment = environment
        self._compiler = compiler
        self._select = select

    def plan(self, block: Block, outer: Scope, order: tuple[SortTerm, ...]) -> PlannedBlock:
        """Return the plan of a block, sorted as *order* has it. Raises QueryError."""
        check_names(block.projection)
        if len(block.further) + len(block.let) > _MOST_STAGES:
            raise unsupported(f"a query of more than {_MOST_STAGES} joins and variables")
        draft = _Draft(Scope(outer), _one_row)
        if block.source is not None:
            self._from(draft, block)
        lets = self._lets(draft, block.let)
        where = self._where(draft, block)
        for keyspace, alias in draft.scans:
            self._session.require_index(keyspace, alias, where)
        items = qualify_items(block.projection, self._after_group(draft, block))
        self._group(draft, block, items, order, lets)
        self._windows(draft, block, items, order)
        scope = draft.scope
        projection = plan_projection(block.projection, items, scope, self._compiler, draft.grouped)
        sorter = None
        if order:
            by_results = replace(scope, results=frozenset(projection.names))
            _, sorter = plan_order(order, by_results, self._compiler, draft.grouped)
        results = _projected(draft.rows, projection, needs_results=sorter is not None)
        if block.projection.distinct:
            results = _distinct(results, self._environment)
        return PlannedBlock(projection, sorter, results)

    def source_rows(self, source: Source, scope: Scope) -> tuple[str, Stage]:
        """Return the alias of a term that stands alone, and what makes rows of it."""
        draft = _Draft(scope, _one_row)
        alias, stage = self._source(draft, source, scope)
        for keyspace, name in draft.scans:
            self._session.require_index(keyspace, name, None)
        return alias, stage

    # --- FROM -----------------------------------------------------------------------------------

    def _from(self, draft: _Draft, block: Block) -> None:
        assert block.source is not None
        alias, stage = self._source(draft, block.source, draft.scope)
        draft.scope = draft.scope.with_source(alias)
        draft.rows = stage
        for node in block.further:
            if isinstance(node, Unnest):
                self._unnest(draft, node)
            else:
                assert isinstance(node, Join)
                self._join(draft, node)

    def _source(self, draft: _Draft, source: Source, scope: Scope) -> tuple[str, Stage]:
        """Return the alias of a term of FROM, and what makes rows of it."""
        lengths = self._session.name_lengths
        alias = alias_of(source, scope, lengths)
        path = path_of(source.term, scope, lengths)
        if path is not None:
            return alias, self._keyspace_stage(draft, source, path, alias, scope)
        if isinstance(source.term, Subquery):
            assert isinstance(source.term.select, Select)
            planned = self._select(source.term.select, Scope(scope))
            return alias, subquery_rows(alias, planned.rows, self._environment)
        expression = qualify(source.term, scope)
        evaluate = located("FROM", self._compiler.compile(expression))
        return alias, expression_rows(alias, evaluate, self._environment)

    def _keyspace_stage(
        self, draft: _Draft, source: Source, path: KeyspacePath, alias: str, scope: Scope
    ) -> Stage:
        known = self._session.fixed_documents(path)
        if known is not None:
            return self._fixed_stage(source, known, alias, scope)
        keyspace = self._session.keyspace(path, "SELECT")
        if source.keys is None:
            draft.scans.append((keyspace, alias))
            return remembered(keyspace.scan, alias, self._environment)
        return self.by_keys(keyspace, alias, source.keys, Scope(scope.parent))

    def by_keys(self, keyspace: Keyspace, alias: str, keys: Node, scope: Scope) -> Stage:
        """Return what makes rows of the documents with given keys."""
        evaluate = located("KEYS", self._compiler.compile(qualify(keys, scope)))
        environment = self._environment
        return lambda row: document_rows(
            alias, row, fetch_by_keys(keyspace, evaluate(row), environment)
        )

    def _fixed_stage(self, source: Source, found: list[Found], alias: str, scope: Scope) -> Stage:
        if source.keys is None:
            return remembered(lambda: iter(found), alias, self._environment)
        keys = qualify(source.keys, Scope(scope.parent))
        evaluate = located("KEYS", self._compiler.compile(keys))

        def stage(row: Row) -> Iterator[Row]:
            wanted = evaluate(row)
            wanted = wanted if type(wanted) is list else [wanted]
            return document_rows(alias, row, [each for each in found if each.key in wanted])

        return stage

    def _unnest(self, draft: _Draft, unnest: Unnest) -> None:
        alias, expression = qualified_unnest(unnest, draft.scope)
        evaluate = located("UNNEST", self._compiler.compile(expression))
        stage = unnest_rows(alias, evaluate, self._environment, outer=unnest.outer)
        draft.rows = _then(draft.rows, stage)
        draft.scope = draft.scope.with_source(alias)

    def _join(self, draft: _Draft, join: Join) -> None:
        left, scope = draft.rows, draft.scope
        if join.keys is not None:
            alias, stage = self._lookup(join, scope)
        else:
            # What stands right of a comma can use what stands left of it.
            alias, stage = self._source(draft, join.source, scope)
        what = "NEST" if join.kind == "nest" else "JOIN"
        refuse_double(what, alias, join.source, scope)
        draft.scope = scope.with_source(alias)
        condition = None
        if join.condition is not None:
            qualified = qualify(join.condition, draft.scope)
            condition = located("ON", self._compiler.compile(qualified))
        if join.side == "right":
            draft.rows = right_joined(left, stage, condition, scope.sources, self._environment)
        else:
            draft.rows = _then(left, joined_rows(alias, stage, condition, join, self._environment))

    def _lookup(self, join: Join, scope: Scope) -> tuple[str, Stage]:
        """Return what finds documents by keys that the left side holds."""
        assert join.keys is not None
        lengths = self._session.name_lengths
        alias = alias_of(join.source, scope, lengths)
        path = path_of(join.source.term, scope, lengths)
        if path is None:
            return self._source(_Draft(scope, _one_row), join.source, scope)
        keyspace = self._session.keyspace(path, "SELECT")
        evaluate = located("KEYS", self._compiler.compile(qualify(join.keys, scope)))
        environment = self._environment

        def stage(row: Row) -> Iterator[Row]:
            keys = evaluate(row)
            if keys is None or keys is MISSING:
                return iter(())
            return document_rows(alias, row, fetch_by_keys(keyspace, keys, environment))

        return alias, stage

    # --- LET, WHERE -----------------------------------------------------------------------------

    def _lets(self, draft: _Draft, lets: tuple[Let, ...]) -> dict[str, Node]:
        """Add the variables of a LET; return what they stand for."""
        meanings: dict[str, Node] = {}
        for let in lets:
            refuse_aggregates(let.expression, "LET")
            expression = self._let(draft, let, None)
            meanings[let.name] = expression
        return meanings

    def _let(self, draft: _Draft, let: Let, grouped: Grouped | None) -> Node:
        if draft.scope.knows(let.name):
            raise duplicate_variable(let.name, let.place)
        expression = qualify(let.expression, draft.scope)
        evaluate = located("LET", self._compiler.compile(expression, grouped))
        draft.rows = _then(draft.rows, _assigning(let.name, evaluate))
        draft.scope = draft.scope.with_names((let.name,))
        return expression

    def _where(self, draft: _Draft, block: Block) -> Node | None:
        refuse_aggregates(block.where, "WHERE", placed=True)
        refuse_windows(block.where, "WHERE")
        if block.where is None or block.source is None:
            # Recorded: without FROM, nothing is filtered.
            return None
        where = qualify(block.where, draft.scope)
        keep = keeping(self._compiler.compile(where), "filter")
        draft.rows = _filtered(draft.rows, keep, self._environment)
        return where

    # --- GROUP BY -------------------------------------------------------------------------------

    @staticmethod
    def _after_group(draft: _Draft, block: Block) -> Scope:
        """Return the scope of what is evaluated after a GROUP BY."""
        group, scope = block.group, draft.scope
        if group is None:
            return scope
        names = [term.alias for term in group.terms if term.alias is not None]
        names += [let.name for let in group.letting]
        if group.group_as is not None:
            names.append(group.group_as)
        return scope.with_names(names)

    def _group(
        self,
        draft: _Draft,
        block: Block,
        items: list[ResultItem],
        order: tuple[SortTerm, ...],
        lets: dict[str, Node],
    ) -> None:
        """Group the rows, if the block does that, or has an aggregate."""
        group, before = block.group, draft.scope
        scope = self._after_group(draft, block)
        letting = group.letting if group is not None else ()
        having = None
        if group is not None and group.having is not None:
            having = qualify(group.having, scope)
        names = frozenset(check_names(block.projection)) - {""}
        by_results = replace(scope, results=names)
        in_order = [qualify(term.expression, by_results) for term in order]
        own = [item.expression for item in items]
        own += [qualify(let.expression, scope) for let in letting]
        own.append(having)
        calls = aggregates_in(*own)
        if group is None and not calls:
            _refuse_in_order(in_order)
            return
        calls = aggregates_in(*own, *in_order)
        keys = qualify_keys(group, before)
        grouper = Grouper(keys, calls, before, self._compiler)
        rows = draft.rows
        draft.rows = lambda outer: grouper.rows(rows(outer), outer)
        draft.scope = scope
        draft.grouped = grouper.grouped(lets, ())
        for let in letting:
            evaluate = self._compiler.compile(qualify(let.expression, scope), draft.grouped)
            draft.rows = _then(draft.rows, _assigning(let.name, located("LETTING", evaluate)))
        if having is not None:
            keep = keeping(self._compiler.compile(having, draft.grouped), "filter")
            draft.rows = _filtered(draft.rows, keep, self._environment)

    # --- windows --------------------------------------------------------------------------------

    def _windows(
        self,
        draft: _Draft,
        block: Block,
        items: list[ResultItem],
        order: tuple[SortTerm, ...],
    ) -> None:
        """Compute the functions over windows, if there are any."""
        names = frozenset(check_names(block.projection)) - {""}
        by_results = replace(draft.scope, results=names)
        used: list[Node | None] = [item.expression for item in items]
        used += [qualify(term.expression, by_results) for term in order]
        calls = window_calls(used)
        if not calls:
            return
        named = {each.name: qualify(each.window, draft.scope) for each in block.windows}
        stage = WindowStage(with_named(calls, named), self._compiler, draft.grouped)
        rows = draft.rows
        draft.rows = lambda outer: stage.rows(rows(outer), outer)
        self._compiler.windows.update(map(reprint, calls))


def _refuse_in_order(expressions: list[Node]) -> None:
    for call in aggregates_in(*expressions):
        line, column = call.place
        text = "Aggregates not available for this ORDER BY "
        text += f"(near line {line}, column {column})."
        raise QueryError(4000, text, line=line, column=column)


def _one_row(outer: Row) -> Iterator[Row]:
    yield outer


def _then(rows: Rows, stage: Stage) -> Rows:
    """Return rows that go through one more stage."""

    def chained(outer: Row) -> Iterator[Row]:
        for row in rows(outer):
            if row is PAUSE:
                yield row
            else:
                yield from stage(row)

    return chained


def _assigning(name: str, evaluate: Evaluate) -> Stage:
    def stage(row: Row) -> Iterator[Row]:
        yield {**row, name: evaluate(row)}

    return stage


def _filtered(rows: Rows, keep: Callable[[Row], bool], environment: Environment) -> Rows:
    def filtered(outer: Row) -> Iterator[Row]:
        for row in rows(outer):
            if row is PAUSE or keep(row):
                yield row
            elif environment.due:
                yield PAUSE

    return filtered


def _projected(
    rows: Rows, projection: PlannedProjection, *, needs_results: bool
) -> Callable[[Row], Iterator[tuple[Value, Row]]]:
    evaluate = located("projection", projection.evaluate)
    names = projection.names
    is_object = isinstance(projection.signature, dict)

    def results(outer: Row) -> Iterator[tuple[Value, Row]]:
        for row in rows(outer):
            if row is PAUSE:
                yield PAUSE, PAUSE
                continue
            value = evaluate(row)
            if needs_results:
                row = dict(row)  # noqa: PLW2901 - the row itself may be another's too
                for name in names:
                    member = value.get(name, MISSING) if is_object else value
                    row[RESULT, name] = member
            yield value, row

    return results


def _distinct(
    results: Callable[[Row], Iterator[tuple[Value, Row]]], environment: Environment
) -> Callable[[Row], Iterator[tuple[Value, Row]]]:
    def distinct(outer: Row) -> Iterator[tuple[Value, Row]]:
        seen: set[Hashable] = set()
        for value, row in results(outer):
            if value is PAUSE:
                yield value, row
                continue
            key = group_key(environment.weigh(value))
            if key not in seen:
                environment.keep()
                seen.add(key)
                yield value, row
            elif environment.due:
                yield PAUSE, PAUSE

    return distinct
