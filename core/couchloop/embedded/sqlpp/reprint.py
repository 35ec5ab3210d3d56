"""Expressions as texts, as the service writes them where it tells of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from couchloop.embedded.sqlpp.statements import Bound, SortTerm, Window, WindowCall
from couchloop.embedded.sqlpp.syntax import (
    ArrayLiteral,
    Between,
    Binding,
    Call,
    Case,
    Chain,
    Comparison,
    Comprehension,
    ComputedField,
    Constant,
    DistinctFrom,
    Element,
    Exists,
    Field,
    Is,
    Like,
    Member,
    Membership,
    Name,
    Negation,
    Node,
    Not,
    ObjectLiteral,
    Parameter,
    Quantified,
    Self,
    Slice,
    Star,
    Subquery,
)
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import MISSING


def reprint(node: Node) -> str:
    """Return the text of an expression; equal texts mean the same."""
    writer = _WRITERS.get(type(node))
    if writer is None:
        # A query: nothing tells of one, but two of them must not seem equal.
        return f"{type(node).__name__.lower()}#{id(node)}"
    return writer(node)


def quote(name: str) -> str:
    """Return a name in backticks."""
    return f"`{name.replace('`', '``')}`"


def _list(nodes: tuple[Node, ...]) -> str:
    return ", ".join(map(reprint, nodes))


def _constant(node: Constant) -> str:
    return "missing" if node.value is MISSING else encode(node.value)


def _name(node: Name) -> str:
    return quote(node.name) + ("i" if node.insensitive else "")


def _self(_: Self) -> str:
    return "self"


def _parameter(node: Parameter) -> str:
    return f"${node.key}"


def _field(node: Field) -> str:
    mark = "i" if node.insensitive else ""
    return f"({reprint(node.base)}.{quote(node.name)}{mark})"


def _computed(node: ComputedField) -> str:
    return f"({reprint(node.base)}.[{reprint(node.name)}])"


def _element(node: Element) -> str:
    return f"({reprint(node.base)}[{reprint(node.index)}])"


def _slice(node: Slice) -> str:
    start = "" if node.start is None else reprint(node.start)
    end = "" if node.end is None else reprint(node.end)
    return f"({reprint(node.base)}[{start} : {end}])"


def _star(node: Star) -> str:
    return f"(array_star({reprint(node.base)}))"


def _array(node: ArrayLiteral) -> str:
    return f"[{_list(node.items)}]"


def _member(node: Member) -> str:
    return f"{reprint(node.name)}: {reprint(node.value)}"


def _object(node: ObjectLiteral) -> str:
    return f"{{{_list(node.members)}}}"


def _negation(node: Negation) -> str:
    return f"(-{reprint(node.operand)})"


def _chain(node: Chain) -> str:
    text = reprint(node.operands[0])
    if len(set(node.operators)) == 1 and node.operators[0] in {"AND", "OR", "||", "+", "*"}:
        between = f" {node.operators[0].lower()} "
        return f"({between.join(map(reprint, node.operands))})"
    for operator, operand in zip(node.operators, node.operands[1:], strict=True):
        text = f"({text} {operator.lower()} {reprint(operand)})"
    return text


def _not(node: Not) -> str:
    return f"(not {reprint(node.operand)})"


def _comparison(node: Comparison) -> str:
    return f"({reprint(node.left)} {node.operator} {reprint(node.right)})"


def _between(node: Between) -> str:
    return f"({reprint(node.value)} between {reprint(node.low)} and {reprint(node.high)})"


def _like(node: Like) -> str:
    escape = "" if node.escape is None else f" escape {reprint(node.escape)}"
    return f"({reprint(node.value)} like {reprint(node.pattern)}{escape})"


def _membership(node: Membership) -> str:
    return f"({reprint(node.value)} {node.operator} {reprint(node.collection)})"


def _is(node: Is) -> str:
    return f"({reprint(node.operand)} is {node.what})"


def _distinct(node: DistinctFrom) -> str:
    return f"({reprint(node.left)} is distinct from {reprint(node.right)})"


def _exists(node: Exists) -> str:
    return f"(exists {reprint(node.operand)})"


def _case(node: Case) -> str:
    text = "case" if node.subject is None else f"case {reprint(node.subject)}"
    for branch in node.branches:
        text += f" when {reprint(branch.condition)} then {reprint(branch.result)}"
    if node.otherwise is not None:
        text += f" else {reprint(node.otherwise)}"
    return f"{text} end"


def _binding(node: Binding) -> str:
    position = "" if node.position is None else f"{quote(node.position)} : "
    word = "within" if node.within else "in"
    return f"{position}{quote(node.variable)} {word} {reprint(node.source)}"


def _quantified(node: Quantified) -> str:
    condition = reprint(node.condition)
    return f"{node.kind} {_list(node.bindings)} satisfies {condition} end"


def _comprehension(node: Comprehension) -> str:
    name = "" if node.name is None else f"{reprint(node.name)} : "
    when = "" if node.condition is None else f" when {reprint(node.condition)}"
    return f"{node.kind} {name}{reprint(node.value)} for {_list(node.bindings)}{when} end"


def _call(node: Call) -> str:
    inner = "*" if node.star else _list(node.arguments)
    distinct = "distinct " if node.distinct else ""
    text = f"{node.name.lower()}({distinct}{inner})"
    if node.condition is not None:
        text += f" filter (where {reprint(node.condition)})"
    return text


def _window_call(node: WindowCall) -> str:
    inner = "*" if node.star else _list(node.arguments)
    text = f"{node.name.lower()}({'distinct ' if node.distinct else ''}{inner})"
    if node.condition is not None:
        text += f" filter (where {reprint(node.condition)})"
    text += " from last" if node.from_last else ""
    text += " ignore nulls" if node.ignores_nulls else ""
    return f"{text} over ({_window(node.window)})"


def _window(window: Window) -> str:
    parts = [] if window.base is None else [quote(window.base)]
    if window.partition:
        parts.append(f"partition by {_list(window.partition)}")
    if window.order:
        parts.append(f"order by {', '.join(map(_sort_term, window.order))}")
    if window.frame is not None:
        frame = window.frame
        bounds = f"{_bound(frame.start)} and {_bound(frame.end)}"
        parts.append(f"{frame.unit} between {bounds} exclude {frame.exclude}")
    return " ".join(parts)


def _bound(bound: Bound) -> str:
    if bound.kind == "current":
        return "current row"
    return f"{'unbounded' if bound.offset is None else reprint(bound.offset)} {bound.kind}"


def _sort_term(term: SortTerm) -> str:
    how = [
        reprint(each) if isinstance(each, Node) else str(each)
        for each in (term.descending, term.nulls)
    ]
    return " ".join((reprint(term.expression), *how))


def _subquery(node: Subquery) -> str:
    return f"({reprint(node.select)})"


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    Constant: _constant,
    Name: _name,
    Self: _self,
    Parameter: _parameter,
    Field: _field,
    ComputedField: _computed,
    Element: _element,
    Slice: _slice,
    Star: _star,
    ArrayLiteral: _array,
    Member: _member,
    ObjectLiteral: _object,
    Negation: _negation,
    Chain: _chain,
    Not: _not,
    Comparison: _comparison,
    Between: _between,
    Like: _like,
    Membership: _membership,
    Is: _is,
    DistinctFrom: _distinct,
    Exists: _exists,
    Case: _case,
    Binding: _binding,
    Quantified: _quantified,
    Comprehension: _comprehension,
    Call: _call,
    Subquery: _subquery,
    WindowCall: _window_call,
}
