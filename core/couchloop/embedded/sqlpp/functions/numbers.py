"""Functions of numbers. They work in float64, as the service does, whatever is exact as an int."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import Table, valued
from couchloop.embedded.sqlpp.values import (
    MISSING,
    SortKey,
    Value,
    integral,
    number,
)

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add

_CHANCES: Final = 1 << 53


def _floating(call: Callable[..., float]) -> Callable[..., float]:
    """Return a function of floats in which what has no result is NaN or infinite."""
    return lambda *values: _quietly(call, [float(value) for value in values])


def _quietly(call: Callable[..., float], values: Sequence[float]) -> float:
    try:
        return call(*values)
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def _power(base: float, exponent: float) -> float:
    if base == 0 and exponent < 0:
        odd = exponent == math.trunc(exponent) and math.fmod(exponent, 2) != 0
        return math.copysign(math.inf, base) if odd else math.inf
    try:
        return math.pow(base, exponent)
    except OverflowError:
        odd = base < 0 and math.fmod(exponent, 2) != 0
        return -math.inf if odd else math.inf


def _ln(value: float) -> float:
    return -math.inf if value == 0 else math.log(value)


def _log(value: float) -> float:
    return -math.inf if value == 0 else math.log10(value)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _whole(call: Callable[[float], int]) -> Callable[[float], float]:
    """Return CEIL or FLOOR; NaN and infinities are themselves."""

    def rounded(value: float) -> float:
        value = float(value)
        return float(call(value)) if math.isfinite(value) else value

    return rounded


def _round(value: float, digits: int, *, even: bool) -> float:
    """Return a number rounded as the service does it: |x| times 10^d, plus a half, cut off."""
    value = float(value)
    if not math.isfinite(value):
        return value
    power = _power_of_ten(digits)
    scaled = abs(value) * power + 0.5
    whole = float(math.floor(scaled)) if math.isfinite(scaled) else scaled
    if even and whole == scaled and math.isfinite(whole) and math.fmod(whole, 2) != 0:
        whole -= 1
    return math.copysign(whole, value) / power if power else math.nan


def _power_of_ten(digits: int) -> float:
    return _power(10.0, float(max(-999, min(digits, 999))))


def _rounder(*, even: bool) -> Callable[..., float]:
    return lambda value, digits=0: _round(value, digits, even=even)


def _trunc(value: float, digits: int = 0) -> float:
    value = float(value)
    power = _power_of_ten(digits)
    scaled = value * power
    whole = float(math.trunc(scaled)) if math.isfinite(scaled) else scaled
    return whole / power if power else math.nan


def _random(arguments: Sequence[Value], context: Context) -> Value:
    if not arguments:
        return number(_chance(context.randbytes(7)))
    seed = arguments[0]
    if seed is MISSING:
        return MISSING
    whole = integral(seed)
    if whole is None:
        return None
    # The same seed gives the same number: a step of splitmix64.
    mixed = (whole + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return number(_chance((mixed ^ mixed >> 31).to_bytes(8)[:7]))


def _chance(data: bytes) -> float:
    return (int.from_bytes(data) >> 3) % _CHANCES / _CHANCES


def _extreme(choose: Callable[..., Value]) -> Callable[[Sequence[Value], Context], Value]:
    """Return GREATEST or LEAST: the extreme of the arguments that are neither MISSING nor NULL."""

    def chosen(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
        return choose(filter(valued, arguments), key=SortKey, default=None)

    return chosen


def _degrees(value: float) -> float:
    return value * 180.0 / math.pi


def _radians(value: float) -> float:
    return value * math.pi / 180.0


def _constants() -> None:
    constants: dict[str, float] = {
        "PI": math.pi,
        "E": math.e,
        "INF POSINF POS_INF": math.inf,
        "NEGINF NEG_INF": -math.inf,
        "NAN": math.nan,
    }
    for names, value in constants.items():
        FUNCTIONS.add_plain(names, 0, 0, "number", _constant(value))


def _constant(value: float) -> Any:
    return lambda arguments, context: value  # noqa: ARG005 - every function has them


_constants()
_ONE_FLOAT: Final[dict[str, Callable[[float], float]]] = {
    "ABS": abs,
    "SQRT": math.sqrt,
    "EXP": math.exp,
    "LN": _ln,
    "LOG": _log,
    "SIN": math.sin,
    "COS": math.cos,
    "TAN": math.tan,
    "ASIN": math.asin,
    "ACOS": math.acos,
    "ATAN": math.atan,
    "DEGREES DEG": _degrees,
    "RADIANS RAD": _radians,
}
for _names, _call in _ONE_FLOAT.items():
    _add(_names, "n", "number", _floating(_call))
_add("SIGN", "n", "number", _sign)
_add("CEIL", "n", "number", _whole(math.ceil))
_add("FLOOR", "n", "number", _whole(math.floor))
_add("POWER", "nn", "number", _floating(_power))
_add("ATAN2", "nn", "number", _floating(math.atan2))
_add("ROUND ROUND_EVEN", "n?i", "number", _rounder(even=True))
_add("ROUND_NEAREST", "n?i", "number", _rounder(even=False))
_add("TRUNC", "n?i", "number", _trunc)
FUNCTIONS.add_plain("RANDOM", 0, 1, "number", _random)
FUNCTIONS.add_plain("GREATEST", 2, None, "json", _extreme(max))
FUNCTIONS.add_plain("LEAST", 2, None, "json", _extreme(min))
