"""Makes functions of expressions: a row in, a value out.

A row holds values by the names of aliases and variables. What has no name stands in it under a
pair: `(META, alias)`, `(POSITION, alias)`, `(AGGREGATE, text)`, `(GROUP_KEY, text)`,
`(RESULT, name)`, `(WINDOW, text)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from couchloop.embedded.sqlpp import operators
from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.environment import Environment
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.functions import FUNCTIONS, operations
from couchloop.embedded.sqlpp.ranges import comprehension, quantified
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.scopes import POSITIONS, Aliases, ResultName, ScopedSubquery
from couchloop.embedded.sqlpp.statements import WindowCall
from couchloop.embedded.sqlpp.syntax import (
    ArrayLiteral,
    Between,
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
    Membership,
    Name,
    Negation,
    Node,
    Not,
    ObjectLiteral,
    Parameter,
    Quantified,
    Slice,
    Star,
)
from couchloop.embedded.sqlpp.values import MISSING, Value, equal, is_number, less, truth

Row: TypeAlias = dict[Any, Value]
Evaluate: TypeAlias = Callable[[Row], Value]

META: Final = 1
POSITION: Final = 2
AGGREGATE: Final = 3
GROUP_KEY: Final = 4
RESULT: Final = 5
WINDOW: Final = 6


@dataclass(slots=True)
class Grouped:
    """What may be used after a GROUP BY."""

    keys: frozenset[str]
    """Texts of the keys."""
    sources: frozenset[str]
    """Aliases that can no more be used."""
    lets: Mapping[str, Node] = field(default_factory=dict)
    """What LET names stand for: they can be used if that can."""


class Compiler:
    """Makes functions of expressions.

    Args:
        environment: what the statement runs in.
        subquery: makes a function of a subquery; it gives its rows.
    """

    def __init__(
        self, environment: Environment, subquery: Callable[[ScopedSubquery], Evaluate]
    ) -> None:
        self.environment = environment
        self._subquery = subquery
        self._grouped: Grouped | None = None
        self.windows: set[str] = set()
        """Texts of the functions over windows that rows have the values of."""

    def compile(self, node: Node, grouped: Grouped | None = None) -> Evaluate:
        """Return the function of an expression whose names are resolved.

        Args:
            node: the expression.
            grouped: what may be used, if it is evaluated for groups rather than rows.

        Raises QueryError for what depends on more than a group's keys.
        """
        before, self._grouped = self._grouped, grouped
        try:
            return self.inner(node)
        finally:
            self._grouped = before

    def inner(self, node: Node) -> Evaluate:
        """Return the function of a part of an expression."""
        if self._grouped is not None:
            text = reprint(node)
            if text in self._grouped.keys:
                key = (GROUP_KEY, text)
                return lambda row: row[key]
        return _COMPILERS[type(node)](self, node)

    def _weighed(self, node: Node) -> Evaluate:
        """Likewise of a part whose value is gone over: large ones take time."""
        evaluate, weigh = self.inner(node), self.environment.weigh
        if isinstance(node, Constant) and not isinstance(node.value, str | list | dict):
            return evaluate
        return lambda row: weigh(evaluate(row))

    def optional(self, node: Node | None, default: Value) -> Evaluate:
        """Likewise of a part that may not be there."""
        return (lambda _: default) if node is None else self.inner(node)

    # --- names ----------------------------------------------------------------------------------

    def constant(self, node: Constant) -> Evaluate:
        """A literal."""
        value = node.value
        return lambda _: value

    def name(self, node: Name) -> Evaluate:
        """An alias or a variable."""
        name = node.name
        if self._grouped is not None:
            self._survives(node, node)
            if name in self._grouped.lets:
                return self.inner(self._grouped.lets[name])
        return lambda row: row.get(name, MISSING)

    def _survives(self, base: Node, whole: Node) -> None:
        """Raise QueryError (4210) if a name cannot be used after a GROUP BY."""
        grouped = self._grouped
        if grouped is not None and isinstance(base, Name) and base.name in grouped.sources:
            raise must_depend(reprint(whole), whole)

    def aliases(self, node: Aliases) -> Evaluate:
        """`SELF`: all aliases with their values."""
        if self._grouped is not None:
            raise must_depend("self", node)
        names = node.names
        return lambda row: {
            name: row[name] for name in names if row.get(name, MISSING) is not MISSING
        }

    def result(self, node: ResultName) -> Evaluate:
        """An item of the projection."""
        key = (RESULT, node.name)
        return lambda row: row[key]

    def parameter(self, node: Parameter) -> Evaluate:
        """An argument: that it is missing is found out when it is needed."""
        environment = self.environment
        return lambda _: environment.argument(node)

    # --- paths ----------------------------------------------------------------------------------

    def field(self, node: Field) -> Evaluate:
        """`base.name`."""
        if self._grouped is not None and reprint(node.base) not in self._grouped.keys:
            self._survives(node.base, node)
        base, name = self.inner(node.base), node.name
        if node.insensitive:
            return lambda row: operators.field_in_any_case(base(row), name)

        def evaluate(row: Row) -> Value:
            value = base(row)
            return value.get(name, MISSING) if isinstance(value, dict) else MISSING

        return evaluate

    def computed_field(self, node: ComputedField) -> Evaluate:
        """`base.[name]`."""
        base, name, insensitive = self.inner(node.base), self.inner(node.name), node.insensitive
        return lambda row: operators.computed_field(base(row), name(row), insensitive=insensitive)

    def element(self, node: Element) -> Evaluate:
        """`base[index]`."""
        base, index = self.inner(node.base), self.inner(node.index)
        return lambda row: operators.element(base(row), index(row))

    def slice(self, node: Slice) -> Evaluate:
        """`base[start:end]`."""
        base = self.inner(node.base)
        start, end = self.optional(node.start, None), self.optional(node.end, None)
        has_start, has_end = node.start is not None, node.end is not None
        weigh = self.environment.weigh
        return lambda row: weigh(
            operators.piece(base(row), start(row), end(row), has_start=has_start, has_end=has_end)
        )

    def star(self, node: Star) -> Evaluate:
        """`base[*]`."""
        base, weigh = self.inner(node.base), self.environment.weigh
        return lambda row: operators.star(weigh(base(row)))

    # --- constructors ---------------------------------------------------------------------------

    def array(self, node: ArrayLiteral) -> Evaluate:
        """`[…]`: MISSING stays in it, and is written as null."""
        items, weigh = [self.inner(item) for item in node.items], self.environment.weigh
        return lambda row: weigh([item(row) for item in items])

    def object(self, node: ObjectLiteral) -> Evaluate:
        """`{…}`: MISSING drops the member, a name that is no string makes all NULL."""
        members = [(self.inner(each.name), self.inner(each.value)) for each in node.members]
        weigh = self.environment.weigh

        def evaluate(row: Row) -> Value:
            made: dict[str, Value] = {}
            for name_of, value_of in members:
                name = name_of(row)
                if name is None or name is MISSING:
                    continue
                if type(name) is not str:
                    return None
                value = value_of(row)
                if value is MISSING:
                    made.pop(name, None)
                else:
                    made[name] = value
            return weigh(made)

        return evaluate

    # --- operators ------------------------------------------------------------------------------

    def negation(self, node: Negation) -> Evaluate:
        """`-operand`."""
        operand = self.inner(node.operand)
        return lambda row: operators.negate(operand(row))

    def chain(self, node: Chain) -> Evaluate:
        """Operators of one precedence, from left to right."""
        operands = [self.inner(operand) for operand in node.operands]
        operator = node.operators[0]
        if operator in {"AND", "OR"}:
            return _logic(operands, decisive=operator == "OR")
        if operator == "||":
            return _concatenation(operands, self.environment.weigh)
        return self._arithmetic(operands, node.operators)

    def _arithmetic(self, operands: list[Evaluate], signs: tuple[str, ...]) -> Evaluate:
        first, environment = operands[0], self.environment
        rest = [
            (operators.ARITHMETIC.get(sign), operand)
            for sign, operand in zip(signs, operands[1:], strict=True)
        ]

        def evaluate(row: Row) -> Value:
            left = first(row)
            for operate, operand in rest:
                right = operand(row)
                if operate is None:
                    left = divide(left, right, environment)
                    continue
                both = operators.numbers(left, right)
                left = operate(left, right) if both is True else both
            return left

        return evaluate

    def not_(self, node: Not) -> Evaluate:
        """`NOT operand`."""
        operand = self.inner(node.operand)

        def evaluate(row: Row) -> Value:
            value = operand(row)
            return value if value is None or value is MISSING else not truth(value)

        return evaluate

    def comparison(self, node: Comparison) -> Evaluate:
        """`=`, `<`, `<=`."""
        left, right = self._weighed(node.left), self._weighed(node.right)
        if node.operator == "=":
            return lambda row: equal(left(row), right(row))
        or_equal = node.operator == "<="
        return lambda row: less(left(row), right(row), or_equal=or_equal)

    def between(self, node: Between) -> Evaluate:
        """`value BETWEEN low AND high`: NULL or MISSING in any of them decides."""
        parts = [self._weighed(each) for each in (node.value, node.low, node.high)]

        def evaluate(row: Row) -> Value:
            value, low, high = (part(row) for part in parts)
            above = less(low, value, or_equal=True)
            below = less(value, high, or_equal=True)
            if above is MISSING or below is MISSING:
                return MISSING
            return None if above is None or below is None else above and below

        return evaluate

    def like(self, node: Like) -> Evaluate:
        """`value LIKE pattern`."""
        value, pattern = self.inner(node.value), self.inner(node.pattern)
        escape, spend = self.optional(node.escape, "\\"), self.environment.spend
        return lambda row: operators.like(value(row), pattern(row), escape(row), spend)

    def membership(self, node: Membership) -> Evaluate:
        """`IN`, `WITHIN`."""
        value, collection = self._weighed(node.value), self._weighed(node.collection)
        operate = operators.member_of if node.operator == "in" else operators.within
        return lambda row: operate(value(row), collection(row))

    def is_(self, node: Is) -> Evaluate:
        """`IS NULL` and the like."""
        operand = self.inner(node.operand)
        test = _STATES[node.what]
        return lambda row: test(operand(row))

    def distinct_from(self, node: DistinctFrom) -> Evaluate:
        """`IS DISTINCT FROM`."""
        left, right = self._weighed(node.left), self._weighed(node.right)
        return lambda row: operations.distinct_from(left(row), right(row))

    def exists(self, node: Exists) -> Evaluate:
        """`EXISTS operand`."""
        operand = self.inner(node.operand)
        return lambda row: operators.exists(operand(row))

    def case(self, node: Case) -> Evaluate:
        """`CASE … END`."""
        branches = [(self.inner(each.condition), self.inner(each.result)) for each in node.branches]
        otherwise = self.optional(node.otherwise, None)
        if node.subject is None:

            def search(row: Row) -> Value:
                for condition, result in branches:
                    if truth(condition(row)):
                        return result(row)
                return otherwise(row)

            return search
        subject = self.inner(node.subject)

        def compare(row: Row) -> Value:
            value = subject(row)
            for condition, result in branches:
                if equal(value, condition(row)) is True:
                    return result(row)
            return otherwise(row)

        return compare

    # --- what has parts that see more names -------------------------------------------------------

    def quantified(self, node: Quantified) -> Evaluate:
        """`ANY`, `EVERY`."""
        sources = [self._weighed(binding.source) for binding in node.bindings]
        return quantified(node, sources, self.inner(node.condition), self.environment.tick)

    def comprehension(self, node: Comprehension) -> Evaluate:
        """`ARRAY`, `FIRST`, `OBJECT`."""
        sources = [self._weighed(binding.source) for binding in node.bindings]
        name = None if node.name is None else self.inner(node.name)
        condition = None if node.condition is None else self.inner(node.condition)
        value, weigh = self.inner(node.value), self.environment.weigh
        evaluate = comprehension(node, sources, name, value, condition, self.environment.tick)
        return lambda row: weigh(evaluate(row))

    def subquery(self, node: ScopedSubquery) -> Evaluate:
        """A SELECT in parentheses."""
        return self._subquery(node)

    # --- calls ----------------------------------------------------------------------------------

    def call(self, node: Call) -> Evaluate:
        """A function, or an aggregate that was computed for the group."""
        upper = node.name.upper()
        if upper in AGGREGATES:
            if self._grouped is None:
                line, column = node.place
                text = f"Aggregates not allowed here (near line {line}, column {column})."
                raise QueryError(4000, text, line=line, column=column)
            key = (AGGREGATE, reprint(node))
            return lambda row: row[key]
        if upper == "META":
            return self._meta(node)
        if upper in POSITIONS:
            return self._position(node)
        arguments = [self.inner(argument) for argument in node.arguments]
        return self._called(FUNCTIONS[upper].call, arguments)

    def _called(
        self, call: Callable[[list[Value], Environment], Value], arguments: list[Evaluate]
    ) -> Evaluate:
        environment = self.environment
        spend, weigh = environment.spend, environment.weigh

        def evaluate(row: Row) -> Value:
            spend(1)
            given = [weigh(argument(row)) for argument in arguments]
            return weigh(call(given, environment))

        return evaluate

    def window_call(self, node: WindowCall) -> Evaluate:
        """A function over a window, which was computed before."""
        text = reprint(node)
        if text not in self.windows:
            raise _not_here("Window Aggregates", node)
        key = (WINDOW, text)
        return lambda row: row.get(key, MISSING)

    def _meta(self, node: Call) -> Evaluate:
        argument = node.arguments[0]
        if isinstance(argument, Name):
            if self._grouped is not None:
                self._survives(argument, node)
            key = (META, argument.name)
            return lambda row: row.get(key, MISSING)
        of = self.inner(argument)
        return lambda row: MISSING if of(row) is MISSING else None

    def _position(self, node: Call) -> Evaluate:
        argument = node.arguments[0]
        if isinstance(argument, Name):
            if self._grouped is not None:
                self._survives(argument, node)
            key = (POSITION, argument.name)
            return lambda row: row.get(key)
        of = self.inner(argument)
        return lambda row: MISSING if of(row) is MISSING else None


def _not_here(what: str, node: Node) -> QueryError:
    """Return the error about something that was computed for no row here."""
    line, column = node.place
    text = f"{what} not allowed here (near line {line}, column {column})."
    return QueryError(4000, text, line=line, column=column)


def must_depend(text: str, node: Node) -> QueryError:
    """Return the error about what depends on more than a group's keys."""
    line, column = node.place
    text = f"Expression {text} (near line {line}, column {column}) "
    text += "must depend only on group keys or aggregates."
    return QueryError(4210, text, line=line, column=column)


def divide(left: Value, right: Value, environment: Environment) -> Value:
    """Return `left / right`; zero as the divisor gives NULL and a warning."""
    if is_number(right) and right == 0:
        environment.warn(5036, "Division by 0.")
        return MISSING if left is MISSING else None
    both = operators.numbers(left, right)
    return operators.divide(left, right) if both is True else both


def _concatenation(operands: list[Evaluate], weigh: Callable[[Value], Value]) -> Evaluate:
    def evaluate(row: Row) -> Value:
        result = operands[0](row)
        for operand in operands[1:]:
            result = weigh(operators.concatenate(result, operand(row)))
        return result

    return evaluate


def _logic(operands: list[Evaluate], *, decisive: bool) -> Evaluate:
    """Return AND (or OR, where true is decisive): four-valued."""
    weaker = None if decisive else MISSING

    def evaluate(row: Row) -> Value:
        result: Value = not decisive
        for operand in operands:
            value = operand(row)
            if value is None or value is MISSING:
                # MISSING wins in AND, NULL in OR.
                if type(result) is bool or value is weaker:
                    result = value
            elif truth(value) is decisive:
                return decisive
        return result

    return evaluate


def _is_null(value: Value) -> Value:
    return MISSING if value is MISSING else value is None


def _is_not_null(value: Value) -> Value:
    return MISSING if value is MISSING else value is not None


_STATES: Final[dict[str, Callable[[Value], Value]]] = {
    "null": _is_null,
    "not null": _is_not_null,
    "missing": lambda value: value is MISSING,
    "not missing": lambda value: value is not MISSING,
    "valued": lambda value: value is not None and value is not MISSING,
    "not valued": lambda value: value is None or value is MISSING,
}

_COMPILERS: Final[dict[type, Callable[[Compiler, Any], Evaluate]]] = {
    Constant: Compiler.constant,
    Name: Compiler.name,
    Aliases: Compiler.aliases,
    ResultName: Compiler.result,
    Parameter: Compiler.parameter,
    Field: Compiler.field,
    ComputedField: Compiler.computed_field,
    Element: Compiler.element,
    Slice: Compiler.slice,
    Star: Compiler.star,
    ArrayLiteral: Compiler.array,
    ObjectLiteral: Compiler.object,
    Negation: Compiler.negation,
    Chain: Compiler.chain,
    Not: Compiler.not_,
    Comparison: Compiler.comparison,
    Between: Compiler.between,
    Like: Compiler.like,
    Membership: Compiler.membership,
    Is: Compiler.is_,
    DistinctFrom: Compiler.distinct_from,
    Exists: Compiler.exists,
    Case: Compiler.case,
    Quantified: Compiler.quantified,
    Comprehension: Compiler.comprehension,
    ScopedSubquery: Compiler.subquery,
    Call: Compiler.call,
    WindowCall: Compiler.window_call,
}
