"""ORDER BY, LIMIT and OFFSET."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any, Final, TypeAlias, TypeVar

from couchloop.embedded.sqlpp.compiler import Compiler, Evaluate, Grouped, Row
from couchloop.embedded.sqlpp.environment import PAUSE, Environment
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.scopes import Scope, ScopedSubquery, qualify
from couchloop.embedded.sqlpp.sources import located
from couchloop.embedded.sqlpp.statements import SortTerm
from couchloop.embedded.sqlpp.syntax import Constant, Name, Node, Parameter, walk
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import (
    MISSING,
    SortKey,
    Value,
    integral,
    is_number,
    type_name,
)

_Item = TypeVar("_Item")
_Keyed: TypeAlias = tuple[tuple[_Item, Row], list[Value]]
"""An item, its row, and what the terms have for it."""

_AT_ONCE: Final = 2_000
"""Items that are sorted in one piece."""
_MERGED: Final = 256
"""Items that are merged between two looks whether the loop should have its turn."""

_MANY: Final = 1 << 60
"""More rows than any statement has."""

_GO_TYPES: Final = {
    "string": "string",
    "boolean": "bool",
    "array": "[]interface {}",
    "object": "map[string]interface {}",
    "binary": "[]byte",
}


@dataclass(slots=True)
class PlannedTerm:
    """A term of ORDER BY."""

    evaluate: Evaluate
    descending: Evaluate | bool | str | None
    nulls: Evaluate | bool | str | None


class Sorter:
    """Sorts rows.

    Args:
        terms: of ORDER BY, with names resolved; see `plan_order`.
        environment: what the statement runs in.
    """

    def __init__(self, terms: list[PlannedTerm], environment: Environment) -> None:
        self._terms = terms
        self._environment = environment

    def sort(
        self, items: Iterable[tuple[_Item, Row]], outer: Row
    ) -> Generator[Any, None, list[tuple[_Item, Row]]]:
        """Return the items in order; equal ones stay as they come.

        Yields `PAUSE` where the statement can wait, and passes on what stands for one among items.
        """
        environment, keyed = self._environment, list[_Keyed[_Item]]()
        weigh = environment.weigh
        for item in items:
            if item[0] is not PAUSE:
                environment.keep()
                keyed.append((item, [weigh(term.evaluate(item[1])) for term in self._terms]))
            if environment.due:
                yield PAUSE
        for index in reversed(range(len(self._terms))):
            term = self._terms[index]
            descending = _says(term.descending, "desc", outer)
            keyed = yield from self._sorted(keyed, index, descending=descending)
            first, last = _says(term.nulls, "first", outer), _says(term.nulls, "last", outer)
            if first or last:
                keyed.sort(key=lambda each: _is_unknown(each[1][index]) is last)
        return [item for item, _ in keyed]

    def _sorted(
        self, items: list[_Keyed[_Item]], index: int, *, descending: bool
    ) -> Generator[Any, None, list[_Keyed[_Item]]]:
        """Return items in the order of a term; many are sorted in pieces, then merged."""
        environment = self._environment

        def key(item: _Keyed[_Item]) -> SortKey:
            return SortKey(item[1][index])

        pieces = []
        for start in range(0, len(items), _AT_ONCE):
            piece = items[start : start + _AT_ONCE]
            environment.spend(sorting(len(piece)))
            if environment.due:
                yield PAUSE
            piece.sort(key=key, reverse=descending)
            pieces.append(piece)
        if len(pieces) < 2:
            return pieces[0] if pieces else items
        found: list[_Keyed[_Item]] = []
        for item in merge(*pieces, key=key, reverse=descending):
            if not len(found) % _MERGED:
                environment.spend(_MERGED * len(pieces).bit_length() // 4)
                if environment.due:
                    yield PAUSE
            found.append(item)
        return found


def sorting(count: int) -> int:
    """Return the steps that it takes to sort so many."""
    return count * count.bit_length() // 4


def _is_unknown(value: Value) -> bool:
    return value is None or value is MISSING


def _says(how: Evaluate | bool | str | None, word: str, outer: Row) -> bool:
    if how is None or isinstance(how, bool):
        return bool(how)
    said = how if isinstance(how, str) else how(outer)
    return type(said) is str and said.lower() == word


def plan_order(
    terms: tuple[SortTerm, ...], scope: Scope, compiler: Compiler, grouped: Grouped | None
) -> tuple[list[Node], Sorter]:
    """Return the expressions of ORDER BY with names resolved, and what sorts.

    Raises QueryError.
    """
    qualified = tuple(replace(term, expression=qualify(term.expression, scope)) for term in terms)
    planned = plan_terms(qualified, compiler, grouped, scope)
    return [term.expression for term in qualified], Sorter(planned, compiler.environment)


def plan_terms(
    terms: tuple[SortTerm, ...],
    compiler: Compiler,
    grouped: Grouped | None,
    scope: Scope | None = None,
) -> list[PlannedTerm]:
    """Return terms of ORDER BY that can be evaluated. Raises QueryError.

    Args:
        terms: their expressions have names resolved.
        compiler: makes functions.
        grouped: what may be used, if they are evaluated for groups rather than rows.
        scope: the names in sight, for texts of errors.
    """
    planned = []
    scope = Scope() if scope is None else scope
    for term in terms:
        evaluate = located("original cached value", compiler.compile(term.expression, grouped))
        descending = _how(term.descending, "direction", scope, compiler)
        nulls = _how(term.nulls, "NULLS position", scope, compiler)
        planned.append(PlannedTerm(evaluate, descending, nulls))
    return planned


def _how(
    node: Node | bool | str | None, what: str, scope: Scope, compiler: Compiler
) -> Evaluate | bool | str | None:
    if not isinstance(node, Node):
        return node
    if isinstance(node, Constant | Parameter):
        return located("original cached value", compiler.compile(node))
    text = f"ORDER BY {what} '{reprint(qualify(node, scope))}' is not a valid constant, named, "
    text += "positional or function parameter."
    raise QueryError(3291, text)


# --- LIMIT and OFFSET -----------------------------------------------------------------------------


def plan_limit(node: Node | None, word: str, scope: Scope, compiler: Compiler) -> Evaluate | None:
    """Return what gives a LIMIT or an OFFSET. Raises QueryError.

    Args:
        node: the expression; None: there is no such clause.
        word: `LIMIT` or `OFFSET`.
        scope: of the query around this one, for no field can be used.
        compiler: makes functions.
    """
    if node is None:
        return None
    qualified = qualify(node, scope)
    evaluate = located(f"{word} clause", compiler.compile(qualified))
    if not any(isinstance(each, Parameter | Name | ScopedSubquery) for each in walk(qualified)):
        value = evaluate({})
        if integral(value) is None and value is not None and value is not MISSING:
            raise QueryError(5030, f"Invalid {word} value {_text(value)}")

    def count(row: Row) -> Value:
        value = evaluate(row)
        whole = integral(value)
        if whole is not None:
            return min(max(0, whole), _MANY)
        if word == "LIMIT":
            text = f"Invalid LIMIT {_text(value)} of type {_go_type(value)}."
        else:
            text = f"Invalid OFFSET value {_text(value)}."
        raise QueryError(5030, text, running=True)

    return count


def _text(value: Value) -> str:
    if value is None or value is MISSING:
        return "<nil>"
    return value if type(value) is str else encode(value)


def _go_type(value: Value) -> str:
    if value is None or value is MISSING:
        return "<nil>"
    return "float64" if is_number(value) else _GO_TYPES[type_name(value)]
