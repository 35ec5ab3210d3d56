"""Plans MERGE: rows of a source update, delete or insert documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from couchloop.embedded.sqlpp.compiler import META, Evaluate, Row
from couchloop.embedded.sqlpp.documents import Found
from couchloop.embedded.sqlpp.environment import PAUSE
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.mutations import (
    Changes,
    Entry,
    MutationPlanner,
    PlannedChange,
    Target,
)
from couchloop.embedded.sqlpp.ordering import plan_limit
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.sources import located, refuse_double
from couchloop.embedded.sqlpp.statements import Delete, Insert, Merge, MergeUpdate, Update
from couchloop.embedded.sqlpp.syntax import Node
from couchloop.embedded.sqlpp.values import MISSING, Value, truth


@dataclass(slots=True)
class _Action:
    """What is done with a row."""

    keep: Evaluate | None
    """Whether it is done: what is behind WHERE."""

    def wants(self, row: Row) -> bool:
        """Whether it is done with a row."""
        return self.keep is None or truth(self.keep(row))


@dataclass(slots=True)
class _Insertion(_Action):
    """`WHEN NOT MATCHED THEN INSERT`."""

    key: Evaluate
    value: Evaluate
    options: Evaluate


@dataclass(slots=True)
class _Update(_Action):
    """`WHEN MATCHED THEN UPDATE`."""

    changes: Changes


class MergePlanner(MutationPlanner):
    """Plans statements that change documents, MERGE too."""

    def plan(self, statement: Insert | Update | Delete | Merge) -> PlannedChange:
        """Return the plan of a statement. Raises QueryError."""
        if not isinstance(statement, Merge):
            return super().plan(statement)
        target = self._target(statement.target, "UPDATE")
        if statement.insert is not None:
            self._session.require(target.keyspace, "INSERT")
        if statement.delete is not None:
            self._session.require(target.keyspace, "DELETE")
        signature, returning = self._returning(statement.returning, target)
        alias, stage = self._planner.blocks.source_rows(statement.source, Scope())
        source_scope = Scope().with_source(alias)
        refuse_double("MERGE", target.alias, statement.target, source_scope)
        both = source_scope.with_source(target.alias)
        matching = self._matches(statement, target, source_scope, both)
        update = self._planned_update(statement.update, both)
        delete = self._planned_action(statement.delete, both)
        insert = self._planned_insert(statement, source_scope)
        limit = plan_limit(statement.limit, "LIMIT", Scope(), self._compiler)

        def rows() -> Iterator[Value]:
            # All is read before anything is written, which might be read again.
            pairs = []
            for row in stage({}):
                if row is not PAUSE:
                    pairs.append((row, matching(row)))
                if self._environment.due:
                    yield PAUSE
            wanted = None if limit is None else limit({})
            seen: set[str] = set()
            for row, found in islice(pairs, wanted):
                self._environment.tick()
                if self._environment.due:
                    yield PAUSE
                if not found:
                    if insert is not None and insert.wants(row):
                        yield from self._insert_row(target, row, insert, returning)
                    continue
                for document in found:
                    whole = {**row, **_document(target.alias, document)}
                    if update is not None and update.wants(whole):
                        _once(document.key, seen)
                        yield from self._updated(target, document, update.changes, returning, row)
                    elif delete is not None and delete.wants(whole):
                        _once(document.key, seen)
                        yield from self._deleted(target, document, returning)

        return PlannedChange(signature, rows)

    # --- what is matched ------------------------------------------------------------------------

    def _matches(
        self, statement: Merge, target: Target, source_scope: Scope, both: Scope
    ) -> Callable[[Row], list[Found]]:
        """Return what gives the documents that a row matches."""
        keyspace = target.keyspace
        if statement.key is not None:
            key_of = self._evaluate(statement.key, "MERGE KEY", source_scope)

            def by_key(row: Row) -> list[Found]:
                key = key_of(row)
                found = keyspace.fetch(key) if type(key) is str else None
                return [] if found is None else [found]

            return by_key
        assert statement.condition is not None
        condition = qualify(statement.condition, both)
        fits = located("ON", self._compiler.compile(condition))
        keys = statement.target.keys
        keys_of = None if keys is None else self._evaluate(keys, "KEYS", source_scope)
        if keys is None:
            self._session.require_index(keyspace, target.alias, condition)
        documents: list[Found] | None = None

        def by_condition(row: Row) -> list[Found]:
            nonlocal documents
            if keys_of is not None:
                every = self._by_keys(target, keys_of(row))
            else:
                documents = list(keyspace.scan()) if documents is None else documents
                every = documents
            return [each for each in every if self._fits(fits, row, target, each)]

        return by_condition

    def _by_keys(self, target: Target, keys: Value) -> list[Found]:
        wanted = keys if type(keys) is list else [keys]
        found = []
        for key in wanted:
            self._environment.tick()
            found.append(target.keyspace.fetch(key) if type(key) is str else None)
        return [each for each in found if each is not None]

    def _fits(self, fits: Evaluate, row: Row, target: Target, document: Found) -> bool:
        self._environment.tick()
        return truth(fits({**row, **_document(target.alias, document)}))

    # --- what is done ---------------------------------------------------------------------------

    def _keep(self, where: Node | None, scope: Scope) -> Evaluate | None:
        if where is None:
            return None
        return located("filter", self._compiler.compile(qualify(where, scope)))

    def _planned_action(self, action: MergeUpdate | None, scope: Scope) -> _Action | None:
        return None if action is None else _Action(self._keep(action.where, scope))

    def _planned_update(self, action: MergeUpdate | None, scope: Scope) -> _Update | None:
        if action is None:
            return None
        changes = self._changes(action.assignments, action.removals, scope)
        return _Update(self._keep(action.where, scope), changes)

    def _planned_insert(self, statement: Merge, scope: Scope) -> _Insertion | None:
        insert = statement.insert
        if insert is None:
            return None
        key = statement.key if insert.key is None else insert.key
        return _Insertion(
            self._keep(insert.where, scope),
            self._evaluate(key, "MERGE INSERT KEY", scope),
            self._evaluate(insert.value, "MERGE INSERT VALUE", scope),
            self._evaluate(insert.options, "MERGE INSERT OPTIONS", scope),
        )

    def _insert_row(
        self, target: Target, row: Row, insert: _Insertion, returning: Evaluate | None
    ) -> Iterator[Value]:
        entry = Entry(insert.key(row), insert.value(row), insert.options(row))
        every = yield from self._accepted(iter((entry,)), "INSERT", target.keyspace)
        for accepted in every:
            yield from self._inserted(target, "INSERT", accepted, returning)


def _document(alias: str, found: Found) -> Row:
    return {alias: found.value if found.value is not MISSING else None, (META, alias): found.meta}


def _once(key: str, seen: set[str]) -> None:
    if key in seen:
        text = f"UPDATE/DELETE of the same document (document key '{key}') "
        raise QueryError(5320, f"{text}multiple times in a MERGE statement", running=True)
    seen.add(key)
