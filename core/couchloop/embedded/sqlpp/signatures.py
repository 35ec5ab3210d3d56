"""What type an expression has as far as that is known without its value: for signatures."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.functions import FUNCTIONS
from couchloop.embedded.sqlpp.scopes import ScopedSubquery
from couchloop.embedded.sqlpp.statements import WindowCall
from couchloop.embedded.sqlpp.syntax import (
    ArrayLiteral,
    Between,
    Call,
    Case,
    Chain,
    Comparison,
    Comprehension,
    Constant,
    DistinctFrom,
    Exists,
    Is,
    Like,
    Membership,
    Negation,
    Node,
    Not,
    ObjectLiteral,
    Quantified,
    Slice,
    Star,
    Subquery,
)
from couchloop.embedded.sqlpp.values import type_name

_TYPES: Final[dict[type, str]] = {
    ArrayLiteral: "array",
    ObjectLiteral: "object",
    Slice: "array",
    Star: "object",
    Negation: "number",
    Not: "boolean",
    Comparison: "boolean",
    Between: "boolean",
    Like: "boolean",
    Membership: "boolean",
    Is: "boolean",
    DistinctFrom: "boolean",
    Exists: "boolean",
    Quantified: "boolean",
    Subquery: "array",
    ScopedSubquery: "array",
}
_OPERATORS: Final = {"AND": "boolean", "OR": "boolean", "||": "string"}
_RANGES: Final = {"array": "array", "object": "object", "first": "json"}
_TAKEN_OUT: Final = frozenset({"LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE"})
_SUCCESSORS: Final = {"missing": "null", "null": "boolean"}
_AGGREGATES: Final = {"ARRAY_AGG": "array", "MIN": "json", "MAX": "json"}


def static_type(node: Node) -> str:
    """Return the type's name, `json` if only the value could tell."""
    if isinstance(node, Constant):
        return type_name(node.value)
    if isinstance(node, Chain):
        return _OPERATORS.get(node.operators[0], "number")
    if isinstance(node, Comprehension):
        return _RANGES[node.kind]
    if isinstance(node, Call):
        return _call(node)
    if isinstance(node, WindowCall):
        name = node.name.upper()
        return "json" if name in _TAKEN_OUT else _AGGREGATES.get(name, "number")
    if isinstance(node, Case):
        results = [branch.result for branch in node.branches]
        if node.otherwise is not None:
            results.append(node.otherwise)
        types = {static_type(result) for result in results} - {"null", "missing"}
        return types.pop() if len(types) == 1 else "json"
    return _TYPES.get(type(node), "json")


def _call(node: Call) -> str:
    name = node.name.upper()
    if name in AGGREGATES:
        return _AGGREGATES.get(name, "number")
    if name == "META":
        return "object"
    if name in {"UNNEST_POSITION", "UNNEST_POS"}:
        return "number"
    returns = FUNCTIONS[name].type
    if returns not in {"argument", "successor"}:
        return returns
    argument = static_type(node.arguments[0])
    return _SUCCESSORS.get(argument, argument) if returns == "successor" else argument
