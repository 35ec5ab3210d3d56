"""What users give for seconds: finite, and not as good as infinite either."""

from __future__ import annotations

from math import inf
from typing import Any, Final

from couchloop.exceptions import InvalidTimeoutError

LONGEST: Final = 365 * 86_400.0
"""Seconds of the longest time: a year, as options have it. Loops cannot count much further."""


def exact_seconds(timeout: object, key: Any = None) -> float:
    """Return *timeout* in seconds; raise InvalidTimeoutError unless positive, a year at most.

    True and False are no numbers here: they are slips. *key* is of the document, for the error.
    """
    seconds = None
    if type(timeout) is float:
        seconds = timeout
    elif isinstance(timeout, int | float) and not isinstance(timeout, bool):
        try:
            kind = float if isinstance(timeout, float) else int
            seconds = kind.__float__(timeout)  # type: ignore[arg-type]
        except (OverflowError, TypeError):
            seconds = inf
    if seconds is None or not 0.0 < seconds <= LONGEST:
        raise InvalidTimeoutError(
            "timeout must be a positive number of seconds, a year at most",
            key=key,
            objextra=timeout,
        )
    return seconds


def check_wait(value: object, name: str = "timeout") -> float:
    """Return *value* if so long may be waited, as `close` does; raise InvalidTimeoutError.

    Less than zero is zero: a time that is left may be over.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not -inf < value <= LONGEST:
        text = f"{name} must be a finite number of seconds, a year at most"
        raise InvalidTimeoutError(text, objextra=value)
    return max(0.0, float(value))
