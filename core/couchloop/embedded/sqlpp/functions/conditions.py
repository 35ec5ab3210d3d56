"""Functions that choose among their arguments: the first that is known, or what equals what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import Call, Table, valued
from couchloop.embedded.sqlpp.values import MISSING, Value, equal, is_number

FUNCTIONS: Final = Table()
_plain = FUNCTIONS.add_plain


def _first(accept: Callable[[Value], bool]) -> Call:
    """Return the choice of the first argument that is accepted, else NULL."""

    def chosen(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
        return next(filter(accept, arguments), None)

    return chosen


def _first_number(accept: Callable[[float], bool]) -> Call:
    """Return the choice of the first number that is accepted.

    MISSING is passed by, and so is NaN or infinity; anything else ends the search. Where there is
    no number, MISSING comes back if any argument was.
    """

    def chosen(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
        for each in arguments:
            if each is MISSING:
                continue
            if not is_number(each):
                return None
            if accept(float(each)):
                return each
        return MISSING if any(each is MISSING for each in arguments) else None

    return chosen


def _turned(result: Value) -> Call:
    """Return the choice of *result* where two arguments are equal, else the first of them."""

    def chosen(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
        left, right = arguments
        if left is MISSING or right is MISSING:
            return MISSING
        if left is None or right is None:
            return None
        return result if equal(left, right) is True else left

    return chosen


def _nvl(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    value, otherwise = arguments
    return value if valued(value) else otherwise


def _nvl2(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    value, known, unknown = arguments
    return known if valued(value) else unknown


def _decode(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    """Return the result behind what equals the first argument; here NULL equals NULL."""
    value, *rest = arguments
    for wanted, result in zip(rest[::2], rest[1::2], strict=False):
        if value is wanted or (valued(value) and equal(value, wanted) is True):
            return result
    return rest[-1] if len(rest) % 2 else None


_plain("IFMISSING IF_MISSING", 2, None, "json", _first(lambda value: value is not MISSING))
_plain("IFNULL IF_NULL", 2, None, "json", _first(lambda value: value is not None))
_plain("IFMISSINGORNULL IF_MISSING_OR_NULL COALESCE", 2, None, "json", _first(valued))
_plain("NVL", 2, 2, "json", _nvl)
_plain("NVL2", 3, 3, "json", _nvl2)
_plain("DECODE", 3, None, "json", _decode)
_plain("MISSINGIF MISSING_IF", 2, 2, "json", _turned(MISSING))
_plain("NULLIF NULL_IF", 2, 2, "json", _turned(None))
_plain("NANIF NAN_IF", 2, 2, "json", _turned(math.nan))
_plain("POSINFIF POSINF_IF", 2, 2, "json", _turned(math.inf))
_plain("NEGINFIF NEGINF_IF", 2, 2, "json", _turned(-math.inf))
_plain("IFNAN IF_NAN", 2, None, "number", _first_number(lambda value: not math.isnan(value)))
_plain("IFINF IF_INF", 2, None, "number", _first_number(lambda value: not math.isinf(value)))
_plain("IFNANORINF IF_NAN_OR_INF", 2, None, "number", _first_number(math.isfinite))
