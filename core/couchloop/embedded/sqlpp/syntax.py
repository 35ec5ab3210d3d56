"""What a statement is once it was read: expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

from couchloop.embedded.sqlpp.values import Value


class Place(NamedTuple):
    """Where something stands in a statement; both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Part of a statement."""

    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Node):
    """A literal."""

    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Name(Node):
    """An identifier: an alias, a variable, or a field of the one document there is."""

    name: str
    insensitive: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Self(Node):
    """`SELF`: all aliases with their values."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Node):
    """`$name`, `$1`, `?`."""

    key: str | int


@dataclass(frozen=True, slots=True, eq=False)
class Field(Node):
    """`base.name`."""

    base: Node
    name: str
    insensitive: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ComputedField(Node):
    """`base.[name]`."""

    base: Node
    name: Node
    insensitive: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Element(Node):
    """`base[index]`."""

    base: Node
    index: Node


@dataclass(frozen=True, slots=True, eq=False)
class Slice(Node):
    """`base[start:end]`."""

    base: Node
    start: Node | None
    end: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Star(Node):
    """`base[*]`."""

    base: Node


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLiteral(Node):
    """`[…]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Member(Node):
    """A member of an object that is built."""

    name: Node
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class ObjectLiteral(Node):
    """`{…}`."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Negation(Node):
    """`-operand`."""

    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class Chain(Node):
    """Operands with operators of one precedence between them, from left to right."""

    operators: tuple[str, ...]
    """`+ - * / % ^ || AND OR`."""
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Not(Node):
    """`NOT operand`."""

    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Node):
    """`= < <=`; others are read as one of these, turned round or negated."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Between(Node):
    """`value BETWEEN low AND high`."""

    value: Node
    low: Node
    high: Node


@dataclass(frozen=True, slots=True, eq=False)
class Like(Node):
    """`value LIKE pattern ESCAPE escape`."""

    value: Node
    pattern: Node
    escape: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Membership(Node):
    """`value IN collection`, `value WITHIN collection`."""

    operator: str
    value: Node
    collection: Node


@dataclass(frozen=True, slots=True, eq=False)
class Is(Node):
    """`operand IS what`."""

    what: str
    """`null`, `not null`, `missing`, `not missing`, `valued`, `not valued`."""
    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class DistinctFrom(Node):
    """`left IS DISTINCT FROM right`."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Exists(Node):
    """`EXISTS operand`."""

    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class When(Node):
    """A branch of CASE."""

    condition: Node
    result: Node


@dataclass(frozen=True, slots=True, eq=False)
class Case(Node):
    """`CASE … END`."""

    subject: Node | None
    branches: tuple[When, ...]
    otherwise: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Binding(Node):
    """`position: variable IN source`."""

    position: str | None
    variable: str
    within: bool
    source: Node


@dataclass(frozen=True, slots=True, eq=False)
class Quantified(Node):
    """`ANY`, `EVERY`, `ANY AND EVERY` … `SATISFIES condition END`."""

    kind: str
    bindings: tuple[Binding, ...]
    condition: Node


@dataclass(frozen=True, slots=True, eq=False)
class Comprehension(Node):
    """`ARRAY`, `FIRST`, `OBJECT` … `FOR` … `WHEN condition END`."""

    kind: str
    name: Node | None
    """Of members, for OBJECT."""
    value: Node
    bindings: tuple[Binding, ...]
    condition: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """A function, or an aggregate."""

    name: str
    """As it was written."""
    arguments: tuple[Node, ...]
    distinct: bool = False
    star: bool = False
    condition: Node | None = None
    """What is behind FILTER."""


@dataclass(frozen=True, slots=True, eq=False)
class Subquery(Node):
    """A SELECT in parentheses: an array of rows."""

    select: Node


def children(node: Node) -> Iterator[Node]:
    """Return the parts of a node that are nodes."""
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def _nodes(part: object) -> Iterator[Node]:
    if isinstance(part, Node):
        yield part
    elif type(part) is tuple:
        for each in part:
            yield from _nodes(each)


def walk(node: Node, *, into_subqueries: bool = False) -> Iterator[Node]:
    """Return a node and all nodes within, parents first, in the order of the text.

    What a subquery holds is left out unless *into_subqueries*.
    """
    rest = [node]
    while rest:
        each = rest.pop()
        yield each
        if into_subqueries or not isinstance(each, Subquery):
            rest.extend(reversed(list(children(each))))


def depth(node: Node) -> int:
    """Return how many nodes are above one another at most."""
    deepest = 0
    rest = [(node, 1)]
    while rest:
        each, level = rest.pop()
        deepest = max(deepest, level)
        rest.extend((child, level + 1) for child in children(each))
    return deepest
