"""What a SELECT or a RETURNING gives for a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from couchloop.embedded.sqlpp.compiler import Compiler, Evaluate, Grouped, Row, must_depend
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.naming import implicit_name
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.signatures import static_type
from couchloop.embedded.sqlpp.statements import Projection, ResultTerm
from couchloop.embedded.sqlpp.syntax import Constant, Field, Name, Node
from couchloop.embedded.sqlpp.values import MISSING, Ordered, Value, plain

_Step = Callable[[Row, Ordered], None]


@dataclass(slots=True)
class ResultItem:
    """A term of a projection with its names resolved."""

    term: ResultTerm
    name: str
    """Empty for stars."""
    expression: Node | None
    """None: `*` alone."""


@dataclass(slots=True)
class PlannedProjection:
    """What makes results of rows."""

    signature: Any
    names: tuple[str, ...]
    """Of its items, for ORDER BY."""
    evaluate: Evaluate = field(repr=False)


def check_names(projection: Projection) -> list[str]:
    """Return the name of each item. Raises QueryError if two are the same."""
    names: list[str] = []
    unnamed = 0
    for term in projection.terms:
        if term.star or term.expression is None:
            names.append("")
            continue
        name = term.alias if term.alias is not None else implicit_name(term.expression)
        if name is None:
            unnamed += 1
            name = f"${unnamed}"
        if name in names:
            line, column = term.place
            text = f"Duplicate result alias '{name}' (near line {line}, column {column})."
            raise QueryError(3000, text, line=line, column=column)
        names.append(name)
    return names


def qualify_items(projection: Projection, scope: Scope) -> list[ResultItem]:
    """Return the items of a projection with their names resolved. Raises QueryError."""
    return [
        ResultItem(term, name, None if term.expression is None else qualify(term.expression, scope))
        for term, name in zip(projection.terms, check_names(projection), strict=True)
    ]


def plan_projection(
    projection: Projection,
    items: list[ResultItem],
    scope: Scope,
    compiler: Compiler,
    grouped: Grouped | None,
) -> PlannedProjection:
    """Return what makes results of rows. Raises QueryError."""
    if projection.raw:
        item = items[0]
        assert item.expression is not None
        evaluate = compiler.compile(item.expression, grouped)
        named = item.term.alias is not None or implicit_name(item.expression) is not None
        own_name = (item.name,) if named else ()
        return PlannedProjection(static_type(item.expression), own_name, evaluate)
    steps = [_step(item, scope, compiler, grouped) for item in items]

    def project(row: Row) -> Value:
        result = Ordered()
        for step in steps:
            step(row, result)
        return result

    names = tuple(item.name for item in items if item.name)
    excluded = _excluded(projection, items, scope)
    return PlannedProjection(
        _signature(items), names, _without(project, excluded) if excluded else project
    )


def _signature(items: list[ResultItem]) -> dict[str, str]:
    signature = {}
    for item in items:
        if not item.name:
            signature["*"] = "*"
        else:
            assert item.expression is not None
            signature[item.name] = static_type(item.expression)
    return signature


def _step(item: ResultItem, scope: Scope, compiler: Compiler, grouped: Grouped | None) -> _Step:
    """Return what adds an item to a result."""
    if item.expression is None:
        if grouped is not None:
            raise must_depend("self", item.term)
        return _star(scope.sources)
    evaluate = compiler.compile(item.expression, grouped)
    return _spread(evaluate) if item.term.star else _member(item.name, evaluate)


def _star(aliases: tuple[str, ...]) -> _Step:
    def step(row: Row, result: Ordered) -> None:
        # In no order of its own: the service sorts them.
        for alias in sorted(aliases):
            value = row.get(alias, MISSING)
            if value is not MISSING:
                _put(result, alias, value)

    return step


def _spread(evaluate: Evaluate) -> _Step:
    def step(row: Row, result: Ordered) -> None:
        value = evaluate(row)
        if isinstance(value, dict):
            for name in sorted(value):
                if value[name] is not MISSING:
                    _put(result, name, plain(value[name]))

    return step


def _member(name: str, evaluate: Evaluate) -> _Step:
    def step(row: Row, result: Ordered) -> None:
        value = evaluate(row)
        if value is MISSING:
            result.pop(name, None)
        else:
            _put(result, name, value)

    return step


def _put(result: Ordered, name: str, value: Value) -> None:
    """Set a member: it stands where it was set last."""
    result.pop(name, None)
    result[name] = value


# --- EXCLUDE ------------------------------------------------------------------------------------


def _excluded(
    projection: Projection, items: list[ResultItem], scope: Scope
) -> list[tuple[str, ...]]:
    """Return the paths of what is left out."""
    inside: tuple[str, ...] = ()
    if len(items) == 1 and items[0].expression is None and len(scope.sources) == 1:
        inside = scope.sources
    found = []
    for node in projection.exclude:
        path = _path(node)
        if inside and path[:1] != inside:
            path = inside + path
        found.append(path)
    return found


def _path(node: Node) -> tuple[str, ...]:
    names: list[str] = []
    each = node
    while isinstance(each, Field):
        names.insert(0, each.name)
        each = each.base
    if isinstance(each, Name):
        return (each.name, *names)
    if isinstance(each, Constant) and type(each.value) is str and not names:
        return tuple(each.value.split("."))
    line, column = node.place
    text = f"EXCLUDE of anything but a path (near line {line}, column {column}) "
    text += "is not supported by the embedded query service"
    raise QueryError(3000, text, line=line, column=column)


def _without(project: Evaluate, excluded: list[tuple[str, ...]]) -> Evaluate:
    def evaluate(row: Row) -> Value:
        result = project(row)
        for path in excluded:
            result = _removed(result, path)
        return result

    return evaluate


def _removed(value: Value, path: tuple[str, ...]) -> Value:
    """Return an object without a member somewhere within."""
    name = path[0]
    if not isinstance(value, dict) or name not in value:
        return value
    changed: dict[str, Value] = Ordered(value) if type(value) is Ordered else dict(value)
    if len(path) == 1:
        del changed[name]
    else:
        changed[name] = _removed(plain(value[name]), path[1:])
    return changed
