"""Plans INSERT, UPSERT, UPDATE and DELETE."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from couchloop.embedded.sqlpp.compiler import META, Evaluate, Row
from couchloop.embedded.sqlpp.document_paths import Change, PathPlanner
from couchloop.embedded.sqlpp.documents import Found, Keyspace, WriteError
from couchloop.embedded.sqlpp.environment import PAUSE
from couchloop.embedded.sqlpp.errors import QueryError, unsupported
from couchloop.embedded.sqlpp.grouping import aggregates_in
from couchloop.embedded.sqlpp.ordering import plan_limit
from couchloop.embedded.sqlpp.planner import Planner
from couchloop.embedded.sqlpp.projection import plan_projection, qualify_items
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.sources import fetch_by_keys, located
from couchloop.embedded.sqlpp.statements import (
    Assignment,
    Delete,
    Insert,
    KeyspacePath,
    Projection,
    Removal,
    Select,
    Source,
    Update,
)
from couchloop.embedded.sqlpp.syntax import Call, Field, Node, Self, children
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import (
    MISSING,
    Binary,
    Missing,
    Ordered,
    Stored,
    Value,
    integral,
    plain,
    truth,
)

_ROW: Final = ""
"""What the results of INSERT … SELECT are called: no alias is empty."""

_WRITTEN: Final = 10
"""Steps that it takes to write a document."""

_REASONS: Final = {
    12033: "dml.statement.casmismatch",
    17012: "dml.statement.duplicatekey",
    17014: "dml.statement.keynotfound",
}

_GO_TYPES: Final[dict[type, str]] = {
    Missing: "value.missingValue",
    type(None): "*value.nullValue",
    bool: "value.boolValue",
    int: "value.intValue",
    float: "value.floatValue",
    list: "value.sliceValue",
    dict: "value.objectValue",
    Ordered: "value.objectValue",
    Stored: "value.objectValue",
    Binary: "value.binaryValue",
}


_Matching: TypeAlias = Generator[Value, None, list[Found]]
"""Gives documents in the end, and a `PAUSE` wherever the statement can wait until then."""


@dataclass(slots=True)
class PlannedChange:
    """A statement that changes documents, and can run."""

    signature: Any
    rows: Callable[[], Iterator[Value]]


@dataclass(slots=True)
class Target:
    """What a statement changes."""

    keyspace: Keyspace
    alias: str
    scope: Scope


@dataclass(slots=True)
class Changes:
    """What is done within a document."""

    steps: list[Change]
    expiration: Evaluate | None


@dataclass(slots=True)
class Entry:
    """A document to be inserted."""

    key: Value
    value: Value
    options: Value


class MutationPlanner:
    """Plans statements that change documents.

    Args:
        planner: plans what they read.
        preserve_expiry: whether UPDATE and UPSERT leave the expiry as it is.
    """

    def __init__(self, planner: Planner, *, preserve_expiry: bool) -> None:
        self._planner = planner
        self._session = planner.session
        self._environment = planner.environment
        self._compiler = planner.compiler
        self._preserve_expiry = preserve_expiry

    def plan(self, statement: Insert | Update | Delete) -> PlannedChange:
        """Return the plan of a statement. Raises QueryError."""
        # A query that gives what is inserted may have aggregates.
        if aggregates_in(*(each for each in children(statement) if not isinstance(each, Select))):
            raise QueryError(3100, "Aggregates/Window functions are allowed in SELECT only")
        if isinstance(statement, Insert):
            return self._insert(statement)
        if isinstance(statement, Update):
            return self._update(statement)
        return self._delete(statement)

    # --- what all have --------------------------------------------------------------------------

    def _target(self, source: Source, right: str) -> Target:
        path = source.term
        assert isinstance(path, KeyspacePath)
        if path.namespace == "system":
            line, column = path.place
            raise unsupported(f"{right} of system:{path.alias}", line=line, column=column)
        keyspace = self._session.keyspace(path, right)
        alias = path.alias if source.alias is None else source.alias
        return Target(keyspace, alias, Scope().with_source(alias))

    def _returning(
        self, projection: Projection | None, target: Target
    ) -> tuple[Any, Evaluate | None]:
        """Return the signature of a statement, and what makes its rows."""
        if projection is None:
            return None, None
        items = qualify_items(projection, target.scope)
        planned = plan_projection(projection, items, target.scope, self._compiler, None)
        return planned.signature, located("projection", planned.evaluate)

    def _changed(self, target: Target, found: Found, returning: Evaluate | None) -> list[Value]:
        """Count a change; return the row that tells of it, if there is one."""
        self._environment.mutations += 1
        if returning is None:
            return []
        return [returning({target.alias: found.value, (META, target.alias): found.meta})]

    def _row_error(self, error: QueryError) -> None:
        """Keep the error of a row: the others go on."""
        self._environment.errors.append(error)

    # --- INSERT, UPSERT -------------------------------------------------------------------------

    def _insert(self, statement: Insert) -> PlannedChange:
        word = "UPSERT" if statement.upsert else "INSERT"
        target = self._target(statement.target, word)
        signature, returning = self._returning(statement.returning, target)
        entries = self._entries(statement)

        def rows() -> Iterator[Value]:
            every = yield from self._accepted(entries(), word, target.keyspace)
            for accepted in every:
                self._environment.tick()
                yield from self._inserted(target, word, accepted, returning)
                if self._environment.due:
                    yield PAUSE

        return PlannedChange(signature, rows)

    def _inserted(
        self,
        target: Target,
        word: str,
        accepted: tuple[str, Value, int],
        returning: Evaluate | None,
    ) -> list[Value]:
        """Write a document; return the row that tells of it, if there is one."""
        key, value, expiry = accepted
        self._environment.spend(_WRITTEN)
        data = encode(plain(value)).encode("utf-8", "replace")
        try:
            found = target.keyspace.insert(key, data, expiry, replace=word == "UPSERT")
        except WriteError as error:
            self._row_error(dml_error(word, key, error))
            return []
        return self._changed(target, found, returning)

    def _entries(self, statement: Insert) -> Callable[[], Iterator[Entry | None]]:
        """Return what gives the documents to insert; None: here the statement can wait."""
        if statement.select is not None:
            return self._selected(statement)
        planned = [
            (
                self._evaluate(pair.key, "KEY", Scope()),
                self._evaluate(pair.value, "VALUE", Scope()),
                self._evaluate(pair.options, "OPTIONS", Scope()),
            )
            for pair in statement.pairs
        ]

        def entries() -> Iterator[Entry | None]:
            for key, value, options in planned:
                yield Entry(key({}), value({}), options({}))

        return entries

    def _selected(self, statement: Insert) -> Callable[[], Iterator[Entry | None]]:
        assert statement.select is not None
        assert statement.key is not None
        select = self._planner.select(statement.select, Scope())
        scope = Scope().with_source(_ROW)
        key = self._evaluate(statement.key, "KEY", scope)
        value: Evaluate | None = None
        if statement.value is not None and not isinstance(statement.value, Self):
            value = self._evaluate(statement.value, "VALUE", scope)
        options = self._evaluate(statement.options, "OPTIONS", scope)

        def entries() -> Iterator[Entry | None]:
            # All is read before anything is written, which might be read again.
            found = []
            for result in select.rows({}):
                if result is not PAUSE:
                    found.append(result)
                if self._environment.due:
                    yield None
            for result in found:
                row: Row = {_ROW: result}
                yield Entry(key(row), result if value is None else value(row), options(row))

        return entries

    def _evaluate(self, node: Node | None, place: str, scope: Scope) -> Evaluate:
        if node is None:
            return lambda _: MISSING
        return located(place, self._compiler.compile(qualify(node, scope)))

    def _accepted(
        self, entries: Iterator[Entry | None], word: str, keyspace: Keyspace
    ) -> Generator[Value, None, list[tuple[str, Value, int]]]:
        """Return the documents that can be written; mistakes become errors of their rows.

        Yields a `PAUSE` where the statement can wait.
        """
        accepted: list[tuple[str, Value, int]] = []
        seen: set[str] = set()
        for entry in entries:
            if self._environment.due:
                yield PAUSE
            if entry is None:
                continue
            key = entry.key
            if type(key) is not str:
                self._row_error(_wrong_key(word, key))
                continue
            if entry.options is not MISSING and not isinstance(entry.options, dict):
                self._row_error(_wrong_options(word, entry.options))
                continue
            if type(entry.value) is Binary:
                text = f"{word} of binary document is not supported: {key}"
                self._row_error(QueryError(12030, text, running=True))
                continue
            if word == "UPSERT" and key in seen:
                raise _same_key(key, keyspace)
            seen.add(key)
            value = None if entry.value is MISSING else self._environment.weigh(entry.value)
            accepted.append((key, value, _expiry(entry.options)))
        return accepted

    # --- UPDATE and DELETE ------------------------------------------------------------------------

    def _matching(
        self,
        target: Target,
        source: Source,
        where: Node | None,
        limits: tuple[Node | None, Node | None],
    ) -> Callable[[], _Matching]:
        """Return what gives the documents that a statement changes."""
        compiler, environment, keyspace = self._compiler, self._environment, target.keyspace
        condition = None if where is None else qualify(where, target.scope)
        keep = None
        if condition is not None:
            keep = located("filter", compiler.compile(condition))
        keys = None
        if source.keys is not None:
            keys = self._evaluate(source.keys, "KEYS", Scope())
        else:
            self._session.require_index(keyspace, target.alias, condition)
        limit = plan_limit(limits[0], "LIMIT", Scope(), compiler)
        offset = plan_limit(limits[1], "OFFSET", Scope(), compiler)

        def matching() -> _Matching:
            skipped = 0 if offset is None else offset({})
            end = None if limit is None else skipped + limit({})
            seen: set[str] = set()
            matched: list[Found] = []
            every = (
                keyspace.scan() if keys is None else fetch_by_keys(keyspace, keys({}), environment)
            )
            for found in every if end != 0 else ():
                environment.tick()
                if environment.due:
                    yield PAUSE
                if found.key in seen:
                    continue
                seen.add(found.key)
                row: Row = {target.alias: found.value, (META, target.alias): found.meta}
                if keep is None or truth(keep(row)):
                    matched.append(found)
                    if len(matched) == end:
                        break
            return matched[skipped:]

        return matching

    def _update(self, statement: Update) -> PlannedChange:
        target = self._target(statement.target, "UPDATE")
        signature, returning = self._returning(statement.returning, target)
        limits = (statement.limit, None)
        matching = self._matching(target, statement.target, statement.where, limits)
        changes = self._changes(statement.assignments, statement.removals, target.scope)

        def rows() -> Iterator[Value]:
            matched = yield from matching()
            for found in matched:
                yield from self._updated(target, found, changes, returning, {})
                if self._environment.due:
                    yield PAUSE

        return PlannedChange(signature, rows)

    def _changes(
        self,
        assignments: tuple[Assignment, ...],
        removals: tuple[Removal, ...],
        scope: Scope,
    ) -> Changes:
        """Return what is to be done within a document. Raises QueryError."""
        paths = PathPlanner(self._compiler, scope)
        changes = Changes([], None)
        for assignment in assignments:
            if _is_meta(assignment):
                changes.expiration = self._evaluate(assignment.value, "SET clause", scope)
            else:
                planned = paths.plan(assignment.path, assignment.value, assignment.loop)
                changes.steps.append(planned)
        changes.steps += [paths.plan(each.path, None, each.loop) for each in removals]
        return changes

    def _updated(
        self,
        target: Target,
        found: Found,
        changes: Changes,
        returning: Evaluate | None,
        around: Row,
    ) -> list[Value]:
        """Change a document; return the row that tells of it, if there is one.

        Args:
            target: where it is.
            found: the document.
            changes: what is done within.
            returning: what makes the row.
            around: what else the changes can use.
        """
        alias = target.alias
        if type(found.value) is Binary:
            text = f"UPDATE of binary document is not supported: {found.key}"
            self._row_error(QueryError(12030, text, running=True))
            return []
        self._environment.spend(_WRITTEN)
        self._environment.weigh(found.value)
        before: Row = {**around, alias: found.value, (META, alias): found.meta}
        copy: Row = {**before, alias: _copied(found.value)}
        change_all = located("SET clause", lambda row: _apply(changes.steps, row, copy))
        change_all(before)
        expiry: int | None = None if self._preserve_expiry else 0
        if changes.expiration is not None:
            expiry = integral(changes.expiration(before)) or 0
        data = encode(plain(self._environment.weigh(copy[alias]))).encode("utf-8", "replace")
        try:
            written = target.keyspace.update(found, data, expiry)
        except WriteError as error:
            self._row_error(dml_error("UPDATE", found.key, error))
            return []
        return self._changed(target, written, returning)

    def _delete(self, statement: Delete) -> PlannedChange:
        target = self._target(statement.target, "DELETE")
        signature, returning = self._returning(statement.returning, target)
        limits = (statement.limit, statement.offset)
        matching = self._matching(target, statement.target, statement.where, limits)

        def rows() -> Iterator[Value]:
            matched = yield from matching()
            for found in matched:
                yield from self._deleted(target, found, returning)
                if self._environment.due:
                    yield PAUSE

        return PlannedChange(signature, rows)

    def _deleted(self, target: Target, found: Found, returning: Evaluate | None) -> list[Value]:
        """Delete a document; return the row that tells of it, if there is one."""
        self._environment.spend(_WRITTEN)
        try:
            target.keyspace.delete(found)
        except WriteError as error:
            self._row_error(dml_error("DELETE", found.key, error))
            return []
        return self._changed(target, found, returning)


def _apply(changes: list[Change], before: Row, copy: Row) -> Value:
    for change in changes:
        change(before, copy)
    return None


def _copied(value: Value) -> Value:
    """Return a value that can be changed, with all that is within."""
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    if type(value) is list:
        return [_copied(each) for each in value]
    return value


def _is_meta(assignment: Assignment) -> bool:
    """Whether it sets META().expiration. Raises QueryError for another member of META()."""
    path = assignment.path
    base = path.base if isinstance(path, Field) else path
    if not isinstance(base, Call):
        return False
    name = path.name if isinstance(path, Field) else "meta"
    if name != "expiration":
        line, column = path.place
        text = f"SET clause has invalid path `{name}` (near line {line}, column {column})"
        raise QueryError(3000, text, line=line, column=column)
    return True


def _expiry(options: Value) -> int:
    """Return the seconds that OPTIONS say, 0 for none."""
    if not isinstance(options, dict):
        return 0
    value = integral(options.get("expiration"))
    return 0 if value is None or value < 0 else min(value, 0xFFFFFFFF)


def _wrong_key(word: str, key: Value) -> QueryError:
    shown = "Missing field or index id." if key is MISSING else encode(key)
    text = f"Cannot {word} non-string key {shown} of type {_GO_TYPES[type(key)]}."
    return QueryError(5078 if word == "UPSERT" else 5070, text, running=True)


def _wrong_options(word: str, options: Value) -> QueryError:
    text = f"Cannot {word} non-OBJECT options {encode(options)} "
    text += f"of type {_GO_TYPES.get(type(options), 'value.stringValue')}."
    return QueryError(5079 if word == "UPSERT" else 5071, text, running=True)


def _same_key(key: str, keyspace: Keyspace) -> QueryError:
    text = "Cannot act on the same key multiple times in an UPSERT statement."
    reason = {"key": key, "keyspace": keyspace.path}
    return QueryError(5073, text, reason=reason, running=True)


def dml_error(word: str, key: str, error: WriteError) -> QueryError:
    """Return the error about a document that could not be written."""
    cause = "CAS mismatch" if error.code == 12033 else "concurrent modification"
    text = f"DML Error, possible causes include {cause}. "
    text += f"Failed to perform {word} on key {key} - cause: {error.cause}"
    reason = {
        "caller": "couchbase",
        "code": error.code,
        "key": _REASONS.get(error.code, "dml.statement.failed"),
        "message": error.cause,
    }
    return QueryError(12009, text, reason=reason, running=True)
