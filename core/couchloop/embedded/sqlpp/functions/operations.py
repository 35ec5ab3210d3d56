"""Operators by name: `ADD(a, b)` is `a + b`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from couchloop.embedded.sqlpp import operators
from couchloop.embedded.sqlpp.functions.function import Context, Function
from couchloop.embedded.sqlpp.values import MISSING, Value, equal, is_number, less, number, truth

FUNCTIONS: Final[dict[str, Function]] = {}

_Call = Callable[[Sequence[Value], Context], Value]


def _add(names: str, least: int, most: int | None, returns: str, call: _Call) -> None:
    for name in names.split():
        FUNCTIONS[name] = Function(name, least, most, call, returns)


def _folded(operate: Callable[[float, float], Value]) -> _Call:
    """Return the function of an operator between all its arguments."""

    def call(values: Sequence[Value], _: Context) -> Value:
        result = values[0]
        for value in values[1:]:
            both = operators.numbers(result, value)
            result = operate(result, value) if both is True else both
        return result

    return call


def _division(quotient: Callable[[float, float], Value]) -> _Call:
    def call(values: Sequence[Value], context: Context) -> Value:
        left, right = values
        if is_number(right) and right == 0:
            context.warn(5036, "Division by 0.")
            return MISSING if left is MISSING else None
        both = operators.numbers(left, right)
        return quotient(left, right) if both is True else both

    return call


def _truncated(left: float, right: float) -> tuple[int, int] | None:
    """Return both without their fractions, None where that is no division."""
    if not (math.isfinite(left) and math.isfinite(right)):
        return None
    return int(left), int(right)


def _whole_quotient(left: float, right: float) -> Value:
    both = _truncated(left, right)
    if both is None or both[1] == 0:
        return None
    quotient = abs(both[0]) // abs(both[1])
    return number(quotient if (both[0] < 0) == (both[1] < 0) else -quotient)


def _whole_remainder(left: float, right: float) -> Value:
    both = _truncated(left, right)
    if both is None or both[1] == 0:
        return None
    remainder = abs(both[0]) % abs(both[1])
    return number(remainder if both[0] >= 0 else -remainder)


def _pair(operate: Callable[[Value, Value], Value]) -> _Call:
    return lambda values, _: operate(values[0], values[1])


def _logic(*, decisive: bool) -> _Call:
    def call(values: Sequence[Value], _: Context) -> Value:
        result: Value = not decisive
        for value in values:
            if value is None or value is MISSING:
                if type(result) is bool or value is (None if decisive else MISSING):
                    result = value
            elif truth(value) is decisive:
                return decisive
        return result

    return call


def _not(value: Value) -> Value:
    return value if value is None or value is MISSING else not truth(value)


def _between(values: Sequence[Value], _: Context) -> Value:
    value, low, high = values
    above, below = less(low, value, or_equal=True), less(value, high, or_equal=True)
    if above is MISSING or below is MISSING:
        return MISSING
    return None if above is None or below is None else above and below


def distinct_from(left: Value, right: Value) -> Value:
    """Return `left IS DISTINCT FROM right`."""
    if left is None or right is None or left is MISSING or right is MISSING:
        return left is not right
    same = equal(left, right)
    return not same if type(same) is bool else same


_add("ADD", 2, None, "number", _folded(operators.add))
_add("SUB", 2, 2, "number", _folded(operators.subtract))
_add("MULT", 2, None, "number", _folded(operators.multiply))
_add("DIV", 2, 2, "number", _division(operators.divide))
_add("MOD", 2, 2, "number", _folded(operators.modulo))
_add("IDIV", 2, 2, "number", _division(_whole_quotient))
_add("IMOD", 2, 2, "number", _folded(_whole_remainder))
_add("NEG", 1, 1, "number", lambda values, _: operators.negate(values[0]))
_add("EQ", 2, 2, "boolean", _pair(equal))
_add("LT", 2, 2, "boolean", _pair(less))
_add("LE", 2, 2, "boolean", lambda values, _: less(values[0], values[1], or_equal=True))
_add("AND", 2, None, "boolean", _logic(decisive=False))
_add("OR", 2, None, "boolean", _logic(decisive=True))
_add("NOT", 1, 1, "boolean", lambda values, _: _not(values[0]))
_add("IN", 2, 2, "boolean", _pair(operators.member_of))
_add("WITHIN", 2, 2, "boolean", _pair(operators.within))
_add("BETWEEN", 3, 3, "boolean", _between)
_add("IS_DISTINCT_FROM ISDISTINCTFROM", 2, 2, "boolean", _pair(distinct_from))
_add(
    "IS_NOT_DISTINCT_FROM ISNOTDISTINCTFROM",
    2,
    2,
    "boolean",
    lambda values, _: _not(distinct_from(values[0], values[1])),
)
