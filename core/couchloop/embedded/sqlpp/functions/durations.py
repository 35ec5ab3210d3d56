"""Functions of durations as Go writes them: `1h15m30.918s`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from couchloop.embedded.sqlpp.functions.table import Table

FUNCTIONS: Final = Table()

_UNITS: Final = {
    "ns": 1,
    "us": 1000,
    "\u00b5s": 1000,
    "\u03bcs": 1000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(
    "(?P<whole>[0-9]*)(?:\\.(?P<rest>[0-9]*))?(?P<unit>ns|us|\u00b5s|\u03bcs|ms|s|m|h)"
)
_LONGEST: Final = 1 << 63
_MOST_DIGITS: Final = 40


def _to_text(nanoseconds: float) -> str | None:
    if not -_LONGEST < nanoseconds < _LONGEST:
        return None
    whole = int(nanoseconds)
    text = _positive(abs(whole))
    return f"-{text}" if whole < 0 else text


def _positive(nanoseconds: int) -> str:
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "\u00b5s", "ms"):
        if nanoseconds < _UNITS[unit] * 1000:
            return _decimal(nanoseconds, _UNITS[unit]) + unit
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    if hours or minutes:
        text += f"{minutes}m"
    return f"{text}{_decimal(rest, _UNITS['s'])}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _to_duration(text: str) -> int | None:
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0
    total = Fraction(0)
    place = 0
    while place < len(rest):
        found = _PART.match(rest, place)
        if found is None or not (found["whole"] or found["rest"]):
            return None
        if len(found["whole"]) > _MOST_DIGITS:
            return None
        digits = (found["rest"] or "")[:_MOST_DIGITS]
        value = Fraction(int(found["whole"] or 0))
        value += Fraction(int(digits or 0), 10 ** len(digits))
        total += value * _UNITS[found["unit"]]
        place = found.end()
    if not rest or total >= _LONGEST:
        return None
    return -int(total) if text.startswith("-") else int(total)


FUNCTIONS.add("DURATION_TO_STR", "n", "string", _to_text)
FUNCTIONS.add("STR_TO_DURATION", "s", "number", _to_duration)
