"""What names mean: aliases and variables in sight, and fields of the one document there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.statements import WindowCall
from couchloop.embedded.sqlpp.syntax import (
    Binding,
    Call,
    Comprehension,
    Field,
    Name,
    Node,
    Place,
    Quantified,
    Self,
    Subquery,
)

POSITIONS: Final = frozenset({"UNNEST_POSITION", "UNNEST_POS"})


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that can be used in a place."""

    parent: Scope | None = None
    """Of the query around this one."""
    sources: tuple[str, ...] = ()
    """Aliases of what this query reads."""
    names: frozenset[str] = frozenset()
    """Variables of this query."""
    results: frozenset[str] = frozenset()
    """What the projection calls its items, where they can be used."""

    def knows(self, name: str) -> bool:
        """Whether a name is an alias or a variable, here or around."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names or name in scope.sources:
                return True
            scope = scope.parent
        return False

    def with_names(self, names: Iterable[str]) -> Scope:
        """Return the scope with more variables."""
        return replace(self, names=self.names | frozenset(names))

    def with_source(self, name: str) -> Scope:
        """Return the scope with one more source."""
        return replace(self, sources=(*self.sources, name))


@dataclass(frozen=True, slots=True, eq=False)
class ResultName(Node):
    """The name of an item of the projection, used in ORDER BY."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class ScopedSubquery(Subquery):
    """A subquery with the names that it can use."""

    scope: Scope = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Aliases(Node):
    """`SELF`: the aliases of what a query reads, with their values."""

    names: tuple[str, ...]


def qualify(node: Node, scope: Scope) -> Node:
    """Return an expression with each name resolved: fields are paths from an alias then.

    Raises QueryError for a name that means nothing, or could mean several things.
    """
    handler = _HANDLERS.get(type(node))
    if handler is not None:
        return handler(node, scope)
    return _rebuilt(node, lambda child: qualify(child, scope))


def duplicate_variable(name: str, place: Place) -> QueryError:
    """Return the error about a variable that there is already."""
    line, column = place
    text = f"Duplicate variable: '{name}' already in scope (near line {line}, column {column})."
    return QueryError(3081, text, line=line, column=column)


def ambiguous(name: str, place: Place) -> QueryError:
    """Return the error about a name that is no alias, where there is no single document."""
    line, column = place
    text = f"Ambiguous reference to field '{name}' (near line {line}, column {column})."
    return QueryError(3080, text, line=line, column=column)


def qualify_bindings(
    bindings: tuple[Binding, ...], scope: Scope
) -> tuple[tuple[Binding, ...], Scope]:
    """Return the variables of a range with their sources resolved, and the scope within."""
    inner, found = scope, []
    for binding in bindings:
        for name in (binding.position, binding.variable):
            if name is not None:
                if inner.knows(name):
                    raise duplicate_variable(name, binding.place)
                inner = inner.with_names((name,))
        found.append(replace(binding, source=qualify(binding.source, scope)))
    return tuple(found), inner


def _rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a node with its parts changed; the node itself if none was."""
    changes: dict[str, Any] = {}
    for each in fields(node):
        part = getattr(node, each.name)
        changed = _rebuilt_part(part, change)
        if changed is not part:
            changes[each.name] = changed
    return replace(node, **changes) if changes else node


def _rebuilt_part(part: Any, change: Callable[[Node], Node]) -> Any:
    if isinstance(part, Node):
        return change(part)
    if type(part) is tuple and part and isinstance(part[0], Node):
        changed = tuple(change(each) for each in part)
        if any(new is not old for new, old in zip(changed, part, strict=True)):
            return changed
    return part


def _name(node: Name, scope: Scope) -> Node:
    if node.name in scope.results:
        return ResultName(node.place, node.name)
    if scope.knows(node.name):
        return node
    if len(scope.sources) != 1:
        raise ambiguous(node.name, node.place)
    return Field(node.place, Name(node.place, scope.sources[0]), node.name, node.insensitive)


def _call(node: Call, scope: Scope) -> Node:
    upper = node.name.upper()
    if upper == "META" and not node.arguments:
        if len(scope.sources) != 1:
            line, column = node.place
            text = "META() in query with multiple FROM terms requires an argument "
            text += f"(near line {line}, column {column})."
            raise QueryError(4310, text, line=line, column=column)
        return replace(node, arguments=(Name(node.place, scope.sources[0]),))
    if upper in AGGREGATES:
        return _of_rows(node, scope)
    return _rebuilt(node, lambda child: qualify(child, scope))


def _of_rows(node: Node, scope: Scope) -> Node:
    """Return what is computed of rows before there are results: it knows none of their names."""
    rows = replace(scope, results=frozenset()) if scope.results else scope
    return _rebuilt(node, lambda child: qualify(child, rows))


def _self(node: Self, scope: Scope) -> Node:
    return Aliases(node.place, scope.sources)


def _quantified(node: Quantified, scope: Scope) -> Node:
    bindings, inner = qualify_bindings(node.bindings, scope)
    return replace(node, bindings=bindings, condition=qualify(node.condition, inner))


def _comprehension(node: Comprehension, scope: Scope) -> Node:
    bindings, inner = qualify_bindings(node.bindings, scope)
    return replace(
        node,
        bindings=bindings,
        name=None if node.name is None else qualify(node.name, inner),
        value=qualify(node.value, inner),
        condition=None if node.condition is None else qualify(node.condition, inner),
    )


def _subquery(node: Subquery, scope: Scope) -> Node:
    return ScopedSubquery(node.place, node.select, scope)


_HANDLERS: Final[dict[type, Callable[[Any, Scope], Node]]] = {
    Name: _name,
    Self: _self,
    Call: _call,
    Quantified: _quantified,
    Comprehension: _comprehension,
    WindowCall: _of_rows,
    Subquery: _subquery,
}
