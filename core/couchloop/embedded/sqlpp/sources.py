"""Where rows come from: the terms of FROM, UNNEST, joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from couchloop.embedded.sqlpp.compiler import META, POSITION, Evaluate, Row
from couchloop.embedded.sqlpp.documents import Found, Keyspace
from couchloop.embedded.sqlpp.environment import PAUSE, Environment
from couchloop.embedded.sqlpp.errors import FunctionError, QueryError
from couchloop.embedded.sqlpp.naming import implicit_name, start
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.statements import Join, KeyspacePath, Source, Unnest
from couchloop.embedded.sqlpp.syntax import Field, Name, Node
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import MISSING, Value, truth

Stage: TypeAlias = Callable[[Row], Iterator[Row]]
"""What makes rows of a row. Some of them may be a `PAUSE`, which everybody passes on."""


def located(place: str, evaluate: Evaluate) -> Evaluate:
    """Return a function whose faults say where they were found."""

    def run(row: Row) -> Value:
        try:
            return evaluate(row)
        except FunctionError as error:
            raise error.at(place) from None

    return run


def path_of(term: Node, scope: Scope, lengths: frozenset[int]) -> KeyspacePath | None:
    """Return the keyspace that a term of FROM names, None if it is an expression.

    Args:
        term: of FROM.
        scope: the names in sight: what begins with one of them is a path from it.
        lengths: how many parts the name of a keyspace may have.
    """
    if isinstance(term, KeyspacePath):
        return term
    names: list[str] = []
    node = term
    while isinstance(node, Field):
        names.insert(0, node.name)
        node = node.base
    if not isinstance(node, Name) or scope.knows(node.name):
        return None
    parts = (node.name, *names)
    return KeyspacePath(node.place, "", parts) if len(parts) in lengths else None


def alias_of(source: Source, scope: Scope, lengths: frozenset[int]) -> str:
    """Return what a term of FROM is called. Raises QueryError if it has no name."""
    if source.alias is not None:
        return source.alias
    path = path_of(source.term, scope, lengths)
    name = path.alias if path is not None else implicit_name(source.term)
    if name is None:
        line, column = start(source.term)
        text = f"FROM expression term (near line {line}, column {column}) "
        text += "must have a name or alias"
        raise QueryError(4010, text, line=line, column=column)
    return name


def refuse_double(what: str, name: str, place: Node, scope: Scope) -> None:
    """Raise QueryError (4020) if a name is taken."""
    if name in scope.sources or name in scope.names:
        line, column = start(place)
        text = f"Duplicate {what} alias '{name}' (near line {line}, column {column})"
        raise QueryError(4020, text, line=line, column=column)


def document_rows(alias: str, row: Row, documents: Iterable[Found]) -> Iterator[Row]:
    """Return a row for each document."""
    for found in documents:
        yield {**row, alias: found.value, (META, alias): found.meta}


def fetch_by_keys(keyspace: Keyspace, keys: Value, environment: Environment) -> Iterator[Found]:
    """Return the documents with these keys, in that order; what is not there is skipped."""
    wanted = keys if type(keys) is list else [keys]
    for key in wanted:
        environment.tick()
        if type(key) is not str:
            shown = "" if type(keys) is list else _go_text(key)
            environment.warn(0, f"Document key must be string: {shown}")
            continue
        found = keyspace.fetch(key)
        if found is not None:
            yield found


def _go_text(value: Value) -> str:
    return "<nil>" if value is None or value is MISSING else encode(value)


def expression_rows(alias: str, evaluate: Evaluate, environment: Environment) -> Stage:
    """Return what makes a row of each element of an array, or of any other value."""

    def stage(row: Row) -> Iterator[Row]:
        value = evaluate(row)
        if value is MISSING:
            return
        for each in value if type(value) is list else [value]:
            environment.tick()
            yield {**row, alias: each, (META, alias): MISSING}

    return stage


def subquery_rows(
    alias: str, rows: Callable[[Row], Iterator[Value]], environment: Environment
) -> Stage:
    """Return what makes a row of each result of a query, all of which are found before."""

    def stage(row: Row) -> Iterator[Row]:
        found: list[Value] = []
        for each in rows(row):
            if each is not PAUSE:
                found.append(None if each is MISSING else each)
            if environment.due:
                yield PAUSE
        for each in found:
            environment.tick()
            yield {**row, alias: each, (META, alias): MISSING}

    return stage


def unnest_rows(alias: str, evaluate: Evaluate, environment: Environment, *, outer: bool) -> Stage:
    """Return what makes a row of each element of an array; *outer*: one of everything else."""

    def stage(row: Row) -> Iterator[Row]:
        value = evaluate(row)
        if type(value) is list and value:
            for index, each in enumerate(value):
                environment.tick()
                yield {**row, alias: each, (POSITION, alias): index, (META, alias): MISSING}
        elif outer:
            yield {**row, alias: MISSING, (POSITION, alias): MISSING, (META, alias): MISSING}

    return stage


def joined_rows(
    alias: str, right: Stage, condition: Evaluate | None, join: Join, environment: Environment
) -> Stage:
    """Return what puts each fitting row of *right* beside a row, or (NEST) all in an array."""
    outer, nests = join.side == "left", join.kind == "nest"

    def stage(row: Row) -> Iterator[Row]:
        values: list[Value] = []
        found = False
        for each in right(row):
            if each is not PAUSE and (condition is None or truth(condition(each))):
                found = True
                if not nests:
                    yield each
                    continue
                values.append(each[alias])
            if environment.due:
                yield PAUSE
        if nests:
            if values or outer:
                yield {**row, alias: environment.weigh(values), (META, alias): MISSING}
        elif outer and not found:
            yield {**row, alias: MISSING, (META, alias): MISSING}

    return stage


def right_joined(
    left: Callable[[Row], Iterator[Row]],
    right: Stage,
    condition: Evaluate | None,
    aliases: tuple[str, ...],
    environment: Environment,
) -> Stage:
    """Return RIGHT JOIN: each row of *right*, whether or not something on the left fits."""

    def stage(outer: Row) -> Iterator[Row]:
        lefts: list[Row] = []
        for row in left(outer):
            if row is not PAUSE:
                lefts.append(row)
            if environment.due:
                yield PAUSE
        for each in right(outer):
            if each is PAUSE:
                yield each
                continue
            found = False
            for row in lefts:
                environment.tick()
                both = {**row, **each}
                if condition is None or truth(condition(both)):
                    found = True
                    yield both
                elif environment.due:
                    yield PAUSE
            if not found:
                yield {**dict.fromkeys(aliases, MISSING), **each}

    return stage


def remembered(scan: Callable[[], Iterator[Found]], alias: str, environment: Environment) -> Stage:
    """Return what makes rows of all documents of a keyspace, which are read once."""
    documents: list[Found] = []
    rest: Iterator[Found] | None = None

    def stage(row: Row) -> Iterator[Row]:
        nonlocal rest
        if rest is None:
            rest = scan()
        index = 0
        while True:
            if index == len(documents):
                # Whoever wants only a few rows has only those read.
                fresh = next(rest, None)
                if fresh is None:
                    return
                documents.append(fresh)
                environment.fetched += 1
            found = documents[index]
            index += 1
            environment.tick()
            yield {**row, alias: found.value, (META, alias): found.meta}

    return stage


def qualified_unnest(unnest: Unnest, scope: Scope) -> tuple[str, Node]:
    """Return the alias of an UNNEST, and its expression with names resolved."""
    name = unnest.alias if unnest.alias is not None else implicit_name(unnest.expression)
    if name is None:
        line, column = start(unnest.expression)
        text = f"UNNEST term (near line {line}, column {column}) must have a name or alias"
        raise QueryError(4010, text, line=line, column=column)
    refuse_double("UNNEST", name, unnest.expression, scope)
    return name, qualify(unnest.expression, scope)
