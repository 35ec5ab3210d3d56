"""Runs the statements about indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from couchloop.embedded.sqlpp.compiler import Compiler
from couchloop.embedded.sqlpp.documents import Keyspace
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.indexes import Index, Indexes, check_key
from couchloop.embedded.sqlpp.planner import Planner
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.sources import located
from couchloop.embedded.sqlpp.statements import BuildIndexes, CreateIndex, DropIndex, KeyspacePath
from couchloop.embedded.sqlpp.syntax import Name, Node
from couchloop.embedded.sqlpp.values import MISSING, Value

_PRIMARY: Final = "#primary"
_OPTIONS: Final = frozenset(
    {
        "defer_build",
        "dimension",
        "nodes",
        "num_partition",
        "num_replica",
        "retain_deleted_xattr",
        "secExprsSize",
        "arrSize",
        "docKeySize",
        "numDoc",
        "residentRatio",
        "secKeySize",
    }
)


class DefinitionPlanner:
    """Plans CREATE, DROP and BUILD INDEX; they do their work when their rows are asked for.

    Args:
        planner: of the statement.
        indexes: the cluster's.
        make_id: gives what no other index is called.
    """

    def __init__(self, planner: Planner, indexes: Indexes, make_id: Callable[[], str]) -> None:
        self._planner = planner
        self._indexes = indexes
        self._make_id = make_id

    def plan(self, statement: CreateIndex | DropIndex | BuildIndexes) -> Iterator[Value]:
        """Return the rows of a statement, which does its work by then. Raises QueryError."""
        if isinstance(statement, CreateIndex):
            return self._create(statement)
        if isinstance(statement, DropIndex):
            return self._drop(statement)
        return self._build(statement)

    def _keyspace(self, path: KeyspacePath, right: str) -> Keyspace:
        if path.namespace == "system":
            text = f"Keyspace not found {path.alias}"
            reason = {"error": None, "message": path.alias}
            raise QueryError(11002, text, reason=reason)
        return self._planner.session.keyspace(path, right)

    # --- CREATE ---------------------------------------------------------------------------------

    def _create(self, statement: CreateIndex) -> Iterator[Value]:
        keyspace = self._keyspace(statement.keyspace, "CREATE INDEX")
        for key in statement.keys:
            check_key(key)
        scope = Scope(sources=(statement.keyspace.alias,))
        if statement.where is not None:
            qualify(statement.where, scope)
        options = self._options(statement.options)
        return self._created(statement, keyspace, options)

    def _created(
        self, statement: CreateIndex, keyspace: Keyspace, options: dict[str, Value]
    ) -> Iterator[Value]:
        name = statement.name or _PRIMARY
        if statement.if_not_exists and self._indexes.find(keyspace, name) is not None:
            return
        index = Index(
            self._make_id().replace("-", "")[:16],
            name,
            keyspace.bucket,
            keyspace.collection.uid,
            statement.keys,
            statement.where,
            statement.partition,
            deferred=options.get("defer_build") is True,
        )
        self._indexes.add(index)
        if not statement.primary:
            state = "deferred" if index.deferred else "online"
            yield {"id": index.id, "name": name, "state": state}

    def _options(self, node: Node | None) -> dict[str, Value]:
        """Return what WITH says. Raises QueryError for what no index knows."""
        options = constant_object(node, self._planner.compiler)
        for name in options:
            if name not in _OPTIONS:
                raise QueryError(12038, f"Invalid option '{name}'", reason={"option": name})
        return options

    def _constant(self, node: Node) -> Value:
        """Return the value of an expression that depends on no document."""
        return _constant(node, self._planner.compiler)

    # --- DROP, BUILD ----------------------------------------------------------------------------

    def _drop(self, statement: DropIndex) -> Iterator[Value]:
        return self._dropped(statement, self._keyspace(statement.keyspace, "DROP INDEX"))

    def _dropped(self, statement: DropIndex, keyspace: Keyspace) -> Iterator[Value]:
        name = statement.name or _PRIMARY
        index = self._indexes.find(keyspace, name)
        if index is None or (statement.primary and not index.primary):
            if not statement.if_exists:
                raise _not_found(name)
        else:
            self._indexes.remove(index)
        yield from ()

    def _build(self, statement: BuildIndexes) -> Iterator[Value]:
        keyspace = self._keyspace(statement.keyspace, "BUILD INDEX")
        names = [name for node in statement.names for name in self._names(node)]
        return self._built(keyspace, names)

    def _names(self, node: Node) -> list[Value]:
        if isinstance(node, Name):
            return [node.name]
        value = self._constant(node)
        return value if type(value) is list else [value]

    def _built(self, keyspace: Keyspace, names: list[Value]) -> Iterator[Value]:
        unknown = []
        for name in names:
            if type(name) is not str:
                shown = "missing" if name is MISSING else name
                raise QueryError(5412, f"index name({shown}) must be a string", running=True)
            index = self._indexes.find(keyspace, name)
            if index is not None:
                self._indexes.build(index)
                continue
            # The others are built all the same.
            text = f"index {name} is not found - cause: GSI index {name} not found."
            unknown.append(QueryError(5411, text, running=True))
        if unknown:
            self._planner.environment.errors += unknown[1:]
            raise unknown[0]
        yield from ()


def _constant(node: Node, compiler: Compiler) -> Value:
    return located("WITH", compiler.compile(qualify(node, Scope())))({})


def constant_object(node: Node | None, compiler: Compiler) -> dict[str, Value]:
    """Return what WITH says, which depends on no document. Raises QueryError if it is no object."""
    if node is None:
        return {}
    found = _constant(node, compiler)
    if not isinstance(found, dict):
        raise QueryError(5000, "GSI CreateIndex() - cause: WITH must be an object")
    return found


def _not_found(name: str) -> QueryError:
    text = f"Index Not Found - cause: GSI index {name} not found."
    reason: dict[str, Any] = {"name": name}
    return QueryError(12016, text, reason=reason, running=True)
